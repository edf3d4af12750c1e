import numpy as np
import pytest
from scipy import linalg

from unveil.metrics.frechet import frechet_distance, standard_error


def reference(x, y):
    """Heusel et al. 2017, eq. 6, with scipy's matrix square root."""
    gap = x.mean(0) - y.mean(0)
    sx, sy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    return gap @ gap + np.trace(sx + sy - 2 * linalg.sqrtm(sx @ sy).real)


def clouds(n, m, d, seed=0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d)) / np.sqrt(d)
    return rng.normal(size=(n, d)) @ mix, 0.3 + 1.3 * rng.normal(size=(m, d)) @ mix[::-1]


@pytest.mark.parametrize(("n", "m"), [(400, 400), (300, 200)])
def test_many_pictures_give_what_sqrtm_gives(n, m):
    x, y = clouds(n, m, 60)
    assert frechet_distance(x, y) == pytest.approx(reference(x, y), rel=1e-6)


@pytest.mark.parametrize(("n", "m"), [(30, 30), (30, 90), (90, 20)])
def test_few_pictures_give_what_sqrtm_gives_on_the_space_they_span(n, m):
    # In 60 dimensions the covariances are singular, where sqrtm is unreliable, so the reference takes the eigenvalues.
    x, y = clouds(n, m, 60)
    sx, sy = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values, vectors = linalg.eigh(sx)
    root = vectors * np.sqrt(values.clip(0)) @ vectors.T
    trace = np.sqrt(linalg.eigvalsh(root @ sy @ root).clip(0)).sum()
    gap = x.mean(0) - y.mean(0)
    assert frechet_distance(x, y) == pytest.approx(gap @ gap + np.trace(sx + sy) - 2 * trace, rel=1e-6)


@pytest.mark.parametrize("n", [20, 200])
def test_equal_sets_are_at_zero_and_a_shift_is_its_square(n):
    x, _ = clouds(n, n, 50)
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 2) == pytest.approx(50 * 4)


def test_one_dimension_by_hand():
    # Means 1 and 3, variances 2 and 8: 4 + 2 + 8 - 2 sqrt(16) = 6.
    assert frechet_distance(np.array([[0.0], [2]]), np.array([[1.0], [5]])) == pytest.approx(6)


@pytest.mark.parametrize("d", [4, 80])
def test_standard_error_is_the_plain_jackknife(d):
    x, y = clouds(40, 40, d)
    people = np.repeat(np.arange(10), 4)
    replicates = np.array([frechet_distance(x[people != p], y[people != p]) for p in range(10)])
    expected = np.sqrt(9 / 10 * ((replicates - replicates.mean()) ** 2).sum())
    assert standard_error(x, people, y, people) == pytest.approx(expected, rel=1e-6)


def test_standard_error_is_the_spread_over_draws_of_people():
    rng, people = np.random.default_rng(0), np.repeat(np.arange(60), 4)

    def draw(shift):
        return (shift + rng.normal(size=(60, 3))).repeat(4, 0) + 0.3 * rng.normal(size=(240, 3))

    pairs = [(draw(0), draw(1)) for _ in range(200)]
    truth = np.std([frechet_distance(x, y) for x, y in pairs])
    errors = [standard_error(x, people, y, people) for x, y in pairs[:50]]
    assert np.mean(errors) == pytest.approx(truth, rel=0.2)


def test_one_person_has_no_standard_error():
    x, y = clouds(5, 5, 3)
    assert standard_error(x, np.zeros(5, int), y, np.zeros(5, int)) is None
