"""docs/api.md and the notebook beside it, executed."""

import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture
def place(tmp_path, monkeypatch, tiny_root):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FER_BENCH_DATA", str(tiny_root))
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    return tmp_path


@pytest.mark.long
def test_every_block_of_the_page_runs_in_order(place):
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / "api.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 6
    program = place / "page.py"
    program.write_text("\n".join(blocks) + "\nassert record.status == 'done' and len(records) == 2\n")
    subprocess.run([sys.executable, program], check=True, timeout=300)


@pytest.mark.long
def test_the_notebook_runs(place):
    notebook = nbformat.read(DOCS / "quickstart.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(place)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", ())]
    assert any("done" in str(output) for output in outputs)


def test_the_notebook_is_committed_without_outputs():
    notebook = nbformat.read(DOCS / "quickstart.ipynb", as_version=4)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook.cells)
