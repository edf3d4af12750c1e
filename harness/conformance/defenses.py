"""Conformance of defenses."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import torch

from unveil.harness.conformance import tiny, watch
from unveil.harness.conformance.defended import DefenseTrial, answers, finish, prepared
from unveil.harness.conformance.loading import LOADERS, answers_by_loader
from unveil.harness.conformance.report import BreachError, Check, NotApplicableError
from unveil.harness.conformance.watch import Trial, require_finite, require_pixels
from unveil.harness.words.defense import Defense
from unveil.harness.words.run import Run

if TYPE_CHECKING:
    from unveil.harness.conformance.basics import Subject


TRAINING = ("learner", "augment", "loss", "begin")  # hooks that change what is learnt


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
    for who, found in ((LOADERS[0], repeated), *((LOADERS[1], answer) for both in others for answer in both)):
        if not watch.same(found, wanted):
            raise BreachError(
                f"the same question has another answer when the {who} asks it: logits differ by "
                f"{(found - wanted).abs().max():.3g}",
                "one target for attacks, metrics and judges alike, bit for bit",
                "draw in prepare and finish from their run alone, and nothing while questions are answered: seed noise "
                "with the picture",
            )


def says_that_it_changes_answers_alone(trial: DefenseTrial) -> None:
    """One that only wraps the head's answers says so, since an attack that has the weights takes it off."""
    guards = trial.learnt.finished.guarded
    if not guards:
        raise NotApplicableError("it does not change the head's answers")
    trains = [name for name in TRAINING if getattr(type(trial.plugin), name) is not getattr(Defense, name)]
    if not trains and not trial.plugin.on_answers:
        raise BreachError(
            "it only changes answers, and does not say so", "on_answers = True", "declare it in the class"
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
    says_that_it_changes_answers_alone,
)


def trial(subject: Subject) -> DefenseTrial:
    """A defense on trial."""
    return DefenseTrial(subject)
