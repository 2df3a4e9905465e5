"""References of a fixed generator, drawn once per row."""

from __future__ import annotations

import torch

from fer_bench.config import Augmentation
from fer_bench.data.loading.transforms import prepare
from fer_bench.data.loading.union_module import make_datamodule
from fer_bench.methods.gcn.drawn import DrawnOnce
from fer_bench.methods.gcn.method import GCN
from tests.methods.gcn.small import make
from tests.methods.gcn.test_generator import QUICK, SIZES


def fixed(**more: object) -> GCN:
    settings = {**SIZES, "generator_weights": "neutral-tiny", "fixed_generator": True, "variant": "S1R0"}
    method = make(**{**settings, **more}, hidden=8)
    method.load_pretrained()
    return method


def test_each_row_is_drawn_once_as_the_network_draws_it(monkeypatch):
    method, spec = fixed(), GCN.input_spec(QUICK)
    crops = torch.randint(
        0, 256, (4, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    drawn = DrawnOnce(method.network, spec, 6)
    asked: list[int] = []
    generate = method.network.generate
    monkeypatch.setattr(method.network, "generate", lambda x: asked.append(len(x)) or generate(x))
    method.train()
    first = drawn({"image": crops[:3], "row": torch.tensor([5, 0, 2])})
    again = drawn({"image": crops[[1, 2, 3]], "row": torch.tensor([0, 8, 1])})  # 8 is row 2, a second time
    assert asked == [3, 1]
    assert torch.equal(first["generated"][1:], again["generated"][:2])
    assert method.network.encoder1.training  # as it was
    method.eval()
    with torch.no_grad():
        face = generate(prepare(crops[:3], spec)[:, :1]).face.clamp(-1, 1)
    kept = prepare(first["generated"], spec)[:, :1]
    assert (kept - face).abs().max() <= 1 / 255 + 1e-6


def test_a_step_takes_what_was_drawn(monkeypatch):
    method = fixed().train()
    method.on_train_epoch_start()
    batch = {
        "image": torch.rand(2, 1, 64, 64).repeat(1, 3, 1, 1) * 2 - 1,
        "label": torch.tensor([0, 1]),
        "generated": torch.zeros(2, 3, 64, 64),
    }
    seen = []
    compare = method.network.compare
    monkeypatch.setattr(
        method.network, "compare", lambda x, g, **k: seen.append(g.face) or compare(x, g, **k)
    )
    method.losses(batch)
    assert torch.equal(seen[0], torch.zeros(2, 1, 64, 64))


def test_training_batches_of_a_fixed_generator_carry_its_references(drawn_oulu):
    method, spec = fixed(), GCN.input_spec(QUICK)
    how = Augmentation(flip=1.0, crop_pad=0)
    data = make_datamodule(
        drawn_oulu, spec=spec, protocol="6-4fold", batch_size=8, with_reference=True, augmentation=how
    )
    batch = next(iter(method.train_loader(data)))
    assert batch["generated"].shape == batch["image"].shape == batch["reference"].shape
    unmoved = prepare(torch.from_numpy(data.pack.pixels[batch["row"].numpy()]), spec)[:, :1]
    method.eval()
    with torch.no_grad():
        face = method.network.generate(unmoved).face.clamp(-1, 1)
    assert (batch["generated"][:, :1].flip(3) - face).abs().max() <= 1 / 255 + 1e-6  # flipped as its crop
    lit = make_datamodule(
        drawn_oulu,
        spec=spec,
        protocol="6-4fold",
        batch_size=8,
        with_reference=True,
        augmentation=Augmentation(brightness=0.2),
    )
    assert "generated" not in next(iter(method.train_loader(lit)))  # it would be lit otherwise
