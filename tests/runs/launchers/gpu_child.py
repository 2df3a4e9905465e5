"""A run in the tests of GPU slots: it only writes which GPUs it was given, and when."""

import os
import time

from fer_bench.runs.events import Event


def tell_gpus(run, store, workspace, options, events, parent):
    started = time.monotonic()
    time.sleep(0.3)
    told = f"{os.environ.get('CUDA_VISIBLE_DEVICES')} {started} {time.monotonic()}"
    (store.root / f"{run.key}.gpus").write_text(told)
    events.send(Event(run.key, "end", status="done"))
