"""Packages as other people lay them out: what counts of them for a method, and what does not."""

import os
import subprocess
import sys
import zipfile
from importlib.machinery import EXTENSION_SUFFIXES

import pytest

from fer_bench import provenance
from fer_bench.provenance import Closure, closure, code_hash
from fer_bench.provenance.modules import file_of, is_authors


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write files into a folder on the path; their times grow, as a change within a clock tick counts."""
    site, times = tmp_path / "project", iter(range(1_700_000_000, 1_800_000_000))
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def write(files, to=site):
        for name, text in files.items():
            file = to / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(text if isinstance(text, bytes) else text.encode())
            os.utime(file, (stamp := next(times), stamp))

    before = set(sys.modules)
    provenance.forget()
    yield write
    for name in set(sys.modules) - before:
        if name.partition(".")[0] in ("mylab", "helpers", "labcommon"):
            del sys.modules[name]
    provenance.forget()


THREE = {
    "mylab/__init__.py": "from .a import A\nfrom .b import B\nfrom .c import C as Third\n"
    '__all__ = ["A", "B", "Third"]\n__version__ = "1.0"\nMETHODS = {"a": A, "b": B, "c": Third}\n',
    "mylab/a.py": "from .nets import Block\nfrom .base import Base\nclass A(Base): net = Block\n",
    "mylab/b.py": "from .nets import Other\nfrom .base import Base\nclass B(Base): net = Other\n",
    "mylab/c.py": "class C:\n    def build(self):\n        from mylab.nets import extra\n"
    "        return extra.make()\n",
    "mylab/base.py": "class Base: pass\n",
    "mylab/nets/__init__.py": "from .blocks import Block\nfrom .other import Other\n",
    "mylab/nets/blocks.py": "from ..tools.sizes import WIDTH\nclass Block: width = WIDTH\n",
    "mylab/nets/other.py": "class Other: pass\n",
    "mylab/nets/extra.py": "def make(): return 3\n",
    "mylab/tools/__init__.py": "",
    "mylab/tools/sizes.py": "WIDTH = 3\n",
}
ROOTS = ("mylab:A", "mylab:B", "mylab:Third")
NEEDED = {
    "mylab/a.py": [True, False, False],
    "mylab/b.py": [False, True, False],
    "mylab/c.py": [False, False, True],
    "mylab/base.py": [True, True, False],
    "mylab/nets/blocks.py": [True, False, False],
    "mylab/nets/other.py": [False, True, False],
    "mylab/nets/extra.py": [False, False, True],
    "mylab/tools/sizes.py": [True, False, False],
}


def hashes(roots=ROOTS):
    return [code_hash([root]) for root in roots]


@pytest.mark.parametrize("file", NEEDED)
def test_touching_one_file_of_three_methods_re_keys_those_that_import_it(write, file):
    write(THREE)
    before = hashes()
    write({file: THREE[file] + "\nMORE = 1\n"})
    assert [now != then for now, then in zip(hashes(), before, strict=True)] == NEEDED[file]


def test_a_new_module_that_nothing_imports_changes_nothing(write):
    write(THREE)
    before = hashes()
    write({"mylab/nets/new.py": "X = 1\n", "mylab/d.py": "Y = 1\n"})
    assert hashes() == before
    write({"mylab/__init__.py": THREE["mylab/__init__.py"] + "from .d import Y\n"})
    assert hashes() == before


def test_a_re_export_that_names_something_else_counts(write):
    write(THREE)
    before = hashes()
    write({"mylab/nets/__init__.py": "from .other import Other as Block\nfrom .other import Other\n"})
    assert [now != then for now, then in zip(hashes(), before, strict=True)] == [True, False, False]


@pytest.mark.parametrize(
    ("code", "needs"),
    [
        ("from . import patches\npatches.apply()\n", {"mylab", "mylab.patches"}),
        ("from .patches import apply\napply()\n", {"mylab", "mylab.patches"}),
        ("import mylab.patches\nmylab.patches.apply()\n", {"mylab", "mylab.patches"}),
        ("import torch\ntorch.set_float32_matmul_precision('high')\n", {"mylab"}),
        ("from . import patches\n", set()),
        ("from .patches import apply\nCALLBACKS = (apply,)\n", set()),
        ("from . import effects\n", {"mylab.effects"}),
        ("from .effects import NAME\n", {"mylab.effects"}),
        ("from . import indirect\n", {"mylab.effects"}),
    ],
)
def test_what_the_init_of_a_parent_package_runs_counts(write, code, needs):
    effects = "import torch\nNAME = object()\ntorch.nn.ReLU.forward = lambda self, x: x\n"
    effects += "if __name__ == '__main__':\n    print(NAME)\n"
    more = {"mylab/patches.py": "def apply(): pass\n", "mylab/effects.py": effects}
    write(
        {**THREE, "mylab/__init__.py": code, **more, "mylab/indirect.py": "from mylab.effects import NAME\n"}
    )
    assert set(closure(["mylab.b"])) == {"mylab.b", "mylab.base", "mylab.nets.other"} | needs


@pytest.mark.parametrize(
    ("line", "counted"),
    [
        ("from mylab.nets import Block", "mylab.nets.blocks"),
        ("from mylab import nets\nX = nets.Block", "mylab.nets.blocks"),
        ("from . import nets as n\nX = n.Block()", "mylab.nets.blocks"),
        ("import mylab.nets\nX = mylab.nets.Block", "mylab.nets.blocks"),
        ("import mylab.nets as n\nX = n.Block", "mylab.nets.blocks"),
        ("import mylab\nX = mylab.nets.Block", "mylab.nets.blocks"),
        ("from .nets.blocks import Block", "mylab.nets.blocks"),
        ("from .nets import blocks", "mylab.nets.blocks"),
        ("def f():\n    from .nets.blocks import Block\n    return Block", "mylab.nets.blocks"),
        ("try:\n    import fast\nexcept ImportError:\n    from .nets import blocks", "mylab.nets.blocks"),
        ("import sys\nif sys.platform == 'plan9':\n    from .nets import blocks", "mylab.nets.blocks"),
        ("from importlib import import_module\nX = import_module('mylab.nets.blocks')", "mylab.nets.blocks"),
        ("import importlib\nX = importlib.import_module('.nets.blocks', __package__)", "mylab.nets.blocks"),
        ("import importlib\nX = importlib.import_module('..nets.blocks', __name__)", None),
        ("X = __import__('mylab.nets.blocks', fromlist=['Block'])", "mylab.nets.blocks"),
        ("import importlib\nX = importlib.import_module(f'{__package__}.nets.blocks')", "mylab.nets.blocks"),
    ],
)
def test_every_way_to_import_is_followed_and_no_other_module_counts(write, line, counted):
    write({**THREE, "mylab/m.py": f"{line}\n"})
    found = set(closure(["mylab.m"]))
    if counted is not None:
        assert found == {"mylab.m", counted, "mylab.tools.sizes"}


@pytest.mark.parametrize(
    ("line", "of"),
    [
        ("X = import_module(f'mylab.nets.{name}')", "mylab.nets"),
        ("X = import_module('mylab.nets.' + name)", "mylab.nets"),
        ("X = import_module(f'{__package__}.nets.{name}')", "mylab.nets"),
        ("X = import_module(f'.nets.{name}', __package__)", "mylab.nets"),
        ("X = import_module(name)", "mylab"),
        ("X = import_module('.' + name, __package__)", "mylab"),
        ("from mylab import nets\nX = getattr(nets, name)", "mylab.nets."),
    ],
)
def test_a_name_that_only_the_run_knows_covers_all_it_can_mean(write, line, of):
    write({**THREE, "mylab/m.py": f"from importlib import import_module\nname = input()\n{line}\n"})
    found = set(closure(["mylab.m"]))
    everything = {file.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for file in THREE}
    imported = {"mylab.nets", "mylab.nets.blocks", "mylab.nets.other"}
    wanted = (
        imported if of.endswith(".") else {name for name in everything if f"{name}.".startswith(f"{of}.")}
    )
    assert found == {"mylab.m", "mylab.tools.sizes"} | wanted


def test_names_that_a_package_makes_up_at_run_time_cover_the_whole_package(write):
    lazy = "import lazy_loader\n__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, ['blocks'])\n"
    write({**THREE, "mylab/nets/__init__.py": lazy})
    assert "mylab.nets.extra" in closure(["mylab:A"])
    table = "_HOMES = {'Block': '.blocks'}\ndef __getattr__(name):\n    import importlib\n"
    table += "    return getattr(importlib.import_module(_HOMES[name], __name__), name)\n"
    write({"mylab/nets/__init__.py": table})
    assert "mylab.nets.blocks" in closure(["mylab:A"])
    assert "mylab.nets.blocks" not in closure(["mylab:Third"])


def test_star_imports_lead_to_the_module_that_defines_the_name(write):
    write({**THREE, "mylab/nets/__init__.py": "from .blocks import *\nfrom .other import *\n"})
    assert set(closure(["mylab:B"])) == {"mylab.b", "mylab.base", "mylab.nets.other"}
    write({"mylab/b.py": "from .nets import *\nclass B: net = Other\n"})
    assert set(closure(["mylab:B"])) == {
        *("mylab.b", "mylab.nets", "mylab.nets.blocks", "mylab.nets.other", "mylab.tools.sizes")
    }


def test_namespace_packages_are_followed_over_all_their_folders(write, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path / "second"))
    provenance.forget()
    write({"mylab/methods/a.py": "from mylab.nets.blocks import Block\nfrom mylab import flat\n"})
    write({"mylab/nets/blocks.py": "class Block: pass\n", "mylab/flat.py": "X = 1\n"}, tmp_path / "second")
    assert set(closure(["mylab.methods.a"])) == {"mylab.methods.a", "mylab.nets.blocks", "mylab.flat"}


def test_modules_beside_a_single_file_and_other_source_folders_of_the_author_count(
    write, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(str(tmp_path / "common" / "src"))
    provenance.forget()
    write({"mylab.py": "import helpers\nfrom labcommon.losses import focal\n", "helpers.py": "X = 1\n"})
    write(
        {"labcommon/__init__.py": "", "labcommon/losses.py": "def focal(): pass\n"},
        tmp_path / "common" / "src",
    )
    assert set(closure(["mylab"])) == {"mylab", "helpers", "labcommon.losses"}


def test_installed_packages_count_if_they_are_of_the_same_distribution(write, tmp_path, monkeypatch):
    site = tmp_path / "lib" / "site-packages"
    monkeypatch.syspath_prepend(str(site))
    write(
        {
            "mylab/__init__.py": "",
            "mylab/a.py": "import helpers\nimport labcommon\nimport numpy\nimport fer_bench.emotions\n",
            "helpers.py": "X = 1\n",
            "labcommon.py": "__version__ = '2.1'\n",
            "mylab-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: mylab\nVersion: 1.0\n",
            "mylab-1.0.dist-info/top_level.txt": "mylab\nhelpers\n",
            "labcommon-3.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: labcommon\nVersion: 3.0\n",
            "labcommon-3.0.dist-info/top_level.txt": "labcommon\n",
        },
        site,
    )
    provenance.forget()
    found = Closure(["mylab.a"])
    assert set(found.digests()) == {"mylab.a", "helpers", "fer_bench.emotions"}
    assert found.packages == {"labcommon", "numpy"}
    assert provenance.modules.version_of("labcommon") == "3.0"


def test_an_editable_installation_of_another_folder_is_found(tmp_path):
    """As setuptools does it: a finder that maps a package to a folder of another name."""
    source = tmp_path / "checkout" / "code"
    (source / "nets").mkdir(parents=True)
    (source / "__init__.py").write_text("")
    (source / "a.py").write_text("from mylab.nets import blocks\nfrom .nets.blocks import B\n")
    (source / "nets" / "__init__.py").write_text("")
    (source / "nets" / "blocks.py").write_text("B = 1\n")
    program = f"""
