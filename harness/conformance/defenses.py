"""Conformance of defenses."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.harness.conformance import tiny, watch
from unveil.harness.conformance.loading import LOADERS, answers_by_loader
from unveil.harness.conformance.report import BreachError, Check, NotApplicableError
from unveil.harness.conformance.watch import Tensors, Trial, require_finite, require_pixels
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
        """Prepares a target, augments a batch, computes the loss and finishes; gives everything that comes of it."""
        classifier = prepared((self.plugin,), run).train()
        self.augmented = self.plugin.augment(self.batch, run)
        if not isinstance(self.augmented, Images):
            raise BreachError(
                f"augment returned {type(self.augmented).__name__}", "Images", "return Images(pixels, labels)"
            )
        x, y = self.augmented.pixels, self.augmented.labels
        step = Step(x, y, classifier.run(x), classifier, 0, 2, run)
        self.terms = self.plugin.loss({"ce": F.cross_entropy(step.forward.logits, y)}, step)
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


def hooks_can_be_called(trial: DefenseTrial) -> None:
    """All four, on a tiny target and a batch."""
    assert trial.hooks.first


def augment_keeps_pictures_pictures(trial: DefenseTrial) -> None:
    """The batch keeps its shape and range, and its labels stay labels."""
    given, found = trial.hooks.batch, trial.hooks.augmented
    require_pixels(found.pixels, tuple(given.pixels.shape), "pixels after augment")
    labels = found.labels
    if (
        labels.dtype != torch.int64
        or labels.shape != given.labels.shape
        or labels.min() < 0
        or labels.max() >= tiny.CLASSES
    ):
        raise BreachError(f"labels after augment are {labels.tolist()}, {labels.dtype}", "one class of the target each")


def loss_terms_are_finite_scalars(trial: DefenseTrial) -> None:
    """The loss is a sum of named scalars that something can be learnt from."""
    for name, term in trial.hooks.terms.items():
        require_finite(term, (), f"loss term {name!r}: values")
    if not any(term.requires_grad for term in trial.hooks.terms.values()):
        raise BreachError("no loss term depends on what trains", "at least one that does", "do not detach the logits")


def trains_a_target(trial: DefenseTrial) -> None:
    """Two epochs under the defense end with finite logits of the right shape."""
    assert trial.first
    require_finite(trial.learnt.logits, (len(trial.data.test), tiny.CLASSES), "logits after finish")


def what_it_freezes_stays_frozen(trial: DefenseTrial) -> None:
    """Training leaves frozen parameters, and all of frozen stages, as they were bit for bit."""
    frozen, state = trial.learnt.frozen, trial.learnt.classifier.state_dict()
    if not frozen:
        raise NotApplicableError("it freezes nothing with these settings")
    moved = watch.differing(frozen, {name: state[name] for name in frozen if name in state})
    if moved:
        raise BreachError(
            f"{len(moved)} frozen tensors moved in training, such as {moved[0]}",
            "frozen is frozen, bit for bit",
            "freeze with classifier.freeze(names), which also stops batch-norm statistics; do not write to weights",
        )


def strength_zero_is_no_defense(trial: DefenseTrial) -> None:
    """At strength zero the losses and the answers equal those without a defense bit for bit."""
    assert trial.learnt
    zero = trial.plugin.at_zero()
    if zero is None:
        raise NotApplicableError("it declares no strength (at_zero returns None)")
    run = Run("conformance zero")
    found, wanted = trial.train((zero,), run), trial.train((), run)
    if list(found.loss) != list(wanted.loss) or not watch.same(found.logits, wanted.logits):
        raise BreachError(
            f"at strength zero the losses are {[round(v, 6) for v in found.loss]} and without a defense "
            f"{[round(v, 6) for v in wanted.loss]}, and logits differ by "
            f"{(found.logits - wanted.logits).abs().max():.3g}",
            "no defense, bit for bit: otherwise something besides the defense is compared",
            "return early at strength zero: images as they are, terms as they are, the classifier as it is",
        )


def checkpoints_can_be_loaded(trial: DefenseTrial) -> None:
    """Prepare, then load the trained weights, then finish gives the trained target."""
    run = Run("conformance one")
    fresh = prepared((trial.plugin,), run)
    fresh.load_state_dict(trial.learnt.classifier.state_dict())
    found = answers(finish(fresh, (trial.plugin,), run), trial.data.test)
    if not watch.same(found, trial.learnt.logits):
        raise BreachError(
            f"a target loaded from its checkpoint differs by {(found - trial.learnt.logits).abs().max():.3g}",
            "what was trained, bit for bit",
            "keep all state in parameters and persistent buffers; prepare must build the same for the same settings",
        )


def it_is_the_same_target_whoever_loads_it(trial: DefenseTrial) -> None:
    """Loaded by an attack and by a metric, whose random numbers differ, and asked twice, it answers the same."""
    (wanted, repeated), *others = answers_by_loader(trial.subject, trial.learnt.classifier, trial.data.test)
    for who, found in ((LOADERS[0], repeated), *((LOADERS[1], answer) for answers in others for answer in answers)):
        if not watch.same(found, wanted):
            raise BreachError(
                f"the same question has another answer when the {who} asks it: logits differ by "
                f"{(found - wanted).abs().max():.3g}",
                "one target for attacks, metrics and judges alike, bit for bit",
                "draw in prepare and finish from their run alone, and nothing while questions are answered: seed noise "
                "with the picture",
            )


def of_hooks(check: Check[Trial]) -> Check[DefenseTrial]:
    """A common check, made on the hooks."""

    @functools.wraps(check)
    def on_hooks(trial: DefenseTrial) -> None:
        check(trial.hooks)

    return on_hooks


def training_can_be_repeated(trial: DefenseTrial) -> None:
    """Training under it twice with the same seed gives the same weights."""
    assert trial.learnt
    watch.same_seed_gives_the_same_answer(trial)
    watch.inputs_are_left_alone(trial)


def its_ladder_can_be_climbed(trial: DefenseTrial) -> None:
    """Every rung is the same defense with other settings, leaves nothing open and can be prepared."""
    ladder = trial.plugin.ladder(tiny.untrained("defended"))
    if not ladder:
        raise NotApplicableError("it has no ladder of strengths")
    if trial.plugin.at_zero() is None:
        raise BreachError("it has a ladder and no strength zero", "what a cost is counted from", "define at_zero")
    for rung in ladder:
        if type(rung) is not type(trial.plugin) or rung.open:
            raise BreachError(f"its ladder has {rung}", "the same defense, settled", "use dataclasses.replace")
        prepared((rung,), Run("conformance ladder"))
    repeated = [rung for i, rung in enumerate(ladder) if rung in ladder[:i]]
    if repeated:
        raise BreachError(f"its ladder has {repeated[0]} twice", "rising strengths", "drop one of them")


CHECKS = (
    hooks_can_be_called,
    augment_keeps_pictures_pictures,
    loss_terms_are_finite_scalars,
    *map(of_hooks, watch.COMMON),
    trains_a_target,
    what_it_freezes_stays_frozen,
    strength_zero_is_no_defense,
    its_ladder_can_be_climbed,
    training_can_be_repeated,
    checkpoints_can_be_loaded,
    it_is_the_same_target_whoever_loads_it,
)


def trial(subject: Subject) -> DefenseTrial:
    """A defense on trial."""
    return DefenseTrial(subject)
