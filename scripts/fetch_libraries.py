"""Fetch the script libraries of the interactive board again, from the packages that their file names.

    python scripts/fetch_libraries.py             # those of libraries.json; a file that differs is an error
    python scripts/fetch_libraries.py --update    # after a version in libraries.json was changed

Needs npm, whose own settings say which registry is asked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import tarfile
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "fer_bench" / "leaderboard" / "html" / "libraries"
LISTED = FOLDER / "libraries.json"


def main() -> None:
    """Download each package, take the listed files and licences out of it and check or store their hashes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--update", action="store_true", help="store the hashes of what was fetched")
    update = parser.parse_args().update
    packages = json.loads(LISTED.read_text(encoding="utf-8"))
    for package in packages:
        print(f"{package['name']} {package['version']}")
        fetched = fetch(f"{package['name']}@{package['version']}", [f["path"] for f in package["files"]])
        for file in package["files"]:
            content = fetched[file["path"]]
            found = hashlib.sha256(content).hexdigest()
            if update:
                file["sha256"] = found
            elif found != file["sha256"]:
                raise SystemExit(f"{package['name']}: {file['path']} has the SHA-256 {found}")
            (FOLDER / file["stored"]).write_bytes(content)
    LISTED.write_text(json.dumps(packages, indent=2) + "\n", encoding="utf-8")


def fetch(package: str, paths: list[str]) -> dict[str, bytes]:
    """Return files of a package.

    Args:
        package: `name@version`.
        paths: Files in its archive.
    """
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["npm", "pack", "--silent", package], cwd=folder, check=True, stdout=subprocess.DEVNULL
        )
        (archive,) = Path(folder).glob("*.tgz")
        found = {}
        with tarfile.open(archive) as members:
            for path in paths:
                member = members.extractfile(f"package/{path}")
                assert member is not None, f"{path} is not a file"
                found[path] = member.read()
    return found


if __name__ == "__main__":
    main()
