"""Kernels and dependence measures against loops in NumPy that follow the publication to the letter."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from unveil.defenses.kernels import EPSILON, centred, coco, directions, gaussian, hsic, linear


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slow_gaussian(v, sigma):
    v = v.reshape(len(v), -1)
    return np.array(
        [
            [math.exp(-sum((p - q) ** 2 for p, q in zip(a, b, strict=True)) / (2 * sigma**2 * len(a))) for b in v]
            for a in v
        ]
    )


def slow_hsic(a, b):
    m = len(a)
    h = np.eye(m) - np.ones((m, m)) / m
    r = [k @ h @ np.linalg.inv(k @ h + 1e-5 * m * np.eye(m)) for k in (a, b)]
    return sum(r[0][i, j] * r[1][j, i] for i in range(m) for j in range(m))


def slow_coco(a, b):
    m = len(a)
    h = np.eye(m) - np.ones((m, m)) / m
    product = h @ a @ h @ h @ b @ h
    return math.sqrt(math.sqrt(sum(product[i, j] ** 2 for i in range(m) for j in range(m)))) / m


@pytest.mark.parametrize("sigma", [0.3, 1.0, 5.0])
def test_as_in_the_publication(sigma: float) -> None:
    v, w, y = normal(7, 3, 2), normal(7, 4, seed=1), torch.eye(3)[torch.arange(7) % 3]
    k, g, n = gaussian(v, sigma), gaussian(w, sigma), linear(y)
    np.testing.assert_allclose(k, slow_gaussian(v.numpy(), sigma), rtol=1e-12)
    np.testing.assert_array_equal(n, [[float(a % 3 == b % 3) for b in range(7)] for a in range(7)])
    for a, b in ((k, g), (k, n), (k, k)):
        np.testing.assert_allclose(hsic(a, b), slow_hsic(a.numpy(), b.numpy()), rtol=1e-8)
        np.testing.assert_allclose(coco(a, b), slow_coco(a.numpy(), b.numpy()), rtol=1e-10)


def test_worked_by_hand() -> None:
    k = linear(torch.tensor([[1.0], [-1.0]]))  # centred already; eigenvalues 2 and 0
    assert float(hsic(k, k)) == pytest.approx((2 / (2 + 2 * EPSILON)) ** 2, rel=1e-14)
    assert float(directions(k)) == pytest.approx(2 / (2 + 2 * EPSILON), rel=1e-14)
    assert float(coco(k, k)) == pytest.approx(math.sqrt(4) / 2, rel=1e-14)
    assert float(gaussian(torch.tensor([[0.0, 0.0], [3.0, 4.0]]), 5.0)[0, 1]) == pytest.approx(
        math.exp(-25 / (2 * 25 * 2))
    )


@pytest.mark.parametrize(("measure", "factor"), [(hsic, 6), (coco, 2)])  # COCO goes with the square root
def test_dependent_samples_score_high_and_independent_ones_low(measure, factor: float) -> None:
    x = normal(96, 1)
    same, curve, noise = (gaussian(v, 5.0) for v in (x, x.sin() + 2, normal(96, 1, seed=1)))
    assert float(measure(gaussian(x, 5.0), same)) > float(measure(gaussian(x, 5.0), curve))
    assert float(measure(gaussian(x, 5.0), curve)) > factor * float(measure(gaussian(x, 5.0), noise))
    labels = (x[:, 0] > 0.5).long()
    shuffled = labels[torch.randperm(96, generator=torch.Generator().manual_seed(2))]
    told, untold = (linear(torch.nn.functional.one_hot(y)) for y in (labels, shuffled))
    assert float(measure(same, told)) > factor * float(measure(same, untold))


def test_independent_samples_share_directions_by_chance() -> None:
    a, b = gaussian(normal(5, 2), 1.0), gaussian(normal(5, 3, seed=1), 1.0)
    orders = [list(order) for order in itertools.permutations(range(5))]
    mean = torch.stack([hsic(a, b[order][:, order]) for order in orders]).mean()
    torch.testing.assert_close(mean, directions(a) * directions(b) / 4)


@pytest.mark.parametrize("measure", [hsic, coco])
def test_invariances(measure) -> None:
    v, y = normal(12, 5), linear(torch.eye(4)[torch.arange(12) % 4])
    found, order = measure(gaussian(v, 5.0), y), torch.randperm(12, generator=torch.Generator().manual_seed(3))
    turn, _ = torch.linalg.qr(normal(5, 5, seed=4))
    torch.testing.assert_close(measure(y, gaussian(v, 5.0)), found)
    torch.testing.assert_close(measure(gaussian(v[order], 5.0), y[order][:, order]), found)
    torch.testing.assert_close(measure(gaussian(v @ turn + 7, 5.0), y), found)  # distances are what counts
    torch.testing.assert_close(measure(gaussian(v, 5.0), y + 3), found)  # centring takes constants away
    torch.testing.assert_close(measure(gaussian(2 * v, 10.0), y), found)
    torch.testing.assert_close(measure(gaussian(v.repeat(1, 9), 5.0), y), found)  # divided by the vector's length
    both = measure(torch.stack([gaussian(v, 5.0), y]), y)
    torch.testing.assert_close(both, torch.stack([found, measure(y, y)]))


def test_kernels_are_symmetric_float64_and_precise_for_float32_far_from_zero() -> None:
    v = normal(32, 3, 16, 16).float() * 0.1 + 100
    for k in (gaussian(v, 5.0), linear(torch.eye(4)[torch.arange(32) % 4])):
        assert k.dtype == torch.float64
        assert torch.equal(k, k.T)
    k, exact = gaussian(v, 5.0), gaussian(v.double(), 5.0)
    assert torch.equal(k.diagonal(), torch.ones(32, dtype=torch.float64))
    assert 0.998 < float(k.min()) < float(k.max()) == 1.0  # near-constant, as published
    torch.testing.assert_close(centred(k), centred(exact), rtol=0, atol=1e-4 * float(centred(exact).abs().max()))
    torch.testing.assert_close(hsic(k, k), hsic(exact, exact), rtol=1e-4, atol=0)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gaussian(v, 5.0), k)


@pytest.mark.parametrize("measure", [hsic, coco])
def test_gradients(measure) -> None:
    v, y = normal(5, 3).requires_grad_(), linear(torch.eye(2)[torch.arange(5) % 2])
    assert torch.autograd.gradcheck(lambda v: measure(gaussian(v, 1.0), y), v)


@pytest.mark.parametrize("measure", [hsic, coco])
@pytest.mark.parametrize("m", [1, 4])
def test_nothing_to_depend_on_is_zero_with_a_finite_gradient(measure, m: int) -> None:
    v = torch.ones(m, 3, dtype=torch.float64, requires_grad=True)
    found = measure(gaussian(v, 5.0), gaussian(normal(m, 3), 5.0))
    found.backward()
    assert abs(float(found.detach())) < 1e-12
    assert v.grad is not None
    assert bool(v.grad.isfinite().all())
