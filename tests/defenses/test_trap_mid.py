"""Trap-MID: how far a trigger shows, who carries which, who learns what in which turn."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import pytest
import torch
import torch.nn.functional as F

from unveil.defenses.loft import LoFt
from unveil.defenses.trap_mid import TrapMID, Trapping
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.training.fit import fit
from unveil.harness.types import Classifier, Defense, Images, Learner, Step
from unveil.harness.words.errors import PluginError
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Progress, Run

RUN, CLASSES = Run("trap"), 4
IMAGES = Images(torch.rand(22, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(22) % CLASSES)
PLAIN = Recipe(epochs=2, batch=8, select="last", lr=0.01, flip=False, shift=0, brightness=0, warmup=0)


def net() -> Classifier:
    return SmallResNet(width=4, blocks=(1, 1)).build(CLASSES, IMAGES.shape, RUN).train()


def trapping() -> Trapping:
    return Trapping(Learner(net(), IMAGES.labels, PLAIN, RUN), TrapMID())


def step_of(trap: Trapping, index: torch.Tensor) -> Step:
    x, y = IMAGES.pixels[index], IMAGES.labels[index]
    return Step(x, y, trap.classifier.run(x), trap.classifier, 0, 2, Run("step"))


def test_one_turn_by_hand() -> None:
    trap = trapping()
    defense = trap.defense
    index = trap.batches(0)[0]
    step, k = step_of(trap, index), trap._traps[: len(index)]
    judge = [p.clone() for p in trap.discriminator.parameters()]
    weights = [p.clone() for p in trap.classifier.parameters()]
    terms = defense.loss({"ce": torch.tensor(2.0)}, step)
    assert float(terms["ce"]) == pytest.approx(1.6)
    trapped = 0.98 * step.x + 0.02 * trap.triggers[k]
    assert (trapped - step.x).abs().max() <= 0.02
    again = net()
    again.load_state_dict({**net().state_dict()})
    wanted = 0.2 * F.cross_entropy(again.logits(trapped), k)
    torch.testing.assert_close(terms["trap"], wanted)
    begun = torch.rand((CLASSES, 3, 16, 16), generator=RUN.generator("trap_mid", "triggers"))
    moved = (trap.triggers - begun)[k.unique()]
    still = torch.tensor([c for c in range(CLASSES) if c not in k.tolist()], dtype=torch.long)
    clipped = (trap.triggers[k.unique()] == 0) | (trap.triggers[k.unique()] == 1)
    assert (((moved.abs() - 0.01).abs() < 1e-6) | clipped | (moved == 0)).all()
    assert (moved != 0).double().mean() > 0.9
    assert torch.equal(trap.triggers[still], begun[still])
    assert any(not torch.equal(a, b) for a, b in zip(judge, trap.discriminator.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(weights, trap.classifier.parameters(), strict=True))
    assert all(p.grad is None for p in trap.classifier.parameters())
    assert trap.classifier.training


def test_every_class_is_drawn_equally_often_in_every_epoch() -> None:
    trap, seen = trapping(), []
    for epoch in range(2):
        batches = trap.batches(epoch)
        seen.append(torch.cat([trap._classes(step_of(trap, index)) for index in batches]))
        assert torch.bincount(seen[-1], minlength=CLASSES).tolist() in ([6, 6, 5, 5],)
    assert not torch.equal(seen[0], seen[1])


def test_the_discriminator_and_the_target_learn_what_they_should() -> None:
    defense, target = TrapMID(weight=0.5, blend=0.3, step_size=0.1), net()
    recipe = Recipe(epochs=40, batch=22, select="last", lr=0.02, flip=False, shift=0, brightness=0)
    history = fit(target, [defense], IMAGES, IMAGES, recipe, RUN)
    curve = history.curves["loss/trap"]
    assert curve[-1] < 0.3 * curve[0]
    told = history.facts["trap_mid"]
    share = re.search(r"on validation pictures (\d+)% of other people's triggers are recognised", told)
    assert share
    assert int(share[1]) >= 75
    untaught = TrapMID(weight=0.5, blend=0.001, step_size=0.1)
    told = fit(net(), [untaught], IMAGES, IMAGES, recipe, RUN).facts["trap_mid"]
    assert "on validation pictures 0% of" in told  # nobody is taken for somebody else
    nobody = Images(IMAGES.pixels[:0], IMAGES.labels[:0])
    assert "no validation pictures" in fit(net(), [untaught], IMAGES, nobody, PLAIN, RUN).facts["trap_mid"]


def test_what_is_told_is_of_the_weights_and_triggers_that_are_kept() -> None:
    """By hand, with the triggers of the epoch that validation chose, which may not be among the last."""
    target = net()
    recipe = Recipe(epochs=6, batch=22, lr=0.05, flip=False, shift=0, brightness=0)
    kept: dict[int, torch.Tensor] = {}
    made: list[Trapping] = []

    class Watched(TrapMID):
        def learner(self, learner: Learner, defenses: Sequence[Defense]) -> Learner:
            made.append(cast("Trapping", super().learner(learner, defenses)))
            return made[0]

        def begin(self, classifier: Classifier, epoch: int, epochs: int) -> None:
            kept[epoch - 1] = made[0].triggers.clone()

        def selectable(self, epoch: int, epochs: int) -> bool:
            return epoch < 3

    watched = Watched(weight=0.5, blend=0.3, step_size=0.1)
    history = fit(target, [watched], IMAGES, IMAGES, recipe, RUN)
    torch.testing.assert_close(made[0].kept, kept[history.chosen])
    assert not torch.equal(made[0].kept, made[0].triggers)
    k = (IMAGES.labels + 1 + torch.arange(22) % (CLASSES - 1)) % CLASSES
    assert not (k == IMAGES.labels).any()
    with torch.no_grad():
        share = (target.logits(0.7 * IMAGES.pixels + 0.3 * kept[history.chosen][k]).argmax(1) == k).double().mean()
    assert f"{float(share):.0%} of other" in history.facts["trap_mid"]


def test_an_interrupted_training_goes_on_where_it_was(tmp_path: Path, interrupted: Callable[[int], Progress]) -> None:
    defense, whole, again = TrapMID(), net(), net()
    fit(whole, [defense], IMAGES, IMAGES, PLAIN, RUN)
    with pytest.raises(KeyboardInterrupt):
        fit(net(), [defense], IMAGES, IMAGES, PLAIN, Run("trap", scratch=tmp_path, shown=interrupted(4)))
    fit(again, [defense], IMAGES, IMAGES, PLAIN, Run("trap", scratch=tmp_path))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_behind_another_head_and_beside_another_learner() -> None:
    stack = [LoFt(rank=2), TrapMID()]
    target = stack[0].prepare(net(), RUN)
    fit(target, stack, IMAGES, IMAGES, PLAIN, RUN)
    both = [LoFt(rank=2, adapt_epochs=1), TrapMID()]
    with pytest.raises(PluginError, match="trap_mid in a stack with Adapting"):
        fit(both[0].prepare(net(), RUN), both, IMAGES, IMAGES, PLAIN, RUN)
