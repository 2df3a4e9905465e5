import numpy as np
import pytest

from fer_bench import datasets
from fer_bench.audit.rows import (
    COPY,
    LEAKED,
    add_augmented,
    brighter,
    deal_frames,
    keep_training_rows,
    leak_test_rows,
)
from fer_bench.data.protocols import find_protocol, folds_of, in_label_set


@pytest.fixture(scope="module")
def oulu(tiny_root):
    dataset = datasets.get("oulu")(tiny_root)
    return dataset, find_protocol(dataset.card, None, quick=True)


@pytest.fixture(scope="module")
def rafdb(tiny_root):
    dataset = datasets.get("rafdb")(tiny_root)
    return dataset, find_protocol(dataset.card, None, quick=True)


def roles(dataset, protocol, fold=1):
    found = dataset.roles(protocol, fold)
    return {
        name: role
        for name, role, scored in zip(
            dataset.index["sample_id"], found, in_label_set(dataset.index, protocol), strict=True
        )
        if role and scored
    }


def clips_on_both_sides(dataset, protocol):
    sequence = dict(zip(dataset.index["sample_id"], dataset.index["sequence"], strict=True))
    given = roles(dataset, protocol)
    train = {sequence[name] for name, role in given.items() if role == "train"}
    return train & {sequence[name] for name, role in given.items() if role == "test"}


def test_folds_by_frame_put_frames_of_a_clip_on_both_sides(oulu):
    dataset, protocol = oulu
    assert not clips_on_both_sides(dataset, protocol)
    assert len(clips_on_both_sides(deal_frames(dataset), protocol)) > 10


def test_every_frame_is_still_tested_once(oulu):
    dataset, protocol = oulu
    changed = deal_frames(dataset)
    tested = [
        name
        for fold in folds_of(protocol)
        for name, role in roles(changed, protocol, fold).items()
        if role == "test"
    ]
    honest = dataset.index["sample_id"][in_label_set(dataset.index, protocol)]
    assert sorted(tested) == sorted(honest)


def test_without_validation_its_fold_trains(oulu):
    dataset, protocol = oulu
    changed = keep_training_rows(dataset)
    honest, found = (
        roles(dataset, protocol),
        roles(changed, changed.card.protocols[0].name and find_protocol(changed.card, protocol.name)),
    )
    assert "val" in honest.values()
    assert "val" not in found.values()
    for name, role in honest.items():
        assert found[name] == ("test" if role == "test" else "train")
    assert "val" in roles(dataset, protocol).values()  # the dataset itself is as it was


def test_copies_that_stay_with_their_picture_never_cross(oulu, rafdb):
    for dataset, protocol in (oulu, rafdb):
        found = roles(add_augmented(dataset, protocol, kept="with their picture"), protocol)
        copies = [name for name in found if name.endswith(COPY)]
        assert copies
        crossing = [n for n in copies if (found[n] == "test") != (found[n.removesuffix(COPY)] == "test")]
        assert not crossing


def test_copies_dealt_on_their_own_train_although_their_picture_is_tested(oulu, rafdb):
    for dataset, protocol in (oulu, rafdb):
        found = roles(add_augmented(dataset, protocol, kept="anywhere"), protocol)
        tested = [n for n, role in found.items() if role == "test" and not n.endswith(COPY)]
        train = sum(found.get(n + COPY) == "train" for n in tested)
        assert train > 0.3 * len(tested)
        honest = roles(dataset, protocol)
        assert {n: found[n] for n in honest if honest[n] == "test"} == dict.fromkeys(tested, "test")


def test_leaked_rows_are_the_stated_share_of_the_test_rows(rafdb):
    dataset, protocol = rafdb
    changed = leak_test_rows(dataset, protocol)
    found = roles(changed, protocol)
    tested = [name for name, role in roles(dataset, protocol).items() if role == "test"]
    leaked = [name for name in tested if name + COPY in found]
    assert len(leaked) == round(LEAKED * len(tested))
    assert {found[name + COPY] for name in leaked} <= {"train", "val"}
    assert {name for name in found if name.endswith(COPY)} == {name + COPY for name in leaked}


def test_with_folds_a_leaked_row_trains_when_it_is_tested(oulu):
    dataset, protocol = oulu
    changed = leak_test_rows(dataset, protocol)
    for fold in folds_of(protocol):
        found = roles(changed, protocol, fold)
        for name, role in found.items():
            if name + COPY in found and role == "test":
                assert found[name + COPY] == "train"


def test_copies_show_their_picture(rafdb):
    dataset, protocol = rafdb
    leaked, augmented = (
        leak_test_rows(dataset, protocol),
        add_augmented(dataset, protocol, kept="with their picture"),
    )
    for changed, expected in ((leaked, lambda image: image), (augmented, brighter)):
        index = changed.index.set_index("sample_id")
        name = next(one for one in index.index if one.endswith(COPY))
        own, other = index.loc[name], index.loc[name.removesuffix(COPY)]
        assert own["path"] == other["path"]
        shown, picture = changed.load(own["path"], [own["frame"], other["frame"]])
        np.testing.assert_array_equal(picture, dataset.load(own["path"], [other["frame"]])[0])
        np.testing.assert_array_equal(shown, expected(picture))


def test_brighter_is_brighter_and_keeps_black_and_white():
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = brighter(ramp).astype(int) - ramp
    assert (found[1:-3] > 0).all()
    assert (found >= 0).all()
