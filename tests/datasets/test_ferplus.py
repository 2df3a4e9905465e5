"""FERPlus in both official forms, written by hand with its documented quirks planted."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.index import stack_votes
from fer_bench.data.protocols import assign_roles, find_protocol, target_rows
from fer_bench.datasets.ferplus import CARD, FERPlus
from fer_bench.datasets.ferplus_votes import official_distribution
from fer_bench.emotions import Emotion
from fer_bench.errors import DataError

HEADER = (
    "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"  # official
)
PARTS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
NEUTRAL = (8, 0, 0, 1, 0, 0, 0, 1, 0, 0)
HAPPY = (0, 10, 0, 0, 0, 0, 0, 0, 0, 0)
TORN = (4, 0, 0, 4, 0, 0, 0, 0, 2, 0)
UNKNOWN = (2, 0, 0, 1, 0, 0, 0, 0, 7, 0)
NO_FACE = (0,) * 9 + (10,)

ROWS: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("Training", "fer0000000.png", NEUTRAL),
    ("Training", "", NO_FACE),
    ("Training", "fer0000001.png", HAPPY),
    ("Training", "fer0000002.png", TORN),
    ("Training", "fer0000003.png", UNKNOWN),
    ("Training", "fer0000004.png", HAPPY),
    ("Training", "fer0000004.png", NO_FACE),
    ("PublicTest", "fer0000005.png", (0, 0, 0, 0, 0, 0, 0, 9, 0, 0)),
    ("PublicTest", "fer0000006.png", NEUTRAL),
    ("PrivateTest", "fer0000007.png", NEUTRAL),
    ("PrivateTest", "fer0000008.png", HAPPY),
)


def picture(row: int) -> np.ndarray:
    return ((np.arange(48 * 48) + 7 * row) % 256).astype(np.uint8)


def write_csvs(root: Path, rows=ROWS, *, pixels: dict[int, int] | None = None, end: str = "\n") -> Path:
    """Write the votes and FER2013's csv beside them; `pixels` gives a row the picture of another one."""
    root.mkdir(parents=True, exist_ok=True)
    votes = [HEADER, *(f"{usage},{name},{','.join(map(str, v))}" for usage, name, v in rows)]
    (root / "fer2013new.csv").write_bytes((end.join(votes) + end).encode())
    greys = [" ".join(map(str, picture((pixels or {}).get(i, i)))) for i in range(len(rows))]
    lines = ["emotion,pixels,Usage", *(f"0,{g},{u}" for g, (u, *_) in zip(greys, rows, strict=True))]
    (root / "fer2013.csv").write_text("\n".join(lines) + "\n")
    return root


def write_folders(root: Path, rows=ROWS) -> Path:
    for usage, part in PARTS.items():
        folder = root / "data" / part
        folder.mkdir(parents=True)
        lines = []
        for i, (use, name, votes) in enumerate(rows):
            if use == usage and name:
                cv2.imwrite(str(folder / name), picture(i).reshape(48, 48))
                lines.append(f'{name},"(0, 0, 48, 48)",{",".join(map(str, votes))}')
        (folder / "label.csv").write_text("\n".join(lines) + "\n")
    return root


def test_votes_join_the_pictures_by_row_number_not_by_name(tmp_path: Path) -> None:
    dataset = FERPlus(write_csvs(tmp_path))
    index = dataset.index.set_index("sample_id")
    assert index.loc["fer0000001", "frame"] == 2, "the nameless row before it counts"
    np.testing.assert_array_equal(dataset.load("fer2013.csv", [2])[0][..., 0].ravel(), picture(2))
    assert index.loc["fer0000001", ["native_label", "label", "split"]].tolist() == ["happiness"] * 2 + [
        "train"
    ]
    assert "fer0000003" not in index.index
    assert any("1 rows of fer2013new.csv have no picture name" in note for note in dataset.notes)
    assert any("votes are those of fer2013new.csv; 2 pictures" in note for note in dataset.notes)


