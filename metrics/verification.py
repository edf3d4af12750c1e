"""Would a reconstruction unlock that person's account? Embedding verification at stated false-accept rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from unveil.harness.classifier import Classifier
from unveil.harness.run import Run
from unveil.harness.spec import LocalPath, Spec
from unveil.harness.stages.people import join, who
from unveil.harness.types import Data, Direction, Evidence, Images, Measurement, Metric
from unveil.metrics import roc
from unveil.metrics.embedders import asked, build, embed, lacking, with_weights
from unveil.metrics.gallery import Gallery, Match, enrol, pairs
from unveil.metrics.judging import per_person, reconstructions

Rate = Annotated[float, Field(gt=0, le=0.1)]
RESAMPLES = 200
CURVE = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)  # rates at which the ROC is drawn, beside those that were asked for
KEPT = 4  # calibrations remembered at a time
_calibrated: dict[tuple[str, ...], Calibration] = {}


@dataclass(frozen=True)
class Calibration:
    """What real pictures say of an embedder; no reconstruction has a part in it.

    Attributes:
        gallery: The enrolled people.
        genuine: Held-out private pictures with their own person.
        others: Held-out private pictures with every other person.
        impostors: These and public pictures with everybody, descending.
        thresholds: For each rate; None where the impostor pairs do not resolve it.
        spreads: Bootstrap standard errors of the thresholds.
        area: Area under the ROC.
        area_error: Its standard error.
        pictures: How many real pictures were compared with the gallery.
    """

    gallery: Gallery
    genuine: roc.Pairs
    others: roc.Pairs
    impostors: roc.Pairs
    thresholds: tuple[float | None, ...]
    spreads: tuple[float, ...]
    area: float
    area_error: float
    pictures: int


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

    Attributes:
        embedder: A model plugin whose features are the embedding. It must have been trained on other data.
        weights: Checkpoint that is given to the embedder as its setting ``weights``, if it has one.
        match: Similarity with the ``mean`` of a person's normalised embeddings, or the ``max`` over them.
        rates: False-accept rates.
        strangers: Most public pictures in the calibration, as evenly over people as can be.
    """

    paper: ClassVar[str] = "ISO/IEC 19795-1:2021; Deng et al., ArcFace, CVPR 2019"
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = False

    embedder: Spec = field(default=Spec("mobilefacenet"))
    weights: LocalPath | None = None
    match: Match = "mean"
    rates: Annotated[tuple[Rate, ...], Field(min_length=1)] = (0.01, 0.001)
    strangers: Annotated[int, Field(ge=0)] = 2000

    def content(self) -> Mapping[str, str]:
        """Which embedder, with which weights and code: no model node stands for it."""
        return {"embedder": asked(self._named()), "weights": "as the embedder's"}

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """For each rate: verified, accepted pairs of two kinds, threshold; then the area under the ROC, and its curve.

        Raises:
            WeightsError: If the weights are there but do not fit.
            JudgeError: If the embedder has the target's weights or answers NaN.
        """
        fakes = reconstructions(evidence)
        reason = lacking(self._named()) or _unmeasurable(evidence.data, fakes)
        if reason is not None:
            return [Measurement(*column, reason=reason) for column in self._columns()]
        embedder = build(self._named(), evidence, "verification")
        found = self._calibration(embedder, evidence)
        own = _own(found.gallery, embed(embedder, fakes, evidence.run, "reconstructions"), fakes)
        return list(self._results(found, own, fakes.labels.cpu().numpy()))

    def _columns(self) -> Iterator[tuple[str, str, Direction, float, float]]:
        for rate in self.rates:
            yield f"verified at FAR {_percent(rate)}", "share", Direction.LEAKS, 0.0, 1.0
            yield f"genuine accepted at FAR {_percent(rate)}", "share", Direction.DESCRIBES, 0.0, 1.0
            yield f"other private people accepted at FAR {_percent(rate)}", "share", Direction.DESCRIBES, 0.0, 1.0
            yield f"threshold at FAR {_percent(rate)}", "cosine similarity", Direction.DESCRIBES, -1.0, 1.0
        yield "area under the ROC", "share", Direction.DESCRIBES, 0.0, 1.0
        for rate in self._curve():
            yield f"genuine accepted at FAR {_percent(rate)}", "share", Direction.DESCRIBES, 0.0, 1.0

    def _curve(self) -> list[float]:
        stated = {_percent(rate) for rate in self.rates}
        return [rate for rate in CURVE if _percent(rate) not in stated]

    def _results(
        self, found: Calibration, own: NDArray[np.float64], people: NDArray[np.int64]
    ) -> Iterator[Measurement]:
        columns = self._columns()
        for rate, threshold, spread in zip(self.rates, found.thresholds, found.spreads, strict=True):
            four = [next(columns) for _ in range(4)]
            if threshold is None:
                yield from (Measurement(*c, reason=_unresolved(rate, len(found.impostors))) for c in four)
                continue
            yield replace(_share(four[0], own > threshold, people), accepted=own > threshold)
            yield _share(four[1], found.genuine.scores > threshold, found.genuine.shown)
            yield _share(four[2], found.others.scores > threshold, found.others.claimed)
            yield Measurement(*four[3], value=threshold, standard_error=spread, samples=found.pictures)
        yield Measurement(*next(columns), value=found.area, standard_error=found.area_error, samples=found.pictures)
        for rate, column in zip(self._curve(), columns, strict=True):
            yield _on_the_curve(column, rate, found)

    def _named(self) -> Spec:
        return with_weights(self.embedder, self.weights)

    def _calibration(self, embedder: Classifier, evidence: Evidence) -> Calibration:
        """Computed once for all cells on the same data; the oldest is forgotten first."""
        data = evidence.data
        key = (asked(self._named()), data.checksum, self.match, repr(self.rates), str(self.strangers))
        if key not in _calibrated:
            while len(_calibrated) >= KEPT:
                _calibrated.pop(next(iter(_calibrated)))
            source = Run(f"verification {data.checksum}")  # not the cell's own: one threshold for all cells
            _calibrated[key] = self._calibrate(embedder, data, evidence.run, source)
        return _calibrated[key]

    def _calibrate(self, embedder: Classifier, data: Data, run: Run, source: Run) -> Calibration:
        gallery = enrol(embed(embedder, data.train, run, "enrolment"), data.train.labels.cpu().numpy(), self.match)
        held = join(data.validation, data.test)
        public = _thinned(data.public, self.strangers, source)
        shown = gallery.scores(embed(embedder, held, run, "held-out private pictures"))
        genuine, others = pairs(shown, held.labels.cpu().numpy(), gallery.people)
        impostors = others
        if len(public):
            seen = gallery.scores(embed(embedder, public, run, "public pictures"))
            strangers = np.unique(public.labels.cpu().numpy(), return_inverse=True)[1]
            _, more = pairs(seen, strangers + data.classes, gallery.people)
            impostors = _joined(others, more)
        impostors = impostors.descending()
        thresholds = [
            roc.threshold(impostors.scores, rate) if len(impostors) >= roc.needed(rate) else None for rate in self.rates
        ]
        rng = np.random.default_rng(source.seed("bootstrap"))
        area_error, spreads = roc.errors(genuine, impostors, self.rates, data.classes, RESAMPLES, rng)
        area = roc.area(genuine.scores, impostors.scores)
        pictures = len(held) + len(public)
        return Calibration(
            gallery, genuine, others, impostors, tuple(thresholds), tuple(spreads), area, area_error, pictures
        )


