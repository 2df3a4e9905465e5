"""docs/tutorial.md: its commands are run in their order, on drawn faces."""

import shlex
from pathlib import Path

import cv2
import pandas as pd
import pytest

from fer_bench.datasets import get
from tests.inference.pictures import lay_out

TEXT = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
COMMANDS = [line for line in TEXT.splitlines() if line.startswith("fer-bench ")]
FAST = {
    "run": ("--max-epochs", "1", "--device", "cpu"),
    "distill": ("--max-epochs", "1", "--size", "32", "--device", "cpu"),
}
SYNTHETIC = ("run", "evaluate", "card", "robustness", "distill")


def film(path, root):
    """Write a clip of one drawn person, neutral to apex."""
    source = get("ckplus")(root)
    rows = source.index[source.index["sequence"] == source.index["sequence"].iloc[0]]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 5, (320, 240))
    for file in rows["path"]:
        writer.write(cv2.resize(cv2.imread(str(source.base / file)), (320, 240)))
    writer.release()
    return len(rows)


@pytest.mark.long
def test_every_command_runs(run_cli, tiny_root, tmp_path, monkeypatch):
    monkeypatch.setenv("FER_BENCH_DATA", str(tiny_root))
    lay_out(tmp_path / "pictures", tiny_root)
    frames = film(tmp_path / "clip.avi", tiny_root)
    assert len(COMMANDS) == 11
    keys, said = {}, {}
    for line in COMMANDS:
        _, command, *words = shlex.split(line)
        words = [keys.get(word, word) for word in words]
        code, out, err = run_cli(command, *words, *FAST.get(command, ()))
        assert code == 0, f"{line}\n{out}{err}"
        said[command] = out + err
        for word, method in (("KEY", "gcn"), ("STUDENT", "distilled")):
            found = [file.parent.name for file in (tmp_path / "runs" / method).glob("*/*/record.json")]
            keys |= {word: found[0]} if found else {}
    for command in SYNTHETIC:
        assert "synthetic" in said[command].lower(), command
    january, march = (pd.read_csv(tmp_path / name) for name in ("january.csv", "march.csv"))
    assert (
        (january["file"].str.endswith("clip.avi")).sum()
        == (march["file"].str.endswith("clip.avi")).sum()
        == frames
    )
    assert (january["predicted"] == march["predicted"]).mean() > 0.8
    for name in ("faces.html", "clip.png", "calibrated.pt", "maps/index.html", "small.onnx"):
        assert (tmp_path / name).stat().st_size > 1000, name
    assert "no drift is shown" in said["monitor"]
