"""Runs from Python: portable unless the process has computed in another way already."""

import json
import os
import subprocess
import sys

import pytest

from fer_bench import arithmetic

CODE = """
import json, sys, torch, fer_bench
if sys.argv[2] == "computed":
    torch.rand(9, 9) @ torch.rand(9, 9)
settings = {"train.max_epochs": 1, "method.width": 0.03}
how = {"root": sys.argv[1], "targets": "none", "settings": settings, "profile": "quick"}
record = fer_bench.run("resemotenet", "oulu", **how)
print(json.dumps([record.status, record.settings["portable"], record.environment["arithmetic"]]))
"""


@pytest.mark.long
@pytest.mark.skipif(not arithmetic.can_be_portable(), reason="needs Linux on x86-64 with AVX2")
@pytest.mark.parametrize("before", ["fresh", "computed"])
def test_what_was_computed_before_decides_and_is_said(tiny_root, tmp_path, before):
    clean = {name: value for name, value in os.environ.items() if name not in arithmetic.PORTABLE}
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tiny_root), before],
        env={**clean, "ATEN_CPU_CAPABILITY": "default"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    status, portable, found = json.loads(done.stdout)
    assert (status, portable) == ("done", before == "fresh")
    assert (found["torch"] == "AVX2") == (before == "fresh")
    assert ("not portable: torch has computed" in done.stderr) == (before == "computed")
