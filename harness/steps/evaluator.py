"""Trains a judge that can say "nobody here", or enrols people in one, and measures how far it can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unveil.harness.figures.calibration import BINS, calibration_error
from unveil.harness.figures.intervals import to_figure
from unveil.harness.plan.asker import Asker
from unveil.harness.plan.node import Node, step
from unveil.harness.plan.parts import EvaluatorPart, checkpoint
from unveil.harness.steps import classifiers, enrolment
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.classifiers import train, trained
from unveil.harness.steps.people import hold_out, join, known_people, strangers, who
from unveil.harness.steps.rejection import Reject, Threshold, calibrate, surest, threshold
from unveil.harness.store.artefact import Artefact
from unveil.harness.training.fit import predict
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import DataError, JudgeError
from unveil.harness.words.images import Data, Images
from unveil.harness.words.metric import Measurement
from unveil.harness.words.names import (
    ACCEPTS_PRIVATE,
    CALIBRATION,
    TAKES_STRANGERS,
    TOP_1,
    TRUST,
    Direction,
    Quantity,
    percent,
)
from unveil.harness.words.run import Run

APART = 0.2  # share of public people whom no judge sees in training: half set its threshold, half measure its floor
VALIDATION = 0.15


def ask(asker: Asker, part: EvaluatorPart, data: Node) -> Node:
    """A judge of the plan.

    Raises:
        JudgeError: If it is the same model as a target, or has people enrolled by a network that nobody has trained.
    """
    model = asker.use("models", part.spec)
    for target in asker.plan.targets:
        if asker.use("models", target.spec).question == model.question:
            raise JudgeError(
                f"evaluator {part.label!r} is the same model as target {target.label!r}",
                "a judge of another architecture than what it judges",
                "choose another model for the evaluator",
            )
    if part.gallery and not getattr(model.plugin, "content", dict)():
        raise JudgeError(
            f"evaluator {part.label!r} is a gallery, and {model.name} has no trained weights",
            "a network that was trained to tell people apart, to be used as it is",
            'set weights = "asset" or a checkpoint of it',
        )
    own = part.model_dump(include={"seed", "others", "min_pictures"})
    given = checkpoint(part.trained)
    learns = {"gallery": True} if part.gallery else {} if given else {"recipe": asker.recipe(part.recipe)}
    options = {**learns, **own, "reject": part.rejects, **part.view}
    stream = {"model": model.question, "seed": part.seed, "data": data.identity}
    uses = {"model": (model,), **({"trained": (asker.use("checkpoints", given),)} if given else {})}
    return Node("evaluator", f"evaluator {part.label}", uses, options, {"data": data}, stream)


@dataclass(frozen=True)
class Society:
    """Whom a judge learns to tell apart.

    Attributes:
        train: Private people first (0 to C-1), then others.
        validation: Same people, other pictures.
        strangers: Public pictures of people who are in neither; its floor is measured on them.
        calibration: Public pictures of yet other people; its threshold is set on them.
        classes: Number of classes.
        knows: The above in words.
    """

    train: Images
    validation: Images
    strangers: Images
    calibration: Images
    classes: int
    knows: str


def gather(data: Data, others: str, fewest: int, run: Run, *, gallery: bool = False) -> Society:
    """Draws a split of its own from the private training pictures, and adds other people.

    In a gallery nobody is one person: with ``others = "nobody"`` no other people are added.
    """
    own = hold_out(join(data.train, data.validation), VALIDATION, run.generator("private split"))
    public, unknown = strangers(data.public, APART, 2, run.generator("strangers"))
    apart = strangers(unknown, 0.5, 1, run.generator("calibration"))
    if others == "none":
        return Society(*own, *apart, data.classes, f"{data.classes} private people and nobody else (closed set)")
    if gallery and others == "nobody":
        return Society(*own, *apart, data.classes, f"{data.classes} private people")
    if others == "identities":
        public = known_people(public, fewest)
    else:
        public = public.labelled(torch.zeros_like(public.labels))
    if not len(public):
        raise DataError(
            f"no public person has {fewest} or more pictures with a name",
            "public people whom the evaluator can learn",
            "set others = 'nobody' for this evaluator",
        )
    count = int(public.labels.max()) + 1
    more = hold_out(public.labelled(public.labels + data.classes), VALIDATION, run.generator("public split"))
    train, validation = (join(mine, theirs) for mine, theirs in zip(own, more, strict=True))
    whom = f"{count} public people" if others == "identities" else f'"nobody here" ({len(public)} public pictures)'
    return Society(train, validation, *apart, data.classes + count, f"{data.classes} private people and {whom}")


def trust(tested: Tensor, apart: Tensor, data: Data, unknown: Images) -> list[Measurement]:
    """How often the judge is right on held-out private pictures, and wrong on strangers.

    Args:
        tested: What it answers to the private test pictures, "nobody here" among it ``(N, C)``.
        apart: What it answers to strangers ``(M, C)``.
        data: Whose test pictures.
        unknown: The strangers.
    """
    right = (tested.argmax(1) == data.test.labels).double()
    taken = (apart.argmax(1) < data.classes).double()
    people = data.test.labels.numpy()
    return [
        _share(ACCEPTS_PRIVATE, Direction.USEFUL, right, people),
        _share(TAKES_STRANGERS, Direction.LEAKS, taken, who(unknown).numpy()),
    ]


def clean(tested: Tensor, data: Data, *, gallery: bool = False) -> list[Measurement]:
    """How good the judge is at its own job: held-out private pictures, before it may say "nobody here".

    The accuracy is that of a closed set, as publications report it: the best of the private people alone. The
    calibration is that of the confidence which "nobody here" is a threshold on, over everybody it knows; a cosine is
    no such thing.

    Args:
        tested: Logits of the private test pictures, without its threshold ``(N, C)``.
        data: Whose test pictures.
        gallery: Whether logits are cosines.
    """
    labels = data.test.labels
    closed = (tested[:, : data.classes].argmax(1) == labels).double()
    own = _share(Quantity(quantity=TOP_1, closed=True), Direction.USEFUL, closed, labels.numpy())
    return [own, _without_confidence() if gallery else _calibration(tested, labels)]


def _without_confidence() -> Measurement:
    return Measurement(CALIBRATION, "share", Direction.USEFUL, 0.0, 1.0, reason="a cosine is no probability")


def _calibration(o: Tensor, labels: Tensor) -> Measurement:
    confidence, answer = surest(o, torch.float64)
    right, people = (answer == labels).double().numpy(), labels.numpy()
    error, spread = calibration_error(confidence.numpy(), right, people, BINS)
    return Measurement(
        CALIBRATION,
        "share",
        Direction.USEFUL,
        0.0,
        1.0,
        value=1 - error,
        standard_error=spread,
        identities=people,
        samples=len(people),
    )


def _share(column: str | Quantity, direction: Direction, hits: Tensor, people: NDArray[np.int64]) -> Measurement:
    return Measurement(column, "share", direction, 0.0, 1.0, values=hits.numpy(), identities=people, samples=len(hits))


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """An evaluator with its own figures."""
    data, gallery = datasets.read(node.parents["data"], bench), by_gallery(node)
    society = gather(data, node.options["others"], node.options["min_pictures"], run, gallery=gallery)
    if "trained" in node.uses:
        return _given(node, bench, data, society, run)
    classifier = classifiers.untrained(node, bench, society.classes, data.train.shape, run)
    if gallery:
        enrolment.enrol(classifier, society.train, society.classes, run)
        facts: dict[str, Any] = {"curves": {}, "chosen": None, "facts": {}}
        told = partial(enrolment.answers, classifier, run=run, label="trust")
    else:
        facts = train(node, classifier, (), society.train, society.validation, run)
        told = partial(predict, classifier, device=run.device)
    judged = _judged(node, classifier, told, data, society)
    return trained(classifier, data.train.shape, {**judged, **facts})


def _given(node: Node, bench: Bench, data: Data, society: Society, run: Run) -> Artefact:
    """One that somebody has trained elsewhere."""
    classifier, facts = step("given_target").fitted(node, bench, data, run)
    judged = _judged(node, classifier, partial(predict, classifier, device=run.device), data, society)
    return trained(classifier, data.train.shape, {**judged, **facts})


def _judged(
    node: Node, classifier: Classifier, told: Callable[[Images], Tensor], data: Data, society: Society
) -> dict[str, Any]:
    """What it knows and how far it can be trusted; gives it the threshold below which it says "nobody here"."""
    gallery = by_gallery(node)
    tested, apart = told(data.test), told(society.strangers)
    knows, own = society.knows, clean(tested, data, gallery=gallery)
    if node.options["reject"] < 1:
        limit = by_cosine if gallery else by_confidence
        classifier.outputs, how = limit(told(society.calibration), data.classes, node.options["reject"])
        knows += f"; {how}"
    measured = [*trust(classifier.outputs(tested), classifier.outputs(apart), data, society.strangers), *own]
    return {"knows": knows, "figures": [to_figure(TRUST, None, m).plain() for m in measured]}


def by_gallery(node: Node) -> bool:
    """Whether people are enrolled in it instead of learnt."""
    return bool(node.options.get("gallery"))


def refit(node: Node, classifier: Classifier, tensors: Mapping[str, Tensor]) -> None:
    """Gives an evaluator that is read back the parts that it judges with; what these hold is among its tensors."""
    gallery = by_gallery(node)
    if gallery:
        enrolment.refit(classifier, tensors["head.weight"])
    if node.options["reject"] < 1:
        classifier.outputs = Threshold() if gallery else Reject()


def by_confidence(strangers: Tensor, private: int, share: float) -> tuple[nn.Module, str]:
    """What says "nobody here" in a classifier, and how, in words."""
    tau = calibrate(strangers, private, share)
    return Reject(tau), f'says "nobody here" below a confidence of {tau:.2f}'


def by_cosine(strangers: Tensor, private: int, share: float) -> tuple[nn.Module, str]:
    """What says "nobody here" in a gallery, and how, in words.

    Raises:
        DataError: If there is no stranger to set a threshold on.
    """
    if not len(strangers):
        raise DataError(
            "no public person is left whom a gallery's threshold could be set on",
            "two public people or more beside those who are enrolled",
            "give the data set more public people",
        )
    tau = threshold(strangers, private, share)
    passing = int((strangers[:, :private].max(1).values > tau).sum())
    how = f"false-accept rate {percent(share)}, {passing} of {len(strangers)} pictures of strangers"
    return Threshold(tau), f'enrolled, not trained; says "nobody here" below a cosine of {tau:.3f} ({how})'
