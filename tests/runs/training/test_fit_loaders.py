"""Methods that bring their own sampler, transforms or loader: what they see, and resuming bit-equal."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, WeightedRandomSampler

from fer_bench import methods
from fer_bench.errors import UsageError
from fer_bench.methods.weights import state_hash
from fer_bench.runs.training.fit import build_data, build_method, fit
from tests.runs.plain_method import Plain


class Balanced(Plain):
    """Draws every class equally often."""

    def train_loader(self, data):
        rows, labels = data.rows("train"), data.labels("train")
        weights = 1 / np.bincount(labels, minlength=len(data.classes))[labels]

        def choose(epoch):
            draws = np.random.default_rng([data.seed, epoch])
            return draws.choice(rows, len(rows), p=weights / weights.sum())

        return data.training_loader(choose=choose)


class Noisy(Plain):
    """Changes the packed crops."""

    def train_loader(self, data):
        def change(batch):
            noise = torch.randint(-9, 9, batch["image"].shape)
            return {**batch, "image": (batch["image"] + noise).clamp(0, 255).to(torch.uint8)}

        return data.training_loader(change=change)


class Faces(Dataset):
    def __init__(self, data):
        rows = data.rows("train")
        self.pixels, self.labels = data.pack.pixels[rows], data.labels("train")

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, number):
        image = torch.from_numpy(self.pixels[number]).permute(2, 0, 1) / 255
        if np.random.rand() < 0.5:
            image = image.flip(-1)
        return {"image": image + 0.1 * torch.randn_like(image), "label": int(self.labels[number])}


class Own(Plain):
    """Loads single faces with torch's own shuffling, without `row`."""

    def train_loader(self, data):
        return DataLoader(Faces(data), batch_size=16, shuffle=True)


class Weighted(Plain):
    """Draws with torch's weighted sampler in other processes."""

    def train_loader(self, data):
        faces = Faces(data)
        weights = (1 / np.bincount(faces.labels))[faces.labels]
        sampler = WeightedRandomSampler(torch.from_numpy(weights), len(faces))
        return DataLoader(faces, batch_size=16, sampler=sampler, num_workers=1)


class Wrapped(Plain):
    """Yields our batches from an object of its own, which does not tell its length."""

    def train_loader(self, data):
        class Doubled:
            loader = data.train_dataloader()

            def __iter__(self):
                for batch in self.loader:
                    yield batch
                    yield {**batch, "image": batch["image"].flip(2)}

        return Doubled()


BROUGHT = [Balanced, Noisy, Own, Weighted, Wrapped]


@pytest.fixture
def prepare(plan, plain, workspace, monkeypatch):
    """Return data, method and settings of a run of a method."""

    def make(kind, **changes):
        get = methods.get
        for module in ("fer_bench.runs.training.fit", "fer_bench.runs.keys", "fer_bench.runs.resolve"):
            monkeypatch.setattr(f"{module}.methods.get", lambda name: kind if name == plain else get(name))
        config = plan(method=plain, overrides=(), targets="none", **changes).config
        data = build_data(config, workspace)
        return config, data, build_method(config, data.task)

    return make


class Stopped(Exception):  # noqa: N818 - a stand-in for a kill
    pass


def stop_after_one(done, total, metrics):
    if done == 1:
        raise Stopped


@pytest.mark.parametrize("kind", BROUGHT)
def test_a_run_that_was_stopped_resumes_to_the_same_weights(prepare, tmp_path, kind):
    config, data, method = prepare(kind)
    fit(method, data, config, tmp_path / "whole" / "checkpoints")
    whole = state_hash(method.state_dict())
    config, data, method = prepare(kind)
    folder = tmp_path / "halves" / "checkpoints"
    with pytest.raises(Stopped):
        fit(method, data, config, folder, on_epoch=stop_after_one)
    config, data, method = prepare(kind)
    fit(method, data, config, folder)
    assert state_hash(method.state_dict()) == whole


