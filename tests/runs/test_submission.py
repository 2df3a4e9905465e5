"""Submissions against a small tree in the official layout, made as docs/submit.md says."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
from sklearn.metrics import balanced_accuracy_score
from typer.testing import CliRunner

from fer_bench.cli.scores import register
from fer_bench.errors import FerBenchError
from fer_bench.runs.submission import check_submission
from fer_bench.synthetic import layouts
from fer_bench.workspace.sources import find_roots

GUIDE = Path(__file__).parents[2] / "docs" / "submit.md"
app = typer.Typer()
register(app)


def call(*arguments):
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("faces")
    layouts.write("rafdb", root, size="tiny", jobs=1)
    return root


@pytest.fixture(scope="module")
def guide(data, tmp_path_factory):
    """Follow the guide: ask for the rows, then run its example."""
    folder = tmp_path_factory.mktemp("guide")
    here = os.getcwd()
    os.chdir(folder)
    try:
        facts = call("submit", "rows", "--target", "rafdb", "--data-root", data, "--out", "rows.csv")
        Path("facts.json").write_text(facts)
        (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
        exec(compile(example, str(GUIDE), "exec"), {})
    finally:
        os.chdir(here)
    return folder / "mine.parquet"


@pytest.fixture
def check(data, guide, tmp_path):
    """Return a function that spoils the guide's file and checks it."""

    def spoiled(change=None, *, meta=None, **options):
        table = pq.read_table(guide)
        frame = table.to_pandas()
        frame = frame if change is None else change(frame)
        told = json.loads(table.schema.metadata[b"fer_bench"]) | (meta or {})
        file = tmp_path / "x.parquet"
        out = pa.Table.from_pandas(frame, preserve_index=False)
        pq.write_table(out.replace_schema_metadata({b"fer_bench": json.dumps(told).encode()}), file)
        return check_submission(file, find_roots(str(data)), **options)

    return spoiled


def test_the_guides_example_is_valid_and_scored_as_any_run(guide, data):
    found = json.loads(call("submit", "check", guide, "--data-root", data, "--json"))
    frame = pd.read_parquet(guide)
    classes = found["submission"]["classes"]
    answer = np.array(classes)[frame[[f"logit_{c}" for c in classes]].to_numpy().argmax(1)]
    assert found["score"]["metrics"]["uar"] == pytest.approx(balanced_accuracy_score(frame["label"], answer))
    assert (found["data_kind"], found["protocol"], found["score"]["n"]) == (
        "synthetic",
        "7-official",
        len(frame),
    )
    text = call("submit", "check", guide, "--data-root", data)
    assert "valid: my-network, trained on rafdb (7-official), tested on rafdb  SYNTHETIC DATA" in text
    assert "UAR" in text


def test_the_order_of_rows_does_not_matter(check):
    plain, turned = check().score, check(lambda f: f.iloc[::-1]).score
    assert turned.model_copy(update={"breakdown": None}) == plain.model_copy(update={"breakdown": None})


def test_a_model_of_another_dataset_is_scored_on_shared_classes(check, guide):
    classes = ["happiness", "sadness", "surprise", "fear", "disgust", "anger"]
    columns = ["sample_id", "unit", "label", *(f"logit_{c}" for c in classes)]
    found = check(lambda f: f[columns], meta={"source": "oulu", "classes": classes}, protocol="6-10fold")
    assert found.score.label_set == tuple(classes)
    assert found.score.kept_share < 1
    assert found.score.breakdown.groups == {} or "subject" not in found.score.breakdown.groups


def doubled(frame):
    return pd.concat([frame, frame.iloc[[3]]])


def with_value(column, row, value):
    def change(frame):
        frame[column] = frame[column].astype(object) if isinstance(value, str) else frame[column]
        frame.loc[row, column] = value
        return frame

    return change


def swapped(frame):
    columns = list(frame.columns)
    columns[3], columns[4] = columns[4], columns[3]
    return frame[columns]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f.drop(index=2),
            r"1 of \d+ rows of rafdb/7-official are missing, the first is \(found 'test",
        ),
        (doubled, r"line \d+: sample_id is repeated \(found 'test"),
        (with_value("logit_fear", 4, np.nan), r"line 5: logit_fear is not finite"),
        (with_value("logit_fear", 4, np.inf), r"line 5: logit_fear is not finite"),
        (with_value("label", 1, "fear"), r"line 2: the label of 'test_0002' is"),
        (with_value("label", 1, "happy"), r"line 2: label is not an emotion \(found 'happy'\)"),
        (with_value("unit", 1, "me"), r"line 2: the unit of 'test_0002' is 'test_0002'"),
        (with_value("sample_id", 1, "train_0001"), r"rows of rafdb/7-official are missing"),
        (swapped, r"logit columns differ from the classes"),
        (lambda f: f.astype({"logit_fear": "float64"}), r"logit_fear is not float32 \(found 'float64'\)"),
        (lambda f: f.assign(unit=range(len(f))), r"unit is not text \(found 'int64'\)"),
        (lambda f: f.drop(columns="unit"), r"lack a column \(found 'unit'\)"),
        (lambda f: f.iloc[:0], r"no row"),
    ],
)
def test_what_breaks_the_contract_is_refused_with_reason_and_row(check, change, message):
    with pytest.raises(FerBenchError) as error:
        check(change)
    assert re.search(message, str(error.value)), str(error.value)
    assert "x.parquet" in str(error.value)


