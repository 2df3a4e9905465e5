import json

import numpy as np
import pytest

from fer_bench.data.protocols import assign_roles, find_protocol, folds_of
from fer_bench.datasets import MAIN_SEVEN, get
from fer_bench.errors import DataError, UsageError
from fer_bench.synthetic import GENERATOR_VERSION, layouts
from fer_bench.synthetic.marker import MARKER, NOTICE, read_marker

NAMES = layouts.names()


def test_the_seven_of_the_leaderboard_can_be_written():
    assert set(MAIN_SEVEN) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_bytes_do_not_depend_on_the_number_of_processes(drawn, tree, tmp_path, name):
    calls = []
    layouts.write(
        name, tmp_path, size="tiny", jobs=2, progress=lambda done, total: calls.append((done, total))
    )
    assert tree(tmp_path / name) == tree(drawn / name)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert calls[-1][0] == calls[-1][1] > 20


@pytest.mark.parametrize("name", NAMES)
def test_the_reader_accepts_the_tree_and_finds_every_class(drawn, name):
    dataset = get(name)(drawn)
    index = dataset.index
    protocol = find_protocol(dataset.card, None, quick=True)
    assert set(index["label"].dropna()) >= {str(e) for e in protocol.label_set}
    for fold in folds_of(protocol):
        roles = assign_roles(index, dataset.card, protocol, fold)
        assert {"train", "val", "test"} <= set(roles)
    row = index[index["label"].notna()].iloc[0]
    picture = dataset.load(row["path"], [int(row["frame"])])[0]
    assert picture.shape[2] == 3
    assert picture.std() > 5


@pytest.mark.parametrize("name", NAMES)
def test_every_folder_says_that_it_is_synthetic(drawn, name):
    marker = json.loads((drawn / name / MARKER).read_text())
    assert marker == {
        "synthetic": True,
        "generator_version": GENERATOR_VERSION,
        "dataset": name,
        "size": "tiny",
        "population": "benchmark",
        "seed": 0,
    }
    assert read_marker(drawn / name) == marker
    assert "SYNTHETIC" in (drawn / name / NOTICE).read_text()


def test_seed_and_population_change_the_pictures(drawn, tmp_path):
    mine = (drawn / "rafdb/basic/Image/aligned/train_00001_aligned.jpg").read_bytes()
    for option in ({"seed": 1}, {"population": "development"}):
        layouts.write("rafdb", tmp_path, size="tiny", **option)
        other = (tmp_path / "rafdb/basic/Image/aligned/train_00001_aligned.jpg").read_bytes()
        assert other != mine
        assert read_marker(tmp_path / "rafdb")[next(iter(option))] == next(iter(option.values()))


def test_what_is_there_already_is_not_written_again(drawn):
    before = {name: (drawn / name).stat().st_ino for name in ("expw", "rafdb")}
    for name in before:
        layouts.write(name, drawn, size="tiny", progress=lambda done, total: pytest.fail("drew a picture"))
    assert {name: (drawn / name).stat().st_ino for name in before} == before


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "expw").mkdir()
    (tmp_path / "expw" / "label.lst").write_text("mine")
    with pytest.raises(DataError, match="left alone") as caught:
        layouts.write("expw", tmp_path, size="tiny")
    assert caught.value.file == tmp_path / "expw"
    assert [p.name for p in tmp_path.iterdir()] == ["expw"]


def test_unknown_names_and_sizes_are_refused(tmp_path):
    with pytest.raises(UsageError, match="oulu"):
        layouts.write("olu", tmp_path)
    with pytest.raises(UsageError, match="tiny"):
        layouts.write("oulu", tmp_path, size="tinny")


def test_a_person_stays_the_same_through_a_sequence_and_differs_from_others(drawn):
    dataset = get("ckplus")(drawn)
    index = dataset.index[dataset.index["landmarks"].notna()]

    def proportions(landmarks):
        eyes = np.linalg.norm(landmarks[45] - landmarks[36])
        return (
            np.array(
                [np.linalg.norm(landmarks[16] - landmarks[0]), np.linalg.norm(landmarks[42] - landmarks[39])]
            )
            / eyes
        )

    within = [
        np.ptp([proportions(shape) for shape in rows["landmarks"]], axis=0).max()
        for _, rows in index.groupby("sequence")
    ]
    between = np.ptp(
        [proportions(rows["landmarks"].iloc[0]) for _, rows in index.groupby("subject")], axis=0
    ).max()
    assert np.median(within) < 0.5 * between
