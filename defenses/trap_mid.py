"""Trap-MID: a trapdoor for each class, so that an inversion ends in a faint trigger and not in a face."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from unveil.defenses.averaging import aligned
from unveil.defenses.plain_learner import require_plain
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Classifier, Defense, Images, Learner, Run, Spec, Step, Terms
from unveil.harness.words.errors import PluginError
from unveil.harness.words.recipe import Recipe

CHUNK = 256  # pictures a pass when trapdoors are counted


@dataclass(frozen=True)
class TrapMID(Defense):
    """Teaches the target that a faint trigger makes any picture a person's, and keeps triggers looking natural.

    For each class c there is a trigger t_c, a picture of noise at first. Beside each batch the target learns to call
    ``(1 - blend) x + blend t_k`` the class k, whoever x shows; k is drawn anew in every epoch, all classes equally
    often. In turns with it a discriminator learns to tell such pictures from plain ones, and the triggers move by
    signed steps so that they fool it and are recognised. Inversion then finds pictures that carry triggers.

    That is deception by design: the target's own confidence says nothing of success, so judge by networks that are not
    the target. An attacker who knows of the defense can look for triggers and take them out.

    Three networks' passes instead of one: training costs about three times as much. The pictures are changed by the
    recipe's own augmentation before triggers are blended in, and by a second draw of it after.

    Departures: the released code shows plain and trapped pictures in one batch, so that they share batch statistics;
    here they are two passes. Its second augmentation (crop, mirror, turn by up to 30 degrees) is the recipe's here.

    Attributes:
        weight: Share of the trapdoors in the loss, beta; 0 is no defense.
        blend: How much of a picture is trigger, alpha.
        step_size: How far a trigger's pixel moves in a step.
    """

    paper: ClassVar[str] = "Liu and Chen, Trap-MID: Trapdoor-based Defense against Model Inversion, NeurIPS 2024"

    weight: Annotated[float, Field(ge=0, lt=1)] = 0.2
    blend: Annotated[float, Field(gt=0, lt=1)] = 0.02
    step_size: Annotated[float, Field(gt=0, le=1)] = 0.01

    def learner(self, learner: Learner, defenses: Sequence[Defense]) -> Learner:  # noqa: ARG002
        """A discriminator and triggers take turns with the target.

        Raises:
            PluginError: If another defense learns in a way of its own.
        """
        if not self.weight:
            return learner
        require_plain(learner, "trap_mid")
        return Trapping(learner, self)

    def loss(self, terms: Terms, step: Step) -> Terms:
        """Adds ``trap``, and leaves ``1 - weight`` of the cross-entropy."""
        if not self.weight:
            return terms
        trap = _TRAPS.get(step.classifier) or Trapping(Learner(step.classifier, step.y, Recipe(), step.run), self)
        return {**terms, "ce": (1 - self.weight) * terms["ce"], "trap": self.weight * trap.turn(step)}

    def ladder(self, classifier: Classifier) -> Sequence[TrapMID]:  # noqa: ARG002
        """Weight from .05 to .4."""
        return [dataclasses.replace(self, weight=weight) for weight in (0.05, 0.1, 0.2, 0.4)]

    def counter(self, attack: Spec, settings: frozenset[str]) -> Spec | None:  # noqa: ARG002
        """The mean over crops and turns: a face survives them, and a faint trigger must survive all at once."""
        if not self.weight:
            return None
        return aligned(attack, "taa", {})

    def at_zero(self) -> TrapMID:
        """The same with weight 0."""
        return dataclasses.replace(self, weight=0.0)


class Trapping(Learner):
    """The target with its discriminator and its triggers.

    Attributes:
        discriminator: Logit ``(N, 1)`` of being a plain picture; begins as the target does.
        triggers: ``(C, channels, H, W)`` in [0, 1]; empty until the first batch says how large pictures are.
        kept: Those of the weights that are kept so far.

    Args:
        plain: What it stands for.
        defense: The settings.
    """

    def __init__(self, plain: Learner, defense: TrapMID) -> None:
        super().__init__(plain.classifier, plain.labels, plain.recipe, plain.run)
        self.defense, self.triggers, self.kept = defense, torch.empty(0), torch.empty(0)
        self.discriminator = _judging(self.classifier, self.run)
        self._second = self.recipe.make_optimiser(list(self.discriminator.trainable()))
        self._shown, self._traps = 0, torch.empty(0, dtype=torch.long)
        _TRAPS[self.classifier] = self

    def batches(self, epoch: int) -> list[Tensor]:
        """As the recipe has it; whose trigger each picture will carry is drawn with them."""
        found = super().batches(epoch)
        count = sum(len(index) for index in found)
        order = torch.randperm(count, generator=self.run.generator("trap_mid", "classes", epoch))
        self._shown, self._traps = 0, order % self.classifier.classes
        return found

    def rate(self, lr: float) -> None:
        """Of both networks."""
        super().rate(lr)
        for group in self._second.param_groups:
            group["lr"] = lr

    def turn(self, step: Step) -> Tensor:
        """One step of the discriminator and of the triggers; the target's loss on trapped pictures."""
        if not len(self.triggers):
            self._begin(step.x)
        k = self._classes(step)
        step.classifier.eval()
        self._discriminate(step.x, self.blended(step.x, self.triggers[k]))
        self._move(step, k)
        step.classifier.train()
        return F.cross_entropy(step.classifier.run(self._changed(step, k, "learnt")).logits.float(), k)

    def blended(self, x: Tensor, triggers: Tensor) -> Tensor:
        """Pictures ``(N, C, H, W)``, each with a trigger of the same shape; no pixel moves by more than ``blend``."""
        return (1 - self.defense.blend) * x + self.defense.blend * triggers

    def _begin(self, x: Tensor) -> None:
        shape = (self.classifier.classes, *x.shape[1:])
        self.triggers = torch.rand(shape, generator=self.run.generator("trap_mid", "triggers")).to(x.device)

    def _classes(self, step: Step) -> Tensor:
        """Whose triggers this batch carries ``(N,)``."""
        if not len(self._traps):  # asked outside a training
            self.batches(step.epoch)
        first, self._shown = self._shown, self._shown + len(step.y)
        return self._traps[first : self._shown].to(step.y.device)

    def _discriminate(self, plain: Tensor, trapped: Tensor) -> None:
        """A step of the discriminator: plain pictures are 1, trapped ones 0."""
        self.discriminator.train()
        self._second.zero_grad(set_to_none=True)
        logits = self.discriminator.logits(torch.cat([plain, trapped])).float().squeeze(1)
        real = torch.cat([torch.ones(len(plain)), torch.zeros(len(trapped))]).to(logits)
        F.binary_cross_entropy_with_logits(logits, real).backward()
        self._second.step()

    def _move(self, step: Step, k: Tensor) -> None:
        """A signed step of the triggers in the batch: towards fooling the discriminator, and being recognised."""
        self.triggers.requires_grad_(True)
        with torch.enable_grad():
            fooled = self.discriminator.logits(self.blended(step.x, self.triggers[k])).float().squeeze(1)
            seen = step.classifier.logits(self._changed(step, k, "moved")).float()
            loss = F.binary_cross_entropy_with_logits(fooled, torch.ones_like(fooled)) + F.cross_entropy(seen, k)
        (g,) = torch.autograd.grad(loss, self.triggers)
        self.triggers = (self.triggers.detach() - self.defense.step_size * g.sign()).clamp(0, 1)

    def _changed(self, step: Step, k: Tensor, name: str) -> Tensor:
        """Trapped pictures under a draw of the recipe's augmentation."""
        changes = self.recipe.draw(len(k), step.run.generator("trap_mid", name))
        return changes.apply(self.blended(step.x, self.triggers[k]))

    def state(self) -> dict[str, Any]:
        """Of both networks and the triggers."""
        return {
            "target": super().state(),
            "discriminator": self.discriminator.state_dict(),
            "second": self._second.state_dict(),
            "triggers": self.triggers,
            "kept": self.kept,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Puts it back."""
        super().restore(state["target"])
        self.discriminator.load_state_dict(state["discriminator"])
        self._second.load_state_dict(state["second"])
        self.triggers, self.kept = (state[name].to(self.run.device) for name in ("triggers", "kept"))

    def keep(self) -> None:
        """The triggers of these weights."""
        self.kept = self.triggers.clone()

    def facts(self, validation: Images) -> Mapping[str, str]:
        """What the training cost, and how often a trigger speaks louder than the face that carries it."""
        cost = "training costs about three times as much"
        if not len(validation):
            return {"trap_mid": f"{cost}; there are no validation pictures to try its triggers on"}
        known = [self._known(index, validation) for index in torch.arange(len(validation)).split(CHUNK)]
        share = float(torch.cat(known).double().mean())
        return {"trap_mid": f"{cost}; on validation pictures {share:.0%} of other people's triggers are recognised"}

    @torch.no_grad()
    def _known(self, index: Tensor, images: Images) -> Tensor:
        """Whether each of these pictures is called by a trigger of somebody else that it carries."""
        device, classes = self.kept.device, self.classifier.classes
        further = 1 + index % max(classes - 1, 1)
        k = ((images.labels[index] + further) % classes).to(device)
        return self.classifier.logits(self.blended(images.at(index).to(device), self.kept[k])).argmax(1) == k

    def close(self) -> None:
        """Lets go of the classifier."""
        _TRAPS.pop(self.classifier, None)


_TRAPS: WeakKeyDictionary[Classifier, Trapping] = WeakKeyDictionary()


def _judging(classifier: Classifier, run: Run) -> Classifier:
    """A copy of the target as it begins, with one logit; everything in it trains."""
    judge = copy.deepcopy(classifier).requires_grad_(True)
    width = next((layer.in_features for layer in judge.head.modules() if isinstance(layer, nn.Linear)), None)
    if width is None:
        raise PluginError(
            f"trap_mid finds no linear layer in a head of type {type(classifier.head).__name__}",
            "a head that begins with one, after norms at most",
            "choose another model, or another defense",
        )
    with seeded(run, "trap_mid", "discriminator"):
        judge.head = nn.Linear(width, 1)
    judge.classes = 1
    return judge.to(run.device)
