"""SMILE: what its experts learn, how it evolves, and how little it asks."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import log_softmax

from unveil.attacks import smile
from unveil.attacks.evolution import OnePlusOne, told
from unveil.attacks.experts import BETA, Experts, class_weights, objective, teach
from unveil.attacks.frozen import prior_of
from unveil.attacks.smile import SMILE
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.types import Access, Budget, Given, Images, Ingredients, View
from unveil.harness.words import pixels
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError
from unveil.harness.words.run import Run

LABELS, SHAPE = torch.tensor([0, 2]), (1, 4, 4)
SMALL = SMILE(samples=60, pretrained=False, epochs=5, student_batch=20, steps=10, queries=120)


@pytest.fixture
def guided(styled: Ingredients, style_target: Classifier) -> Ingredients:
    return dataclasses.replace(styled, given=Given(models={"trunk": style_target}))


def test_weights_of_classes_by_hand() -> None:
    scores = torch.zeros(12, 30)
    scores[:, :9] = 1.0  # always there
    scores[0, 9], scores[1:, 10] = 0.5, 0.5  # once, and eleven times
    weight = class_weights(scores)
    assert weight[9] == pytest.approx(0.526316, abs=1e-6)
    assert float(weight[29]) == pytest.approx(1)
    assert weight[10] == pytest.approx((1 - BETA) / (1 - BETA**12))
    alike = torch.tensor([[0.6, 0.3, 0.1]]).repeat(10, 1)  # with few classes all are always there
    assert class_weights(alike).tolist() == pytest.approx([0.145732] * 3, abs=1e-6)


def test_what_is_descended_against_a_slow_implementation() -> None:
    some = torch.Generator().manual_seed(0)
    outputs = [torch.randn(7, 4, dtype=torch.double, generator=some) for _ in range(3)]
    scores = torch.rand(7, 4, generator=some).double()
    scores, weight = scores / scores.sum(1, keepdim=True), torch.tensor([1.0, 0.5, 0.2, 0.1]).double()
    mean = log_softmax(np.mean([o.numpy() for o in outputs], 0) / 0.5, 1)
    wanted = 0.0
    for o in outputs:
        own, plain = log_softmax(o.numpy() / 0.5, 1), log_softmax(o.numpy(), 1)
        apart = 0.0
        for i, s in enumerate(scores.numpy()):
            t, y = log_softmax(np.log(s) / 0.5), s.argmax()
            wanted += weight[y].item() * ((np.exp(t) * (t - own[i])).sum() - 0.15 * plain[i, y])
            apart += (np.exp(own[i]) * (own[i] - mean[i])).sum() / 7
        wanted += 7 * 10 / 128 / apart
    assert float(objective(outputs, scores, weight)) == pytest.approx(wanted)


def test_experts_learn_to_answer_alike_and_a_trained_trunk_stays() -> None:
    run = Run("experts")
    trunk = SmallResNet(width=4, blocks=(1, 1)).build(4, (3, 16, 16), run)
    target = SmallResNet(width=4, blocks=(1, 1)).build(4, (3, 16, 16), run).eval()
    x = torch.rand(64, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scores = (40 * (target.logits(x) - target.logits(x).mean(0))).softmax(1)
    for frozen, epochs in ((True, 100), (False, 1)):
        experts = Experts(trunk, 3, run, frozen=frozen)
        before = {name: value.clone() for name, value in experts.trunk.state_dict().items()}
        teach(experts, x, scores, epochs, 16, 1e-2, Run("experts"))
        moved = [name for name, value in experts.trunk.state_dict().items() if not torch.equal(value, before[name])]
        assert bool(moved) != frozen
        told_right = (experts.logits(x).argmax(1) == scores.argmax(1)).double().mean()
        assert told_right > 0.7 or not frozen
    assert all(p.requires_grad for p in trunk.parameters())  # the model that was lent is left as it is


def test_every_child_is_inside_and_the_best_is_never_lost() -> None:
    some = torch.Generator().manual_seed(0)
    strategy = OnePlusOne(-torch.ones(40), torch.ones(40), torch.full((40,), 0.5))
    wanted = torch.rand(3, 40, generator=some) - 0.5
    best, lowest, sigma = torch.zeros(3, 40), torch.full((3,), torch.inf), torch.ones(3)
    first, fell = None, []
    for _ in range(600):
        child = strategy.child(best, sigma, torch.randn(3, 40, generator=some))
        assert child.abs().max() <= 1
        best, lowest, sigma = told(best, lowest, sigma, child, (child - wanted).square().sum(1))
        first = lowest.clone() if first is None else first
        fell.append(lowest.clone())
    assert (torch.stack(fell).diff(dim=0) <= 0).all()
    assert (lowest < 0.2 * first).all()


def test_it_asks_once_for_all_and_little_for_each(style_target: Classifier, guided: Ingredients, run: Run) -> None:
    for labels in (LABELS, LABELS[:1]):
        view = View(style_target, Access.SCORES, SHAPE)
        SMALL.reconstruct(view, guided, labels, run)
        assert view.spent.queries == 60 + len(labels) * 121
        assert view.spent.gradients == 0


def test_many_samples_lie_in_a_file_and_change_nothing(
    style_target: Classifier, guided: Ingredients, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(held: int) -> tuple[Images, bool]:
        monkeypatch.setattr(pixels, "HELD", held)
        seen: list[object] = []

        def noted(experts: Experts, x: pixels.Stored, *rest: Any) -> None:
            seen.append(x)
            teach(experts, x, *rest)

        monkeypatch.setattr(smile, "teach", noted)
        run = Run("many", scratch=tmp_path / str(held))
        images = SMALL.reconstruct(View(style_target, Access.SCORES, SHAPE), guided, LABELS, run)
        return images, isinstance(seen[0], torch.Tensor)

    few, held = found(4 * 60 * 16)
    many, held_too = found(4 * 60 * 16 - 1)
    assert (held, held_too) == (True, False)
    assert torch.equal(few.pixels, many.pixels)


def test_each_stage_makes_the_target_surer(style_target: Classifier, guided: Ingredients) -> None:
    def score(**changed: float) -> torch.Tensor:
        attack = dataclasses.replace(SMALL, **changed)  # type: ignore[arg-type]
        images = attack.reconstruct(View(style_target, Access.SCORES, SHAPE), guided, LABELS, Run("stages"))
        return score_of(style_target, images)

    assert (score(steps=1, queries=400) > score(steps=1, queries=1)).all()
    taught = {"epochs": 200, "student_lr": 0.05, "steps": 60, "queries": 1}
    assert (score(**taught) > score(**{**taught, "steps": 1})).all()


def score_of(target: Classifier, images: Images) -> torch.Tensor:
    with torch.no_grad():
        return target.logits(images.pixels).softmax(1).gather(1, images.labels[:, None])[:, 0]


def test_a_budget_is_kept_and_what_is_weaker_is_said(style_target: Classifier, guided: Ingredients, run: Run) -> None:
    view = View(style_target, Access.SCORES, SHAPE, Budget(queries=50, identities=2))
    SMALL.reconstruct(view, guided, LABELS, run)
    assert view.spent.queries <= 100
    assert any("samples = " in note for note in run.notes)
    assert any("weaker attack than SMILE" in note for note in run.notes)
    with pytest.raises(PluginError, match="batches of 128"):
        SMILE(samples=100)
    assert prior_of(guided, run) is not None
