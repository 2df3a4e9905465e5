"""The synthetic FERPlus: FER2013's faces, and votes for what was drawn."""

import numpy as np
import pytest

from fer_bench.data.index import stack_votes
from fer_bench.data.protocols import assign_roles, find_protocol
from fer_bench.datasets import get
from fer_bench.datasets.ferplus import CARD
from fer_bench.datasets.ferplus_votes import official_distribution
from fer_bench.emotions import LABEL_SETS, Emotion
from fer_bench.synthetic import layouts
from fer_bench.synthetic.layouts import fer2013, ferplus
from fer_bench.synthetic.population import Population
from fer_bench.synthetic.truth import read_truth

ALL = [str(e) for e in LABEL_SETS["8"]]


def voted(root):
    """Return usages, picture names and votes [N, 10] of the written csv."""
    lines = (root / "ferplus/fer2013new.csv").read_text().splitlines()
    assert lines[0] == (
        "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF"
    )
    rows = [line.split(",") for line in lines[1:]]
    return [r[0] for r in rows], [r[1] for r in rows], np.array([r[2:] for r in rows], int)


def majority(votes):
    target = official_distribution(votes.astype(float), "majority")
    return None if target is None else ferplus.FERPLUS_ORDER[int(np.argmax(target))]


def panel_of(size, population="benchmark", seed=0):
    """Return the taggers of a size, without drawing a picture."""
    faces = Population("fer2013", population, seed)
    rows = fer2013.rows_of(faces, size)
    taggers = Population("ferplus", population, seed)
    blank = ferplus._Panel(faces, taggers, rows, frozenset())
    return ferplus._Panel(faces, taggers, rows, frozenset(), ferplus._taken_for_contempt(blank))


@pytest.fixture(scope="module")
def quick():
    """Return the rows of size quick that show a face: row, emotion drawn, label, votes."""
    panel = panel_of("quick")
    found = []
    for row, first in enumerate(panel.rows.first.tolist()):
        if first not in panel.rows.faceless:
            found.append((row, panel.emotion(first), panel.rows.labels[row], panel.votes(row)))
    return panel, found


@pytest.mark.parametrize("options", [{"population": "benchmark"}, {"population": "development", "seed": 3}])
def test_the_pictures_are_the_bytes_of_fer2013(tmp_path, options):
    for name in ("fer2013", "ferplus"):
        layouts.write(name, tmp_path, size="tiny", **options)
    one, two = (tmp_path / name / "fer2013.csv" for name in ("fer2013", "ferplus"))
    assert one.read_bytes() == two.read_bytes()
    mine, other = read_truth(tmp_path / "fer2013"), read_truth(tmp_path / "ferplus")
    assert mine.drop(columns="label").equals(other.drop(columns="label"))


def test_every_row_has_ten_votes_and_the_part_of_its_picture(drawn):
    usages, names, votes = voted(drawn)
    pixels = (drawn / "ferplus/fer2013.csv").read_text().splitlines()[1:]
    assert [line.rsplit(",", 1)[1] for line in pixels] == usages
    assert (votes.sum(axis=1) == 10).all()
    assert (votes >= 0).all()
    assert votes[:, 8].any()
    assert all(name.startswith("fer") and name.endswith(".png") and len(name) == 14 for name in names if name)
    dataset = get("ferplus")(drawn)
    assert dataset.layout == "fer2013new.csv"
    index = dataset.index
    by_name = {name.removesuffix(".png"): row for row, name in enumerate(names)}
    places = [_places(votes[by_name[sample]]) for sample in index["sample_id"]]
    np.testing.assert_array_equal(stack_votes(index), places)


def _places(votes):
    found = np.zeros(len(Emotion))
    for emotion, count in zip(ferplus.FERPLUS_ORDER, votes, strict=False):
        found[list(Emotion).index(emotion)] = count
    return found


def test_the_votes_know_what_was_drawn_better_than_the_label_does(quick):
    _, rows = quick
    settled = [(drawn, label, majority(votes)) for _, drawn, label, votes in rows if majority(votes)]
    assert 0.84 < len(settled) / len(rows) < 0.94  # 0.88 of the real rows
    wrong_votes = np.mean([drawn is not most for drawn, _, most in settled])
    wrong_labels = np.mean([drawn is not label for drawn, label, _ in settled])
    assert wrong_labels > 0.07
    assert wrong_votes < 0.5 * wrong_labels
    corrected = [most is drawn for drawn, label, most in settled if drawn is not label]
    assert np.mean(corrected) > 0.8