def test_both_forms_give_the_same_rows(tmp_path: Path) -> None:
    one, two = FERPlus(write_csvs(tmp_path / "a")), FERPlus(write_folders(tmp_path / "b"))
    columns = ["sample_id", "native_label", "label", "split", "group", "variant"]
    assert one.index[columns].equals(two.index[columns])
    np.testing.assert_array_equal(stack_votes(one.index), stack_votes(two.index))
    row = two.index.set_index("sample_id").loc["fer0000008"]
    np.testing.assert_array_equal(two.load(row["path"], [-1])[0][..., 2].ravel(), picture(10))
    assert any("data/*/label.csv" in note for note in two.notes)
    assert (one.layout, two.layout) == ("fer2013new.csv", "data/*/label.csv")
    assert {one.layout, two.layout} == {c.layout for c in CARD.counts}


def test_a_name_on_two_rows_keeps_both_in_one_group(tmp_path: Path) -> None:
    rows = list(ROWS)
    rows[6] = ("Training", "fer0000004.png", NEUTRAL)
    index = FERPlus(write_csvs(tmp_path, rows)).index.set_index("sample_id")
    assert index.loc["fer0000004", "label"] == "happiness"
    assert index.loc["fer0000004#2", "label"] == "neutral"
    assert index.loc["fer0000004#2", "group"] == "fer0000004"
    assert index.loc["fer0000004#2", "frame"] == 6


def test_votes_stand_in_canonical_order(tmp_path: Path) -> None:
    index = FERPlus(write_csvs(tmp_path)).index.set_index("sample_id")
    votes = dict(zip(Emotion, index.loc["fer0000002", "votes"], strict=True))
    assert (votes[Emotion.NEUTRAL], votes[Emotion.SADNESS], sum(votes.values())) == (4, 4, 8)


@pytest.mark.parametrize(
    ("votes", "majority", "probability"),
    [
        (NEUTRAL, "neutral", {"neutral": 1.0}),
        (TORN, None, {"neutral": 0.5, "sadness": 0.5}),
        (UNKNOWN, None, None),
        (NO_FACE, None, None),
        ((1,) * 10, None, None),
        ((0, 0, 6, 0, 0, 0, 4, 0, 0, 0), "surprise", {"surprise": 0.6, "fear": 0.4}),
        ((0, 0, 5, 0, 0, 0, 5, 0, 0, 0), None, {"surprise": 0.5, "fear": 0.5}),
        ((4, 0, 0, 2, 0, 0, 0, 0, 4, 0), None, None),  # unknown ends the collection at 4 of 10
        ((6, 0, 0, 0, 0, 0, 0, 0, 4, 0), "neutral", {"neutral": 1.0}),
        ((4, 2, 2, 2, 0, 0, 0, 0, 0, 0), None, None),  # four classes are too many
        ((4, 3, 3, 0, 0, 0, 0, 0, 0, 0), None, {"neutral": 0.4, "happiness": 0.3, "surprise": 0.3}),
        ((0, 0, 0, 0, 0, 5, 0, 0, 0, 4), "disgust", {"disgust": 1.0}),  # nine votes
    ],
)
def test_official_distributions(
    votes: tuple[int, ...], majority: str | None, probability: dict | None
) -> None:
    names = [native.code for native in CARD.classes]
    found = official_distribution(np.array(votes, float), "majority")
    assert (None if found is None else names[int(np.argmax(found))]) == majority
    found = official_distribution(np.array(votes, float), "probability")
    shares = None if found is None else {names[i]: p for i, p in enumerate(found) if p}
    assert shares == (probability if probability is None else pytest.approx(probability))


def test_targets_follow_the_index(tmp_path: Path) -> None:
    dataset = FERPlus(write_csvs(tmp_path))
    dataset.leave_out(["fer0000000"])
    at = dataset.index["sample_id"].tolist().index("fer0000002")
    official = dict(zip(Emotion, dataset.soft_labels("probability")[at], strict=True))
    assert {e: float(share) for e, share in official.items() if share} == {
        Emotion.NEUTRAL: 0.5,
        Emotion.SADNESS: 0.5,
    }
    slip = dict(zip(Emotion, dataset.soft_labels("votes")[0], strict=True))  # fer0000001: HAPPY
    assert slip[Emotion.HAPPINESS] == 1
    soft = dataset.soft_labels("votes")
    np.testing.assert_allclose(soft.sum(1), 1)
    assert (soft.shape, soft.dtype) == ((len(dataset.index), len(Emotion)), np.float32)


