import json

import pytest

from fer_bench.inference.table import write_table
from tests.inference.test_monitor import table


@pytest.fixture
def files(tmp_path):
    for name, seed, change in (("old", 0, {}), ("same", 2, {}), ("new", 1, {"shift": 2.0})):
        write_table(table(seed, **change), tmp_path / f"{name}.csv")
    return tmp_path


def test_the_exit_code_is_the_verdict(run_cli, files):
    code, out, err = run_cli("monitor", files / "old.csv", files / "same.csv")
    assert (code, err) == (0, "")
    assert "no drift is shown at a false-alarm rate of 0.05" in out
    code, out, _ = run_cli("monitor", files / "old.csv", files / "new.csv")
    assert code == 1
    assert "drift: class shares" in out
    assert "160 faces in 40 files" in out
    code, out, _ = run_cli("monitor", files / "old.csv", files / "new.csv", "--least-effect", "1")
    assert code == 0


def test_json(run_cli, files):
    code, out, _ = run_cli("monitor", files / "old.csv", files / "new.csv", "--json")
    document = json.loads(out)
    assert (code, document["drift"]) == (1, True)
    assert sum(share["new"] for share in document["class_shares"].values()) == pytest.approx(1)


def test_bad_input_is_neither(run_cli, files):
    code, _, err = run_cli("monitor", files / "old.csv", files / "absent.csv")
    assert (code, "no such file" in err) == (2, True)
