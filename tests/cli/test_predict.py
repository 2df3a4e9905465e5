"""The command: a table, a summary, what is refused, and that it goes on."""

import json
import os
import shutil
import signal
import subprocess
import sys

import cv2
import numpy as np
import pandas as pd
import pytest

from fer_bench.inference.table import read_table
from tests.inference.conftest import checkpoint, colour, trained, trained_store

__all__ = ["checkpoint", "colour", "trained", "trained_store"]


@pytest.fixture
def pictures(tiny_root, tmp_path):
    """A folder with two drawn faces, a wall, a text and a note."""
    folder = tmp_path / "photos"
    folder.mkdir()
    faces = sorted((tiny_root / "oulu").rglob("*.jpeg"))[:2]
    for number, face in enumerate(faces):
        shutil.copy(face, folder / f"face{number}.jpeg")
    cv2.imwrite(str(folder / "wall.png"), np.full((80, 80, 3), 120, np.uint8))
    (folder / "text.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("x")
    return folder


def test_a_folder_becomes_a_table(run_cli, checkpoint, pictures, tmp_path):
    code, out, err = run_cli("predict", checkpoint, pictures, "--out", "a.csv")
    assert (code, out) == (0, "")
    table = read_table(tmp_path / "a.csv")
    assert len(table) == 4
    assert table["predicted"].notna().sum() == 2
    assert set(table["reason"].dropna()) == {"no face was found", "the picture cannot be decoded (10 bytes)"}
    assert "SYNTHETIC: it learned from drawn faces" in err
    assert "left out: 1 other file (1 .txt)" in err
    assert "2 faces in 4 files" in err
    assert "1 x no face was found" in err
    for stage in ("decode", "detect", "network", "write"):
        assert f"{stage} " in err
    code, _, err = run_cli("predict", checkpoint, pictures, "--out", "a.csv")
    assert code == 0
    assert "4 files were predicted before and are not repeated" in err
    code, _, err = run_cli("predict", checkpoint, pictures, "--out", "a.csv", "--abstain-below", "1")
    assert code == 2
    assert "made with other options" in err
    code, _, err = run_cli(
        "predict", checkpoint, pictures, "--out", "a.csv", "--abstain-below", "1", "--force"
    )
    assert code == 0
    assert "2 abstained" in err
    assert read_table(tmp_path / "a.csv")["abstained"].sum() == 2


def test_one_file_is_not_several(run_cli, checkpoint, pictures):
    face = pictures / "face0.jpeg"
    for said in ("1 face in 1 file\n", "1 file was predicted before and is not repeated\n"):
        code, _, err = run_cli(
            "predict", checkpoint, face, pictures / ".." / "photos" / face.name, "--out", "b.csv"
        )
        assert code == 0
        assert said in err


def test_unreadable_files_alone_are_no_error(run_cli, checkpoint, pictures, tmp_path):
    code, _, err = run_cli("predict", checkpoint, pictures / "text.jpg", "--out", "b.csv")
    assert code == 0
    assert "0 faces in 1 file\n" in err
    assert read_table(tmp_path / "b.csv")["reason"].str.contains("cannot be decoded").all()


def test_without_a_file_rows_are_printed(run_cli, checkpoint, pictures):
    code, out, _ = run_cli("predict", checkpoint, pictures, "--faces", "whole")
    assert code == 0
    lines = dict(line.split(": ", 1) for line in out.splitlines())
    assert len(lines) == 4
    assert lines[str(pictures / "text.jpg")] == "the picture cannot be decoded (10 bytes)"


def test_faces_are_shown_where_asked_for(run_cli, checkpoint, pictures, tmp_path):
    code, _, err = run_cli("predict", checkpoint, pictures, "--out", "a.csv", "--gallery", "g.html", "--blur")
    assert code == 0
    assert "wrote g.html: 2 faces" in err
    assert "wrote a.csv" in err
    assert (tmp_path / "g.html").read_text(encoding="utf-8").count("<img") == 2
    assert {file.name for file in tmp_path.iterdir()} == {
        *("a.csv", "a.csv.call.json", "g.html", "copied.pt", "photos"),
    }


def test_json_is_one_document(run_cli, checkpoint, pictures):
    code, out, err = run_cli("predict", checkpoint, pictures, "--faces", "whole", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert (found["files"], found["rows"], found["faces"], found["without_face"]) == (4, 4, 3, 1)
    assert sum(found["predicted"].values()) == pytest.approx(1, abs=1e-3)
    assert len(found["predictions"]) == 4
    code, out, _ = run_cli(
        "predict", checkpoint, pictures, "--faces", "whole", "--json", "--out", "a.parquet"
    )
    assert "predictions" not in json.loads(out)
    assert len(pd.read_parquet("a.parquet")) == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.jpg"], "no such file or folder"),
        (["empty"], "no pictures or videos here"),
        (["photos", "--out", "a.txt"], "format of the table follows the file's ending"),
        (["photos", "--every", "often"], "cannot tell how often a frame is taken"),
        (["photos", "--crop", "similar"], "unknown crop"),
        (["0", "--gallery", "a.html"], "what a camera sees is not kept"),
        (["photos", "--blur"], "only the faces of a gallery"),
        (["photos", "--crop", "fit"], "so no face is searched for"),
    ],
)
def test_what_cannot_be_is_refused(run_cli, checkpoint, pictures, tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    code, _, err = run_cli("predict", checkpoint, *arguments)
    assert code == 2
    assert message in err
    assert "Traceback" not in err


def test_other_files_are_no_models(run_cli, pictures, tmp_path):
    (tmp_path / "model.pt").write_text("x")
    for what, message in (("model.pt", "not a readable checkpoint"), ("nothing", "no such model")):
        code, _, err = run_cli("predict", what, pictures)
        assert code == 2
        assert message in err


def test_what_the_line_may_not_import_is_not_imported():
    """Torch takes ten seconds, which nobody waits for who mistypes a path."""
    script = (
        "import sys; sys.argv = ['fer-bench', 'predict', 'nothing.pt', '/']; "
        "from fer_bench.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert end.code == 2\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_call_says_that_it_goes_on(run_cli, checkpoint, pictures, tmp_path, monkeypatch, sent):
    from fer_bench.inference.predictor import Predictor

    real, before = Predictor.pieces, signal.getsignal(signal.SIGTERM)

    def pieces(self, *arguments, **options):
        for each in real(self, *arguments, **options):
            yield each
            os.kill(os.getpid(), sent)

    monkeypatch.setattr(Predictor, "pieces", pieces)
    code, _, err = run_cli("predict", checkpoint, pictures, "--faces", "whole", "--out", "a.csv")
    assert code == 130
    assert err.endswith("stopped; the same command goes on where it was\n")
    assert not (tmp_path / "a.csv").exists()
    assert signal.getsignal(signal.SIGTERM) is before
    assert len(list((tmp_path / "a.csv.parts").glob("*.parquet"))) == 1


HEAVY = (
    *("torch", "torchvision", "torchmetrics", "lightning", "timm", "albumentations", "safetensors"),
    *("jinja2", "matplotlib", "sklearn", "scipy", "wandb"),
)
"""What the distribution without torch lacks."""


@pytest.mark.long
def test_an_export_is_predicted_where_there_is_no_torch(checkpoint, pictures, tmp_path):
    """In a process in which neither torch nor what needs it can be imported."""
    from fer_bench.inference.checkpoint import CheckpointModel
    from fer_bench.inference.export import export_onnx
    from fer_bench.inference.model_card import model_card
    from fer_bench.inference.predictor import Predictor

    model = CheckpointModel(checkpoint, "cpu")
    crops = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    file = export_onnx(model, model_card(model.card, None), crops, tmp_path / "model.onnx").file
    script = (
        f"import sys\nsys.modules |= dict.fromkeys({HEAVY!r})\n"
        f"sys.argv = ['fer-bench', 'predict', {str(file)!r}, {str(pictures)!r}, '--out', 'a.csv',"
        " '--gallery', 'g.html']\n"
        "from fer_bench.cli.main import main\nmain()"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
    with_torch, without = Predictor(checkpoint).predict(pictures), read_table(tmp_path / "a.csv")
    assert without["predicted"].tolist() == with_torch["predicted"].tolist()
    shares = [name for name in with_torch.columns if name.startswith("p_")]
    np.testing.assert_allclose(without[shares], with_torch[shares], atol=1e-4)
    assert (tmp_path / "g.html").is_file()
