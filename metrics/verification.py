"""Would a reconstruction unlock that person's account? Verification at stated false-accept rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from unveil.harness.steps.people import join, who
from unveil.harness.types import (
    Comparer,
    Data,
    Direction,
    Evidence,
    GivenComparer,
    Images,
    Measurement,
    Metric,
    Need,
    Quantity,
)
from unveil.harness.words.errors import UnansweredError
from unveil.harness.words.memo import Memo
from unveil.harness.words.names import AREA, GENUINE, OTHERS, THRESHOLD, VERIFIED, percent
from unveil.harness.words.needs import NEEDED
from unveil.harness.words.run import Run
from unveil.harness.words.spec import LocalPath, LocalSpec, Spec
from unveil.metrics import embedders, outside, roc
from unveil.metrics.comparers import Embeddings, People, enrolled
from unveil.metrics.gallery import Match
from unveil.metrics.judging import reconstructions
from unveil.metrics.operating import Calibration, all_pairs, calibration, joined
from unveil.metrics.questions import by_turn

Rate = Annotated[float, Field(gt=0, le=0.1)]
CURVE = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)  # rates at which the ROC is drawn, beside those that were asked for
KEPT = 4  # calibrations remembered at a time
_calibrated: Memo[tuple[Embeddings, People, Calibration]] = Memo(KEPT)


@dataclass(frozen=True)
class Verification(Metric):
    """Share of all reconstructions that a face verification system would accept as the attacked person.

    Each person is enrolled with the private training pictures. A picture is accepted as somebody if the cosine
    similarity of its embedding with that person's enrolment exceeds a threshold, as in access control. The
    threshold is calibrated on real pictures only: at most the stated share of impostor pairs exceeds it (held-out
    pictures of other private people, and public pictures, each with every enrolled person). A rate that leaves fewer
    than 10 false accepts among these pairs is not scored. The columns that do not depend on the attack describe the
    system: share of held-out private pictures accepted as their own person (the ceiling), share of their pairs with
    other private people accepted, threshold, area under the ROC. If the second is far above the stated rate, the public
    people are easier to tell from the private ones than these from each other: set ``strangers = 0``. For the ROC
    curve the share of genuine pictures accepted is given at some more rates, from 0.03 to 10 %.

    The shares' intervals are over people, with the threshold as it is; how sure that is says its own interval.
    The attacker's prior may have seen the public pictures. It is other people who matter for the threshold, and they
    are other people for the attacker, too.

    All reconstructions count, rounded to 8 bits. If people have unequal numbers of them, each person's are averaged
    first. An embedder without trained weights is not scored.

    Anybody else who compares pictures can take the embedder's place (``comparer``, see "Judges from outside" in
    docs/plugins.md): a language model that sees pictures, or people who are asked. They are asked about few pairs, the
    real ones among the reconstructions and in an order that tells nothing. Of one who answers yes or no, the
    false-accept rate is not set but measured, and one whose rate is clearly above the highest of ``rates``, or who
    accepts no more genuine pairs than others, is no judge: what it says of reconstructions is not scored.

    Attributes:
        embedder: A model plugin whose features are the embedding. It must have been trained on other data.
        weights: Checkpoint that is given to the embedder as its setting ``weights``, if it has one.
        match: Similarity with the ``mean`` of a person's normalised embeddings, or the ``max`` over them.
        rates: False-accept rates.
        strangers: Most public pictures in the calibration, as evenly over people as can be.
        comparer: Who compares instead of an embedder, such as ``"my_judge.py:MyJudge"``; its settings stand beside
            ``use``.
        questions: Most pairs of each kind (genuine, impostor, reconstruction) that a comparer is asked about.
    """

    paper: ClassVar[str] = "ISO/IEC 19795-1:2021; Deng et al., ArcFace, CVPR 2019"
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = False

    embedder: LocalSpec = field(default=Spec("mobilefacenet"))
    weights: LocalPath | None = None
    match: Match = "mean"
    rates: Annotated[tuple[Rate, ...], Field(min_length=1)] = (0.01, 0.001)
    strangers: Annotated[int, Field(ge=0)] = 2000
    comparer: LocalSpec | None = None
    questions: Annotated[int, Field(ge=10)] = 200

    def content(self) -> Mapping[str, str]:
        """Who compares, says a node of its own."""
        return {"embedder": NEEDED, "weights": NEEDED, **({} if self.comparer is None else {"comparer": NEEDED})}

    def needs(self) -> Mapping[str, Need]:
        """Who compares."""
        if self.comparer is not None:
            return {"comparer": GivenComparer(self.comparer)}
        return {"embedder": embedders.needed(self.embedder, self.weights)}

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """For each rate: verified, accepted pairs of two kinds, threshold; then the area under the ROC, and its curve.

        Of a comparer that answers yes or no: verified, and accepted pairs of two kinds.

        Raises:
            JudgeError: If the embedder answers NaN.
        """
        fakes = reconstructions(evidence)
        if self.comparer is not None:
            return self._from_outside(evidence.given.comparers["comparer"], evidence, fakes)
        reason = unmeasurable(evidence.data, fakes)
        if reason is not None:
            return _unscored(self._columns(), reason)
        comparer, people, found = self._calibration(evidence)
        pairs = np.stack([np.arange(len(fakes)), people.place(fakes.labels)], axis=1)
        own = comparer.compare(fakes, people, pairs, evidence.run)
        return list(self._results(found, own, fakes.labels.cpu().numpy()))

    def _from_outside(self, comparer: Comparer, evidence: Evidence, fakes: Images) -> Sequence[Measurement]:
        data, columns = evidence.data, list(outside.COLUMNS if comparer.yes_or_no else self._columns())
        reason = unmeasurable(data, fakes) or outside.incomparable(data, fakes)
        if reason is not None:
            return _unscored(columns, reason)
        try:
            told = outside.ask(comparer, data, fakes, self.questions, evidence.run)
        except UnansweredError as error:
            return _unscored(columns, error.what)
        if comparer.yes_or_no:
            return outside.counted(told, max(self.rates))
        source = Run(f"verification {data.checksum}")
        private = told.impostors.shown < data.classes
        found = calibration(
            told.genuine, told.impostors[private], told.impostors, self.rates, data.classes, source, told.pictures
        )
        return list(self._results(found, told.own.scores, told.own.shown))

    def _columns(self) -> Iterator[outside.Column]:
        scale = ("cosine similarity", Direction.DESCRIBES, -1.0, 1.0)
        if self.comparer is not None:
            scale = ("score", Direction.DESCRIBES, -np.inf, np.inf)
        for rate in self.rates:
            yield Quantity(quantity=VERIFIED, rate=rate), "share", Direction.LEAKS, 0.0, 1.0
            yield Quantity(quantity=GENUINE, rate=rate), "share", Direction.DESCRIBES, 0.0, 1.0
            yield Quantity(quantity=OTHERS, rate=rate), "share", Direction.DESCRIBES, 0.0, 1.0
            yield Quantity(quantity=THRESHOLD, rate=rate), *scale
        yield AREA, "share", Direction.DESCRIBES, 0.0, 1.0
        for rate in self._curve():
            yield Quantity(quantity=GENUINE, rate=rate), "share", Direction.DESCRIBES, 0.0, 1.0

    def _curve(self) -> list[float]:
        stated = {percent(rate) for rate in self.rates}
        return [rate for rate in CURVE if percent(rate) not in stated]

    def _results(
        self, found: Calibration, own: NDArray[np.float64], people: NDArray[np.int64]
    ) -> Iterator[Measurement]:
        columns = self._columns()
        for rate, threshold, spread in zip(self.rates, found.thresholds, found.spreads, strict=True):
            four = [next(columns) for _ in range(4)]
            if threshold is None:
                yield from (Measurement(*c, reason=_unresolved(rate, len(found.impostors))) for c in four)
                continue
            reason = None if self.comparer is None else outside.useless(*found.accepted(threshold), 1.0)
            if reason:
                yield Measurement(*four[0], reason=reason)
            else:  # a judge from outside saw a sample, which is no verdict on every picture
                every = own > threshold if self.comparer is None else None
                yield replace(outside.accepted(four[0], own > threshold, people), accepted=every)
            yield outside.accepted(four[1], found.genuine.scores > threshold, found.genuine.shown)
            yield outside.accepted(four[2], found.others.scores > threshold, found.others.claimed)
            yield Measurement(*four[3], value=threshold, standard_error=spread, samples=found.pictures)
        yield Measurement(*next(columns), value=found.area, standard_error=found.area_error, samples=found.pictures)
        for rate, column in zip(self._curve(), columns, strict=True):
            yield _on_the_curve(column, rate, found)

    def _calibration(self, evidence: Evidence) -> tuple[Embeddings, People, Calibration]:
        """Computed once for all cells on the same data."""
        data, network = evidence.data, evidence.given.models["embedder"]

        def calibrate() -> tuple[Embeddings, People, Calibration]:
            comparer = Embeddings(network, self.match)
            people = enrolled(data.train)
            return comparer, people, self._calibrate(comparer, people, data, evidence.run)

        return _calibrated.get((network, data.checksum, self.match, self.rates, self.strangers), calibrate)

    def _calibrate(self, comparer: Embeddings, people: People, data: Data, run: Run) -> Calibration:
        """From all pairs of real pictures and enrolled people."""
        source = Run(f"verification {data.checksum}")  # not the cell's own: one threshold for all cells
        held, public = join(data.validation, data.test), _thinned(data.public, self.strangers, source)
        genuine, others = all_pairs(comparer, people, held, held.labels.cpu().numpy(), run)
        impostors = others
        if len(public):
            strangers = np.unique(public.labels.cpu().numpy(), return_inverse=True)[1] + data.classes
            impostors = joined(others, all_pairs(comparer, people, public, strangers, run)[1])
        pictures = len(held) + len(public)
        return calibration(genuine, others, impostors, self.rates, data.classes, source, pictures)


def _thinned(images: Images, most: int, source: Run) -> Images:
    """At most so many pictures, labelled by person: everybody's first, everybody's second, and so on."""
    if not min(len(images), most):
        return images[:0]
    images = images.labelled(who(images))
    if len(images) <= most:
        return images
    chosen = by_turn(images.labels, source.generator("strangers"))[:most]
    return images[torch.from_numpy(np.sort(chosen))]


def unmeasurable(data: Data, fakes: Images) -> str | None:
    """Why reconstructions cannot be compared with real pictures; None if they can."""
    alone = sorted(set(fakes.labels.tolist()) - set(data.train.labels.tolist()))
    if alone:
        return f"no private training picture of class {', '.join(map(str, alone[:5]))}"
    held = set(data.validation.labels.tolist()) | set(data.test.labels.tolist())
    if len(held) < 2:
        return "no held-out private pictures of two people or more, which genuine pairs are made of"
    return None


def _unresolved(rate: float, count: int) -> str:
    return f"{count} impostor pairs do not resolve a false-accept rate of {percent(rate)}: {roc.needed(rate)} needed"


def _on_the_curve(column: outside.Column, rate: float, found: Calibration) -> Measurement:
    if len(found.impostors) < roc.needed(rate):
        return Measurement(*column, reason=_unresolved(rate, len(found.impostors)))
    threshold = roc.threshold(found.impostors.scores, rate)
    return outside.accepted(column, found.genuine.scores > threshold, found.genuine.shown)


def _unscored(columns: Iterator[outside.Column] | Sequence[outside.Column], reason: str) -> list[Measurement]:
    return [Measurement(*column, reason=reason) for column in columns]
