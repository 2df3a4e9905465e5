import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

from fer_bench.data.loading.sending import SMALL, BatchLoader, as_sent

LARGE = SMALL // 4 + 1


class Batches(Dataset):
    """Batches of every kind of value that rows, changes and methods make."""

    def __len__(self):
        return 3

    def __getitem__(self, number):
        return {
            "large": torch.full((LARGE,), float(number)),
            "row": torch.tensor([number, 5]),
            "flag": torch.tensor([True, False]),
            "va": torch.tensor([[float("nan"), 0.5]]),
            "half": torch.tensor([0.25, 1.5], dtype=torch.bfloat16),
            "learned": torch.ones(2, requires_grad=True),
            "turned": torch.arange(6).reshape(2, 3).T,
            "none": torch.empty(0, 4),
            "array": np.array([7, 8]),
        }


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_arrive_as_tensors_of_the_same_values(workers):
    loader = BatchLoader(Batches(), batch_size=None, collate_fn=as_sent, num_workers=workers)
    for number, batch in enumerate(loader):
        expected = {name: torch.as_tensor(value) for name, value in Batches()[number].items()}
        assert list(batch) == list(expected)
        for name, value in expected.items():
            torch.testing.assert_close(batch[name], value.detach(), rtol=0, atol=0, equal_nan=True)
        batch["row"] += 1  # what came within the message can be written to


def test_only_large_tensors_take_shared_memory():
    (batch, *_) = BatchLoader(Batches(), batch_size=None, collate_fn=as_sent, num_workers=1)
    assert batch["large"].is_shared()
    assert not any(batch[name].is_shared() for name in ("row", "flag", "va", "turned"))


def test_what_is_not_sent_is_not_copied():
    batch = {"row": torch.arange(3)}
    assert as_sent(batch)["row"] is batch["row"]
