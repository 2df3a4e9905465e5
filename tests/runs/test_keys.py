"""Keys of methods in packages of other people: a changed module trains again, whatever was stored."""

import pytest

from tests.mylab import Lab

pytestmark = pytest.mark.long

SWEEP = ("sweep", "-m", "one", "-m", "two", "-d", "oulu", "--targets", "none", "--max-epochs", 1)


@pytest.fixture(scope="module")
def lab(tmp_path_factory, tiny_root):
    return Lab(tmp_path_factory.mktemp("lab"), tiny_root)


@pytest.fixture(scope="module")
def first(lab):
    return {record["method"]: record for record in lab.json(*SWEEP)["runs"]}


def states(lab):
    return {row["run"].partition("[")[0]: row["state"] for row in lab.json(*SWEEP, "--dry-run")["runs"]}


def test_versions_of_packages_that_the_method_needs_are_on_record_and_not_in_the_key(lab, first):
    found = first["one"]["environment"]["method_packages"]
    assert (found["mylab"], set(found)) == ("0.3", {"mylab", "pydantic", "torch"})
    lab.edit("mylab-0.3.dist-info/METADATA", "0.3", "0.4")
    assert states(lab) == {"one": "done", "two": "done"}


def test_an_edited_module_of_the_authors_package_trains_again_and_other_methods_do_not(lab, first):
    lab.edit("mylab/nets/first.py", "nn.Tanh()", "nn.ReLU(), nn.Dropout(0.9)")
    again = {record["method"]: record for record in lab.json(*SWEEP)["runs"]}
    assert again["two"] == first["two"]
    assert again["one"]["key"] != first["one"]["key"]
    assert again["one"]["key_fields"]["training_code"] == first["one"]["key_fields"]["training_code"]
    weights = [each["one"]["selection"]["val"]["checkpoint"] for each in (first, again)]
    assert weights[0] != weights[1]
    assert len(list((lab.folder / "runs" / "one" / "oulu").iterdir())) == 2


def test_an_edited_module_that_both_methods_import_trains_both_and_what_the_key_cannot_see_is_a_note(lab):
    lab.edit("mylab/sizes.py", "4", "2 * open(__file__).read().count('WIDTH')")
    again = lab.json(*SWEEP)["runs"]
    for record in again:
        (note,) = (text for text in record["warnings"] if "not covered by the run key" in text)
        assert note.endswith("sizes.py, line 1: finds other files by its own path")
    assert len(list((lab.folder / "runs" / "two" / "oulu").iterdir())) == 2
