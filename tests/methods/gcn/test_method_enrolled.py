"""gcn with enrolled pictures: what is compared, and that it is not asked of others."""

from __future__ import annotations

import torch

from fer_bench.methods.gcn.method import GCN
from tests.methods.gcn.small import make, make_batch


def test_validation_compares_with_the_enrolled_picture_and_else_with_the_generated_one():
    method = make(reference="enrolled", variant="S1R0").eval()
    batch = make_batch(4)
    batch["has_reference"] = torch.tensor([True, False, True, False])
    found = method.predict_batch(batch)
    network, image = method.network, batch["image"][:, :1]
    generated = network.generate(image)
    real = network.compare(image, generated, instead=batch["reference"][:, :1]).logits
    drawn = network.compare(image, generated).logits
    has = batch["has_reference"]
    torch.testing.assert_close(found.logits[has], real[has])
    torch.testing.assert_close(found.logits[~has], drawn[~has])
    assert not torch.allclose(real, drawn)
    torch.testing.assert_close(found.extras["reference"][has], batch["reference"][has][:, :1])


def test_pictures_are_not_looked_at_by_other_settings():
    method, batch = make(variant="S1R0").eval(), make_batch(4)
    torch.testing.assert_close(method.predict_batch(batch).logits, method(batch["image"]).logits)


def test_one_picture_alone_is_compared_with_the_generated_reference():
    method, batch = make(reference="enrolled", variant="S1R0").eval(), make_batch(4)
    alone = {"image": batch["image"], "label": batch["label"]}
    torch.testing.assert_close(method.predict_batch(alone).logits, method(batch["image"]).logits)


def test_training_compares_with_the_enrolled_picture_too():
    method, batch = make(reference="enrolled", variant="S1R0").eval(), make_batch(4)
    network, image = method.network, batch["image"][:, :1]
    flows = network.compare(image, network.generate(image), instead=batch["reference"][:, :1])
    expected = torch.nn.functional.cross_entropy(flows.logits, batch["label"])
    torch.testing.assert_close(method.losses(batch)["classification"], expected)


def test_the_record_says_that_a_second_picture_is_seen():
    (told,) = GCN.caveats(make(reference="enrolled").settings)
    assert "real neutral picture" in told
