"""Metrics against the plain way to compute the same numbers; each group is one ratio."""

import numpy as np
import pytest
import torch
from scipy import linalg

from unveil.metrics.frechet import _eigenvalues, frechet_distance, standard_error
from unveil.metrics.neighbours import nearest, nearest_of_same


def by_sqrtm(x, y):
    gap = x.mean(0) - y.mean(0)
    sx, sy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    return gap @ gap + np.trace(sx + sy - 2 * linalg.sqrtm(sx @ sy).real)


def with_its_error(x, y):
    people = np.arange(len(x)) % 100
    return frechet_distance(x, y), standard_error(x, people, y, people)


SIZES = pytest.mark.parametrize(("n", "d"), [(200, 1280), (2000, 1280), (1000, 2048), (2000, 2048), (5000, 2048)])


@SIZES
@pytest.mark.parametrize("way", [frechet_distance, with_its_error, by_sqrtm])
def test_frechet(benchmark, way, n, d):
    benchmark.group = f"frechet n={n} d={d}"
    rng = np.random.default_rng(0)
    benchmark.pedantic(way, (rng.normal(size=(n, d)), rng.normal(size=(n, d))), rounds=1, warmup_rounds=0)


def trace_by_eigenvalues(a, b):
    return np.sqrt(_eigenvalues(a, b)).sum()


def trace_by_sqrtm(a, b):
    return np.trace(linalg.sqrtm((a.T @ a) @ (b.T @ b)).real)


@pytest.mark.parametrize("way", [trace_by_eigenvalues, trace_by_sqrtm])
def test_trace_alone(benchmark, way):
    """Without what both share, from roots of the covariances that are square already."""
    benchmark.group = "last trace alone, d=2048"
    rng = np.random.default_rng(0)
    a, b = (np.linalg.qr(rng.normal(size=(5000, 2048)), mode="r") for _ in range(2))
    benchmark.pedantic(way, (a, b), rounds=1, warmup_rounds=0)


TILE = 2048


def only_products(x, y):
    """A bare sweep of the tiles, whose products nobody looks at."""
    x, y, buffer = torch.from_numpy(x), torch.from_numpy(y), torch.empty(TILE * TILE)
    for rows in x.split(TILE):
        for columns in y.split(TILE):
            torch.matmul(rows, columns.T, out=buffer[: len(rows) * len(columns)].view(len(rows), len(columns)))


@pytest.mark.parametrize("n", [10_000, 25_000])
@pytest.mark.parametrize("way", [nearest, only_products])
def test_nearest(benchmark, way, n):
    """Wanted: the products alone take at least 0.7 of the time."""
    benchmark.group = f"nearest, {n:,} x {n:,} points of 512 features"
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((n, 512), dtype=np.float32) for _ in range(2))
    benchmark.pedantic(way, (x, y), rounds=3 if n < 20_000 else 1, warmup_rounds=0)


def test_nearest_of_same(benchmark):
    benchmark.group = "nearest of the same person, 1,500 reconstructions of 300 people, 6,000 private pictures"
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1500, 512)), rng.normal(size=(6000, 512))
    benchmark(nearest_of_same, x, np.arange(1500) % 300, y, np.arange(6000) % 300)
