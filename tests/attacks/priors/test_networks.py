from __future__ import annotations

import pytest
import torch
from torch import nn

from unveil.attacks.priors.networks import DMB, DWGAN, GZ100, MinibatchDiscrimination
from unveil.harness.training.global_rng import seeded
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.run import Run

FACE = (3, 64, 64)


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_published_sizes_have_the_published_parameter_counts() -> None:
    with seeded(Run("0")):
        assert count(GZ100(FACE)) == 5_142_083
        assert count(DWGAN(FACE)) == 4_316_545
        assert count(DMB(FACE, 1000)) == 18_888_936


@pytest.mark.parametrize("shape", [FACE, (1, 32, 32), (3, 16, 16), (3, 112, 112), (3, 20, 20)])
def test_all_sizes_fit_together(shape: tuple[int, int, int]) -> None:
    with seeded(Run("0")):
        g, d, mb = GZ100(shape, 4), DWGAN(shape, 4), DMB(shape, 5, 4)
        x = g(torch.randn(3, 100))
    assert x.shape == (3, *shape)
    assert x.min() >= 0
    assert x.max() <= 1
    assert d(x).shape == (3,)
    assert mb(x)[1].shape == (3, 5)


def test_sides_that_cannot_be_made_are_named() -> None:
    for side in (54, 113, 12):
        with pytest.raises(UnveilError, match=str(side)):
            GZ100((3, side, side))


def test_minibatch_discrimination_is_the_slow_loop() -> None:
    with seeded(Run("0")):
        part = MinibatchDiscrimination(6, kernels=4, dim=3)
        h = 0.1 * torch.randn(5, 6)
    m = (h @ part.theta).view(5, 4, 3)
    expected = torch.zeros(5, 4)
    for i in range(5):
        for b in range(4):
            for j in range(5):
                if j != i:
                    expected[i, b] += torch.exp(-(m[i, b] - m[j, b]).abs().sum())
    torch.testing.assert_close(part(h), expected)
    (g,) = torch.autograd.grad(part(h).sum(), part.theta)
    (slow,) = torch.autograd.grad(expected.sum(), part.theta)
    torch.testing.assert_close(g, slow)


def test_uncoupled_is_a_batch_of_one() -> None:
    with seeded(Run("0")):
        d = DMB((1, 16, 16), 5, 4)
        d.closeness.theta.data *= 1e-3  # near projections, so that coupling shows
        x = torch.rand(3, 1, 16, 16)
    alone = torch.cat([d(one)[1] for one in x.split(1)])
    torch.testing.assert_close(d(x, coupled=False)[1], alone)
    assert not torch.allclose(d(x)[1], alone, atol=1e-3)