def test_foreign_rows_are_refused(check):
    extra = {"sample_id": "train_0001", "unit": "train_0001"}
    with pytest.raises(FerBenchError, match=r"1 rows are not in rafdb/7-official \(found 'train_0001'\)"):
        check(lambda f: pd.concat([f, f.iloc[[0]].assign(**extra)], ignore_index=True))


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        ({"fingerprint": "0" * 16}, "another version of rafdb: its index is"),
        ({"target": "rafbd"}, "unknown dataset"),
        ({"target": "val"}, "unknown dataset"),
        ({"classes": 7}, "invalid predictions metadata"),
        ({"surplus": 7}, "invalid predictions metadata"),
    ],
)
def test_wrong_metadata_are_refused(check, meta, message):
    with pytest.raises(FerBenchError, match=message):
        check(meta=meta)


def test_classes_in_another_order_are_refused(check, guide):
    told = json.loads(pq.read_table(guide).schema.metadata[b"fer_bench"])["classes"]
    with pytest.raises(FerBenchError, match="classes in another order than rafdb/7-official"):
        check(swapped, meta={"classes": [told[1], told[0], *told[2:]]})
    with pytest.raises(FerBenchError, match="classes that differ from rafdb"):
        check(lambda f: f.drop(columns=f"logit_{told[-1]}"), meta={"classes": told[:-1]})


def test_an_unknown_protocol_or_fold_is_refused(check):
    with pytest.raises(FerBenchError, match="unknown protocol"):
        check(protocol="9-official")
    with pytest.raises(FerBenchError, match="no such fold"):
        check(fold=2)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"sample_id,label\n1,fear\n"])
def test_what_is_no_parquet_is_refused(data, tmp_path, content):
    file = tmp_path / "x.parquet"
    file.write_bytes(content)
    with pytest.raises(FerBenchError, match="not a readable parquet file"):
        check_submission(file, find_roots(str(data)))
    with pytest.raises(FerBenchError, match="the predictions do not exist"):
        check_submission(tmp_path / "absent.parquet", find_roots(str(data)))
    pd.DataFrame({"a": [1]}).to_parquet(file)
    with pytest.raises(FerBenchError, match="lacks the metadata"):
        check_submission(file, find_roots(str(data)))


def test_pictures_that_two_datasets_share_are_refused(check, data, tmp_path):
    with pytest.raises(FerBenchError, match="ferplus holds pictures of fer2013"):
        check(meta={"source": "fer2013", "target": "ferplus"})
    with pytest.raises(FerBenchError, match="mmafedb holds pictures of expw"):
        call("submit", "rows", "--source", "expw+oulu", "--target", "mmafedb", "--out", tmp_path / "rows.csv")


def test_another_version_of_the_card_is_refused(check):
    with pytest.raises(FerBenchError, match=r"another version of the card of rafdb: it is \d+ here"):
        check(meta={"card_version": 99})


def test_a_model_of_a_union_is_tested_on_a_members_own_rows(check, guide, data, tmp_path):
    facts = call(
        *("submit", "rows", "--source", "rafdb+expw", "--target", "rafdb"),
        *("--data-root", data, "--out", tmp_path / "rows.csv"),
    )
    told = json.loads(facts)
    assert told["source"] == "expw+rafdb"
    assert set(pd.read_csv(tmp_path / "rows.csv")["sample_id"]) == set(pd.read_parquet(guide)["sample_id"])
    columns = ["sample_id", "unit", "label", *(f"logit_{c}" for c in told["classes"])]
    found = check(lambda f: f[columns], meta={"source": told["source"], "classes": told["classes"]})
    assert found.trained.name == "7-union"
    assert found.score.kept_share == 1


def test_groups_are_printed_with_classes(guide, data):
    text = call("submit", "check", guide, "--data-root", data)
    assert re.search(r"happiness +\d+ +\d+\.\d", text)
    assert "class-wise" in text
    assert "gender: " in text


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    root = tmp_path_factory.mktemp("videos")
    layouts.write("affwild2", root, size="tiny", jobs=1)
    return root


def test_rows_with_affect_alone_are_asked_for_and_scored(videos, tmp_path):
    out = tmp_path / "rows.csv"
    asked = ("submit", "rows", "--target", "affwild2", "--data-root", videos, "--out", out)
    call(*asked)
    plain = pd.read_csv(out)
    facts = json.loads(call(*asked, "--affect"))
    rows = pd.read_csv(out, dtype={"sample_id": "str", "unit": "str", "label": "str"})
    assert set(plain["sample_id"]) < set(rows["sample_id"])
    assert rows["label"].isna().any()
    frame = rows[["sample_id", "unit", "label"]].copy()
    for name in facts["classes"]:
        frame[f"logit_{name}"] = np.float32(0)
    for name in [column for column in rows if column.endswith("_true")]:
        kind = "float32" if name in ("valence_true", "arousal_true") else "int8"
        frame[name] = rows[name].astype(kind)
        frame[name.removesuffix("_true")] = np.float32(0.5)
    meta = {"schema_version": 1, "method": "m", "key": "k", "selection": "val", "checkpoint": "c"}
    meta |= {"pixels": "own", "recipe": "own", **facts}
    file = tmp_path / "x.parquet"
    table = pa.Table.from_pandas(frame, preserve_index=False)
    pq.write_table(table.replace_schema_metadata({b"fer_bench": json.dumps(meta).encode()}), file)
    found = check_submission(file, find_roots(str(videos)))
    assert found.score.n == len(plain)
    assert found.score.breakdown.va["valence"].n == rows["valence_true"].notna().sum()
    labelled = frame[frame["sample_id"].isin(plain["sample_id"])]
    table = pa.Table.from_pandas(labelled, preserve_index=False)
    pq.write_table(table.replace_schema_metadata({b"fer_bench": json.dumps(meta).encode()}), file)
    with pytest.raises(FerBenchError, match="are missing, the first is"):
        check_submission(file, find_roots(str(videos)))
