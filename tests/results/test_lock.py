import multiprocessing
import os
import socket
import time

from fer_bench.results.lock import STALE_AFTER, Lock


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
