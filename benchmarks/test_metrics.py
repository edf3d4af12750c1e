"""Metrics against the plain way to compute the same numbers; each group is one ratio."""

import numpy as np
import pytest
from scipy import linalg

from unveil.metrics.frechet import frechet_distance
from unveil.metrics.knn_distance import nearest


def by_sqrtm(x, y):
    gap = x.mean(0) - y.mean(0)
    sx, sy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    return gap @ gap + np.trace(sx + sy - 2 * linalg.sqrtm(sx @ sy).real)


SIZES = pytest.mark.parametrize(("n", "d"), [(200, 1280), (2000, 1280), (200, 2048)])


@SIZES
@pytest.mark.parametrize("way", [frechet_distance, by_sqrtm])
def test_frechet(benchmark, way, n, d):
    benchmark.group = f"frechet n={n} d={d}"
    rng = np.random.default_rng(0)
    benchmark.pedantic(way, (rng.normal(size=(n, d)), rng.normal(size=(n, d))), rounds=1, warmup_rounds=0)


def only_products(x, y):
    return x @ y.T


@pytest.mark.parametrize("way", ["nearest", "bare matmul over all pairs"])
def test_nearest(benchmark, way):
    benchmark.group = "nearest, 1500 reconstructions of 300 people against 6000 private pictures, 512 features"
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1500, 512)), rng.normal(size=(6000, 512))
    if way == "nearest":
        benchmark(nearest, x, np.arange(1500) % 300, y, np.arange(6000) % 300)
    else:
        benchmark(only_products, x, y)
