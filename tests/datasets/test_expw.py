from pathlib import Path

import pytest

from fer_bench.data.protocols import assign_roles, find_protocol
from fer_bench.datasets.expw import ExpW
from fer_bench.errors import DataError

LINES = (
    "angry_actor_104.jpg 0 28 113 226 141 22.9362 0",
    "angry_actor_104.jpg 3 30 300 420 150 61.5 6",
    "happy_man_7.jpg 8 10 20 70 60 0.23 3",
)


def write_tree(
    root: Path, lines: tuple[str, ...] = LINES, images: str = "image/origin", label: str = "label/label.lst"
) -> Path:
    """Write a small ExpW with the photos of its list and one photo that no line names."""
    (root / images).mkdir(parents=True)
    (root / label).parent.mkdir(parents=True, exist_ok=True)
    (root / label).write_text("\n".join(lines) + "\n")
    for name in {line.split()[0] for line in lines if line} | {"unlabelled_1.jpg"}:
        (root / images / name).touch()
    return root


@pytest.mark.parametrize("images", ["image/origin", "origin", "origin/origin"])
@pytest.mark.parametrize("label", ["label/label.lst", "label.lst"])
def test_every_known_tree_is_read(tmp_path: Path, images: str, label: str) -> None:
    index = ExpW(write_tree(tmp_path, images=images, label=label)).index
    assert index["path"].tolist()[-1] == f"{images}/happy_man_7.jpg"
    assert len(index) == 3


def test_faces_of_one_photo_are_rows_with_their_own_box(tmp_path: Path) -> None:
    dataset = ExpW(write_tree(tmp_path))
    index = dataset.index.set_index("sample_id")
    assert list(index.index) == ["angry_actor_104.jpg#0", "angry_actor_104.jpg#3", "happy_man_7.jpg#8"]
    first, second = index.loc["angry_actor_104.jpg#0"], index.loc["angry_actor_104.jpg#3"]
    assert first["box"] == (113.0, 28.0, 226.0, 141.0)
    assert (first["native_label"], first["label"]) == ("0", "anger")
    assert second["label"] == "neutral"
    assert first["group"] == second["group"] == "angry_actor_104.jpg"
    assert (index["split"] == "none").all()
    assert dataset.crop == "box"


@pytest.mark.parametrize(
    ("line", "value", "message"),
    [
        ("happy_man_7.jpg 8 10 20 70 60 3", None, "eight fields"),
        ("happy_man_7.jpg 8 10 20 70 60 0.23 3 1", None, "eight fields"),
        ("", None, "eight fields"),
        ("happy_man_7.jpg 8 10.5 20 70 60 0.23 3", None, "integers"),
        ("happy_man_7.jpg 8 10 20 70 60 high 3", None, "integers"),
        ("happy_man_7.jpg 8 10 20 70 60 nan 3", "nan", "finite"),
        ("happy_man_7.jpg 8 10 70 70 60 0.23 3", None, "no area"),
        ("happy_man_7.jpg 8 60 20 70 10 0.23 3", None, "no area"),
        ("happy_man_7.jpg 8 10 20 70 60 0.23 7", "7", "0 to 6"),
        ("happy_man_7.jpg 8 10 20 70 60 0.23 -1", "-1", "0 to 6"),
        ("../happy_man_7.jpg 8 10 20 70 60 0.23 3", "../happy_man_7.jpg", "leaves the dataset root"),
        ("/etc/happy_man_7.jpg 8 10 20 70 60 0.23 3", "/etc/happy_man_7.jpg", "leaves the dataset root"),
        ("angry_actor_104.jpg 0 1 1 5 5 1.0 3", "angry_actor_104.jpg 0", "line 1 already"),
    ],
)
def test_malformed_lines_are_named(tmp_path: Path, line: str, value: str | None, message: str) -> None:
    root = write_tree(tmp_path)
    file = root / "label" / "label.lst"
    file.write_text("\n".join([LINES[0], line, LINES[1]]))
    with pytest.raises(DataError, match=message) as caught:
        _ = ExpW(root).index
    assert (caught.value.file, caught.value.line) == (file, 2)
    assert caught.value.value == (line if value is None else value)


def test_missing_photos_are_counted_once_each(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    (root / "image" / "origin" / "angry_actor_104.jpg").unlink()
    with pytest.raises(DataError, match=r"1 listed picture is missing .*'angry_actor_104\.jpg'") as caught:
        _ = ExpW(root).index
    assert caught.value.line == 1


def test_protocol_keeps_photos_whole_and_takes_the_stated_shares(tmp_path: Path) -> None:
    lines = tuple(
        f"q_{photo}.jpg {face} 0 0 9 9 1.0 {photo % 7}" for photo in range(700) for face in range(2)
    )
    dataset = ExpW(write_tree(tmp_path, lines))
    index, card = dataset.index, dataset.card
    index = index.assign(role=assign_roles(index, card, find_protocol(card, "expw/7-hash")))
    assert (index.groupby("group")["role"].nunique() == 1).all()
    shares = index["role"].value_counts(normalize=True)
    assert shares["train"] == pytest.approx(0.70, abs=0.05)
    assert shares["val"] == pytest.approx(0.15, abs=0.04)
    assert index.groupby("role")["label"].nunique().tolist() == [7, 7, 7]


def test_role_of_a_photo_does_not_depend_on_the_others(tmp_path: Path) -> None:
    lines = tuple(f"q_{photo}.jpg 0 0 0 9 9 1.0 {photo % 7}" for photo in range(300))
    roles = []
    for name, subset in (("all", lines), ("half", lines[:150])):
        dataset = ExpW(write_tree(tmp_path / name, subset))
        role = assign_roles(dataset.index, dataset.card, find_protocol(dataset.card, None))
        roles.append(dict(zip(dataset.index["sample_id"], role, strict=True)))
    assert roles[1].items() <= roles[0].items()


def test_card_counts_add_up() -> None:
    counts = {c.code: c.n for c in ExpW.card.counts}
    assert sum(n for code, n in counts.items() if code is not None) == counts[None]


def test_an_absent_photo_is_left_out_by_name(tmp_path: Path) -> None:
    root = write_tree(tmp_path)
    (root / "image" / "origin" / "angry_actor_104.jpg").unlink()
    dataset = ExpW(root)
    assert dataset.leave_out(["image/origin/angry_actor_104.jpg"]) == 2
    assert dataset.index["sample_id"].tolist() == ["happy_man_7.jpg#8"]


@pytest.mark.parametrize("images", ["Images", "images", "image"])
def test_public_copies_with_another_photo_folder_are_read_as_repackaged(tmp_path: Path, images: str) -> None:
    dataset = ExpW(write_tree(tmp_path, images=images))
    assert len(dataset.index) == 3
    assert dataset.notes == [f"repackaged: the photos are in {images}/; the label list is the official one"]
