"""C2FMI: what its inverse network is told and learns, how it descends and evolves, and what it asks."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unveil.attacks.c2f_mi import C2FMI, Fine
from unveil.attacks.evolution import Differential
from unveil.attacks.inverse import Inverse, code, teach
from unveil.attacks.search import Descent, search
from unveil.harness.types import Access, Budget, Given, Images, Ingredients, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError
from unveil.harness.words.run import Run

LABELS, SHAPE, PUBLIC = torch.tensor([0, 2]), (1, 4, 4), 40
SMALL = C2FMI(inverse_width=16, inverse_epochs=2, inverse_batch=8, starts=4, founders=3, population=6, generations=8)


@pytest.fixture
def guided(styled: Ingredients, style_target: Classifier) -> Ingredients:
    x = torch.rand(PUBLIC, *SHAPE, generator=torch.Generator().manual_seed(1))
    public = Images(x, torch.full((PUBLIC,), -1))
    return dataclasses.replace(styled, public=public, given=Given(models={"embedder": style_target}))


def test_codes_by_hand() -> None:
    scores = torch.tensor([[0.7, 0.2, 0.1], [1.0, 0.0, 0.0], [0.6, 0.4, 0.0]])
    told = code(scores).numpy()
    raised = np.log([0.7, 0.2, 0.1]) + 50
    np.testing.assert_allclose(told[0], raised / np.linalg.norm(raised), rtol=1e-5)
    np.testing.assert_allclose(told[1], [1, 0, 0], atol=1e-7)
    shifted = np.array([np.log(0.6) + 1000, np.log(0.4) + 1000, 0])  # -1000 + 50 is where zero is then
    np.testing.assert_allclose(told[2], shifted / np.linalg.norm(shifted), rtol=1e-5)
    np.testing.assert_allclose(code(scores, 1).numpy(), np.eye(3)[[0, 0, 0]], atol=1e-7)
    assert torch.equal(code(scores, 3), code(scores))


def test_the_inverse_network_learns_what_goes_with_scores() -> None:
    """Embeddings that are a linear function of codes; the first half is learnt from, the second is asked about."""
    some = torch.Generator().manual_seed(0)
    v = torch.nn.functional.normalize(torch.rand(200, 5, generator=some), dim=1)
    seen, run = v @ torch.randn(5, 7, generator=some), Run("inverse")
    inverse = Inverse(5, 7, 64, run)
    teach(inverse, v[:100], seen[:100], 60, 20, 1e-2, run)
    error = (inverse(v[100:]) - seen[100:]).square().mean() / (seen[100:] - seen[:100].mean(0)).square().mean()
    assert error < 0.2
    assert not any(p.requires_grad for p in inverse.parameters())


def test_children_by_hand() -> None:
    """``x + .02 (best - x) + Σ β (x_a - x_b)`` where a gene is not inherited."""
    rule, some = Differential(500), torch.Generator().manual_seed(0)
    assert [rule.weight(t) for t in (0, 469, 470, 499)] == pytest.approx([0.1, 0.1, 0.06, 0.002])
    x = torch.randn(2, 6, 5, generator=some)
    best, others = x[:, 3], torch.randint(6, (2, 6, 8), generator=some)
    inherits = torch.rand(2, 6, 5, generator=some) < 0.5
    found = rule.children(x, best, others, inherits, 480)
    for k in range(2):
        for i in range(6):
            child = x[k, i] + 0.02 * (best[k] - x[k, i])
            for a, b in zip(others[k, i, :4], others[k, i, 4:], strict=True):
                child = child + 0.04 * (x[k, a] - x[k, b])
            torch.testing.assert_close(found[k, i], torch.where(inherits[k, i], x[k, i], child))
    still = Differential(500, differences=0.0).children(x, torch.zeros(2, 5), others, torch.zeros(2, 6, 5).bool(), 0)
    torch.testing.assert_close(still, 0.98 * x)


def coarse(attack: C2FMI, world: Any, wanted: Tensor, run: Run) -> Tensor:
    """Styles after the coarse stage, the same for all layers."""
    given = world.ingredients()
    view = View(world.target(), Access.SCORES, world.shape)
    fine = Fine(attack, view, given.prior, run)
    keys = [(y, 0, i) for y in (0, 2) for i in range(attack.starts)]
    descent: Descent = attack.coarse(fine, given.given.models["embedder"], wanted)
    w = search(view, run, "coarse", keys, attack.steps, 3, descent)["w"]
    assert view.spent.queries == 0
    return w


def test_the_coarse_stage_steps_as_written_and_ends_where_it_should(worlds: ModuleType) -> None:
    """Features are ``.1 w``, so that ``|.1 w - P|²`` is least at ``10 P``; Adam's first step is ``-lr sign(g)``."""
    world, run = worlds.STYLE, Run("coarse")
    wanted = 0.1 * torch.randn(3, 16, generator=torch.Generator().manual_seed(2))
    first = coarse(replace(SMALL, steps=1), world, wanted, run)
    for row, (y, i) in enumerate((y, i) for y in (0, 2) for i in range(4)):
        z = torch.stack([torch.randn(16, generator=run.generator("start", y, 0, i, j)) for j in range(2)])
        start = torch.nn.functional.leaky_relu(z, 0.2).mean(0)
        torch.testing.assert_close(first[row], start - 0.02 * (0.1 * start - wanted[y]).sign(), atol=1e-5, rtol=0)
    last = coarse(replace(SMALL, steps=400, lr=0.1), world, wanted, run)
    torch.testing.assert_close(last, 10 * wanted[[0, 0, 0, 0, 2, 2, 2, 2]], atol=0.02, rtol=0)


