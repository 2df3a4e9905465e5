import numpy as np
import pytest
import torch
from torch import Tensor
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
            "channels last": torch.rand(2, 4, 4, 3, generator=torch.manual_seed(number)).permute(0, 3, 1, 2),
            "none": torch.empty(0, 4),
            "array": np.array([7, 8]),
            "names": np.array(["S001", "S002"]),
        }


def loader(workers):
    return BatchLoader(Batches(), batch_size=None, collate_fn=as_sent, num_workers=workers)


@pytest.mark.filterwarnings("error:The given NumPy array is not writable")
@pytest.mark.parametrize("workers", [0, 2])
def test_batches_arrive_as_tensors_of_the_same_values_and_layout(workers):
    for number, batch in enumerate(loader(workers)):
        expected = Batches()[number]
        assert list(batch) == list(expected)
        assert batch.pop("names").tolist() == expected.pop("names").tolist()  # what torch has no type for
        for name, given in expected.items():
            value = torch.as_tensor(given)
            torch.testing.assert_close(batch[name], value, rtol=0, atol=0, equal_nan=True, check_stride=True)


def test_only_large_tensors_and_those_of_another_layout_take_shared_memory():
    (batch, *_) = loader(1)
    shared = {name for name, value in batch.items() if isinstance(value, Tensor) and value.is_shared()}
    assert shared == {"large", "half", "learned", "turned", "channels last"}


@pytest.mark.gpu
def test_small_tensors_are_pinned_as_large_ones_are():
    pinned = BatchLoader(Batches(), batch_size=None, collate_fn=as_sent, num_workers=1, pin_memory=True)
    (batch, *_) = pinned
    assert batch["row"].is_pinned()
    assert batch["large"].is_pinned()


def test_what_is_not_sent_is_not_copied():
    batch = {"row": torch.arange(3)}
    assert as_sent(batch)["row"] is batch["row"]
