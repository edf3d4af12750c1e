"""Nearest neighbours against scikit-learn and scipy, where single precision would go wrong, and within bounds."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from sklearn.neighbors import NearestNeighbors

from unveil.metrics import neighbours
from unveil.metrics.neighbours import TILE, nearest, nearest_of_same


def expected(x, y, k=1):
    return np.sort(cdist(x.astype(np.float64), y.astype(np.float64), "sqeuclidean"), axis=1)[:, :k]


def clouds(n, m, d=24, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)).astype(dtype), rng.normal(size=(m, d)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "m", "k"), [(50, 257, 1), (TILE + 3, 2 * TILE + 5, 3), (7, 3 * TILE - 16, 40), (9, 5, 8)]
)
def test_nearest_is_scikit_learns(n, m, k, dtype):
    x, y = clouds(n, m, dtype=dtype)
    found = nearest(x, y, k)
    brute = NearestNeighbors(n_neighbors=min(k, m), algorithm="kd_tree").fit(y.astype(np.float64))
    reference = brute.kneighbors(x.astype(np.float64))[0] ** 2
    np.testing.assert_allclose(found[:, : reference.shape[1]], reference, rtol=1e-12)
    assert np.isinf(found[:, reference.shape[1] :]).all()


def test_nearest_finds_each_point_among_itself():
    _, y = clouds(1, TILE + 7)
    found = nearest(y + 1e6, y + 1e6, 2)
    assert (found[:, 0] == 0).all()
    assert (found[:, 1] > 0).all()


def hard(name, rng):
    """Points ``(40, 64)`` and ``(1500, 64)`` that a product in single precision cannot tell apart."""
    x, y = rng.normal(size=(40, 64)), rng.normal(size=(1500, 64))
    if name == "far from zero":
        return x + 1e7, y + 1e7
    if name == "one feature far above the others":
        x[:, 0], y[:, 0] = 1e6 * x[:, 0], 1e6 * rng.permutation(y[:, 0])
    if name == "near duplicates":
        y[:1200] = x[np.arange(1200) % 40] + 1e-7 * rng.normal(size=(1200, 64))
    if name == "nearly all the same":
        x, y = 3 + 1e-9 * x, 3 + 1e-9 * y
        y[0] = -100
    if name == "two far heaps":
        x[:20] += 1e5
        y[::2] += 1e5
    if name == "an outlier":
        y[7] = 1e12
    if name == "too large for single precision":
        x[3] = 1e200
    if name == "too small for single precision":
        x, y = 1e-200 * x, 1e-200 * y
    if name == "constant features":
        x[:, 5:], y[:, 5:] = 0.1, 0.1
    return x, y


NAMES = (
    "far from zero", "one feature far above the others", "near duplicates", "nearly all the same", "two far heaps",
    "an outlier", "too large for single precision", "too small for single precision", "constant features",
)  # fmt: skip


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_to_rounding(name, k):
    x, y = hard(name, np.random.default_rng(0))
    with np.errstate(over="ignore"):  # on the way to single precision
        found = nearest(x, y, k)
    np.testing.assert_allclose(found, expected(x, y, k), rtol=1e-12)


def test_a_product_in_single_precision_would_have_been_wrong():
    x, y = (torch.from_numpy(z).float() for z in hard("near duplicates", np.random.default_rng(0)))
    naive = (x.square().sum(1, keepdim=True) + y.square().sum(1) - 2 * x @ y.T).min(1).values.clamp(min=0)
    exact = expected(x.numpy(), y.numpy())[:, 0]
    assert (abs(naive.numpy() / exact - 1) > 0.1).mean() > 0.5


def test_identical_points_are_at_exactly_zero_and_many_cost_no_correctness():
    rng = np.random.default_rng(0)
    y = np.repeat(rng.normal(size=(1, 32)), 3000, axis=0) + 1e3
    assert (nearest(y[:5], y, 2) == 0).all()
    np.testing.assert_allclose(nearest(y[:5] + 1, y), 32, rtol=1e-12)


@pytest.mark.parametrize("name", ["far from zero", "one feature far above the others", "two far heaps"])
def test_the_bound_holds_and_is_not_idle(name):
    x, y = hard(name, np.random.default_rng(1))
    swept = neighbours._Sweep.over(y)
    a, b = (x - swept.centre) / swept.scale, (y - swept.centre) / swept.scale
    single = [torch.from_numpy(z.astype(np.float32)) for z in (a, b)]
    computed = (
        torch.addmm(single[1].double().square().sum(1).float(), single[0], single[1].T, alpha=-2).double().numpy()
    )
    error = abs(computed - ((b**2).sum(1) - 2 * a @ b.T))
    bound = swept._error(single[0].norm(dim=1, keepdim=True)).max(1).values.numpy()
    assert (error.max(1) < bound).all()
    assert error.max() > bound.max() / 2000


def test_neighbours_of_the_same_label():
    x, y = clouds(60, 900)
    a, b = np.arange(60) % 4, np.arange(900) % 3
    found = nearest_of_same(x, a, y, b)
    assert np.isinf(found[a == 3]).all()
    for label in range(3):
        np.testing.assert_allclose(found[a == label], expected(x[a == label], y[b == label])[:, 0], rtol=1e-12)


MEASURE = """
import resource
import numpy as np
from unveil.metrics.neighbours import nearest
n = {n}
rng = np.random.default_rng(0)
x, y = (rng.standard_normal((n, 512), dtype=np.float32) for _ in range(2))
nearest(x[:300], y[:300])
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
before = peak()
nearest(x, y)
print(peak() - before)
"""


@pytest.mark.slow
def test_memory_is_bounded():
    """A quarter of 50,000 points within a quarter of a gibibyte, inputs not counted; memory grows with y at most."""
    ran = subprocess.run([sys.executable, "-c", MEASURE.format(n=12_500)], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 256 * 1024