def test_protocols_differ_in_the_rows_they_take(tmp_path: Path) -> None:
    dataset = FERPlus(write_csvs(tmp_path, pixels={9: 0}))
    index = dataset.index
    assert index.set_index("sample_id").loc["fer0000007", "variant"] == "majority/repeated"
    taken = {}
    for name in ("8-official", "8-dedup", "8-probability", "7-official"):
        roles = assign_roles(index, CARD, find_protocol(CARD, name))
        taken[name] = {role: set(index["sample_id"][roles == role]) for role in ("train", "val", "test")}
    assert taken["8-official"]["test"] == {"fer0000007", "fer0000008"}
    assert taken["8-dedup"]["test"] == {"fer0000008"}
    assert taken["8-probability"]["train"] - taken["8-official"]["train"] == {"fer0000002"}
    assert taken["7-official"]["val"] == {"fer0000006"}
    assert (
        set(index["sample_id"][target_rows(index, CARD, find_protocol(CARD, None))])
        == taken["8-official"]["test"]
    )


def test_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    one = FERPlus(write_csvs(tmp_path / "a")).index
    two = FERPlus(write_csvs(tmp_path / "b", end="\r\n")).index
    assert one.drop(columns=["votes", "au"]).equals(two.drop(columns=["votes", "au"]))


@pytest.mark.parametrize(
    ("line", "value", "message"),
    [
        ("Test,fer0000001.png," + ",".join("0" * 10), "Test", "usage"),
        ("PublicTest,fer0000001.png," + ",".join("0" * 10), "PublicTest", "do not belong together"),
        ("Training,fer0000001.png," + ",".join("0" * 9), "11 fields", "12 fields"),
        ("Training,fer0000001.png,11" + ",0" * 9, "11", "from 0 to 10"),
        ("Training,fer0000001.png,-1" + ",0" * 9, "-1", "from 0 to 10"),
        ("Training,fer0000001.png,1.5" + ",0" * 9, "1.5", "from 0 to 10"),
    ],
)
def test_malformed_votes_are_named(tmp_path: Path, line: str, value: str, message: str) -> None:
    root = write_csvs(tmp_path)
    text = (root / "fer2013new.csv").read_text().split("\n")
    text[3] = line
    (root / "fer2013new.csv").write_text("\n".join(text))
    with pytest.raises(DataError, match=message) as caught:
        _ = FERPlus(root).index
    assert (caught.value.file, caught.value.line, caught.value.value) == (root / "fer2013new.csv", 4, value)


def test_votes_and_pictures_of_different_length_are_refused(tmp_path: Path) -> None:
    root = write_csvs(tmp_path)
    lines = (root / "fer2013new.csv").read_text().splitlines()
    (root / "fer2013new.csv").write_text("\n".join(lines[:-1]))
    with pytest.raises(DataError, match=r"votes have 10 rows and fer2013\.csv has 11"):
        _ = FERPlus(root).index


def test_votes_without_pictures_say_where_to_put_them(tmp_path: Path) -> None:
    root = write_csvs(tmp_path)
    (root / "fer2013.csv").unlink()
    with pytest.raises(DataError, match="votes but no pictures") as caught:
        _ = FERPlus(root).index
    assert "fer2013.csv" in str(caught.value.hint)


def test_a_listed_picture_that_is_not_there_is_named(tmp_path: Path) -> None:
    root = write_folders(tmp_path)
    (root / "data" / "FER2013Train" / "fer0000002.png").unlink()
    with pytest.raises(DataError, match=r"1 listed picture is missing.*fer0000002\.png"):
        _ = FERPlus(root).index


def test_card_counts_add_up() -> None:
    totals = {(c.layout, c.split): c.n for c in CARD.counts if c.code is None}
    assert totals == {
        ("fer2013new.csv", "train"): 25060,
        ("fer2013new.csv", "val"): 3199,
        ("fer2013new.csv", "test"): 3153,
        ("data/*/label.csv", "train"): 25045,
        ("data/*/label.csv", "val"): 3191,
        ("data/*/label.csv", "test"): 3137,
    }


def test_an_absent_picture_is_left_out_by_name(tmp_path: Path) -> None:
    root = write_folders(tmp_path)
    before = len(FERPlus(root).index)
    (root / "data" / "FER2013Train" / "fer0000002.png").unlink()
    dataset = FERPlus(root)
    assert dataset.leave_out(["data/FER2013Train/fer0000002.png"]) == 0
    assert len(dataset.index) == before - 1
