"""Errors in a method's code name their type, file and line: on the screen, in the record and in the log."""

import pytest

from fer_bench.results.store import Store
from tests.outside import block, installed_files

PLAIN = block("Add a method", "python")
CALL = ("run", "-m", "plain", "-d", "oulu", "--targets", "none", "--max-epochs", 1, "--set", "method.width=4")


@pytest.fixture
def run(tmp_path, monkeypatch, run_cli, tiny_root):
    """Run the example method with a fault; return exit code, error and the line of the fault."""

    def call(old, new):
        assert old in PLAIN
        files = {"plainmethod.py": PLAIN.replace(old, new)}
        where = ("fer_bench.methods", tmp_path / "site", monkeypatch)
        with installed_files(files, {"plain": "plainmethod:Plain"}, *where):
            code, _, err = run_cli(*CALL, "--data-root", tiny_root)
        head = files["plainmethod.py"].partition(new)[0] + new
        return code, err, head.count("\n") + 1

    return call


def test_a_wrong_batch_key_names_type_line_and_the_right_key(run, tmp_path):
    code, err, line = run('logits, batch["label"], batch', 'logits, batch["labels"], batch')
    file = tmp_path / "site" / "plainmethod.py"
    assert code == 1
    assert f"KeyError: 'labels' (in training_step, {file}, line {line}: loss = " in err
    assert "a batch has no 'labels': did you mean label" in err
    (record,) = Store(tmp_path / "runs").records()
    assert (record.status, record.error.kind) == ("failed", "KeyError")
    assert record.error.message.splitlines()[0] in err
    assert "Traceback" in record.error.traceback or "training_step" in record.error.traceback
    log = (tmp_path / "runs" / "plain" / "oulu" / record.key / "log.txt").read_text()
    assert f'File "{file}", line {line}, in training_step' in log
    assert "KeyError: 'labels'" in log


def test_what_a_batch_has_on_request_only_is_said(run):
    code, err, _ = run('logits, batch["label"], batch', 'logits, batch["reference"], batch')
    assert (code, "a batch has 'reference' only if the method sets `needs_reference = True`" in err) == (
        1,
        True,
    )


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("2 * width, 3, stride", "width, 3, stride", "in forward, "),
        ("return torch.optim", "return torch.optimum", "in configure_optimizers, "),
        ("width = self.settings.width", "width = self.settings.widht", "in __init__, "),
        ("self.log_losses(len(logits), c", "self.log_losses(len(loss), c", "TypeError: "),
    ],
)
def test_errors_within_a_run_name_the_line_of_the_method(run, tmp_path, old, new, reason):
    code, err, line = run(old, new)
    assert (code, reason in err) == (1, True), err
    if "forward" not in reason:
        assert f"{tmp_path / 'site' / 'plainmethod.py'}, line {line}: " in err


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("return InputSpec(size=48)", "return InputSpec(size=sizes[0])"),
        (
            "    @classmethod\n    def input_spec",
            "    @classmethod\n    def weights(cls, settings):\n        return {}['tower']\n\n"
            "    @classmethod\n    def input_spec",
        ),
        (
            "    @classmethod\n    def input_spec",
            "    @classmethod\n    def resolve_train(cls, settings, train):\n        return train.nothing\n\n"
            "    @classmethod\n    def input_spec",
        ),
    ],
)
def test_errors_while_a_run_is_planned_are_one_message(run, tmp_path, old, new):
    code, err, _ = run(old, new)
    assert (code, "Traceback" in err) == (2, False), err
    assert f"error: plain: {'NameError' if 'sizes' in new else ''}" in err
    assert f"{tmp_path / 'site' / 'plainmethod.py'}, line " in err
    assert not list((tmp_path / "runs").glob("*/*/*"))


def test_an_error_before_training_begins_is_on_record(run, tmp_path):
    caveats = "    @classmethod\n    def caveats(cls, settings):\n        return settings.nothing\n\n"
    start = "    @classmethod\n    def input_spec"
    code, err, _ = run(start, caveats + start)
    assert (code, "in caveats, " in err) == (1, True)
    (record,) = Store(tmp_path / "runs").records()
    assert (record.status, "in caveats, " in record.error.message) == ("failed", True)