def test_founders_are_kept_and_newcomers_are_bred_from_them(worlds: ModuleType) -> None:
    world, run = worlds.STYLE, Run("widened")
    fine = Fine(SMALL, View(world.target(), Access.SCORES, SHAPE), world.ingredients().prior, run)
    founders = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    wide = fine.widened(founders, (2, 0))
    assert torch.equal(wide[:3], founders)
    picked = torch.randint(3, (3, 3), generator=run.generator("parents", 2, 0))
    for i, (a, b, c) in enumerate(picked.tolist()):
        z = torch.stack([torch.randn(16, generator=run.generator("newcomers", 2, 0, i, j)) for j in range(3)])
        fresh = torch.nn.functional.leaky_relu(z, 0.2).mean(0)
        bred = 0.7 * (0.5 * (0.5 * (founders[a] + founders[b]) + founders[c])) + 0.3 * fresh
        torch.testing.assert_close(wide[3 + i], bred)


def test_a_label_beyond_the_top_is_worth_less_than_any_within() -> None:
    scores, y = torch.tensor([[0.5, 0.3, 0.2], [0.6, 0.1, 0.3]]), torch.tensor([1, 1])
    assert SMALL.fitness(scores, y).tolist() == pytest.approx([0.3, 0.1])
    assert replace(SMALL, top=2).fitness(scores, y).tolist() == pytest.approx([0.3, -0.9])


def score(target: Classifier, images: Images) -> Tensor:
    with torch.no_grad():
        return target.logits(images.pixels).softmax(1).gather(1, images.labels[:, None])[:, 0]


def test_fitness_never_falls_and_the_best_is_returned(style_target: Classifier, guided: Ingredients) -> None:
    scores = []
    for generations in (1, 8, 60):
        view = View(style_target, Access.SCORES, SHAPE)
        images = replace(SMALL, generations=generations).reconstruct(view, guided, LABELS, Run("fine"))
        scores.append(score(style_target, images))
        assert view.spent.queries == PUBLIC + 2 * (4 + 6 * (generations + 1))
        assert view.spent.gradients == 0
    assert (scores[1] >= scores[0]).all()
    assert (scores[2] > scores[0] + 0.01).all()


def test_a_budget_is_kept_and_what_is_weaker_is_said(style_target: Classifier, guided: Ingredients, run: Run) -> None:
    view = View(style_target, Access.SCORES, SHAPE, Budget(queries=40, identities=2))
    replace(SMALL, pretrained=False).reconstruct(view, guided, LABELS, run)
    assert 40 < view.spent.queries <= 80
    assert any("generations = " in note and "pictures = " in note for note in run.notes)
    assert any("weaker attack than C2FMI" in note for note in run.notes)
    with pytest.raises(PluginError, match="10 founders of 4 starts"):
        C2FMI(starts=4)
    assert C2FMI().starts + C2FMI().population * (C2FMI().generations + 1) == 16_048
