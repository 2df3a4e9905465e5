"""Contact sheets and plots: they show what the index holds and say what is drawn."""

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_bench import datasets
from fer_bench.data.audit import figures
from fer_bench.data.audit.describe import split_counts
from fer_bench.data.protocols import find_protocol
from fer_bench.synthetic import layouts


@pytest.fixture(scope="module")
def more_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for name in ("affwild2", "mmi", "expw"):
        layouts.write(name, root, size="tiny")
    return root


@pytest.fixture(scope="module")
def affwild2(more_root):
    return datasets.get("affwild2")(more_root)


@pytest.mark.parametrize("name", ["ckplus", "rafdb"])
def test_a_sheet_is_a_picture_with_a_line_per_person(tiny_root, tmp_path, name):
    dataset = datasets.get(name)(tiny_root)
    protocol = find_protocol(dataset.card, None, quick=True)
    for people in (2, 4):
        figures.draw_sheet(dataset, protocol, tmp_path / f"{people}.jpg", title="SYNTHETIC", people=people)
    small, large = (cv2.imread(str(tmp_path / f"{people}.jpg")) for people in (2, 4))
    assert large.shape[0] - small.shape[0] == pytest.approx(2 * 1.12 * 110, abs=2)
    assert (
        large.shape[1] == small.shape[1] == pytest.approx(110 * (1.05 * len(protocol.label_set) + 0.3), abs=1)
    )
    again = tmp_path / "again.jpg"
    figures.draw_sheet(dataset, protocol, again, title="SYNTHETIC", people=2)
    assert again.read_bytes() == (tmp_path / "2.jpg").read_bytes()


def test_lines_of_a_lab_sheet_are_persons_who_together_show_every_class(tiny_root):
    dataset = datasets.get("ckplus")(tiny_root)
    protocol = find_protocol(dataset.card, None, quick=True)
    labelled = dataset.index[dataset.index["label"].notna() & ~dataset.index["is_neutral_frame"]]
    classes = [e.value for e in protocol.label_set]
    grid = figures._grid(labelled, classes, 6, np.random.default_rng(0))
    for line in grid:
        assert labelled.loc[[row for row in line if row is not None], "subject"].nunique() == 1
    for column, name in enumerate(classes):
        shown = [line[column] for line in grid if line[column] is not None]
        assert shown
        assert set(labelled.loc[shown, "label"]) == {name}


def test_a_sequence_runs_from_its_first_to_its_last_frame(tiny_root):
    index = datasets.get("oulu")(tiny_root).index
    rows = figures._sequence(index, index, np.random.default_rng(0))
    assert rows == sorted(rows)
    assert index.loc[rows, "sequence"].nunique() == 1
    mine = index.index[index["sequence"] == index.loc[rows[0], "sequence"]]
    assert (rows[0], rows[-1]) == (mine[0], mine[-1])
    assert figures._sequence(index[:3], index[:3], np.random.default_rng(0)) == []


def test_whole_pictures_show_every_variant_and_several_faces(tiny_root, more_root, affwild2):
    rng = np.random.default_rng(0)
    mmi = datasets.get("mmi")(more_root).index
    assert set(mmi.loc[figures._different(mmi, rng), "variant"]) == set(mmi["variant"])
    oulu = datasets.get("oulu")(tiny_root).index
    assert oulu.loc[figures._different(oulu, rng), "variant"].nunique() == 6
    expw = datasets.get("expw")(more_root).index
    rows = figures._different(expw, rng)
    assert len(set(rows)) == 4
    assert (expw["path"] == expw.loc[rows[0], "path"]).sum() > 1
    assert len(figures._different(affwild2.index, rng)) == 4
    assert len(figures._different(affwild2.index[:2], rng)) == 2


def test_plots_have_a_panel_for_what_the_dataset_has_and_no_other(tiny_root, affwild2, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, path: drawn.append(figure))
    for dataset in (affwild2, datasets.get("oulu")(tiny_root), datasets.get("rafdb")(tiny_root)):
        protocol = find_protocol(dataset.card, None, quick=True)
        counts = split_counts(dataset, protocol.name, 1)
        figures.draw_stats(dataset, counts, dataset.roles(protocol, 1), tmp_path / "x.png", title="SYNTHETIC")
    titles = [
        {axis.get_title().partition(",")[0] for axis in figure.axes if axis.get_visible()} - {""}
        for figure in drawn
    ]
    assert titles == [
        {"classes", "valence and arousal", "action units"},
        {"classes"},
        {"classes", "gender", "race", "age"},
    ]
    assert all("SYNTHETIC" in figure.get_suptitle() for figure in drawn)
    units = next(a for a in drawn[0].axes if a.get_title().startswith("action units"))
    au = np.stack(affwild2.index["au"].to_numpy())[
        affwild2.roles(find_protocol(affwild2.card, None, quick=True), 1) != ""
    ]
    expected = [100 * (au[:, i] == 1).sum() / (au[:, i] >= 0).sum() for i in range(12)]
    assert [bar.get_height() for bar in units.patches] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("age", ["0-3", "4-19", "20-39", "70+", "unknown"]),
        ("race", ["African-American", "Asian", "Caucasian", "unknown"]),
    ],
)
def test_ages_stand_in_their_order_words_in_the_alphabets_and_unknown_last(name, values):
    figure = figures.new_figure(3, 3)
    axis = figure.subplots()
    rows = pd.DataFrame({name: [None if value == "unknown" else value for value in reversed(values)]})
    figures._plot_people(axis, rows, name)
    assert [label.get_text() for label in axis.get_xticklabels()] == values


def test_the_legend_of_the_classes_covers_no_bar(affwild2):
    protocol = find_protocol(affwild2.card, None, quick=True)
    figure = figures.new_figure(4.4, 3.4)
    axis = figure.subplots()
    figures._plot_classes(axis, split_counts(affwild2, protocol.name, 1))
    figure.canvas.draw()
    legend = axis.get_legend().get_window_extent()
    assert all(bar.get_window_extent().y1 <= legend.y0 for bar in axis.patches)
