import hashlib
import os

import pytest

from fer_bench.synthetic import layouts


def _tree(folder):
    found = {}
    for directory, _, files in os.walk(folder):
        relative = os.path.relpath(directory, folder)
        found[relative] = "folder"
        for name in files:
            with open(os.path.join(directory, name), "rb") as stream:
                found[os.path.join(relative, name)] = hashlib.sha256(stream.read()).hexdigest()
    return found


@pytest.fixture(scope="session")
def tree():
    """Return a function that lists the folders of a tree, and its files with their hashes."""
    return _tree


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """A data root with every synthetic dataset, tiny."""
    out = tmp_path_factory.mktemp("synthetic")
    for name in layouts.names():
        layouts.write(name, out, size="tiny")
    return out