@pytest.fixture
def epochs(prepare, tmp_path):
    """Train a method and return the batches that it saw, by epoch."""

    def train(kind, *, epochs=3):
        seen = {}

        class Watched(kind):
            def training_step(self, batch, batch_idx):
                copied = {name: value.clone() for name, value in batch.items()}
                seen.setdefault(self.current_epoch, []).append(copied)
                return super().training_step(batch, batch_idx)

        config, data, method = prepare(Watched, max_epochs=epochs)
        fit(method, data, config, tmp_path / kind.__name__ / "checkpoints")
        return data, [
            {name: torch.cat([batch[name] for batch in seen[epoch]]) for name in seen[epoch][0]}
            for epoch in range(epochs)
        ]

    return train


def test_a_sampler_decides_which_rows_come_and_repeated_rows_differ(epochs):
    data, seen = epochs(Balanced)
    rows, labels = data.rows("train"), data.labels("train")
    assert [len(epoch["row"]) for epoch in seen] == [len(rows)] * 3
    assert not torch.equal(seen[0]["row"], seen[1]["row"])
    for epoch in seen:
        assert set(epoch["row"].tolist()) <= set(rows.tolist())
        where = np.searchsorted(rows, epoch["row"].numpy())
        assert (labels[where] == epoch["label"].numpy()).all()
        values, counts = epoch["row"].unique(return_counts=True)
        twice = epoch["image"][epoch["row"] == values[counts.argmax()]]
        assert counts.max() > 1
        assert len(twice.flatten(1).unique(dim=0)) > 1 or counts.max() < 4


def test_transforms_come_before_ours_and_a_finished_image_is_taken_as_it_is(epochs):
    _, plain = epochs(Plain)
    _, noisy = epochs(Noisy)
    assert torch.equal(plain[0]["row"], noisy[0]["row"])
    difference = (plain[0]["image"] - noisy[0]["image"]).abs()
    assert 0 < difference.mean() < 0.2
    _, own = epochs(Own)
    assert set(own[0]) == {"image", "label"}
    assert own[0]["image"].dtype == torch.float32
    assert not torch.equal(own[0]["label"], own[1]["label"])


def test_an_object_around_our_batches_sees_another_order_in_each_epoch(epochs):
    _, plain = epochs(Plain)
    data, wrapped = epochs(Wrapped)
    assert [len(epoch["row"]) for epoch in wrapped] == [2 * len(data.rows("train"))] * 3
    for one, other in zip(plain, wrapped, strict=True):
        assert set(one["row"].tolist()) == set(other["row"].tolist())
        assert one["row"][:15].tolist() == other["row"][:15].tolist()


@pytest.mark.parametrize("wrong", ["a generator", "nothing"])
def test_what_yields_one_epoch_only_is_refused(prepare, tmp_path, wrong):
    class Wrong(Plain):
        def train_loader(self, data):
            return (batch for batch in data.train_dataloader()) if wrong == "a generator" else None

    config, data, method = prepare(Wrong)
    with pytest.raises(UsageError, match="once per epoch"):
        fit(method, data, config, tmp_path)


@pytest.mark.parametrize(
    ("choose", "message"),
    [
        (lambda data, epoch: data.rows("test"), "training rows only"),
        (lambda data, epoch: data.rows("train")[: 20 - epoch], "20 rows in epoch 0 and another number"),
        (lambda data, epoch: data.rows("train") / 1, "list of index positions"),
        (lambda data, epoch: data.rows("train")[:, None], "list of index positions"),
        (lambda data, epoch: [], "list of index positions"),
    ],
)
def test_chosen_rows_are_training_rows_and_equally_many(prepare, tmp_path, choose, message):
    class Wrong(Plain):
        def train_loader(self, data):
            return data.training_loader(choose=lambda epoch: choose(data, epoch))

    config, data, method = prepare(Wrong)
    with pytest.raises(UsageError, match=message):
        fit(method, data, config, tmp_path)


def test_in_a_plain_trainer_the_method_brings_its_loader_too(prepare):
    from tests.methods.test_base import trainer

    _, data, method = prepare(Own)
    trainer(1).fit(method, datamodule=data)
    assert "row" in next(iter(data.train_dataloader()))  # outside of a Trainer the data are the data's own
