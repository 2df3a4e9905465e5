import json
import multiprocessing
import os
import socket
import time

import numpy as np
import pytest

from fer_bench.errors import StoreError
from fer_bench.results.predictions import (
    Predictions,
    PredictionsMeta,
    predictions_frame,
    read_predictions,
    write_predictions,
)
from fer_bench.results.record import Record, read_record
from fer_bench.results.store import STALE_AFTER, Lock, Store

CLASSES = ("happiness", "anger")


def record(**changes):
    values = {
        "status": "done",
        "key": "0123456789abcdef",
        "method": "gcn",
        "dataset": "oulu",
        "protocol": "6-4fold",
        "fold": 1,
        "folds": 4,
        "seed": 0,
        "profile": "quick",
        "data_kind": "synthetic",
        "classes": CLASSES,
        "settings": {},
        "key_fields": {},
    }
    return Record(**{**values, **changes})


def predictions(**changes):
    frame = predictions_frame(
        sample_ids=["a", "b", "c"],
        units=["s1", "s1", "s2"],
        labels=["happiness", None, "anger"],
        classes=CLASSES,
        logits=np.array([[1, 0], [0, 1], [0.5, 0.25]], np.float32),
    )
    meta = {
        "key": "k",
        "method": "gcn",
        "source": "oulu",
        "target": "mmi",
        "selection": "val",
        "checkpoint": "c",
        "card_version": 1,
        "fingerprint": "f",
        "pixels": "p",
        "recipe": "r",
        "classes": CLASSES,
    }
    return Predictions(frame, PredictionsMeta(**{**meta, **changes}))


class TestRecord:
    def test_survives_a_round_trip(self, tmp_path):
        run = Store(tmp_path).run_dir("gcn", "oulu", "0123456789abcdef")
        written = record(warnings=("a | b",), timing={"train": 1.5})
        run.write_record(written)
        assert run.read_record() == written

    @pytest.mark.parametrize(
        ("content", "word"),
        [
            ("{", "readable JSON"),
            ("[]", "schema"),
            ('{"schema_version": 99}', "schema"),
            ('{"schema_version": 1, "status": "nonsense"}', "invalid record"),
        ],
    )
    def test_damage_is_named(self, tmp_path, content, word):
        path = tmp_path / "record.json"
        path.write_text(content)
        with pytest.raises(StoreError, match=word) as caught:
            read_record(path)
        assert str(path) in str(caught.value)

    def test_no_run_has_no_record(self, tmp_path):
        assert Store(tmp_path).run_dir("gcn", "oulu", "x").read_record() is None


class TestPredictions:
    def test_survive_a_round_trip_in_the_same_bytes(self, tmp_path):
        one, two = tmp_path / "1.parquet", tmp_path / "2.parquet"
        write_predictions(one, predictions())
        write_predictions(two, predictions())
        assert one.read_bytes() == two.read_bytes()
        back = read_predictions(one)
        assert back.meta == predictions().meta
        assert back.logits.dtype == np.float32
        assert back.logits.tolist() == predictions().logits.tolist()
        assert back.frame["label"].isna().tolist() == [False, True, False]

    @pytest.mark.parametrize(
        ("damage", "word"),
        [
            (lambda f: f.assign(sample_id=["a", "a", "c"]), "repeated sample_id"),
            (lambda f: f.assign(label=["happiness", "joy", None]), "unknown label"),
            (lambda f: f.assign(logit_anger=np.array([0, np.nan, 1], np.float32)), "not finite"),
            (lambda f: f.assign(logit_anger=np.array([0, 1, 1], np.float64)), "not float32"),
            (lambda f: f[["sample_id", "unit", "label", "logit_anger", "logit_happiness"]], "order"),
            (lambda f: f.drop(columns="unit"), "lack a column"),
            (lambda f: f.iloc[:0], "no row"),
        ],
    )
    def test_what_breaks_the_contract_is_refused(self, tmp_path, damage, word):
        good = predictions()
        with pytest.raises(StoreError, match=word):
            write_predictions(tmp_path / "p.parquet", Predictions(damage(good.frame), good.meta))
        assert list(tmp_path.iterdir()) == []

    def test_refusal_names_row_and_value(self, tmp_path):
        good = predictions()
        bad = Predictions(good.frame.assign(label=["happiness", "anger", "joy"]), good.meta)
        with pytest.raises(StoreError, match=r"line 3: unknown label \(found 'joy'\)"):
            write_predictions(tmp_path / "p.parquet", bad)

    def test_other_files_are_no_predictions(self, tmp_path):
        path = tmp_path / "p.parquet"
        path.write_text("not a parquet")
        with pytest.raises(StoreError, match="not a readable parquet"):
            read_predictions(path)
        with pytest.raises(StoreError, match="no predictions"):
            read_predictions(tmp_path / "absent.parquet")
        good = predictions()
        good.frame.to_parquet(path)
        with pytest.raises(StoreError, match="metadata"):
            read_predictions(path)


