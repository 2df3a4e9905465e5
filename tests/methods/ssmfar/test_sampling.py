"""Separate labelled and unlabelled parts of batches: their sizes, their order and the edges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.errors import UsageError
from fer_bench.methods.ssmfar.method import SSMFAR
from fer_bench.methods.ssmfar.sampling import RevealHidden, SeparateOrder, separate_order
from fer_bench.methods.ssmfar.settings import SSMFARSettings
from tests.data.toy import running_trainer
from tests.methods import ssmfar_toy


def order(labelled=40, unlabelled=100, *, batch_size=8, limit=None, world=1, seed=0) -> SeparateOrder:
    pools = {"toy": np.arange(labelled)}, {"toy": np.arange(1000, 1000 + unlabelled)}
    return SeparateOrder(*pools, batch_size, limit, world, seed)


def batches(made: SeparateOrder, epoch: int = 0) -> np.ndarray:
    return made(epoch).reshape(made.steps, made.batch_size)


class TestOrder:
    def test_each_batch_has_a_labelled_and_an_unlabelled_half(self):
        found = batches(order(labelled=300, unlabelled=200, batch_size=32, limit=400))
        assert found.shape == (12, 32)  # the whole batches of 400 rows
        assert (found[:, :16] < 1000).all()
        assert (found[:, 16:] >= 1000).all()

    def test_an_epoch_is_the_whole_batches_of_all_rows_or_of_the_limit(self):
        assert order().steps == 140 // 8
        assert order(limit=50).steps == 6
        assert order(labelled=2, unlabelled=3).steps == 1  # never none
        assert order(labelled=2, unlabelled=3)(0).shape == (8,)

    def test_rows_come_once_before_any_comes_again(self):
        made = order(labelled=6, unlabelled=30, batch_size=8)  # 4 steps: 16 labelled draws of 6 rows
        found = batches(made)
        labelled, unlabelled = found[:, :4].reshape(-1), found[:, 4:].reshape(-1)
        for turn in (labelled[:6], labelled[6:12]):
            assert sorted(turn) == list(range(6))
        assert len(set(labelled[12:])) == 4
        assert len(set(unlabelled)) == 16

    def test_labelled_rows_fewer_than_half_a_batch_come_again_within_it(self):
        found = batches(order(labelled=3, unlabelled=50, batch_size=16))
        assert (found[:, :8] < 1000).all()
        assert np.bincount(found[:, :8].reshape(-1)).min() >= 7  # 24 draws of 3 rows in turns

    def test_few_unlabelled_rows_come_once_per_batch_and_leave_their_places_to_labelled_ones(self):
        made = order(labelled=40, unlabelled=3, batch_size=16)
        assert made.parts == (13, 3)
        for batch in batches(made):
            assert sorted(batch[13:]) == [1000, 1001, 1002]
        assert order(labelled=40, unlabelled=1, batch_size=16).parts == (14, 2)  # two rows to normalise by
        assert order(labelled=40, unlabelled=1, batch_size=16, world=2).parts == (12, 4)

    def test_an_odd_row_is_labelled(self):
        assert order(batch_size=9).parts == (5, 4)

    def test_depends_on_seed_and_epoch_only(self):
        first = order()(3)
        assert np.array_equal(first, order()(3))
        assert not np.array_equal(first, order()(4))
        assert not np.array_equal(first, order(seed=1)(3))

    def test_the_two_parts_are_drawn_independently(self):
        found = batches(order(labelled=400, unlabelled=400, batch_size=8))
        pair = found[:, :4].reshape(-1), found[:, 4:].reshape(-1) - 1000
        assert abs(np.corrcoef(*pair)[0, 1]) < 4 / np.sqrt(400)

    def test_processes_have_both_parts_and_share_the_batches_of_one(self):
        whole = batches(order(world=2))
        for batch in whole:
            parts = [batch[rank::2] for rank in (0, 1)]
            assert [int((part < 1000).sum()) for part in parts] == [2, 2]
            assert sorted(np.concatenate(parts)) == sorted(batch)

    def test_members_of_a_union_come_equally_often(self):
        labelled = {"a": np.arange(10), "b": np.arange(10, 1010)}
        found = SeparateOrder(labelled, {"b": np.arange(2000, 2100)}, 100, 2000, 1, 0)(0).reshape(-1, 100)
        share = (found[:, :50] < 10).mean()
        assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(found[:, :50].size)
        assert (found[:, 50:] >= 2000).all()

    def test_batches_without_room_for_both_are_refused(self):
        with pytest.raises(UsageError, match=r"four rows per process(?s:.*)train\.batch_size=8"):
            order(batch_size=7, world=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    ssmfar_toy.write(folder)
    return folder


def loaded(root, *, fraction=0.4, rank=0, world=1, epoch=0, **settings):
    """Return what the loader of the method yields in an epoch: uint8 crops, labels and row numbers."""
    method, data = ssmfar_toy.method_and_data(root, fraction=fraction)
    method.settings = SSMFARSettings(**{**method.settings.model_dump(), **settings})
    place = {"global_rank": rank, "world_size": world, "current_epoch": epoch}
    data.trainer = method._trainer = running_trainer(training=True, **place)
    loader = method.train_loader(data)
    loader.sampler.set_epoch(epoch)
    return data, list(loader)


class TestLoader:
    def test_parts_of_batches_and_strong_views(self, root):
        data, found = loaded(root)
        assert len(found) == len(data.rows("train")) // 8 == 6
        for batch in found:
            missing = batch["label"] < 0
            assert missing.tolist() == [False] * 4 + [True] * 4
            assert (batch["strong"][~missing] == 0).all()  # no loss reads them
            assert (batch["strong"][missing] != 0).any(dim=(1, 2, 3)).all()
        assert data.task.unlabelled == 30

    def test_a_labelled_row_that_comes_again_is_augmented_anew(self, root):
        data, found = loaded(root, fraction=0.25)
        rows, count = np.concatenate([batch["row"][:4] for batch in found]), len(data.roles)
        assert len(set(rows.tolist())) == 24  # as further turns have numbers of their own
        assert len(set((rows % count).tolist())) == (data.labels("train") >= 0).sum() == 12
        assert (rows >= count).sum() == 12

    def test_all_rows_labelled_means_plain_batches(self, root):
        data, found = loaded(root, fraction=1.0)
        assert separate_order(data, 1) is None
        assert [len(batch["label"]) for batch in found] == [8] * 6 + [6]
        assert all((batch["label"] >= 0).all() and "strong" not in batch for batch in found)
        rows = np.concatenate([batch["row"] for batch in found])
        assert sorted(rows) == data.rows("train").tolist()

    def test_mixed_batches_are_as_rows_fall(self, root):
        _, found = loaded(root, batches="mixed")
        shares = [int((batch["label"] < 0).sum()) for batch in found]
        assert sum(shares) == 30
        assert len(set(shares)) > 1
        assert all((batch["strong"] != 0).any(dim=(1, 2, 3)).all() for batch in found)

    def test_without_unlabelled_rows_the_same_labelled_rows_come_in_the_same_steps(self, root):
        """Equal exposure: what is compared with the method differs in the unlabelled rows alone."""
        _, whole = loaded(root, epoch=2)
        _, skipped = loaded(root, epoch=2, unlabelled_rows="skip")
        assert len(whole) == len(skipped)
        for one, other in zip(whole, skipped, strict=True):
            assert torch.equal(one["row"][:4], other["row"])
            assert torch.equal(one["image"][:4], other["image"])
            assert "strong" not in other

    def test_the_oracle_knows_hidden_labels_of_the_same_rows(self, root):
        data, found = loaded(root, unlabelled_rows="oracle")
        truth = data.dataset.index["label"].to_numpy(object)
        for one, plain in zip(found, loaded(root)[1], strict=True):
            assert torch.equal(one["row"], plain["row"])
            assert "hidden_label" not in plain
            for row, label, hidden in zip(one["row"], one["label"], one["hidden_label"], strict=True):
                if label >= 0:
                    assert hidden == -1
                else:
                    assert data.classes[hidden] == truth[row % len(truth)]

    def test_two_processes_load_the_batches_of_one(self, root):
        _, whole = loaded(root)
        parts = [loaded(root, rank=rank, world=2)[1] for rank in (0, 1)]
        for one, *shares in zip(whole, *parts, strict=True):
            assert sorted(torch.cat([share["row"] for share in shares]).tolist()) == sorted(
                one["row"].tolist()
            )
            assert all((share["label"] < 0).tolist() == [False, False, True, True] for share in shares)

    def test_rows_that_never_had_a_label_stay_unknown(self, root):
        _, data = ssmfar_toy.method_and_data(root)
        reveal = RevealHidden(data)
        assert (reveal.truth >= 0).tolist() == data.hidden.tolist()


def test_controls_belong_to_separate_batches():
    with pytest.raises(UsageError, match="unlabelled_rows=oracle is a control of batches=separate"):
        SSMFAR.build_settings({"batches": "mixed", "unlabelled_rows": "oracle"})


def test_the_paper_profile_mixes_rows_as_the_authors_code_does():
    assert SSMFAR.profile("paper")[0].batches == "mixed"
    assert SSMFAR.profile("quick")[0].batches == "separate"
    assert SSMFARSettings().batches == "separate"


def test_a_union_draws_members_that_have_such_rows(tiny_root):
    from fer_bench.data.loading.union import UnionDataset
    from fer_bench.workspace.sources import find_roots, open_source

    roots = find_roots(str(tiny_root))
    union = UnionDataset([open_source(name, roots).dataset for name in ("oulu", "ckplus")])
    spec = SSMFAR.input_spec(SSMFARSettings(size=32))
    data = make_datamodule(union, spec=spec, protocol="7-union-quick", batch_size=8, with_unlabelled=True)
    found = separate_order(data, 1)
    known = data.labels("train") >= 0
    assert found is not None
    assert list(found.labelled) == ["ckplus", "oulu"]
    assert sorted(np.concatenate(list(found.labelled.values()))) == data.rows("train")[known].tolist()
    assert sorted(np.concatenate(list(found.unlabelled.values()))) == data.rows("train")[~known].tolist()
