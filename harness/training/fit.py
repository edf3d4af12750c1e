"""Trains a classifier under any stack of defenses: one loop for targets, evaluators and public pre-training."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.harness.training.global_rng import seeded
from unveil.harness.training.prefix import Source
from unveil.harness.training.probe import choose_for_training
from unveil.harness.words.arithmetic import steady
from unveil.harness.words.classifier import Classifier, Forward
from unveil.harness.words.defense import Defense, Step
from unveil.harness.words.errors import DataError, TrainingError
from unveil.harness.words.finite import REMEDY, require_finite
from unveil.harness.words.images import Images
from unveil.harness.words.learner import Learner
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Bar, Run

CHECKPOINT = "training"


@dataclass(frozen=True)
class History:
    """What happened in training.

    Attributes:
        curves: One value per epoch: ``loss``, ``loss/<term>`` for each term, ``<defense class>/<name>`` for what its
            ``watch`` names, ``lr`` (of the last step) and, where there are validation pictures,
            ``validation accuracy`` and ``validation loss``.
        chosen: Epoch whose weights were kept, from 0.
        facts: What a reader must know of the training, from a defense that learns in a way of its own.
    """

    curves: Mapping[str, list[float]]
    chosen: int
    facts: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclass
class _State:
    """Everything that a resumed training needs besides weights and optimiser."""

    epoch: int = 0
    chosen: int = -1
    best: dict[str, Tensor] = dataclasses.field(default_factory=dict)
    curves: dict[str, list[float]] = dataclasses.field(default_factory=dict)


def fit(
    classifier: Classifier,
    defenses: Sequence[Defense],
    train: Images,
    validation: Images,
    recipe: Recipe,
    run: Run,
) -> History:
    """Trains in place; checkpoints after every epoch, and continues bit for bit where it was interrupted.

    All hooks of the defenses are called here, but ``prepare`` and ``finish``, which are the caller's. Each step has a
    ``Run`` of its own. What the defenses froze is computed without gradients, and only once per picture and version
    where nothing changes it.

    Args:
        classifier: Ends in evaluation mode with the selected epoch's weights.
        defenses: Applied in this order.
        train: Pictures to learn from, labelled 0 to C - 1.
        validation: Pictures to select the epoch on; may be empty if the recipe selects the last.
        recipe: All settings.
        run: Randomness, device, progress, checkpoints.

    Raises:
        DataError: If there is nothing to learn from or to select on, or labels do not fit the classifier.
        TrainingError: If the loss, the weights or whatever is recorded stop being finite, or nothing can be trained.
    """
    _check(classifier, train, validation, recipe)
    classifier.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner = Learner(classifier, train.labels, recipe, run)
    for defense in defenses:
        learner = defense.learner(learner, defenses)
    asked, run = run, learner.run
    choose_for_training(run, classifier, train, recipe.batch)
    asked.mixed_precision = run.mixed_precision  # what is told of the step
    state = _resume(classifier, learner, run)
    source = Source(classifier, defenses, train, recipe, run)
    judge = Source(classifier, (), validation, recipe.plain(), run, source.left)
    total = recipe.epochs * len(learner.batches(0))
    with steady(rounded=run.mixed_precision), run.progress("train", total) as bar:
        bar.advance(state.epoch * len(learner.batches(0)))
        while state.epoch < recipe.epochs:
            for defense in defenses:
                defense.begin(classifier, state.epoch, recipe.epochs)
            with seeded(run, "epoch", state.epoch):  # dropout and its like draw from the global generator
                values = _epoch(learner, defenses, source, state.epoch, bar)
            require_finite(classifier, "training", f"in epoch {state.epoch}")
            values |= _validate(classifier, judge) if len(validation) else {}
            _require_numbers(values, state.epoch)
            _note(state, values, learner, defenses)
            _save(state, learner)
    learner.close()
    if recipe.select == "best":
        _require_chosen(state, recipe)
        classifier.load_state_dict(state.best)
    classifier.eval()
    for defense in defenses:
        defense.calibrate(classifier, validation, run)
    return History(state.curves, state.chosen, learner.facts(validation))


def predict(classifier: Classifier, images: Images, batch: int = 256, device: torch.device | None = None) -> Tensor:
    """Logits ``(N, C)`` of all images, on the CPU; the classifier is left in evaluation mode.

    Args:
        classifier: On ``device`` already.
        images: Any number.
        batch: Images per pass.
        device: Where the classifier is; the CPU if None.

    Raises:
        TrainingError: If one of them is NaN: its largest entry would be an answer nobody gave.
    """
    classifier.eval()
    with torch.no_grad():
        parts = [classifier.logits(x.to(device or "cpu")).cpu() for x in images.batches(batch)]
    logits = torch.cat(parts) if len(images) else torch.empty(0, classifier.classes)
    if lost := int(logits.isnan().any(1).sum()):
        raise TrainingError(
            f"the classifier answers {lost} of {len(images)} pictures with NaN: its training diverged",
            "numbers",
            REMEDY,
        )
    return logits


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """Share of rows of ``logits`` ``(N, C)`` whose largest entry is the label."""
    return float((logits.argmax(1) == labels).double().mean())


def _check(classifier: Classifier, train: Images, validation: Images, recipe: Recipe) -> None:
    if not len(train):
        raise DataError("no training pictures", "at least one", "check the split")
    if recipe.select == "best" and not len(validation):
        raise DataError("no validation pictures to select the best epoch on", "some", "or set select = 'last'")
    for name, images in (("training", train), ("validation", validation)):
        wrong = images.labels[(images.labels < 0) | (images.labels >= classifier.classes)]
        if len(wrong):
            raise DataError(
                f"{len(wrong)} {name} labels outside the classifier's classes, such as {int(wrong[0])}",
                f"0 to {classifier.classes - 1}",
                "give every picture a class, or build the classifier for more classes",
            )
    if not any(True for _ in classifier.trainable()):
        raise TrainingError("nothing to train: every parameter is frozen", "at least a head that trains")


def _epoch(learner: Learner, defenses: Sequence[Defense], source: Source, epoch: int, bar: Bar) -> dict[str, float]:
    """One pass over the training pictures: mean per picture of all that is recorded, and the last learning rate."""
    classifier, recipe, run = learner.classifier, learner.recipe, learner.run
    classifier.train()
    total: dict[str, float] = {}
    source.epoch(epoch)
    batches = learner.batches(epoch)
    shown = sum(len(index) for index in batches)
    for number, index in enumerate(batches):
        rate = recipe.rate(epoch + number / len(batches), len(batches))
        learner.rate(rate)
        if not len(index):
            learner.learn(None)
            bar.advance(1)
            continue
        own = dataclasses.replace(run, identity=f"{run.identity}/{epoch}/{number}", scratch=None)
        x, y, h = source.batch(index, own)
        with run.autocast():
            step = Step(x, y, classifier.run_from(h, source.depth), classifier, epoch, recipe.epochs, own)
            terms = _terms(step, defenses)
        loss = _finite(terms, epoch, number)
        recorded = _recorded(loss, terms, step, defenses)
        learner.learn(loss)
        for name, value in recorded.items():
            total[name] = total.get(name, 0.0) + value * len(index) / shown
        bar.advance(1, loss=float(loss.detach()))
    return {**total, "lr": rate}


def _terms(step: Step, defenses: Sequence[Defense]) -> Mapping[str, Tensor]:
    terms: Mapping[str, Tensor] = {"ce": F.cross_entropy(step.forward.logits.float(), step.y)}
    for defense in defenses:
        terms = defense.loss(terms, step)
    return terms


def _recorded(loss: Tensor, terms: Mapping[str, Tensor], step: Step, defenses: Sequence[Defense]) -> dict[str, float]:
    """What becomes a training curve."""
    found = {"loss": float(loss.detach())} | {f"loss/{name}": float(term.detach()) for name, term in terms.items()}
    for defense in defenses:
        found |= {f"{type(defense).__name__}/{name}": float(value) for name, value in defense.watch(step).items()}
    return found


def _finite(terms: Mapping[str, Tensor], epoch: int, batch: int) -> Tensor:
    loss = torch.stack([term.float() for term in terms.values()]).sum()
    if not torch.isfinite(loss):
        values = {name: float(term.detach()) for name, term in terms.items()}
        bad = [name for name, value in values.items() if not abs(value) < float("inf")] or list(values)
        raise TrainingError(
            f"training diverged in epoch {epoch}, batch {batch}: "
            + ", ".join(f"loss term {name!r} is {values[name]}" for name in bad),
            "finite loss terms",
            f"{REMEDY} that the term belongs to",
        )
    return loss


def _require_numbers(values: Mapping[str, float], epoch: int) -> None:
    """What is recorded of an epoch becomes a curve, and decides which epoch is kept."""
    if bad := [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]:
        raise TrainingError(f"training diverged in epoch {epoch}: {', '.join(bad)}", "finite numbers", REMEDY)


def _validate(classifier: Classifier, judge: Source) -> dict[str, float]:
    classifier.eval()
    with torch.no_grad():  # in full precision, whatever a frozen prefix was computed in
        parts: list[Forward] = [classifier.run_from(h.float(), judge.depth) for h in judge.in_order()]
    logits = torch.cat([part.logits.float() for part in parts]).cpu()
    labels = judge.images.labels
    loss = float(F.cross_entropy(logits, labels))
    return {"validation accuracy": accuracy(logits, labels), "validation loss": loss}


def _note(state: _State, values: Mapping[str, float], learner: Learner, defenses: Sequence[Defense]) -> None:
    """Records an epoch, and keeps its weights if they are the best so far."""
    classifier, recipe = learner.classifier, learner.recipe
    for name, value in values.items():
        state.curves.setdefault(name, []).append(value)
    if recipe.select == "last":
        state.chosen = state.epoch
        learner.keep()
    elif all(defense.selectable(state.epoch, recipe.epochs) for defense in defenses) and (
        state.chosen < 0 or _merit(state, state.epoch) > _merit(state, state.chosen)
    ):
        state.chosen = state.epoch
        state.best = {name: value.detach().clone() for name, value in classifier.state_dict().items()}
        learner.keep()
    state.epoch += 1


def _require_chosen(state: _State, recipe: Recipe) -> None:
    if state.chosen < 0:
        raise TrainingError(
            f"no epoch of {recipe.epochs} may be kept: a defense was never fully at work",
            "an epoch in which all defenses act",
            "train for more epochs",
        )


def _merit(state: _State, epoch: int) -> tuple[float, float]:
    return state.curves["validation accuracy"][epoch], -state.curves["validation loss"][epoch]


def _save(state: _State, learner: Learner) -> None:
    saved: dict[str, Any] = {field.name: getattr(state, field.name) for field in dataclasses.fields(state)}
    learner.run.save(CHECKPOINT, {**saved, "model": learner.classifier.state_dict(), "learner": learner.state()})


def _resume(classifier: Classifier, learner: Learner, run: Run) -> _State:
    saved = run.load(CHECKPOINT)
    if saved is None:
        return _State()
    classifier.load_state_dict(saved.pop("model"))
    learner.restore(saved.pop("learner"))
    return _State(**saved)
