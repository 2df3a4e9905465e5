import json
import re

import pytest

from tests.models.networks import write_card, write_network


@pytest.fixture
def network(tmp_path):
    file = tmp_path / "mine.onnx"
    write_network(file)
    write_card(file)
    return file


@pytest.fixture
def evaluate(run_cli, tiny_root, tmp_path):
    def call(*arguments):
        return run_cli(
            "evaluate",
            *map(str, arguments),
            "--data-root",
            str(tiny_root),
            "--runs-dir",
            str(tmp_path / "runs"),
        )

    return call


def test_a_model_gets_a_row_on_the_board(evaluate, run_cli, network, tmp_path):
    code, out, err = evaluate(network, "-d", "rafdb", "-d", "ckplus")
    assert code == 0, err
    assert "mine: trained on nothing  SYNTHETIC DATA" in out
    assert re.search(r"ckplus +\d+ +7 ", out)
    assert "in training?" in out
    runs = str(tmp_path / "runs")
    code, _, err = run_cli("leaderboard", "--runs-dir", runs, "--out", str(tmp_path / "board"))
    assert code == 0, err
    assert "### Outside models" in (tmp_path / "board" / "README.md").read_text()
    code, out, _ = run_cli("score", "--all", "--runs-dir", runs)
    assert (code, "scored: 1" in out) == (0, True)


def test_json_is_the_record(evaluate, network):
    code, out, _ = evaluate(network, "-d", "rafdb", "--json")
    record = json.loads(out)
    assert (code, record["dataset"], record["status"]) == (0, "outside", "done")
    assert record["training_data"]["exposure"] == {"rafdb": "unknown"}


def test_another_crop_is_another_row(evaluate, network):
    keys = []
    for more in ((), ("--crop", "rafdb=detect")):
        code, out, err = evaluate(network, "-d", "rafdb", "--json", *more)
        assert code == 0, err
        keys.append(json.loads(out)["key"])
    assert keys[0] != keys[1]


def test_pictures_of_ones_own(run_cli, network, tmp_path, monkeypatch):
    from tests.cli.test_run import paint

    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    folder = paint(tmp_path / "pictures", "happy", "sad", "anger")
    arguments = ("-d", f"folder:{folder}", "--faces", "whole", "--runs-dir", str(tmp_path / "runs"))
    code, out, err = run_cli("evaluate", str(network), *arguments)
    assert code == 0, err
    assert re.search(r"folder +\d+ +3 .* unknown", out)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("absent.onnx", "-d", "rafdb"), "there is no such model file"),
        (("{network}", "-d", "rafbd"), "did you mean rafdb"),
        (("{network}", "-d", "mmi"), "mmi"),
        (("{network}", "-d", "rafdb", "--card", "nothing"), "no such model card"),
        (("{network}", "-d", "rafdb", "--crop", "rafdb=melt"), "unknown crop"),
        (("{network}", "-d", "rafdb", "--show", "seen.gif"), "a PNG file or an HTML page"),
    ],
)
def test_wrong_usage_is_one_message_and_nothing_is_written(evaluate, network, tmp_path, arguments, words):
    code, out, err = evaluate(*(text.format(network=network) for text in arguments))
    assert (code, out) == (2, "")
    assert err.count("error:") == 1
    assert words in err
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("suffix", [".png", ".html"])
def test_show_draws_a_sheet_and_stores_nothing(evaluate, network, tmp_path, suffix):
    file = tmp_path / f"seen{suffix}"
    code, out, err = evaluate(network, "-d", "rafdb", "--show", file)
    assert code == 0, err
    assert f"wrote {file}" in out
    assert file.stat().st_size > 10_000
    assert not (tmp_path / "runs").exists()


def test_models_are_listed(run_cli):
    code, out, _ = run_cli("list", "models")
    assert code == 0
    assert re.search(r"^emotion-ferplus-8 +FER\+ network", out, re.MULTILINE)
    code, out, _ = run_cli("list", "models", "--json")
    assert {row["name"] for row in json.loads(out)} >= {"emotion-ferplus-8", "opencv-mobilefacenet"}
