"""A stopped call goes on where it was; rows of different calls are never mixed; nothing written is lost."""

import json

import pandas as pd
import pytest

from fer_bench.errors import DataError, UsageError
from fer_bench.inference import output as module
from fer_bench.inference.inputs import find_inputs
from fer_bench.inference.table import read_table


@pytest.fixture
def items(colour, tmp_path):
    for number in range(6):
        colour(tmp_path / "in" / f"{number}.png", (40 * number, 10, 200 - 30 * number))
    (tmp_path / "in" / "text.jpg").write_text("not a picture")
    return find_inputs([tmp_path / "in"]).items


def stop_after(predictor, count):
    """Let a predictor stop like a killed process after some files."""
    real = predictor.pieces

    def pieces(items, *args, **options):
        for number, each in enumerate(real(items, *args, **options)):
            if number == count:
                raise KeyboardInterrupt
            yield each

    predictor.pieces = pieces
    return predictor


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.jsonl"])
def test_a_stopped_call_goes_on_and_repeats_nothing(items, predictor, tmp_path, name):
    whole = predictor().write(items, tmp_path / f"whole-{name}")
    out = tmp_path / name
    with pytest.raises(KeyboardInterrupt):
        stop_after(predictor(), 4).write(items, out)
    assert not out.exists()
    again = predictor()
    found = again.write(items, out)
    assert again.kept == 4
    assert sum(again.model.calls) == len(items) - 4 - 1
    pd.testing.assert_frame_equal(found, whole)
    assert out.read_bytes() == (tmp_path / f"whole-{name}").read_bytes()
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".parts"] == []
    third = predictor()
    pd.testing.assert_frame_equal(third.write(items, out), whole)
    assert third.model.calls == []


def test_parts_are_written_on_the_way(items, predictor, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART_ROWS", 2)
    out = tmp_path / "out.csv"

    def die(*args):
        raise SystemExit(9)

    one = stop_after(predictor(), 5)
    monkeypatch.setattr(module.Output, "finish", die)
    with pytest.raises(KeyboardInterrupt):
        one.write(items, out)
    assert len(list((tmp_path / "out.csv.parts").glob("*.parquet"))) == 3


def test_new_and_changed_files_are_added(items, predictor, colour, tmp_path):
    out = tmp_path / "out.csv"
    predictor().write(items, out)
    colour(items[0].path, (1, 2, 3), size=(50, 50))
    colour(tmp_path / "in" / "9.png", (9, 9, 9))
    items[3].path.unlink()
    again = predictor()
    found = again.write(find_inputs([tmp_path / "in"]).items, out)
    assert sum(again.model.calls) == 2
    assert found["file"].is_unique
    assert set(found["file"]) == {item.name for item in items} | {str(tmp_path / "in" / "9.png")}
    pd.testing.assert_frame_equal(read_table(out), found)


@pytest.mark.parametrize(
    ("options", "named"),
    [({"abstain_below": 0.9}, "abstain_below"), ({"every": 2}, "every"), ({"crop": "fit"}, "faces")],
)
def test_other_options_are_not_mixed_in(items, predictor, tmp_path, options, named):
    out = tmp_path / "out.csv"
    predictor().write(items[:2], out)
    before = out.read_bytes()
    with pytest.raises(UsageError, match=f"made with other options .{named}") as refused:
        predictor(**options).write(items, out)
    assert "--force" in refused.value.hint
    assert out.read_bytes() == before


def test_another_model_is_not_mixed_in(items, predictor, tmp_path):
    out = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        stop_after(predictor(), 2).write(items, out)
    other = predictor()
    other.model.sha256 = "d" * 64
    with pytest.raises(UsageError, match="made with another model"):
        other.write(items, out)


def test_force_begins_anew_and_keeps_the_old_file_until_it_is_replaced(items, predictor, tmp_path):
    out = tmp_path / "out.csv"
    predictor().write(items, out)
    before = out.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        stop_after(predictor(abstain_below=1.0), 3).write(items, out, force=True)
    assert out.read_bytes() == before
    again = predictor(abstain_below=1.0)
    found = again.write(items, out)
    assert again.kept == 3
    assert found["abstained"].sum() == 6
    assert read_table(out)["abstained"].sum() == 6


def test_a_file_of_somebody_else_is_not_replaced(items, predictor, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("my notes")
    with pytest.raises(UsageError, match="nothing says which model"):
        predictor().write(items, out)
    assert out.read_text() == "my notes"
    with pytest.raises(UsageError, match="follows the file's ending"):
        predictor().write(items, tmp_path / "out.txt")


def test_a_damaged_part_is_named(items, predictor, tmp_path):
    out = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        stop_after(predictor(), 3).write(items, out)
    (part,) = (tmp_path / "out.csv.parts").glob("*.parquet")
    part.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="a part is damaged"):
        predictor().write(items, out)


def test_the_call_is_on_record(items, predictor, tmp_path):
    predictor().write(items, tmp_path / "out.csv")
    found = json.loads((tmp_path / "out.csv.call.json").read_text())
    assert found["call"]["model"] == "colours on rafdb"
    assert set(found["files"]) == {item.name for item in items}
