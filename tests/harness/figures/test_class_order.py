"""An order of classes that is found must beat guessing on pictures that had no say in it."""

import numpy as np
import pytest

from unveil.harness.figures.class_order import assigned, is_chance, rate, spread


def test_the_best_of_all_orders_looks_good_by_luck_and_not_on_other_pictures():
    draw = np.random.default_rng(0)
    people = np.repeat(np.arange(60), 2)
    answers = draw.integers(60, size=len(people))  # a model that knows nobody
    says = np.arange(len(people)) % 2 == 0
    order = assigned(answers[says], people[says], 60, 60)
    assert rate(answers[says], people[says], order) > 0.5
    other = rate(answers[~says], people[~says], order)
    assert is_chance(other, int((~says).sum()), 60, tries=10)


def test_a_permutation_is_found_and_every_class_is_one_persons():
    people = np.repeat(np.arange(5), 3)
    order = np.array([7, 2, 0, 4, 1])
    answers = order[people]
    answers[::4] = 3  # some mistakes
    found = assigned(answers, people, 5, 8)
    assert found.tolist() == order.tolist()
    assert len(set(found.tolist())) == 5


@pytest.mark.parametrize(
    ("share", "pictures", "classes", "chance"),
    [(0.1, 100, 10, True), (0.3, 100, 10, False), (0.55, 40, 2, True), (1.0, 40, 2, False), (1.0, 3, 2, True)],
)
def test_what_guessing_scores_now_and_then_is_chance(share, pictures, classes, chance):
    assert is_chance(share, pictures, classes, tries=12) is chance


def test_no_share_is_certain():
    assert 0 < spread(1.0, 10) < spread(0.5, 10)
