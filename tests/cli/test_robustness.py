import json
import shutil

import pytest

from tests.inference.conftest import plan, trained_store, workspace

__all__ = ["plan", "trained_store", "workspace"]


@pytest.fixture
def robustness(run_cli, trained_store, tiny_root, tmp_path):
    store = shutil.copytree(trained_store.root, tmp_path / "runs")

    def call(*arguments):
        return run_cli("robustness", *arguments, "--data-root", tiny_root, "--runs-dir", store)

    return call


def test_drops_are_printed_and_not_measured_twice(robustness):
    code, out, err = robustness("-m", "resemotenet", "-c", "blur", "-c", "eyes")
    assert code == 0, err
    assert "resemotenet on oulu: UAR" in out
    assert "SYNTHETIC DATA" in out
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["mean", "blur", "covered"]
    code, again, err = robustness("-m", "resemotenet", "-c", "blur", "-c", "eyes")
    assert (code, again) == (0, out)
    assert "2 of 2 were stored already" in err


def test_json_names_runs_constants_and_intervals(robustness):
    code, out, _ = robustness("-d", "oulu", "-c", "blur", "--json")
    (found,) = json.loads(out)
    assert code == 0
    assert (found["method"], found["target"], found["data_kind"]) == ("resemotenet", "oulu", "synthetic")
    blur = found["corruptions"]["blur"]
    assert blur["constants"] == [1, 2, 3, 4.5, 6]
    assert len(blur["uar"]) == 5
    assert found["mean_drop"] == blur["drop"]


def test_the_sheet_is_a_picture(robustness, tmp_path):
    code, out, err = robustness("-d", "oulu", "-c", "mask", "--show", "seen.png")
    assert code == 0, err
    assert out == "wrote seen.png\n"
    assert (tmp_path / "seen.png").read_bytes().startswith(b"\x89PNG")
    assert robustness("-d", "oulu", "--show", "seen.gif")[0] == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no run was named"),
        (("-d", "rafdb"), "no run of the store has this dataset"),
        (("ffff",), "no run has this key"),
        (("0000", "-m", "gcn"), "not both"),
        (("-d", "oulu", "-c", "fog"), "no such corruption"),
    ],
)
def test_bad_arguments_are_refused(robustness, arguments, words):
    code, _, err = robustness(*arguments)
    assert code == 2
    assert words in err
