"""A metric's own part of the pictures: of private ones and of reconstructions the same."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from unveil.harness.plan.canonical import digest
from unveil.harness.steps.sizes import window_of
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.metric import Evidence
from unveil.harness.words.window import place, seen_through


def cropped(evidence: Evidence, crop: Sequence[int] | None) -> Evidence:
    """What a metric may look at, of each picture only a part; networks are shown it in place of their own part.

    Args:
        evidence: All of it.
        crop: Left, top, width and height in the data's pixels; None for all of each picture.

    Raises:
        DataError: If the crop does not lie in the pictures.
    """
    if crop is None:
        return evidence
    data = evidence.data
    window = window_of(crop, data.train.shape, "the metric's")
    seen = partial(seen_through, window)
    anchors = None if data.anchors is None else data.anchors[..., *place(window, data.anchors.shape[2:])]
    checksum = digest({"data": data.checksum, "crop": list(crop)})  # what is remembered of it is not that of the whole
    return replace(
        evidence,
        data=replace(
            data,
            train=seen(data.train),
            validation=seen(data.validation),
            test=seen(data.test),
            public=seen(data.public),
            anchors=anchors,
            checksum=checksum,
        ),
        evaluator=None if evidence.evaluator is None else _unwindowed(evidence.evaluator),
        reconstructions=None if evidence.reconstructions is None else seen(evidence.reconstructions),
        path=None if evidence.path is None else seen(evidence.path),
    )


def _unwindowed(classifier: Classifier) -> Classifier:
    """The same weights, which look at all that they are shown."""
    if classifier.window is None:
        return classifier
    whole = copy.copy(classifier)
    whole.window = None
    return whole
