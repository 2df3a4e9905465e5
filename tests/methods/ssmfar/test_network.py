"""ssmfar's network: the authors' sizes and what its heads read."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from fer_bench.data.batch import Task
from fer_bench.methods.size import count_parameters
from fer_bench.methods.ssmfar.network import ActionUnitHeads, SSMFARNetwork
from fer_bench.methods.ssmfar.settings import SSMFARSettings
from tests.methods.ssmfar.small import THREE, make, make_batch


def test_parameters_are_the_authors():
    with torch.device("meta"):
        network = SSMFARNetwork(8, backbone="resnet18", with_va=True, with_au=True)
    assert count_parameters(network.backbone) == 11_176_512
    assert count_parameters(network) == 11_176_512 + 115_286


def test_shapes_at_the_authors_size():
    with torch.device("meta"):
        network = SSMFARNetwork(8, backbone="resnet18", with_va=True, with_au=True)
        found = network(torch.zeros(2, 3, 224, 224))
    assert (found.expression.shape, found.va.shape, found.au.shape) == ((2, 8), (2, 2), (2, 12))


@pytest.mark.parametrize(("has_va", "has_au"), [(False, False), (True, False), (False, True)])
def test_heads_are_absent_where_the_data_lack_them(has_va, has_au):
    task = Task(THREE, (4, 4, 4), has_va=has_va, has_au=has_au, au_counts=((1, 1),) * 12 if has_au else ())
    method = make(task)
    prediction = method.eval()(torch.zeros(2, 3, 32, 32))
    assert (prediction.va is not None, prediction.au is not None) == (has_va, has_au)
    method.train().training_step(make_batch(), 0).backward()
    assert all(p.grad is not None for p in method.parameters())


@pytest.mark.parametrize("scale", [1.0, 14.0])
def test_predictions_stay_in_range_and_heads_read_a_feature_of_the_set_length(scale):
    assert SSMFARSettings().feature_scale == 1.0
    method = make(feature_scale=scale).eval()
    with torch.no_grad():
        method.network.va[2].bias.copy_(torch.tensor([5.0, -5.0]))
        prediction = method(torch.randn(3, 3, 32, 32))
    assert prediction.va.tolist() == [[1.0, -1.0]] * 3
    seen = []
    method.network.expression.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    method(torch.randn(3, 3, 32, 32))
    torch.testing.assert_close(seen[0].norm(dim=1), torch.full((3,), scale))


def test_each_action_unit_reads_its_own_branch():
    heads = ActionUnitHeads(5)
    feature = torch.randn(4, 5)
    hidden = [
        F.relu(
            feature @ heads.branches.weight[16 * k : 16 * k + 16].T
            + heads.branches.bias[16 * k : 16 * k + 16]
        )
        for k in range(12)
    ]
    expected = torch.stack([h @ heads.weight[k] + heads.bias[k] for k, h in enumerate(hidden)], dim=1)
    torch.testing.assert_close(heads(feature), expected)


def test_network_is_exportable():
    network = make().network.eval()
    image = torch.rand(2, 3, 32, 32)
    program = torch.export.export(network, (image,), dynamic_shapes=({0: torch.export.Dim("batch")},))
    for one, other in zip(program.module()(image[:1]), network(image[:1]), strict=True):
        torch.testing.assert_close(one, other)
