"""`evaluate` on trained models, from the command line."""

import json
import shutil

import pytest

from tests.inference.conftest import trained, trained_store
from tests.inference.pictures import lay_out

__all__ = ["trained", "trained_store"]


@pytest.fixture(scope="module")
def pictures(tiny_root, tmp_path_factory):
    return lay_out(tmp_path_factory.mktemp("pictures"), tiny_root)


@pytest.fixture
def evaluate(run_cli, trained_store, trained, pictures, tmp_path):
    shutil.copytree(trained_store.root, tmp_path / "runs")

    def call(*more):
        return run_cli("evaluate", trained.name[:8], "-d", f"folder:{pictures}", "--faces", "whole", *more)

    return call


def test_scores_stand_beside_those_in_domain(evaluate, run_cli, tmp_path):
    code, out, err = evaluate(
        "--calibrate", "--max-error", 0.9, "--curve", "curve.png", "--write-to", "calibrated.pt"
    )
    assert code == 0, err
    for text in (
        "oulu, same classes",
        " people, classes: ",
        "people are too few for one; ",
        "NLL",
        "taken: temperature",
        "abstaining by calibrated top probability: ",
        "wrote calibrated.pt",
    ):
        assert text in out
    assert (tmp_path / "curve.png").stat().st_size > 5000
    code, again, err = run_cli(
        "evaluate", "calibrated.pt", "-d", f"folder:{tmp_path}", "--faces", "whole", "--json"
    )
    assert code == 2  # the folder holds no class folders, and says so as JSON
    assert json.loads(again)["error"]


def test_json_holds_everything(evaluate):
    code, out, err = evaluate("--json", "--calibrate", "--shares", "none")
    assert code == 0, err
    document = json.loads(out)
    (found,) = document["reports"]
    assert document["model"]["method"] == "resemotenet"
    assert found["calibration"]["taken"] == "none"
    assert {one["shares"] for one in found["calibration"]["tried"]} == {"none", "labels", "em"}
    assert found["metrics"]["uar"]["value"] == found["score"]["metrics"]["uar"]
    assert found["in_domain"]["same_classes"]["oulu"]["uar"]["value"] >= 0
    assert found["abstaining"]["curve"][-1]["coverage"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--max-error", "20"), "a share between 0 and 1"),
        (("--write-to", "copy.pt"), "--calibrate"),
        (("--calibrate", "--write-to", "copy.onnx"), "keeps the ending"),
        (("--curve", "curve.txt"), "PNG or JPEG"),
    ],
)
def test_what_is_wrong_is_said(evaluate, arguments, words):
    code, _, err = evaluate(*arguments)
    assert code == 2
    assert words in err


def test_models_from_elsewhere_are_calibrated_as_well(run_cli, pictures, tmp_path):
    from tests.models.networks import write_card, write_network

    write_network(tmp_path / "mine.onnx")
    write_card(tmp_path / "mine.onnx")
    call = ("evaluate", "mine.onnx", "-d", f"folder:{pictures}", "--faces", "whole", "--calibrate")
    code, out, err = run_cli(*call)
    assert code == 0, err
    assert "mine: trained on nothing" in out
    assert "taken: " in out
    code, _, err = run_cli(*call, "--write-to", "copy.onnx")
    assert code == 2
    assert "only models of this suite" in err