def _joined(a: roc.Pairs, b: roc.Pairs) -> roc.Pairs:
    return roc.Pairs(
        np.concatenate([a.scores, b.scores]),
        np.concatenate([a.shown, b.shown]),
        np.concatenate([a.claimed, b.claimed]),
    )


def _own(gallery: Gallery, embeddings: NDArray[np.float64], images: Images) -> NDArray[np.float64]:
    """Similarity of each picture with the person it is meant to show ``(N,)``."""
    place = np.searchsorted(gallery.people, images.labels.cpu().numpy())
    return gallery.scores(embeddings)[np.arange(len(place)), place]


def _thinned(images: Images, most: int, source: Run) -> Images:
    """At most so many pictures, labelled by person: everybody's first, everybody's second, and so on."""
    if not min(len(images), most):
        return images[:0]
    images = Images(images.pixels, who(images))
    if len(images) <= most:
        return images
    shuffled = torch.randperm(len(images), generator=source.generator("strangers")).numpy()
    labels = images.labels.cpu().numpy()[shuffled]
    by_person = np.argsort(labels, kind="stable")
    _, starts, counts = np.unique(labels[by_person], return_index=True, return_counts=True)
    turn = np.empty(len(labels), np.int64)
    turn[by_person] = np.arange(len(labels)) - np.repeat(starts, counts)
    chosen = shuffled[np.argsort(turn, kind="stable")[:most]]
    return images[torch.from_numpy(np.sort(chosen))]


def _unmeasurable(data: Data, fakes: Images) -> str | None:
    alone = sorted(set(fakes.labels.tolist()) - set(data.train.labels.tolist()))
    if alone:
        return f"no private training picture of class {', '.join(map(str, alone[:5]))}"
    held = set(data.validation.labels.tolist()) | set(data.test.labels.tolist())
    if len(held) < 2:
        return "no held-out private pictures of two people or more, which genuine pairs are made of"
    return None


def _unresolved(rate: float, count: int) -> str:
    return f"{count} impostor pairs do not resolve a false-accept rate of {_percent(rate)}: {roc.needed(rate)} needed"


def _on_the_curve(column: tuple[str, str, Direction, float, float], rate: float, found: Calibration) -> Measurement:
    if len(found.impostors) < roc.needed(rate):
        return Measurement(*column, reason=_unresolved(rate, len(found.impostors)))
    threshold = roc.threshold(found.impostors.scores, rate)
    return _share(column, found.genuine.scores > threshold, found.genuine.shown)


def _percent(rate: float) -> str:
    return f"{100 * rate:g} %"


def _share(
    column: tuple[str, str, Direction, float, float], accepted: NDArray[np.bool_], people: NDArray[np.int64]
) -> Measurement:
    mean, whose = per_person(accepted.astype(np.float64), people)
    return Measurement(*column, values=mean, identities=whose, samples=len(accepted))
