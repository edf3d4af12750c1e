"""Trains a judge that can say "nobody here", and measures how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.figures.calibration import BINS, calibration_error
from unveil.harness.figures.intervals import to_figure
from unveil.harness.plan.asker import Asker
from unveil.harness.plan.node import Node
from unveil.harness.plan.parts import EvaluatorPart
from unveil.harness.steps import classifiers
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.classifiers import train, trained
from unveil.harness.steps.people import hold_out, join, known_people, strangers, who
from unveil.harness.steps.rejection import Reject, calibrate
from unveil.harness.store.artefacts import Artefact
from unveil.harness.training.fit import predict
from unveil.harness.words.errors import DataError, JudgeError
from unveil.harness.words.images import Data, Images
from unveil.harness.words.metric import Measurement
from unveil.harness.words.names import ACCEPTS_PRIVATE, CALIBRATION, TAKES_STRANGERS, TOP_1, TRUST, Direction, Quantity
from unveil.harness.words.run import Run

APART = 0.2  # share of public people whom no judge sees in training: half set its threshold, half measure its floor
VALIDATION = 0.15


def ask(asker: Asker, part: EvaluatorPart, data: Node) -> Node:
    """A judge of the plan.

    Raises:
        JudgeError: If it is the same model as a target.
    """
    model = asker.use("models", part.spec)
    for target in asker.plan.targets:
        if asker.use("models", target.spec).question == model.question:
            raise JudgeError(
                f"evaluator {part.label!r} is the same model as target {target.label!r}",
                "a judge of another architecture than what it judges",
                "choose another model for the evaluator",
            )
    own = part.model_dump(include={"seed", "others", "min_pictures"})
    reject = part.reject if part.reject is not None else (1.0 if part.others == "none" else 0.05)
    options = {"recipe": asker.recipe(part.recipe), **own, "reject": reject}
    stream = {"model": model.question, "seed": part.seed, "data": data.identity}
    return Node("evaluator", f"evaluator {part.label}", {"model": (model,)}, options, {"data": data}, stream)


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


def gather(data: Data, others: str, fewest: int, run: Run) -> Society:
    """Draws a split of its own from the private training pictures, and adds other people."""
    own = hold_out(join(data.train, data.validation), VALIDATION, run.generator("private split"))
    public, unknown = strangers(data.public, APART, 2, run.generator("strangers"))
    apart = strangers(unknown, 0.5, 1, run.generator("calibration"))
    if others == "none":
        return Society(*own, *apart, data.classes, f"{data.classes} private people and nobody else (closed set)")
    if others == "identities":
        public = known_people(public, fewest)
    else:
        public = Images(public.pixels, torch.zeros_like(public.labels))
    if not len(public):
        raise DataError(
            f"no public person has {fewest} or more pictures with a name",
            "public people whom the evaluator can learn",
            "set others = 'nobody' for this evaluator",
        )
    count = int(public.labels.max()) + 1
    more = hold_out(Images(public.pixels, public.labels + data.classes), VALIDATION, run.generator("public split"))
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


def clean(tested: Tensor, data: Data) -> list[Measurement]:
    """How good the judge is at its own job: held-out private pictures, before it may say "nobody here".

    The accuracy is that of a closed set, as publications report it: the best of the private people alone. The
    calibration is that of the confidence which "nobody here" is a threshold on, over everybody it knows.

    Args:
        tested: Logits of the private test pictures, without its threshold ``(N, C)``.
        data: Whose test pictures.
    """
    o, labels = tested.double(), data.test.labels
    closed = (o[:, : data.classes].argmax(1) == labels).double()
    confidence, answer = o.softmax(1).max(1)
    right, people = (answer == labels).double().numpy(), labels.numpy()
    error, spread = calibration_error(confidence.numpy(), right, people, BINS)
    calibration = Measurement(
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
    return [_share(Quantity(quantity=TOP_1, closed=True), Direction.USEFUL, closed, people), calibration]


def _share(column: str | Quantity, direction: Direction, hits: Tensor, people: NDArray[np.int64]) -> Measurement:
    return Measurement(column, "share", direction, 0.0, 1.0, values=hits.numpy(), identities=people, samples=len(hits))


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """An evaluator with its own figures."""
    data = datasets.read(node.parents["data"], bench)
    society = gather(data, node.options["others"], node.options["min_pictures"], run)
    classifier = classifiers.untrained(node, bench, society.classes, data.train.shape, run)
    facts = train(node, classifier, (), society.train, society.validation, run)
    tested, apart = (predict(classifier, images, device=run.device) for images in (data.test, society.strangers))
    knows, own = society.knows, clean(tested, data)
    if node.options["reject"] < 1:
        unknown = predict(classifier, society.calibration, device=run.device)
        tau = calibrate(unknown, data.classes, node.options["reject"])
        classifier.outputs = Reject(tau)
        knows += f'; says "nobody here" below a confidence of {tau:.2f}'
    measured = [*trust(classifier.outputs(tested), classifier.outputs(apart), data, society.strangers), *own]
    figures = [to_figure(TRUST, None, m).plain() for m in measured]
    return trained(classifier, data.train.shape, {"knows": knows, "figures": figures, **facts})
