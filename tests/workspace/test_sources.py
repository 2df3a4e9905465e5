from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer_bench.data.reading.dataset import FaceDataset
from fer_bench.datasets import MAIN_SEVEN, get
from fer_bench.errors import DataError, UsageError
from fer_bench.synthetic import layouts
from fer_bench.synthetic.marker import MARKER
from fer_bench.workspace.sources import DataRoots, available, find_roots, open_source


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start where no data root is set."""
    monkeypatch.delenv("FER_BENCH_DATA", raising=False)
    monkeypatch.setenv("FER_BENCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.fixture(scope="module")
def oulu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic Oulu-CASIA, in a root of its own."""
    return layouts.write("oulu", tmp_path_factory.mktemp("written"), size="tiny").parent


def faces(folder: Path) -> Path:
    for name in ("happy", "sad"):
        (folder / name).mkdir(parents=True)
        cv2.imwrite(str(folder / name / "a.png"), np.zeros((20, 20, 3), np.uint8))
    return folder


def as_real(root: Path, at: Path) -> Path:
    """Copy a synthetic root without its markers."""
    shutil.copytree(root, at)
    for marker in at.rglob(MARKER):
        marker.unlink()
    return at


# Which root ---------------------------------------------------------------------------------------------


def test_the_option_beats_the_variable_beats_the_file_beats_the_stand_in(nowhere, monkeypatch):
    option, variable = nowhere / "option", nowhere / "variable"
    option.mkdir()
    variable.mkdir()
    assert find_roots(None) == DataRoots(None, {}, "the synthetic stand-in")
    assert find_roots(None).is_synthetic
    Path("data.yaml").write_text("oulu: faces\n")
    assert find_roots(None) == DataRoots(None, {"oulu": nowhere / "here" / "faces"}, "data.yaml")
    monkeypatch.setenv("FER_BENCH_DATA", str(variable))
    assert find_roots(None) == DataRoots(variable, {}, f"FER_BENCH_DATA {variable}")
    assert find_roots(str(option)) == DataRoots(option, {}, f"--data-root {option}")
    assert not any(find_roots(value).is_synthetic for value in (None, str(option)))


def test_a_yaml_file_may_stand_anywhere_and_its_folders_are_relative_to_it(nowhere, monkeypatch):
    monkeypatch.setenv("HOME", str(nowhere))
    file = nowhere / "lists" / "mine.yaml"
    file.parent.mkdir()
    file.write_text(f"# where\nrafdb: ../RAF\nexpw: ~/ExpW\nmmi: {nowhere}/MMI\n")
    roots = find_roots(str(file))
    assert {name: path.resolve() for name, path in roots.named.items()} == {
        "rafdb": nowhere / "RAF",
        "expw": nowhere / "ExpW",
        "mmi": nowhere / "MMI",
    }
    monkeypatch.setenv("FER_BENCH_DATA", str(file))
    assert find_roots(None).named == roots.named


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("oulu: a\noullu: b\n", 2, "unknown dataset .*'oullu'.*\n.*did you mean oulu"),
        ("\noulu:\n", 2, "folder of oulu is not text"),
        ("oulu: [a, b]\n", 1, "folder of oulu is not text"),
        ("oulu: 3\n", 1, "folder of oulu is not text .*'3'"),
        ("oulu: a\noulu: b\n", 2, "listed twice .*'oulu'"),
        ("7: a\n", 1, "unknown dataset"),
        ("- oulu\n", None, "expected lines of the form"),
        ("", None, "expected lines of the form"),
        ("{}", None, "expected lines of the form"),
        ("oulu: [a\n", None, "not valid YAML"),
        ("a: b: c\n", None, "not valid YAML"),
    ],
)
def test_a_malformed_list_is_refused_with_its_line(text, line, words):
    Path("data.yaml").write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        find_roots(None)
    assert (str(caught.value.file), caught.value.line) == ("data.yaml", line)


