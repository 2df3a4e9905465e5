import time

import numpy as np

from fer_bench.inference.face_model import Answers, FaceModel
from fer_bench.inference.latency import latency_ratios


class Slow(FaceModel):
    def __init__(self, seconds, log):
        self.seconds, self.log = seconds, log

    def answer(self, crops):
        self.log.append((self.seconds, len(crops)))
        time.sleep(self.seconds)
        return Answers(np.zeros((len(crops), 2), np.float32))


def test_a_model_that_takes_twice_as_long_has_a_ratio_of_two(monkeypatch):
    log = []
    crops = np.zeros((3, 8, 8, 3), np.uint8)
    found = latency_ratios(Slow(0.008, log), Slow(0.004, log), crops, batches=(1, 5))
    assert set(found) == {1, 5}
    assert all(1.4 < ratio < 2.6 for ratio in found.values())
    assert {size for _, size in log} == {1, 5}


def test_models_take_turns():
    log = []
    latency_ratios(Slow(0.001, log), Slow(0.002, log), np.zeros((1, 8, 8, 3), np.uint8), batches=(1,))
    order = [seconds for seconds, _ in log]
    pairs = list(zip(order[::2], order[1::2], strict=True))
    assert all(set(pair) == {0.001, 0.002} for pair in pairs)
    assert len(set(pairs)) == 2
