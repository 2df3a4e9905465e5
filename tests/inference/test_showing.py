"""Where galleries, plots and annotated videos go, and what is refused before anything is predicted."""

from pathlib import Path

import pytest

from fer_bench.errors import UsageError
from fer_bench.inference.inputs import find_inputs
from fer_bench.inference.predictor import Predictor
from fer_bench.inference.showing import Showing
from tests.inference.models import Colours


@pytest.fixture
def inputs(clip, colour, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("a.avi", "b.avi"):
        clip(tmp_path / "in" / name, frames=4)
    colour(tmp_path / "in" / "c.html.jpg", (1, 2, 3))
    return find_inputs([tmp_path / "in"])


def test_folders_hold_what_is_made_of_several_videos(inputs, tmp_path):
    predictor = Predictor(Colours(), faces="whole")
    table = predictor.predict(tmp_path / "in")
    showing = Showing(gallery=tmp_path / "g.html", plot=tmp_path / "p", annotate=tmp_path / "m")
    showing.check(inputs)
    lines = list(showing.write(predictor, table, inputs))
    assert lines[0] == f"wrote {tmp_path / 'g.html'}: 9 faces"
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*") if "in" not in path.parts} >= {
        "g.html",
        "p/a.png",
        "p/b.png",
        "m/a.mp4",
        "m/b.mp4",
    }


def test_one_video_without_a_face_is_said_and_the_others_are_drawn(inputs, tmp_path):
    predictor = Predictor(Colours(), faces="whole")
    table = predictor.predict(tmp_path / "in")
    table.loc[table["file"].str.endswith("a.avi"), "predicted"] = None
    lines = list(Showing(plot=tmp_path / "p").write(predictor, table, inputs))
    assert lines[0].startswith(f"not written: {tmp_path / 'p' / 'a.png'}: no frame has a face")
    assert lines[1] == f"wrote {tmp_path / 'p' / 'b.png'}"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blur": True}, "only the faces of a gallery"),
        ({"gallery": Path("g.png")}, "a gallery is an HTML page"),
        ({"plot": Path("p.png")}, "2 videos need a folder"),
        ({"annotate": Path("m.mp4")}, "2 videos need a folder"),
    ],
)
def test_what_cannot_be_shown_is_refused(inputs, options, message):
    with pytest.raises(UsageError, match=message):
        Showing(**options).check(inputs)


def test_files_that_are_predicted_are_not_overwritten(clip, tmp_path):
    path = clip(tmp_path / "a.mp4", code="mp4v")
    inputs = find_inputs([path])
    with pytest.raises(UsageError, match="would be overwritten"):
        Showing(annotate=path).check(inputs)
    with pytest.raises(UsageError, match=r"it is written as \.mp4"):
        Showing(annotate=tmp_path / "b.avi").check(inputs)
    Showing(annotate=tmp_path / "b.mp4", plot=tmp_path / "b.png").check(inputs)


def test_pictures_alone_have_no_time(colour, tmp_path):
    inputs = find_inputs([colour(tmp_path / "a.png", (1, 2, 3))])
    with pytest.raises(UsageError, match="none of these files is a video"):
        Showing(plot=tmp_path / "b.png").check(inputs)


def test_cameras_cannot_be_shown():
    with pytest.raises(UsageError, match="what a camera sees is not kept"):
        Showing(gallery=Path("g.html")).check(find_inputs(["0"]))
