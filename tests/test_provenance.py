import os
import re
import shutil
import subprocess
import sys

import pytest

from fer_bench.errors import DataError
from fer_bench.provenance import closure, code_hash, package_folder


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write modules of a package `outside` and return a function that hashes a closure of it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    top = tmp_path / "outside"
    top.mkdir()
    (top / "__init__.py").write_text("")
    versions = iter(range(10_000))

    def write(**modules):
        for name, text in modules.items():
            file = top / f"{name.replace('__', '/')}.py"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            stamp = 1_700_000_000 + next(versions)  # a change within one tick of the clock counts as well
            os.utime(file, (stamp, stamp))

    from fer_bench import provenance

    provenance.forget()
    yield write
    provenance.forget()


def of(*roots, without=()):
    return code_hash(roots, without=without)


def test_documentation_and_layout_do_not_count_and_code_does(package):
    package(a="def f(x):\n    return x + 1\n")
    first = of("outside.a")
    package(a='"""Module."""\n\n\ndef f(x):  # why\n    """Add."""\n    return (x\n            + 1)\n')
    assert of("outside.a") == first
    package(a="def f(x):\n    return x + 2\n")
    assert of("outside.a") != first


def test_every_module_that_is_imported_counts_also_inside_functions_and_relatively(package):
    package(
        a="from outside.nets import b\ndef f():\n    from . import c\n    return b, c\n",
        nets__b="from ..d import g\n",
        c="X = 1\n",
        d="def g(): return 1\n",
        unused="Y = 1\n",
    )
    assert set(closure(["outside.a"])) == {"outside.a", "outside.nets.b", "outside.c", "outside.d"}
    first = of("outside.a")
    package(d="def g(): return 2\n")
    assert of("outside.a") != first
    package(d="def g(): return 1\n", unused="Y = 2\n")
    assert of("outside.a") == first


def test_another_function_of_the_same_module_counts(package):
    package(a="from outside.b import f\nprint(f)\n", b="def f(): return 1\ndef g(): return 2\n")
    first = of("outside.a")
    package(a="from outside.b import g as f\nprint(f)\n")
    assert of("outside.a") != first


def test_imports_for_type_checking_alone_do_not_count(package):
    guarded = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from outside import b\nX = 1\n"
    package(a=guarded, b="Y = 1\n")
    assert set(closure(["outside.a"])) == {"outside.a"}


def test_what_is_declared_not_to_matter_is_not_followed(package):
    package(a="from outside import b\nprint(b)\n", b="from outside import c\nprint(c)\n", c="X = 1\n")
    assert set(closure(["outside.a"], without=("outside.b",))) == {"outside.a"}
    assert set(closure(["outside.a"], without=("outside.c.*",))) == {"outside.a", "outside.b"}


def test_a_module_that_moves_keeps_the_hash(package):
    package(a="from outside import b\ndef f(): return b.g()\n", b="def g(): return 1\n")
    first = of("outside.a")
    package(a="from outside.deep.er import b\ndef f(): return b.g()\n", deep__er__b="def g(): return 1\n")
    assert of("outside.a") == first


def test_an_outside_method_depends_on_the_parts_of_this_package_that_it_uses(package):
    package(a="from fer_bench.methods import backbones\nprint(backbones)\n")
    assert "fer_bench.methods.backbones" in closure(["outside.a"])


def test_a_module_that_does_not_exist_is_an_error(package):
    with pytest.raises(DataError, match="does not exist"):
        of("outside.absent")


@pytest.mark.long
def test_moving_a_module_of_this_package_re_keys_nothing(tmp_path):
    """Move modules in a copy of the package and compare what the code adds to keys."""
    copy = tmp_path / "copy"
    shutil.copytree(package_folder(), copy / "fer_bench", ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "from fer_bench import methods\n"
        "from fer_bench.runs import keys\n"
        "from fer_bench.data.packs.index_cache import code_of\n"
        "from fer_bench.datasets import get\n"
        "from fer_bench.evaluation.rescore import code_version\n"
        "print(keys.__file__)\n"
        "print(keys.training_code_hash(), keys.union_code_hash())\n"
        "print([keys.method_code_hash(name) for name in methods.BUILT_IN])\n"
        "print(code_of(get('ckplus')), code_version())\n"
    )

    def hashes():
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=copy, capture_output=True, text=True, check=True
        )
        place, *found = done.stdout.splitlines()
        assert place.startswith(str(copy))
        return found

    before = hashes()
    moves = {
        "fer_bench.data.loading.transforms": "fer_bench.data.loading.views.transforms",
        "fer_bench.methods.gcn.losses": "fer_bench.methods.gcn.parts.losses",
        "fer_bench.data.loading.label_fraction": "fer_bench.data.label_fraction",
        "fer_bench.data.reading.textfile": "fer_bench.data.reading.lists.textfile",
        "fer_bench.evaluation.metrics": "fer_bench.evaluation.basics.metrics",
    }
    for old, new in moves.items():
        move_module(copy, old, new)
    assert hashes() == before
    file = copy / "fer_bench/data/loading/views/transforms.py"
    file.write_text(file.read_text() + "\n\ndef more():\n    return 1\n")
    assert hashes() != before


def move_module(root, old, new):
    """Move a module and mend all imports of it, as a refactoring does."""
    (old_package, _, leaf), new_package = old.rpartition("."), new.rpartition(".")[0]
    target = root / f"{new.replace('.', '/')}.py"
    target.parent.mkdir(parents=True, exist_ok=True)
    (target.parent / "__init__.py").touch()
    (root / f"{old.replace('.', '/')}.py").rename(target)
    several = re.compile(rf"^( *)from {re.escape(old_package)} import ([\w, ]+)$", re.MULTILINE)

    def split(found):
        indent, names = found[1], found[2].split(", ")
        if leaf not in names:
            return found[0]
        rest = [name for name in names if name != leaf]
        lines = [f"from {new_package} import {leaf}"]
        lines += [f"from {old_package} import {', '.join(rest)}"] if rest else []
        return "\n".join(indent + line for line in lines)

    for file in root.rglob("*.py"):
        text = file.read_text()
        changed = several.sub(split, text.replace(f"from {old} import", f"from {new} import"))
        if changed != text:
            file.write_text(changed)
