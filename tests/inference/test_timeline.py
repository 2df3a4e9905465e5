"""The plot over time: what is drawn, and where lines are interrupted."""

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_bench import figures
from fer_bench.errors import DataError
from fer_bench.inference import timeline
from fer_bench.inference.predictor import Predictor
from tests.inference.models import CLASSES, Colours


@pytest.fixture
def drawn(monkeypatch):
    """Keep the figure that is saved."""
    kept = []

    def save(figure, path, **options):
        kept.append(figure)
        figures.save_figure(figure, path, **options)

    monkeypatch.setattr(timeline, "save_figure", save)
    return kept


def lines_of(axes):
    return {line.get_label(): line.get_xydata() for line in axes.get_lines()}


def test_probabilities_valence_and_arousal_over_time(clip, tmp_path, drawn):
    predictor = Predictor(Colours(affect=True), faces="whole", abstain_below=0.34)
    path = clip(tmp_path / "a.avi")
    table = predictor.predict(path)
    timeline.write_timeline(table, str(path), predictor.card, tmp_path / "a.png")
    assert cv2.imread(str(tmp_path / "a.png")).shape[1] == 1500
    top, low = drawn[0].axes
    lines = lines_of(top)
    for name in CLASSES:
        np.testing.assert_allclose(lines[name], table[["time", f"p_{name}"]])
    assert len(lines["abstained"]) == table["abstained"].sum() > 0
    np.testing.assert_allclose(lines_of(low)["arousal"], table[["time", "arousal"]])
    assert "SYNTHETIC" in drawn[0].get_suptitle()


def test_lines_are_interrupted_where_no_face_was_found(clip, tmp_path, drawn):
    predictor = Predictor(Colours(), faces="whole")
    path = clip(tmp_path / "a.avi")
    table = predictor.predict(path)
    table.loc[[5, 6], ["predicted", *(f"p_{name}" for name in CLASSES)]] = np.nan
    table = table.drop(index=range(10, 16))
    second = table.iloc[:3].assign(face=1, p_anger=9.0)
    table = pd.concat([table, second], ignore_index=True)
    timeline.write_timeline(table, str(path), predictor.card, tmp_path / "a.png")
    lines = lines_of(drawn[0].axes[0])
    times = lines["anger"][:, 0]
    assert np.flatnonzero(np.isnan(times)).tolist() == [5, 9]
    assert np.nanmax(lines["anger"][:, 1]) <= 1
    np.testing.assert_allclose(lines["no face"][:, 0], [0.5, 0.6])


def test_a_video_without_a_face_has_no_plot(clip, tmp_path):
    predictor = Predictor(Colours(), faces="whole")
    path = clip(tmp_path / "a.avi")
    table = predictor.predict(path).assign(predicted=None)
    with pytest.raises(DataError, match="nothing to draw"):
        timeline.write_timeline(table, str(path), predictor.card, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()
