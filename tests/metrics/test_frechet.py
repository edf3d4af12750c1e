import numpy as np
import pytest
from scipy import linalg

from unveil.metrics import frechet
from unveil.metrics.frechet import _singular_values, frechet_distance, replicates, standard_error


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


def moved(n, d, sizes=(1, 1), stretch=10.0, strength=1.0, seed=0):
    """A cloud, its image under a symmetric positive map, and how far that moves it: the optimal way, so the distance.

    Brenier 1991: the gradient of a convex function is optimal. Nothing here is a matrix root, nothing cancels.
    """
    rng = np.random.default_rng(seed)
    x = 5 + rng.normal(size=(n, d)) * np.geomspace(*sizes, d)
    q = np.linalg.qr(rng.normal(size=(d, d)))[0]
    way = strength * x @ (q * np.geomspace(1, stretch, d)) @ q.T
    return x, x + way, (way.mean(0) ** 2).sum() + way.var(0, ddof=1).sum()


WAYS = {
    "many": {"n": 300, "d": 50},
    "one more than dimensions": {"n": 51, "d": 50},
    "as many as dimensions": {"n": 50, "d": 50},
    "few": {"n": 20, "d": 50},
    "many, badly scaled": {"n": 300, "d": 50, "sizes": (1, 1e-7)},
    "few, badly scaled": {"n": 20, "d": 50, "sizes": (1, 1e-7)},
    "many, far stretched": {"n": 300, "d": 50, "stretch": 1e6},
    "many, nearly equal": {"n": 300, "d": 50, "strength": 1e-4},
    "few, nearly equal": {"n": 20, "d": 50, "strength": 1e-4},
    "many, dead features": {"n": 300, "d": 50, "sizes": (1, 1e-300)},
}


@pytest.mark.parametrize("name", WAYS)
def test_the_distance_to_an_optimal_image_is_the_way_there(name):
    x, y, expected = moved(**WAYS[name])
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(y, x) == pytest.approx(expected, rel=1e-6)


def test_eigenvalues_are_not_believed_where_they_cannot_be_known(monkeypatch):
    taken = []
    monkeypatch.setattr(frechet, "_singular_values", lambda a, b: taken.append(1) or by_svd(a, b))
    by_svd = _singular_values
    for name in ("many", "few", "as many as dimensions", "many, far stretched"):
        frechet_distance(*moved(**WAYS[name])[:2])
    assert not taken
    for count, name in enumerate(("many, dead features", "few, nearly equal"), 1):
        frechet_distance(*moved(**WAYS[name])[:2])
        assert len(taken) == count, name


@pytest.mark.slow
@pytest.mark.parametrize("n", [1000, 5000])
def test_2048_dimensions_give_what_sqrtm_gives(n):
    x, y = clouds(n, n, 2048)
    assert frechet_distance(x, y) == pytest.approx(reference(x, y), rel=1e-6)


def exact_replicates(x, y, people):
    return np.array([frechet_distance(x[people != p], y[people != p]) for p in np.unique(people)])


@pytest.mark.parametrize(("people", "each", "d"), [(40, 1, 60), (25, 2, 50), (30, 4, 40), (20, 10, 4)])
def test_first_order_replicates_are_duals_of_the_exact_ones(people, each, d):
    who, ratios = np.repeat(np.arange(people), each), []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        own = 0.7 * rng.normal(size=(people, d))[who]
        x, y = (z + own for z in clouds(len(who), len(who), d, seed))
        exact, found = exact_replicates(x, y, who), replicates(x, who, y, who)
        assert (found <= exact * (1 + 1e-9)).all()
        plain = np.sqrt((people - 1) / people * ((exact - exact.mean()) ** 2).sum())
        ratios.append(standard_error(x, who, y, who) / plain)
    assert 0.9 < np.mean(ratios) < 1.05
    assert min(ratios) > 0.75
    assert max(ratios) < 1.3


def test_replicates_are_exact_where_the_best_map_stays():
    # Shifted copies: the best map is the identity, whoever leaves.
    x, _ = clouds(60, 60, 5)
    who = np.repeat(np.arange(12), 5)
    np.testing.assert_allclose(replicates(x, who, x + 2, who), exact_replicates(x, x + 2, who), rtol=1e-9)


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
