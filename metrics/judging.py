"""What metrics share: the pictures as a viewer gets them, and a network applied to many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.types import Direction, Evidence, Images, Measurement, Quantity
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import JudgeError, UnveilError
from unveil.harness.words.pixels import to_uint8
from unveil.harness.words.run import Run

BATCH = 128  # fixed, so that a number never depends on the machine
Pictures: TypeAlias = Tensor | Images
"""Few pictures as pixels ``(N, C, H, W)``, or any number of them that become pixels a batch at a time."""


def as_pictures(pixels: Tensor) -> Tensor:
    """Pixels rounded to the 256 levels of a picture file, so that nothing below them can sway a judge.

    Args:
        pixels: ``(N, C, H, W)``, in [0, 1]; clipped where they stray, as saving would.

    Raises:
        UnveilError: If a pixel is not finite.
    """
    bad = ~torch.isfinite(pixels).flatten(1).all(1)
    if bad.any():
        raise UnveilError(f"{int(bad.sum())} of {len(pixels)} pictures have pixels that are not finite", "[0, 1]")
    return (pixels * 255).round().clamp(0, 255) / 255


def rounded(images: Images) -> Images:
    """The same with 8 bits a value, as `as_pictures` rounds; those that have them already are not copied.

    Raises:
        UnveilError: If a pixel is not finite.
    """
    if images.stored.dtype == torch.uint8 or not len(images):
        return images
    return Images(torch.cat([to_uint8(as_pictures(x)) for x in images.batches(BATCH)]), images.labels)


def reconstructions(evidence: Evidence) -> Images:
    """What the attack returned, all of it, as pictures.

    Raises:
        UnveilError: If there is none.
    """
    found = evidence.reconstructions
    if found is None or not len(found):
        raise UnveilError("nothing was reconstructed", "at least one picture per attacked class", "look at the attack")
    return rounded(found)


def evaluator(evidence: Evidence) -> Classifier:
    """The judge.

    Raises:
        JudgeError: If there is none.
    """
    if evidence.evaluator is None:
        raise JudgeError("no evaluator to judge the reconstructions", "one", "name an evaluator in the plan")
    return evidence.evaluator


def logits(classifier: Classifier, pictures: Pictures, run: Run, label: str) -> Tensor:
    """Logits ``(N, C)`` float32 on the CPU, in evaluation mode.

    Raises:
        JudgeError: If one is NaN.
    """
    out = apply(classifier.to(run.device).eval().logits, pictures, run, label)
    if out.isnan().any():
        raise JudgeError("a classifier answered NaN", "finite logits", "look at its training curves")
    return out


def features(classifier: Classifier, pictures: Pictures, run: Run, label: str) -> NDArray[np.float64]:
    """Penultimate features ``(N, F)``, in evaluation mode."""
    return apply(classifier.to(run.device).eval().features, pictures, run, label).double().numpy()


def apply(function: Callable[[Tensor], Tensor], pictures: Pictures, run: Run, label: str, batch: int = BATCH) -> Tensor:
    """Applies a network to many pictures, without gradients.

    Args:
        function: Pixels ``(B, C, H, W)`` to ``(B, ...)``, on the run's device.
        pictures: N of them, N > 0.
        run: Device and progress.
        label: What the progress bar says.
        batch: Pictures at a time.

    Returns:
        ``(N, ...)`` float32 on the CPU.
    """
    out = []
    parts: Iterable[Tensor] = pictures.split(batch) if isinstance(pictures, Tensor) else pictures.batches(batch)
    with torch.no_grad(), run.progress(label, len(pictures)) as bar:
        for part in parts:
            x = part.to(run.device).contiguous(memory_format=torch.channels_last)
            out.append(function(x).float().cpu())
            bar.advance(len(part))
    return torch.cat(out)


def coloured(x: Tensor) -> Tensor:
    """Pixels ``(N, C, H, W)`` with three channels: grey ones get three that are equal."""
    return x.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def hits(scores: Tensor, labels: Tensor, k: int) -> NDArray[np.float64]:
    """1 where the label is among the k highest scores, else 0. A tie counts against it: a constant answer hits nothing.

    Args:
        scores: ``(N, C)``.
        labels: ``(N,)``.
        k: At least 1.

    Example:
        >>> hits(torch.tensor([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]]), torch.tensor([1, 0]), 1)
        array([1., 0.])
    """
    own = scores.gather(1, labels[:, None])
    rivals = (scores >= own).sum(1) - 1
    return (rivals < k).double().numpy()


def per_person(values: NDArray[np.float64], people: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Values as they are if every person has equally many, else one mean per person, so that all weigh the same."""
    who, position, counts = np.unique(people, return_inverse=True, return_counts=True)
    if len(set(counts.tolist())) == 1:
        return values, people
    return np.bincount(position, weights=values) / counts, who


def share(
    column: str | Quantity,
    direction: Direction,
    values: NDArray[np.float64],
    people: NDArray[np.int64],
    samples: int,
    accepted: NDArray[np.bool_] | None = None,
) -> Measurement:
    """A share with one value a picture or a person.

    Args:
        column: What it is the share of.
        direction: What a higher share means.
        values: In [0, 1], ``(N,)``.
        people: Whose each value is ``(N,)``.
        samples: Pictures that went in.
        accepted: The verdict on each picture, where the column is one.
    """
    return Measurement(
        column, "share", direction, 0.0, 1.0, values=values, identities=people, samples=samples, accepted=accepted
    )


def share_of_pictures(
    column: str | Quantity,
    direction: Direction,
    hit: NDArray[np.float64],
    people: NDArray[np.int64],
    *,
    verdict: bool = False,
) -> Measurement:
    """The share of pictures that are hit; people with unequal numbers of them weigh the same.

    Args:
        column: What it is the share of.
        direction: What a higher share means.
        hit: 1 or 0, ``(N,)``.
        people: Whom each picture should show ``(N,)``.
        verdict: Whether a hit says that the picture is taken for that person.
    """
    return share(column, direction, *per_person(hit, people), len(hit), hit > 0 if verdict else None)