def test_taggers_are_as_divided_as_the_real_ones(quick):
    counts = np.array([votes for *_, votes in quick[1]])
    most = np.bincount(counts.max(axis=1), minlength=11)[3:] / len(counts)
    real = (0.029, 0.078, 0.123, 0.125, 0.125, 0.134, 0.161, 0.222)  # counted in microsoft/FERPlus
    assert np.abs(most - real).max() < 0.05
    assert abs(counts[:, 8].mean() / 10 - 0.047) < 0.01
    assert 0 < (counts.argmax(axis=1) == 8).mean() < 0.04


def test_clear_faces_divide_taggers_less():
    rng = np.random.default_rng(0)
    for_fear = [
        np.mean([ferplus.ten_votes(rng, Emotion.FEAR, clarity) for _ in range(300)], axis=0)
        for clarity in (0.3, 0.6, 1.0)
    ]
    shares = [votes[ferplus.FERPLUS_ORDER.index(Emotion.FEAR)] for votes in for_fear]
    assert shares == sorted(shares)
    assert shares[2] - shares[0] > 2
    mistaken = dict(zip(ferplus.FERPLUS_ORDER, for_fear[0], strict=False))
    assert max((e for e in mistaken if e is not Emotion.FEAR), key=mistaken.get) is Emotion.SURPRISE


@pytest.mark.parametrize(("population", "seed"), [("benchmark", 0), ("benchmark", 1), ("development", 0)])
@pytest.mark.parametrize("size", ["tiny", "quick"])
def test_every_part_has_faces_with_a_majority_for_contempt(size, population, seed):
    panel = panel_of(size, population, seed)
    start = 0
    for end in panel.rows.ends:
        contempt = [row for row in range(start, end) if majority(panel.votes(row)) is Emotion.CONTEMPT]
        assert len(contempt) >= 2
        drawn = [panel.emotion(int(panel.rows.first[row])) for row in contempt]
        if size == "quick" and start == 0:
            assert drawn.count(Emotion.CONTEMPT) >= 2
        start = end


def test_full_needs_nobody_to_be_taken_for_contempt():
    assert not panel_of("full").mistaken


def test_a_repeated_picture_has_votes_of_its_own(quick):
    panel, rows = quick
    again = [(row, int(panel.rows.first[row])) for row, *_ in rows if panel.rows.first[row] != row]
    assert len(again) > 20
    differ = [not np.array_equal(panel.votes(row), panel.votes(first)) for row, first in again]
    assert np.mean(differ) > 0.5
    np.testing.assert_array_equal(panel.votes(again[0][0]), panel.votes(again[0][0]))


def test_pictures_without_a_face_are_voted_so_and_mostly_nameless():
    panel = panel_of("full")
    names, _ = ferplus._names(panel.rows, np.random.default_rng(0), least=1)
    empty = np.flatnonzero(np.isin(panel.rows.first, list(panel.rows.faceless)))
    assert {tuple(panel.votes(int(row))) for row in empty} == {(*(0,) * 9, 10)}
    nameless = [row for row, name in enumerate(names) if not name]
    assert set(nameless) < set(empty.tolist())
    assert 0 < len(empty) - len(nameless) < 10  # 3 of the real 176
    last = int(names[-1].removeprefix("fer").removesuffix(".png"))
    assert last == len(names) - 1 - len(nameless)


def test_a_few_rows_have_the_name_and_the_votes_of_the_row_they_repeat():
    rows = fer2013.rows_of(Population("fer2013"), "full")
    names, source = ferplus._names(rows, np.random.default_rng(0), least=1)
    twice = np.flatnonzero(source != np.arange(len(names)))
    assert len(twice) == 4
    for row in twice:
        assert names[row] == names[source[row]]
        assert rows.usage(row) == rows.usage(int(source[row])) == "Training"
    given = [name for name in names if name]
    assert len(given) - len(set(given)) == 4


def test_roles_of_every_protocol_are_filled(drawn):
    index = get("ferplus")(drawn).index
    assert set(index["variant"]) > {"majority", "plurality"}
    for protocol in CARD.protocols:
        found = find_protocol(CARD, protocol.name)
        roles = assign_roles(index, CARD, found)
        assert {"train", "val", "test"} <= set(roles)
        if "8" in protocol.name:
            assert set(index["label"][roles == "train"]) == set(ALL)
