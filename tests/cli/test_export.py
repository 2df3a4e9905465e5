import json

import pytest

from fer_bench.results.store import Store
from fer_bench.runs.execute import execute
from tests.runs.conftest import plan, workspace

__all__ = ["plan", "workspace"]


@pytest.fixture(scope="module")
def store(plan, workspace, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("export"))
    assert execute(plan(targets="none", max_epochs=1), store, workspace).status == "done"
    return store


def test_a_run_is_exported_and_its_file_has_the_card_of_the_run(run_cli, store, tiny_root, tmp_path):
    (run,) = store.run_dirs()
    options = ("--runs-dir", store.root, "--data-root", tiny_root)
    code, out, err = run_cli("export", run.path.name, "--to", "onnx", *options)
    assert code == 0, err
    assert "compared with PyTorch on" in out
    assert "largest difference: logits" in out
    file = tmp_path / f"resemotenet-oulu-{run.path.name[:8]}.onnx"
    assert file.stat().st_size > 0
    cards = [run_cli("card", what, "--runs-dir", store.root)[1] for what in (run.path.name, file.name)]
    assert cards[0] == cards[1]
    assert "SYNTHETIC DATA" in cards[0]


@pytest.mark.long
def test_eight_bits_as_json(run_cli, store, tiny_root):
    (run,) = store.run_dirs()
    code, out, _ = run_cli(
        "export", run.path, "--int8", "--out", "small.onnx", "--data-root", tiny_root, "--json"
    )
    assert code == 0
    told = json.loads(out)
    assert told["file"] == "small.onnx"
    assert told["int8"]["size"][1] < told["int8"]["size"][0]
    code, out, _ = run_cli("card", "small.onnx")
    assert "## 8 bits" in out
    assert json.loads(run_cli("card", "small.onnx", "--json")[1])["int8"] == told["int8"]


def test_a_file_that_is_not_a_checkpoint_is_refused(run_cli, tmp_path):
    (tmp_path / "notes.pt").write_text("notes")
    code, _, err = run_cli("export", "notes.pt")
    assert code == 2
    assert "notes.pt" in err
    code, _, err = run_cli("export", "absent.pt")
    assert code == 2
    assert "no such model" in err
