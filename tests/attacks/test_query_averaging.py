"""Query averaging: what the mean answer is, what it brings back, what it costs, and when it is the base itself."""

from __future__ import annotations

from dataclasses import fields
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from unveil.attacks.query_averaging import Neighbours, QueryAveraging
from unveil.defenses.noisy_scores import NoisyScores
from unveil.defenses.rounded_scores import RoundedScores
from unveil.defenses.ssd import SSD
from unveil.harness.types import Access, Budget, Defense, Images, Spec, Spent, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AccessError, BudgetSpentError, PluginError
from unveil.harness.words.run import Run

SHAPE = (1, 8, 8)
X = torch.rand(200, *SHAPE, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
LABELS = torch.tensor([0, 2])


@pytest.fixture
def plain(worlds: ModuleType) -> Classifier:
    target: Classifier = worlds.linear(worlds.drawn(5, 64), SHAPE)
    return target


def asked(target: Classifier, part: str = "scores", x: Tensor = X, **settings: Any) -> Tensor:
    """What query averaging hears, of a target that tells no more than this."""
    view = View(target, Access(part), SHAPE)
    base = Spec({"scores": "mirror", "labels": "brep_mi"}[part])
    return Neighbours(QueryAveraging(base, **settings), view, Run("averaging")).ask(part, x)[0]


def error(told: Tensor, exact: Tensor) -> float:
    """Root mean square of what the logits are off, up to a constant for each picture."""
    off = told.log() - exact.log()
    return (off - off.mean(1, keepdim=True)).square().mean().sqrt().item()


def defended(worlds: ModuleType, defense: Defense) -> Classifier:
    target = worlds.linear(worlds.drawn(5, 64), SHAPE)
    run = Run("defended")
    target = defense.prepare(target, run)
    defense.calibrate(target, Images(X, asked(target, "labels", neighbours=1)), run)
    return defense.finish(target, run)


def test_noise_that_the_answer_settles_averages_out(plain: Classifier, worlds: ModuleType) -> None:
    exact, noisy = asked(plain, neighbours=1), defended(worlds, NoisyScores(1.0))
    assert torch.equal(asked(noisy, neighbours=1), asked(noisy, neighbours=1)), "asking again tells no more"
    alone, averaged = (error(asked(noisy, neighbours=k, mean="geometric"), exact) for k in (1, 64))
    assert alone / averaged == pytest.approx(8, rel=0.25), "one over the root of K"


def test_dithering_brings_back_what_is_rounded_away(plain: Classifier, worlds: ModuleType) -> None:
    exact = asked(plain, neighbours=1)
    between = exact.max(1).values < 0.8  # elsewhere all neighbours round to the same
    assert between.sum() > 40
    for decimals, gained in ((2, 1.5), (1, 1.5), (0, 1.5)):
        defense = RoundedScores(decimals=decimals)
        rounded, counter = defended(worlds, defense), defense.counter(Spec("mirror"), frozenset())
        assert counter is not None
        alone, averaged = (asked(rounded, neighbours=k, sigma=counter.settings["sigma"])[between] for k in (1, 64))
        off, less = ((told - exact[between]).square().mean().sqrt() for told in (alone, averaged))
        assert off / less > gained
        assert len(averaged.unique()) > 1.5 * len(alone.unique()), "small steps show again"


def test_labels_that_were_drawn_are_outvoted(plain: Classifier, worlds: ModuleType) -> None:
    exact, shield = asked(plain, "labels", neighbours=1), defended(worlds, SSD(epsilon=3.0, temperature=1.0))
    alone, voted = ((asked(shield, "labels", neighbours=k) == exact).float().mean() for k in (1, 64))
    assert alone < 0.95
    assert voted > alone


@pytest.mark.parametrize("part", ["scores", "labels"])
def test_the_same_neighbours_for_each_question_whoever_is_asked_about_beside_it(plain: Classifier, part: str) -> None:
    both = asked(plain, part, neighbours=5)
    assert torch.equal(asked(plain, part, X[7:9], neighbours=5), both[7:9])
    if part == "scores":
        torch.testing.assert_close(both.sum(1), torch.ones(len(X)))
        geometric = asked(plain, neighbours=5, mean="geometric")
        torch.testing.assert_close(geometric.sum(1), torch.ones(len(X)))
        assert not torch.allclose(geometric, both)


def test_a_tie_is_for_the_pictures_own_label() -> None:
    class Alternates:
        access, shape, classes, budget, count = Access.LABELS, SHAPE, 3, Budget(), 0

        def ask(self, part: str, x: Tensor) -> tuple[Tensor, ...]:
            self.count += 1
            return (torch.full((len(x),), 2 if self.count % 2 else 0),)

    for neighbours, said in ((1, 2), (2, 2), (3, 2), (4, 2), (5, 2)):
        view = View.at(Alternates())  # type: ignore[arg-type]
        made = Neighbours(QueryAveraging(Spec("brep_mi"), neighbours), view, Run("tie"))
        assert made.ask("labels", X[:1])[0].tolist() == [said]


@pytest.mark.parametrize("name", ["mirror", "rlb_mi", "smile", "c2f_mi", "brep_mi"])
def test_of_one_neighbour_it_is_the_base_bit_for_bit_and_each_question_costs_all(name: str, worlds: ModuleType) -> None:
    case = worlds.CASES[name]
    base = Spec(name, {f.name: getattr(case.attack, f.name) for f in fields(case.attack) if f.name not in LEFT})

    def attacked(attack: Any) -> tuple[Images, Spent]:
        view = case.view()
        return attack.reconstruct(view, case.world.ingredients(), LABELS, Run("same")), view.spent

    (own, spent), (same, once) = attacked(case.attack), attacked(QueryAveraging(base, 1))
    assert torch.equal(own.pixels, same.pixels)
    assert once == spent
    if name in ("rlb_mi", "smile"):  # others ask the less the sooner they arrive
        other, thrice = attacked(QueryAveraging(base, 3, 0.2))
        assert thrice.queries == 3 * spent.queries
        assert not torch.equal(other.pixels, own.pixels)


LEFT = {"prior", "trunk", "embedder"}


def test_a_budget_is_kept_in_queries(plain: Classifier) -> None:
    view = View(plain, Access.SCORES, SHAPE, Budget(100, None, 2))
    desk = Neighbours(QueryAveraging(neighbours=16), view, Run("budget"))
    assert (desk.budget.queries, desk.budget.identities) == (6, 2)
    for _ in range(12):
        desk.ask("scores", X[:1])
    assert desk.spent() == view.spent == Spent(192)
    with pytest.raises(BudgetSpentError):
        desk.ask("scores", X[:1])
    assert view.spent.queries <= 200


def test_what_it_refuses_and_what_it_is_told() -> None:
    assert QueryAveraging(Spec("brep_mi")).access is Access.LABELS
    assert QueryAveraging(Spec("rlb_mi")).access is Access.SCORES
    for base, why in (("gmi", "has the weights"), ("random_latents", "is a control"), ("ppa", "has the weights")):
        with pytest.raises(PluginError, match=why):
            QueryAveraging(Spec(base))


def test_labels_are_all_that_a_base_on_labels_hears(plain: Classifier) -> None:
    with pytest.raises(AccessError):
        Neighbours(QueryAveraging(Spec("brep_mi")), View(plain, Access.LABELS, SHAPE), Run("x")).ask("scores", X)
