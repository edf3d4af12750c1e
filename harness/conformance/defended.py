"""Tiny targets under the defense that is checked."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.harness.conformance import tiny
from unveil.harness.conformance.report import BreachError, NotApplicableError
from unveil.harness.conformance.watch import Tensors, Trial
from unveil.harness.training.fit import fit
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.defense import Defense, Step, Terms
from unveil.harness.words.images import Images
from unveil.harness.words.run import Run

if TYPE_CHECKING:
    from unveil.harness.conformance.basics import Subject


@dataclass(frozen=True)
class Trained:
    """A tiny target under defenses.

    Attributes:
        classifier: Trained, before ``finish``.
        finished: After it.
        frozen: What was fixed when training began, by name.
        loss: The loss of each epoch.
        logits: Of the test pictures, after ``finish``.
    """

    classifier: Classifier
    finished: Classifier
    frozen: Mapping[str, Tensor]
    loss: Sequence[float]
    logits: Tensor


class HooksTrial(Trial):
    """The four hooks of a defense called once each, outside the training loop, which seeds the global generators."""

    augmented: Images
    terms: Terms

    def __init__(self, plugin: Defense) -> None:
        super().__init__(plugin)
        self.batch = tiny.data().train[:8]

    def inputs(self) -> Tensors:
        """A batch."""
        return {"pixels of the batch": self.batch.pixels, "labels of the batch": self.batch.labels}

    def act(self, run: Run) -> Tensors:
        """Prepares a target, augments a batch, computes the loss, calibrates, finishes; gives all that comes of it."""
        classifier = prepared((self.plugin,), run).train()
        self.augmented = self.plugin.augment(self.batch, run)
        if not isinstance(self.augmented, Images):
            raise BreachError(
                f"augment returned {type(self.augmented).__name__}", "Images", "return Images(pixels, labels)"
            )
        x, y = self.augmented.pixels, self.augmented.labels
        step = Step(x, y, classifier.run(x), classifier, 0, 2, run)
        self.terms = self.plugin.loss({"ce": F.cross_entropy(step.forward.logits, y)}, step)
        self.plugin.calibrate(classifier.eval(), self.batch, run)
        logits = answers(finish(classifier, (self.plugin,), run), self.batch)
        return {"augmented": x, "labels": y, **_tensors(self.terms), **classifier.state_dict(), "finished": logits}


def _tensors(terms: Terms) -> dict[str, Tensor]:
    for name, term in terms.items():
        if not isinstance(term, Tensor) or term.ndim:
            found = f"of shape {tuple(term.shape)}" if isinstance(term, Tensor) else type(term).__name__
            raise BreachError(f"loss term {name!r} is {found}", "a tensor without axes", "take its mean()")
    return {f"loss term {name}": term for name, term in terms.items()}


class DefenseTrial(Trial):
    """A defense, with a target of four people trained under it for two epochs."""

    trained: Trained | None = None

    def __init__(self, subject: Subject) -> None:
        super().__init__(subject.plugin)
        self.subject = subject
        self.data, self.hooks = tiny.data(), HooksTrial(subject.plugin)

    @property
    def learnt(self) -> Trained:
        """The target that was trained last."""
        if self.trained is None:
            raise NotApplicableError("no target could be trained, see above")
        return self.trained

    def inputs(self) -> Tensors:
        """The data."""
        return {"training pixels": self.data.train.pixels, "training labels": self.data.train.labels}

    def act(self, run: Run) -> Tensors:
        """Trains a target; gives its weights and answers."""
        self.trained = self.train((self.plugin,), run)
        return {**self.trained.classifier.state_dict(), "logits": self.trained.logits}

    def train(self, defenses: Sequence[Defense], run: Run) -> Trained:
        """Trains a target under the defenses, as a plan would."""
        classifier = prepared(defenses, run)
        frozen = fixed(classifier)
        history = fit(classifier, defenses, self.data.train, self.data.validation, tiny.RECIPE, run)
        finished = finish(classifier, defenses, run)
        return Trained(classifier, finished, frozen, history.curves["loss"], answers(finished, self.data.test))


def settled(plugin: Defense) -> Defense:
    """The defense itself; what it leaves open is taken from the middle of its ladder, which a run would pick from."""
    ladder = plugin.ladder(tiny.untrained("defended")) if plugin.open else ()
    return ladder[len(ladder) // 2] if ladder else plugin


def prepared(defenses: Sequence[Defense], run: Run) -> Classifier:
    """An untrained target, the same for every defense and run."""
    classifier = tiny.untrained("defended")
    for defense in defenses:
        classifier = defense.prepare(classifier, run)
        if not isinstance(classifier, Classifier):
            raise BreachError(f"prepare returned {type(classifier).__name__}", "a Classifier", "return the classifier")
    return classifier


def finish(classifier: Classifier, defenses: Sequence[Defense], run: Run) -> Classifier:
    """A copy after every ``finish``, in evaluation mode."""
    finished = copy.deepcopy(classifier)
    for defense in defenses:
        finished = defense.finish(finished, run)
        if not isinstance(finished, Classifier):
            raise BreachError(f"finish returned {type(finished).__name__}", "a Classifier", "return the classifier")
    return finished.eval()


def fixed(classifier: Classifier) -> dict[str, Tensor]:
    """Copies of what must not move: frozen parameters, and everything in stages that are frozen altogether."""
    moving = {name for name, parameter in classifier.named_parameters() if parameter.requires_grad}
    still = tuple(f"stages.{name}." for name in classifier.stage_names[: classifier.frozen_depth])
    weights = {name for name, _ in classifier.named_parameters()} - moving
    state = classifier.state_dict()
    return {name: state[name].clone() for name in state if name in weights or name.startswith(still)}


def answers(classifier: Classifier, images: Images) -> Tensor:
    """Logits, without gradients."""
    with torch.no_grad():
        return classifier.logits(images.pixels)
