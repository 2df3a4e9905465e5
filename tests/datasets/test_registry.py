"""What holds for every dataset of the registry: cards that agree, errors that help, data that cannot hide."""

import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fer_bench.data.audit.describe import as_text
from fer_bench.data.card import Card
from fer_bench.data.protocols import deal_folds, find_protocol
from fer_bench.datasets import BUILT_IN, MAIN_SEVEN, get, looks_like, named_in, names
from fer_bench.emotions import LABEL_SETS, Emotion, project
from fer_bench.errors import DataError, UsageError
from fer_bench.workspace.sources import find_roots, open_source

CARDS = {name: get(name).card for name in BUILT_IN}


def fill(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


RAFDB = ("basic/EmoLabel/list_patition_label.txt", "basic/Image/aligned/train_00001_aligned.jpg")
FER2013 = ("train/angry/Training_1.jpg", "test/angry/PublicTest_2.jpg")
MMAFEDB = tuple(
    f"MMAFEDB/{part}/{name}/1.jpg"
    for part in ("train", "valid", "test")
    for name in ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
)
TREES: dict[str, tuple[str, ...]] = {
    "ckplus": ("cohn-kanade-images/S005/001/S005_001_00000001.png",),
    "oulu": ("OriginalImg/VL/Strong/P001/Anger/000.jpeg",),
    "rafdb": RAFDB,
    "affectnet7": (
        "train_set/images/1.jpg",
        "train_set/annotations/1",
        "val_set/images/1",
        "val_set/annotations/1",
    ),
    "expw": ("label/label.lst", "image/origin/angry_actor_1.jpg"),
    "affwild2": ("training_set_annotations.txt", "validation_set_annotations.txt", "cropped_aligned/v/1.jpg"),
    "fer2013": FER2013,
    "ferplus": ("fer2013new.csv",),
    "sfew": ("Train/Train_Aligned_Faces/Angry/A_1.png", "Val/Val_Aligned_Faces/Angry/A_1.png"),
    "jaffe": ("KA.AN1.39.tiff",),
    "kdef": ("KDEF/AF01/AF01ANFL.JPG",),
    "mmafedb": MMAFEDB,
    "folder": ("happy/1.jpg", "sad/1.jpg"),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_cards_are_valid_named_after_the_registry_and_printable(name: str) -> None:
    card = CARDS[name]
    assert card.name == name
    assert Card.model_validate(card.model_dump()) == card
    assert card.title in as_text(card)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_mapping_is_total_over_the_native_codes(name: str) -> None:
    for native in CARDS[name].classes:
        assert CARDS[name].emotion_of(native.code) is native.emotion
    with pytest.raises(KeyError):
        CARDS[name].emotion_of("no such code")


def test_shared_pixels_are_said_by_both_sides() -> None:
    for name, card in CARDS.items():
        for other in card.shares_pixels_with:
            assert name in CARDS[other].shares_pixels_with, f"{other} does not name {name}"
            assert other != name


def test_the_seven_of_the_leaderboard_share_no_pixels() -> None:
    for name in MAIN_SEVEN:
        assert set(CARDS[name].shares_pixels_with).isdisjoint(MAIN_SEVEN)


def test_projections_compose() -> None:
    for emotion in (*Emotion, None):
        seven = project(project(emotion, LABEL_SETS["8"]), LABEL_SETS["7"])
        assert project(seven, LABEL_SETS["6"]) == project(emotion, LABEL_SETS["6"])


@given(st.sets(st.text(min_size=1, max_size=4), min_size=10, max_size=40), st.randoms())
def test_folds_of_every_protocol_partition_the_subjects(subjects: set[str], random) -> None:
    shuffled = sorted(subjects)
    random.shuffle(shuffled)
    rules = {p.split for card in CARDS.values() for p in card.protocols if p.split.kind == "folds"}
    for rule in rules:
        fold_of = deal_folds(shuffled, rule)
        assert set(fold_of) == subjects
        assert set(fold_of.values()) == set(range(1, rule.k + 1))
        sizes = [list(fold_of.values()).count(fold) for fold in range(1, rule.k + 1)]
        assert max(sizes) - min(sizes) <= 1
        assert fold_of == deal_folds(sorted(subjects), rule)


def test_protocols_have_names_of_their_own_over_aliases() -> None:
    for card in CARDS.values():
        for protocol in card.protocols:
            for name in (protocol.name, f"{card.name}/{protocol.name}", *protocol.aliases):
                assert find_protocol(card, name) is protocol
    with pytest.raises(UsageError, match="unknown protocol of oulu"):
        find_protocol(CARDS["oulu"], "affectnet8")


@pytest.mark.parametrize("name", TREES)
def test_a_dataset_under_anothers_name_is_recognised(tmp_path: Path, name: str) -> None:
    root = fill(tmp_path / "somewhere", *TREES[name])
    assert looks_like(root) == [name]
    asked = "rafdb" if name not in ("rafdb", "mmi") else "mmi"
    with pytest.raises(DataError, match=f"It looks like {name} instead") as caught:
        open_source(asked, find_roots(str(root)))
    assert f"fer-bench data describe {asked}" in str(caught.value)


def test_a_root_of_several_datasets_names_them_all(tmp_path: Path) -> None:
    fill(tmp_path / "RAF-DB", *RAFDB)
    fill(tmp_path / "fer2013", *FER2013)
    with pytest.raises(DataError, match="looks like rafdb or fer2013 instead"):
        open_source("ckplus", find_roots(str(tmp_path)))


def test_a_folder_that_is_nothing_shows_what_it_holds(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{letter}.txt" for letter in "abcdefghij"))
    with pytest.raises(DataError, match=r"The folder contains: a\.txt, b\.txt") as caught:
        get("kdef")(tmp_path)
    assert "and 2 more" in str(caught.value)
    assert "looks like" not in str(caught.value)


@pytest.mark.parametrize("name", [n for n in names() if n != "folder"])
def test_an_empty_and_an_unreadable_root_are_refused_with_the_tree(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="The folder contains: nothing") as caught:
        get(name)(tmp_path)
    required = next(entry.path for entry in CARDS[name].tree if entry.required)
    assert required in str(caught.value)
    with pytest.raises(DataError, match="does not exist"):
        get(name)(tmp_path / "absent")


STRAY = os.fsdecode(b"st\xe9phane.jpg")
"""A name in Latin-1, as old archives have them."""


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("rafdb", "basic/Image/aligned"),
        ("fer2013", "train/angry"),
        ("sfew", "Train/Train_Aligned_Faces/Angry"),
        ("mmafedb", "MMAFEDB/train/angry"),
        ("folder", "happy"),
        ("jaffe", "."),
        ("kdef", "KDEF/AF01"),
    ],
)
def test_a_name_that_is_no_utf8_is_refused_by_folder(tmp_path: Path, name: str, place: str) -> None:
    root = fill(tmp_path, *TREES[name])
    for part in ("train", "test"):  # the rest of the seven classes, so that reading gets that far
        for code in ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral"):
            if name == "fer2013":
                (root / part / code).mkdir(exist_ok=True)
    for code in ("Disgust", "Fear", "Happy", "Neutral", "Sad", "Surprise"):
        if name == "sfew":
            fill(root, f"Train/Train_Aligned_Faces/{code}/A_1.png", f"Val/Val_Aligned_Faces/{code}/A_1.png")
    if name == "rafdb":
        (root / "basic/EmoLabel/list_patition_label.txt").write_text("train_00001.jpg 1\n")
    try:
        (root / place / STRAY).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(DataError, match="a file name is not valid UTF-8") as caught:
        _ = get(name)(root).index
    assert caught.value.file == root / place
    str(caught.value).encode()  # the message itself can be printed


def test_a_root_with_a_name_that_is_no_utf8_can_be_reported(tmp_path: Path) -> None:
    try:
        (tmp_path / STRAY).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(DataError, match=re.escape(r"st\udce9phane.jpg")) as caught:
        get("rafdb")(tmp_path)
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("AffectNet-8, Raf DB and FER+", {"affectnet7", "rafdb", "ferplus"}),
        ("AffectNet+RAF-DB", {"affectnet7", "rafdb"}),
        ("unknown data (resnet18_rafdb.pth)", {"rafdb"}),
        ("CK+, ck plus", {"ckplus"}),
        ("FER 2013; SFEW; Aff-Wild", {"fer2013", "sfew", "affwild2"}),
        ("OULU CASIA NIR", {"oulu"}),
        ("MS-Celeb-1M, ImageNet-21k, FER, a folder of communicative faces", set()),
        ("OpenAI's image-text pairs (not public)", set()),
    ],
)
def test_datasets_are_found_in_words(text, found):
    assert set(named_in(text)) == found


def test_every_dataset_is_found_by_name_and_title():
    for name, card in CARDS.items():
        if name != "folder":
            assert name in named_in(f"pretrained on {name}, then fine-tuned")
            assert name in named_in(f"the {card.title} pictures") or "," in card.title
