"""The worst mistakes of runs: the right rows with their pictures, and never those of photographs."""

import base64
import shutil

import cv2
import numpy as np
import pytest

from fer_bench.evaluation.estimates import answers
from fer_bench.results.mistakes import mistakes_file, read_mistakes
from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from fer_bench.runs.mistakes import SIDE
from fer_bench.synthetic.marker import MARKER
from fer_bench.workspace.sources import find_roots
from fer_bench.workspace.workspace import Workspace


@pytest.fixture(scope="module")
def done(plan, workspace, tmp_path_factory):
    store, planned = Store(tmp_path_factory.mktemp("runs")), plan(max_epochs=1)
    record = execute(planned, store, workspace)
    return store, record, planned.folder(store)


def test_the_surest_wrong_answer_of_each_class_is_kept(done):
    store, record, run = done
    found = read_mistakes(mistakes_file(run, "oulu"))
    assert found.checkpoint == record.checkpoint
    assert found.fingerprint == record.targets["oulu"].fingerprint
    predictions = store.predictions(record, "oulu")
    given = answers(predictions, record.score("oulu").label_set)
    shares = np.exp(predictions.logits - predictions.logits.max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    expected = {}
    for row in range(len(given.truth)):
        truth, answer = given.truth[row], given.answer[row]
        if truth != answer:
            sure = max(shares[row, answer], expected.get(given.classes[truth], (0.0, ""))[0])
            if sure == shares[row, answer]:
                expected[given.classes[truth]] = sure, given.classes[answer]
    kept = {one.truth: (one.probability, one.answer) for one in found.mistakes}
    assert list(kept) == [name for name in given.classes if name in expected]
    for name, (sure, answer) in expected.items():
        assert kept[name] == (pytest.approx(sure, abs=1e-3), answer)


def test_pictures_are_the_crops_of_the_rows(done, workspace):
    _, record, run = done
    index = workspace.source("oulu").dataset.index
    pack = workspace.pack("oulu", 64)
    for one in read_mistakes(mistakes_file(run, "oulu")).mistakes:
        data = np.frombuffer(base64.b64decode(one.picture), np.uint8)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1]
        assert picture.shape == (SIDE, SIDE, 3)
        (row,) = np.flatnonzero(index["sample_id"] == one.sample_id)
        assert index["label"].iloc[row] == one.truth
        crop = cv2.resize(np.array(pack.pixels[row]), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        assert np.abs(picture.astype(int) - crop).mean() < 8  # what JPEG loses
        assert len(one.picture) < 4000
    assert record.data_kind == "synthetic"


def test_nothing_is_kept_of_photographs(plan, tiny_root, tmp_path):
    root = shutil.copytree(tiny_root / "oulu", tmp_path / "data" / "oulu").parent
    (root / "oulu" / MARKER).unlink()
    store = Store(tmp_path / "runs")
    workspace = Workspace(find_roots(str(root)))
    planned = plan(workspace, max_epochs=1, targets=[])
    record = execute(planned, store, workspace)
    assert (record.status, record.data_kind) == ("done", "real")
    assert planned.folder(store).predictions_file("oulu", "val").exists()
    assert not mistakes_file(planned.folder(store), "oulu").parent.exists()