def test_a_list_that_is_no_text_is_refused():
    Path("data.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"not valid YAML"):
        find_roots(None)


def test_a_root_that_does_not_exist_is_refused_by_whoever_gave_it(nowhere, monkeypatch):
    with pytest.raises(DataError, match=r"given by --data-root does not exist\n  fer-bench doctor"):
        find_roots(str(nowhere / "gone"))
    monkeypatch.setenv("FER_BENCH_DATA", str(nowhere / "gone"))
    with pytest.raises(DataError, match=r"given by FER_BENCH_DATA does not exist"):
        find_roots(None)


# What is there ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("inner", [".", "oulu"])
def test_a_root_may_be_the_datasets_own_folder(oulu, inner):
    source = open_source("oulu", find_roots(str(oulu / inner)))
    assert source.dataset.card.name == "oulu"
    assert len(source.dataset.index) > 0
    assert available(["oulu"], find_roots(str(oulu / inner))) == (["oulu"], {})


def test_a_marker_makes_a_given_root_synthetic(oulu, nowhere):
    source = open_source("oulu", find_roots(str(oulu)))
    assert source.kind == "synthetic"
    assert source.generator is not None
    assert source.generator["size"] == "tiny"
    real = open_source("oulu", find_roots(str(as_real(oulu, nowhere / "real"))))
    assert (real.kind, real.generator) == ("real", None)


def test_a_root_inside_a_synthetic_dataset_is_synthetic_too(oulu, nowhere):
    base = open_source("oulu", find_roots(str(oulu))).dataset.base
    inside = next(p for p in sorted(base.rglob("*")) if p.is_dir() and get("oulu").find(p) is not None)
    (nowhere / "link").symlink_to(inside)
    for root in (inside, nowhere / "link"):
        assert open_source("oulu", DataRoots(root, {}, "test")).kind == "synthetic"


def test_a_link_below_a_marker_is_synthetic_wherever_it_leads(nowhere):
    faces(nowhere / "store")
    (nowhere / "marked").mkdir()
    (nowhere / "marked" / MARKER).write_text('{"synthetic": true}')
    (nowhere / "marked" / "link").symlink_to(nowhere / "store")
    assert open_source("folder", DataRoots(nowhere / "marked" / "link", {}, "test")).kind == "synthetic"
    assert open_source("folder", DataRoots(nowhere / "store", {}, "test")).kind == "real"


@pytest.mark.parametrize("content", ["{", "[]", '{"synthetic": false}', '{"other": 1}'])
def test_a_file_of_the_markers_name_that_is_none_changes_nothing(nowhere, content):
    root = faces(nowhere / "mine" / "folder")
    (root.parent / MARKER).write_text(content)
    assert open_source("folder", find_roots(str(root))).kind == "real"


def test_absent_datasets_are_missing_with_a_reason_and_never_replaced(oulu, nowhere, monkeypatch):
    monkeypatch.setattr(layouts, "write", lambda *_, **__: pytest.fail("drew faces beside a data root"))
    found, missing = available(MAIN_SEVEN, find_roots(str(oulu)))
    assert found == ["oulu"]
    assert missing == dict.fromkeys([n for n in MAIN_SEVEN if n != "oulu"], "not found below the data root")
    with pytest.raises(DataError, match=r"RAF-DB was not found here"):
        open_source("rafdb", find_roots(str(oulu)))

    Path("data.yaml").write_text(f"oulu: {oulu}\nrafdb: {nowhere}/gone\nexpw: {nowhere}\n")
    found, missing = available(["oulu", "rafdb", "expw", "mmi"], find_roots(None))
    assert found == ["oulu"]
    assert missing == {
        "rafdb": f"{nowhere}/gone does not exist",
        "expw": f"not found in {nowhere}",
        "mmi": "not listed in data.yaml",
    }
    with pytest.raises(DataError, match=r"data.yaml does not list mmi\n  add a line `mmi: FOLDER`"):
        open_source("mmi", find_roots(None))
    with pytest.raises(DataError, match=r"data root for rafdb does not exist"):
        open_source("rafdb", find_roots(None))


def test_a_root_that_holds_both_kinds_offers_the_kind_that_is_asked_for(oulu, nowhere):
    root = as_real(oulu, nowhere / "mixed")
    layouts.write("fer2013", root, size="tiny")
    roots = find_roots(str(root))
    assert available(["oulu", "fer2013"], roots) == (["oulu", "fer2013"], {})
    assert available(["oulu", "fer2013"], roots, kind="real") == (
        ["oulu"],
        {"fer2013": "synthetic data, which are never mixed with real data"},
    )
    assert available(["oulu", "fer2013"], roots, kind="synthetic")[0] == ["fer2013"]


def test_without_a_root_there_is_what_the_generator_draws():
    found, missing = available([*MAIN_SEVEN, "folder"], find_roots(None))
    assert found == list(MAIN_SEVEN)
    assert missing == {"folder": "no synthetic stand-in"}
    with pytest.raises(DataError, match=r"no synthetic stand-in for folder"):
        open_source("folder", find_roots(None))


@pytest.mark.parametrize("rooted", [False, True])
def test_an_unknown_name_is_wrong_usage_and_not_merely_missing(rooted, nowhere):
    roots = find_roots(str(nowhere) if rooted else None)
    for use in (lambda: available(["oullu"], roots), lambda: open_source("oullu", roots)):
        with pytest.raises(UsageError, match=r"unknown dataset .*'oullu'.*\n  did you mean oulu"):
            use()


def test_a_folder_of_ones_own_ends_the_use_of_synthetic_data(nowhere):
    mine = faces(nowhere / "mine")
    roots = find_roots(None).with_folder(mine)
    assert not roots.is_synthetic
    assert open_source("folder", roots).kind == "real"
    assert available(["folder", "oulu"], roots) == (["folder"], {"oulu": f"not listed in folder {mine}"})
    with pytest.raises(DataError, match=r"does not list oulu"):
        open_source("oulu", roots)
    beside = DataRoots(nowhere, {}, "--data-root x").with_folder(mine)
    assert (beside.root, beside.origin) == (nowhere, "--data-root x")


def test_without_a_root_the_stand_in_is_opened_as_a_drawing(nowhere, monkeypatch):
    drawing = {"generator_version": "9", "size": "tiny", "population": "benchmark", "seed": 0}

    def write(name: str, parent: Path, **options: object) -> None:
        faces(parent / name)
        (parent / name / MARKER).write_text(json.dumps({**drawing, "synthetic": True, "dataset": name}))

    monkeypatch.setattr(layouts, "write", write)
    monkeypatch.setattr(layouts, "names", lambda: ("folder",))
    source = open_source("folder", find_roots(None), size="tiny")
    assert (source.kind, source.generator) == ("synthetic", drawing)
    assert isinstance(source.dataset, FaceDataset)
    assert source.dataset.base.is_relative_to(nowhere / "cache" / "synthetic")


def test_links_to_another_disk_are_refused_with_the_way_and_followed_on_request(oulu, nowhere, monkeypatch):
    real = as_real(oulu, nowhere / "real")
    before = open_source("oulu", find_roots(str(real))).dataset
    disk, person = nowhere / "disk", (before.base / before.index["path"].iloc[0]).parents[1]
    person.rename(disk)
    person.symlink_to(disk)
    with pytest.raises(DataError, match=f"is a link to {disk}") as caught:
        _ = open_source("oulu", find_roots(str(real))).dataset.index
    assert "--follow-links" in str(caught.value)
    followed = open_source("oulu", find_roots(str(real), follow_links=True)).dataset
    assert followed.index.equals(before.index)
    monkeypatch.setenv("FER_BENCH_FOLLOW_LINKS", "1")
    assert open_source("oulu", find_roots(str(real))).dataset.index.equals(before.index)