import sys
from importlib.util import spec_from_file_location
class Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "mylab":
            return spec_from_file_location(name, {str(source / "__init__.py")!r},
                                           submodule_search_locations=[{str(source)!r}])
sys.meta_path.append(Finder)
from fer_bench.provenance import closure
print(sorted(closure(["mylab.a"])))
import mylab.a
print(sorted(closure(["mylab.a"])))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['mylab.a', 'mylab.nets.blocks']"] * 2


def test_compiled_modules_and_archives_count_by_their_bytes(write, tmp_path, monkeypatch):
    compiled = f"mylab/ops{EXTENSION_SUFFIXES[0]}"
    write({"mylab/__init__.py": "", "mylab/a.py": "from . import ops\n", compiled: b"\x7fELF 1"})
    before = hashes(["mylab.a"])
    write({compiled: b"\x7fELF 2"})
    assert hashes(["mylab.a"]) != before
    archive = tmp_path / "labcommon.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("labcommon/__init__.py", "X = 1\n")
    monkeypatch.syspath_prepend(str(archive))
    provenance.forget()
    write({"mylab/a.py": "import labcommon\n"})
    before = hashes(["mylab.a"])
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("labcommon/__init__.py", "X = 22\n")
    assert hashes(["mylab.a"]) != before


def test_what_cannot_be_followed_is_said(write):
    write(
        {
            "mylab/__init__.py": "",
            "mylab/a.py": "from pathlib import Path\nimport torch\nfrom . import b\n"
            "SIZES = (Path(__file__).parent / 'sizes.json').read_text()\n"
            "NET = torch.hub.load('someone/nets', 'net')\n",
            "mylab/b.py": "import importlib.util\n\nexec(open('x.py').read())\nimport importlib.resources\n",
            "mylab/unused.py": "exec('1')\n",
        }
    )
    found = [text.rpartition("/")[2] for text in Closure(["mylab.a"]).blind_spots()]
    assert found == [
        "a.py, line 4: finds other files by its own path",
        "a.py, line 5: torch.hub.load loads code from a hub",
        "b.py, line 3: exec executes text",
        "b.py, line 4: importlib.resources reads other files of a package",
    ]
    assert Closure(["fer_bench.methods.gcn.method"]).blind_spots() == []


def test_code_that_was_edited_after_loading_counts_as_it_was_loaded_until_it_is_reloaded(write, caplog):
    import importlib

    write({"mylab/__init__.py": "", "mylab/a.py": "X = 1\n", "mylab/late.py": "Y = 1\n"})
    loaded = importlib.import_module("mylab.a")
    before = hashes(["mylab.a", "mylab.late"])
    write({"mylab/a.py": "X = 2\n", "mylab/late.py": "Y = 2\n"})
    after = hashes(["mylab.a", "mylab.late"])
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)
    assert "a.py was edited after this process had loaded it" in caplog.text
    importlib.reload(loaded)
    assert hashes(["mylab.a"])[0] != before[0]


def test_the_standard_library_and_installed_packages_are_not_followed():
    assert not any(is_authors(name, "tests") for name in ("json", "torch", "numpy", "nowhere_to_be_found"))
    assert is_authors("tests", "tests")
    assert file_of("json.decoder").name == "decoder.py"
