"""Conformance of attacks."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from unveil.harness.conformance import supply, tiny, watch
from unveil.harness.conformance.report import BreachError
from unveil.harness.conformance.watch import Tensors, Trial
from unveil.harness.plan import plugins
from unveil.harness.steps.attack import checked
from unveil.harness.words.attack import Attack, Ceiling
from unveil.harness.words.errors import AccessError
from unveil.harness.words.given import Ingredients
from unveil.harness.words.images import Images
from unveil.harness.words.names import Access, Role
from unveil.harness.words.run import Run
from unveil.harness.words.view import View

if TYPE_CHECKING:
    from unveil.harness.conformance.basics import Subject

TOLERANCE = 4 / 255  # pixels by which other labels in the batch may move a picture: rounding, amplified by a few steps


class AttackTrial(Trial):
    """An attack on a target that has learnt four people, through the access it declares."""

    plugin: Attack

    def __init__(self, plugin: Attack, base: Path) -> None:
        super().__init__(plugin)
        self.base, self.target, self.labels = base, tiny.target(), torch.arange(tiny.CLASSES)

    @cached_property
    def ingredients(self) -> Ingredients:
        """All that it needs, and public pictures as large as those of its priors."""
        return supply.ingredients(self.plugin, self.base)

    def inputs(self) -> Tensors:
        """Everything that the attack is given."""
        target = {f"the target's {name}": tensor for name, tensor in self.target.state_dict().items()}
        given = supply.tensors(self.ingredients.given)
        return {"public pixels": self.ingredients.public.pixels, "labels": self.labels, **target, **given}

    def act(self, run: Run) -> Tensors:
        """Attacks everybody."""
        images = self.attack(self.labels, run)
        return {"pixels": images.pixels, "labels": images.labels}

    def attack(self, labels: Tensor, run: Run) -> Images:
        """Attacks some people and refuses what the harness would refuse."""
        shape = self.ingredients.public.shape
        view = View(self.target, self.plugin.access, shape)
        try:
            images = self.plugin.reconstruct(view, self.ingredients, labels, run)
        except AccessError as error:
            raise BreachError(
                error.what,
                f"only what {self.plugin.access.value} access allows",
                "declare the access that the attack really needs, or do without",
            ) from error
        if not isinstance(images, Images):
            raise BreachError(
                f"reconstruct returned {type(images).__name__}", "Images", "return Images(pixels, labels)"
            )
        checked(images, labels, shape, "the attack")
        return images


class CeilingTrial(AttackTrial):
    """A control that is shown private pictures: it needs nothing and meets no target."""

    plugin: Ceiling  # type: ignore[assignment]

    def inputs(self) -> Tensors:
        """The private pictures."""
        return {"labels": self.labels}

    def attack(self, labels: Tensor, run: Run) -> Images:
        """Shows some people."""
        return checked(self.plugin.show(tiny.data(), labels, run), labels, tiny.SHAPE, "the ceiling")


def declares_its_access(trial: AttackTrial) -> None:
    """``access`` is one of the three threat models."""
    if isinstance(trial, CeilingTrial):
        return
    if not isinstance(trial.plugin.access, Access):
        raise BreachError(f"access is {trial.plugin.access!r}", "Access.WHITE_BOX, Access.SCORES or Access.LABELS")


def reconstructs_everybody_with_the_access_it_declares(trial: AttackTrial) -> None:
    """Pictures of every label, in [0, 1], through a view that allows no more than was declared."""
    declares_its_access(trial)
    assert trial.first


def other_labels_do_not_matter(trial: AttackTrial) -> None:
    """A label's reconstructions are the same whoever is attacked beside it, and in whatever order."""
    some = torch.tensor([3, 1])
    fewer = trial.attack(some, Run("conformance one"))
    together = Images(trial.first.answer["pixels"], trial.first.answer["labels"])
    for label in some.tolist():
        a, b = (images.pixels[images.labels == label].cpu() for images in (together, fewer))
        if a.shape != b.shape or (a - b).abs().max() > TOLERANCE:
            apart = f"differ by {(a - b).abs().max():.2g}" if a.shape == b.shape else f"are {len(a)} and {len(b)}"
            raise BreachError(
                f"reconstructions of label {label} {apart} when other labels run beside it or in another order",
                f"the same pictures up to rounding ({TOLERANCE:.3f})",
                "draw with run.generators('name', [(label, restart), ...]), and take no mean over the batch",
            )


CHECKS = (
    reconstructs_everybody_with_the_access_it_declares,
    *watch.COMMON,
    other_labels_do_not_matter,
)


def trial(subject: Subject) -> AttackTrial:
    """An attack on trial."""
    made = CeilingTrial if plugins.role(subject.plugin) == Role.CEILING else AttackTrial
    return made(subject.plugin, subject.base)
