"""Build hook: the pages of `fer-bench docs` and the commit go into the wheel."""

from __future__ import annotations

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "docs/**/*.md", "docs/*.ipynb")


class PackageFiles(BuildHookInterface[Any]):
    """Adds files to a wheel or source archive; an editable installation reads them from the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files to add, by their place in the archive."""
        if version == "editable":
            return
        root, include = Path(self.root), build_data["force_include"]
        if self.target_name == "wheel":
            for pattern in PAGES:
                for file in sorted(root.glob(pattern)):
                    include[str(file)] = f"fer_bench/pages/{file.relative_to(root).as_posix()}"
        known = runpy.run_path(str(root / "fer_bench" / "distribution.py"))
        commit, name = known["commit"](), known["COMMIT"]
        if commit is not None and not (root / "fer_bench" / name).exists():
            self._folder = tempfile.TemporaryDirectory()  # until this hook is gone, after the build
            written = Path(self._folder.name) / name
            written.write_text(f"{commit}\n", encoding="utf-8")
            include[str(written)] = f"fer_bench/{name}"