def _contend(path, start, results):
    start.wait()
    won = Lock(path).acquire()
    results.put(won)
    if won:
        time.sleep(0.5)  # stay alive: a dead winner's lock may be taken


class TestLock:
    def test_second_claim_fails_until_release(self, tmp_path):
        first, second = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
        assert first.acquire()
        assert not second.acquire()
        first.release()
        assert second.acquire()

    def test_dead_process_on_this_machine_is_taken_over(self, tmp_path):
        child = multiprocessing.get_context("fork").Process(target=os._exit, args=(0,))
        child.start()
        child.join()
        path = tmp_path / "lock"
        path.write_text(f"{socket.gethostname()} {child.pid}\n")
        assert Lock(path).acquire()

    def test_a_process_that_got_the_number_of_a_dead_owner_is_no_owner(self, tmp_path):
        path = tmp_path / "lock"
        assert Lock(path).acquire()
        host, pid, numbering, _ = path.read_text().split()
        assert not Lock(path).acquire()
        path.write_text(f"{host} {pid} {numbering} 1\n")
        assert Lock(path).acquire()

    def test_before_this_machine_was_started_anew_numbers_mean_nothing(self, tmp_path):
        """As after a power cut, when somebody else has the number, or in another container of that name."""
        path = tmp_path / "lock"
        path.write_text(f"{socket.gethostname()} {os.getpid()} another-boot/pid:[1] 1\n")
        assert not Lock(path).acquire()
        old = time.time() - STALE_AFTER - 1
        os.utime(path, (old, old))
        assert Lock(path).acquire()

    def test_other_machine_is_believed_until_its_heartbeat_is_old(self, tmp_path):
        path = tmp_path / "lock"
        path.write_text("elsewhere 1\n")
        assert not Lock(path).acquire()
        old = time.time() - STALE_AFTER - 1
        os.utime(path, (old, old))
        assert Lock(path).acquire()

    def test_heartbeat_keeps_it_fresh(self, tmp_path):
        path = tmp_path / "lock"
        path.write_text("elsewhere 1\n")
        os.utime(path, (0, 0))
        Lock(path).beat()
        assert not Lock(path).acquire()

    def test_one_of_many_wins_a_stale_lock(self, tmp_path):
        context = multiprocessing.get_context("fork")
        for attempt in range(5):
            path = tmp_path / f"lock{attempt}"
            path.write_text("elsewhere 1\n")
            os.utime(path, (0, 0))
            start, results = context.Event(), context.Queue()
            crowd = [context.Process(target=_contend, args=(path, start, results)) for _ in range(6)]
            for process in crowd:
                process.start()
            start.set()
            won = sum(results.get(timeout=10) for _ in crowd)
            for process in crowd:
                process.join()
            assert won == 1


class TestStore:
    def test_records_come_in_a_stable_order(self, tmp_path):
        store = Store(tmp_path)
        for key, method, seed in (("c" * 16, "gcn", 1), ("a" * 16, "gcn", 0), ("b" * 16, "cafe", 0)):
            store.run_dir(method, "oulu", key).write_record(record(key=key, method=method, seed=seed))
        assert [(r.method, r.seed) for r in store.records()] == [("cafe", 0), ("gcn", 0), ("gcn", 1)]

    def test_find_needs_one_match(self, tmp_path):
        store = Store(tmp_path)
        for key in ("abc1", "abc2"):
            store.run_dir("gcn", "oulu", key).write_record(record(key=key))
        assert store.find("abc2").path.name == "abc2"
        with pytest.raises(StoreError, match="2 runs"):
            store.find("abc")
        with pytest.raises(StoreError, match="no run"):
            store.find("zzz")

    def test_a_file_in_the_way_is_said(self, tmp_path):
        blocked = tmp_path / "runs"
        blocked.write_text("")
        with pytest.raises(StoreError, match="cannot be written"):
            Store(blocked).check_writable()

    def test_record_is_plain_json(self, tmp_path):
        run = Store(tmp_path).run_dir("gcn", "oulu", "k")
        run.write_record(record())
        raw = json.loads(run.record_file.read_text())
        assert raw["schema_version"] == 1
        assert raw["classes"] == list(CLASSES)
