import os
import signal
import time

import pytest
import torch

from fer_bench import allocator
from fer_bench.runs.processes import Interrupted, configure_torch, stop_signals


class TestSignals:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
    def test_the_first_one_stops_and_the_others_do_not_break_off_the_record(self, number):
        written = []

        def is_stopped_again_and_again():
            try:
                os.kill(os.getpid(), number)
                time.sleep(5)
            except Interrupted:
                for other in (signal.SIGINT, signal.SIGTERM):
                    os.kill(os.getpid(), other)
                written.append("record")
                raise

        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # the tests themselves may run under nohup
        try:
            with pytest.raises(Interrupted), stop_signals():
                is_stopped_again_and_again()
        finally:
            signal.signal(signal.SIGHUP, before)
        assert written == ["record"]
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    def test_a_schedulers_warning_stops_a_run_unless_something_else_listens(self):
        def is_warned():
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(5)

        with pytest.raises(Interrupted, match="SIGUSR1"), stop_signals():
            is_warned()
        heard = []
        signal.signal(signal.SIGUSR1, lambda *given: heard.append(given[0]))
        try:
            with stop_signals():
                os.kill(os.getpid(), signal.SIGUSR1)
        finally:
            signal.signal(signal.SIGUSR1, signal.SIG_DFL)
        assert heard == [signal.SIGUSR1]

    def test_an_ignored_closed_terminal_stays_ignored(self):
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
        try:
            with stop_signals():
                os.kill(os.getpid(), signal.SIGHUP)
        finally:
            signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("tf32", [False, True])
def test_tf32_is_what_was_asked_for(plan, tf32):
    settings = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [setting.allow_tf32 for setting in settings]
    try:
        for setting in settings:
            setting.allow_tf32 = not tf32
        configure_torch(plan(tf32=tf32).config)
        assert [setting.allow_tf32 for setting in settings] == [not tf32] * 2
        configure_torch(plan(device="cuda", precision="32", tf32=tf32).config)
        assert [setting.allow_tf32 for setting in settings] == [tf32] * 2
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.allow_tf32 = value


def test_a_process_that_works_on_runs_keeps_freed_memory(plan, monkeypatch):
    monkeypatch.delenv(allocator.VARIABLE, raising=False)
    monkeypatch.setattr(allocator, "_kept", False)
    configure_torch(plan().config)
    assert not allocator.describe().startswith("glibc") or allocator.describe().endswith("kept")
