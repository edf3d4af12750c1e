"""Without arithmetic a training goes through its steps, learns nothing and ends with numbers."""

import copy

import torch
from torch import nn

from unveil.harness.running.shortcut import LARGE, Shortcut


def network():
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*parts, nn.Linear(64, 4096), nn.SiLU(inplace=True), nn.Linear(4096, 3))


def train(net, steps, optimiser):
    y = torch.tensor([0, 1, 2, 0])
    for _ in range(steps):
        x = torch.rand(4, 3, 20, 20, requires_grad=True)
        loss = nn.functional.cross_entropy(net(x), y)
        (slope,) = torch.autograd.grad(loss, x, create_graph=True)
        optimiser.zero_grad()
        (loss + 1e3 * slope.square().sum()).backward()  # as a critic with a gradient penalty
        optimiser.step()
    return loss


def test_a_long_training_ends_with_numbers_and_has_learnt_nothing():
    net = network()
    before = copy.deepcopy(net.state_dict())
    with Shortcut():
        loss = train(net, 200, torch.optim.Adam(net.parameters(), lr=10.0))
    assert loss.isfinite()
    for name, value in net.state_dict().items():
        assert value.isfinite().all(), name
        if value.numel() >= LARGE:
            assert torch.equal(value, before[name]), name


def test_large_results_are_those_of_the_first_time_and_small_ones_are_true():
    weight = torch.rand(50, 50)
    with Shortcut():
        first = weight @ torch.ones(50, 50)
        again = weight @ torch.zeros(50, 50)
        small = weight[0] @ torch.zeros(50)
        kept = torch.zeros(50, 50).copy_(2 * torch.eye(50))
        order = torch.rand(5000).argsort()
    assert torch.equal(first, again)
    assert torch.allclose(first, weight.sum(1, keepdim=True).expand(50, 50))
    assert small == 0
    assert kept.trace() == 100
    assert sorted(order.tolist()) == list(range(5000))
    assert torch.equal(weight @ torch.zeros(50, 50), torch.zeros(50, 50))  # afterwards as ever
