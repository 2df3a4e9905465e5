"""Enrolled neutral pictures: whose they are, that labels take no part, and where batches carry them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from fer_bench.config import InputSpec
from fer_bench.data.loading.batches import enrolled_rows
from fer_bench.data.loading.datamodule import FaceDataModule, evaluation_batches
from fer_bench.data.loading.transforms import prepare
from fer_bench.datasets.oulu import OuluCASIA

SPEC = InputSpec(size=48)


def index(*rows: tuple[str | None, str | None, bool, str | None, str]) -> pd.DataFrame:
    columns = ["subject", "sequence", "is_neutral_frame", "reference_id", "variant"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(sample_id=[str(n) for n in range(len(frame))])


ROWS = index(
    ("anna", "a1", True, "0", ""),
    ("anna", "a1", False, "0", ""),
    ("anna", "a2", True, "2", ""),
    ("anna", "a2", False, "2", ""),
    ("anna", "a3", False, None, ""),
    ("anna", "dark", True, "5", "dark"),
    ("bert", "b1", True, "6", ""),
    ("bert", "b1", False, "6", ""),
    (None, None, False, None, ""),
    ("carl", "c1", False, "10", ""),
    ("carl", "c1", False, None, ""),  # labelled neutral, but not a first frame
)


def test_own_first_frame_where_neutral_is_no_class():
    assert enrolled_rows(ROWS, elsewhere=False).tolist() == [0, 0, 2, 2, -1, 5, 6, 6, -1, -1, -1]


def test_first_frame_of_another_sequence_where_neutral_is_a_class():
    found = enrolled_rows(ROWS, elsewhere=True)
    assert found.tolist() == [2, 2, 0, 0, 0, -1, -1, -1, -1, -1, -1]
    own = found[found >= 0]
    rows = np.flatnonzero(found >= 0)
    assert (ROWS["subject"].to_numpy()[own] == ROWS["subject"].to_numpy()[rows]).all()
    assert (ROWS["sequence"].to_numpy()[own] != ROWS["sequence"].to_numpy()[rows]).all()


@pytest.fixture(scope="module")
def oulu(tmp_path_factory):
    from fer_bench.synthetic import layouts

    root = tmp_path_factory.mktemp("oulu")
    layouts.write("oulu", root, size="tiny")
    return OuluCASIA(root / "oulu")


@pytest.mark.parametrize("protocol", ["6-4fold", "7n-4fold"])
def test_every_kind_of_batch_carries_it_only_if_asked(oulu, protocol):
    options = {"spec": SPEC, "protocol": protocol, "batch_size": 8}
    plain, data = (FaceDataModule(oulu, enrolled=each, **options) for each in (False, True))
    partner = enrolled_rows(oulu.index, elsewhere=protocol.startswith("7n"))
    for loader in (plain.train_dataloader(), plain.val_dataloader(), plain.test_dataloader()):
        assert all("reference" not in batch for batch in loader)
    for loader in (data.val_dataloader(), data.test_dataloader()):
        for batch in loader:
            own = partner[batch["row"].numpy()]
            assert batch["has_reference"].tolist() == (own >= 0).tolist()
            shown = prepare(torch.from_numpy(data.pack.pixels[own[own >= 0]]), SPEC)
            assert torch.equal(batch["reference"][torch.from_numpy(own >= 0)], shown)
    assert all("reference" in batch for batch in data.train_dataloader())
    rows = data.rows("test")
    where = torch.device("cpu")
    (without,) = evaluation_batches(data.pack, oulu, data.classes, rows, SPEC, where)
    (batch,) = evaluation_batches(data.pack, oulu, data.classes, rows, SPEC, where, enrolled=True)
    assert "reference" not in without
    assert torch.equal(batch["reference"], next(iter(data.test_dataloader()))["reference"])
