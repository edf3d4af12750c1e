"""The vocabulary: what datasets, models, defenses, priors, attacks and metrics say to each other.

A plugin is a frozen dataclass whose fields are its settings. It may carry ``paper`` (a citation, shown by
``unveil list``). A plugin that reads files from outside the package says what is in them with ``content()``,
so that another file under the same name is another identity.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unveil.harness.classifier import Classifier, Forward
from unveil.harness.errors import UnveilError
from unveil.harness.run import Run, draw_normal
from unveil.harness.spec import Spec
from unveil.harness.view import Access, Spent, View

__all__ = [
    "Access", "Attack", "Classifier", "Data", "Dataset", "Defense", "Direction", "Evidence", "Forward", "Generator",
    "Images", "Ingredients", "Measurement", "Metric", "Model", "Prior", "Run", "Spec", "Spent", "Step", "Terms",
    "UnveilError", "View", "draw_normal",
]  # fmt: skip


@dataclass(frozen=True)
class Images:
    """Pictures and whose they are.

    Attributes:
        pixels: ``(N, C, H, W)`` float32 in [0, 1].
        labels: ``(N,)`` int64; -1 where nobody knows.
    """

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.pixels.ndim != 4 or len(self.labels) != len(self.pixels):
            raise UnveilError(
                f"images of shape {tuple(self.pixels.shape)} with {len(self.labels)} labels",
                "pixels (N, C, H, W) and one label each",
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> Images:
        return Images(self.pixels[index], self.labels[index])

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(C, H, W)`` of one picture."""
        c, h, w = self.pixels.shape[1:]
        return c, h, w


@dataclass(frozen=True)
class Data:
    """A private data set in three splits, and public pictures of other people.

    Attributes:
        train: Private pictures that targets learn from.
        validation: Private pictures that models are selected on.
        test: Private pictures nobody trains or selects on.
        public: What an attacker may have. Labels number the public people where they are known, else -1.
        names: Name of each private class.
        checksum: Hash of all pixels and labels.
        disjoint: How it is known that no private person is among the public ones.
        publishable: Whether pictures from this data set, and reconstructions of them, may be shown on a page.
    """

    train: Images
    validation: Images
    test: Images
    public: Images
    names: tuple[str, ...]
    checksum: str
    disjoint: str
    publishable: bool = False

    @property
    def classes(self) -> int:
        """Number of private people."""
        return len(self.names)


class Plugin(Protocol):
    """Anything a plan can name: a frozen dataclass whose fields are its settings."""

    paper: ClassVar[str] = ""

    def content(self) -> Mapping[str, str]:
        """Checksums of everything read from outside the package, by name; they enter the identity."""
        return {}


@runtime_checkable
class Dataset(Plugin, Protocol):
    """Where private and public pictures come from."""

    def load(self, run: Run) -> Data:
        """Reads or draws the pictures, splits them and proves the identities disjoint.

        Raises:
            DataError: If they cannot be used.
        """
        ...


@runtime_checkable
class Model(Plugin, Protocol):
    """A classifier architecture with its initial weights."""

    def build(self, classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:
        """An initialised classifier for images of that shape ``(C, H, W)``.

        Raises:
            WeightsError: If pretrained weights are missing or do not fit.
        """
        ...


Terms = Mapping[str, Tensor]


@dataclass(frozen=True)
class Step:
    """What a defense sees of one training step.

    Attributes:
        x: Pixels ``(N, C, H, W)`` in [0, 1] after augmentation.
        y: Labels ``(N,)``.
        forward: The pass through the classifier; stages of a frozen prefix are absent.
        classifier: The classifier in training.
        epoch: Current epoch, from 0.
        epochs: Number of epochs.
        run: Source of randomness.
    """

    x: Tensor
    y: Tensor
    forward: Forward
    classifier: Classifier
    epoch: int
    epochs: int
    run: Run


class Defense(Plugin):
    """Where a defense can act in a classifier's life. Doing nothing is the default of each hook.

    Defenses stack: hooks are applied in the order in which a plan names them.
    """

    def prepare(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Changes weights, architecture or what is trainable, before training.

        Also called before a trained checkpoint is loaded, so the same settings must give the same structure.
        """
        return classifier

    def augment(self, images: Images, run: Run) -> Images:  # noqa: ARG002
        """Changes a training batch."""
        return images

    def loss(self, terms: Terms, step: Step) -> Terms:  # noqa: ARG002
        """Changes the training loss, which is the sum of the terms.

        Args:
            terms: So far; starts as ``{"ce": mean cross-entropy}``.
            step: The forward pass.

        Returns:
            The new terms, each a scalar.
        """
        return terms

    def watch(self, step: Step) -> Mapping[str, float]:  # noqa: ARG002
        """Numbers that are no part of the loss but should be seen in the training curves, by name.

        Their mean over the pictures of an epoch becomes the curve ``<class name>/<name>``. Called once a step, after
        all ``loss`` hooks and before the weights change.
        """
        return {}

    def finish(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Wraps the trained classifier, for instance its outputs."""
        return classifier

    def at_zero(self) -> Self | None:
        """The same defense at strength zero, which must equal no defense; None if it has no strength."""
        return None


class Generator(nn.Module):
    """A trained prior: latents in, images out, all in evaluation mode and per sample.

    Attributes:
        latent: Length of a latent vector.
    """

    latent: int

    def synthesize(self, z: Tensor) -> Tensor:
        """Latents ``(N, latent)`` to pixels ``(N, C, H, W)`` in [0, 1]."""
        raise NotImplementedError

    def sample(self, generators: Sequence[torch.Generator]) -> Tensor:
        """One latent per generator, ``(N, latent)``, from the distribution the prior was trained with."""
        return draw_normal(generators, (self.latent,))

    def realism(self, x: Tensor) -> Tensor:
        """How real each image looks to the prior's own critic, ``(N,)``; higher is more real."""
        raise NotImplementedError


@runtime_checkable
class Prior(Plugin, Protocol):
    """A recipe for a generator, trained on public pictures.

    Attributes:
        needs_view: Whether training asks the target, so that each defended target needs a prior of its own.
    """

    needs_view: ClassVar[bool]

    def build(self, classes: int, shape: tuple[int, int, int]) -> Generator:
        """The untrained networks, which a stored state is loaded into."""
        ...

    def fit(self, generator: Generator, public: Images, view: View | None, run: Run) -> Mapping[str, Sequence[float]]:
        """Trains the networks in place.

        Args:
            generator: What ``build`` returned.
            public: Public pictures.
            view: The target, if ``needs_view``.
            run: Randomness, progress, checkpoints.

        Returns:
            Training curves by name.
        """
        ...


@dataclass(frozen=True)
class Ingredients:
    """What an attack is given besides the target: nothing private, and never an evaluator.

    Attributes:
        prior: The trained generator, where the attack names one.
        public: Public pictures.
    """

    prior: Generator | None
    public: Images


@runtime_checkable
class Attack(Plugin, Protocol):
    """A model-inversion attack.

    Attributes:
        access: The threat model it needs.
    """

    access: ClassVar[Access]

    def needs(self) -> Spec | None:
        """The prior it searches, or None."""
        ...

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Reconstructs pictures of people the target was trained on.

        Args:
            view: The target through the declared access.
            ingredients: The prior and public pictures.
            labels: Classes to attack ``(K,)``, without repetition.
            run: Randomness, progress, checkpoints.

        Returns:
            All reconstructions, successes and failures, each labelled with the class it is meant to show.
        """
        ...


class Direction(StrEnum):
    """What a higher value means."""

    LEAKS = "higher leaks more"
    PROTECTS = "higher leaks less"
    USEFUL = "higher is more useful"


@dataclass(frozen=True)
class Measurement:
    """Values of one metric, before any mean or interval.

    A metric that is a mean gives ``values``, one per sample. One that is not (FID) gives ``value`` and its
    ``standard_error`` over identities. One that could not be computed gives a ``reason`` and neither.

    Attributes:
        column: What was measured, such as ``"top-1"``.
        unit: Such as ``"share"`` or ``"squared distance"``.
        direction: What a higher value means.
        low: Smallest possible value.
        high: Largest possible value.
        values: One per sample ``(N,)``.
        identities: Class of each value ``(N,)``.
        value: A statistic of all samples.
        standard_error: Its standard error over identities.
        samples: How many pictures went in.
        reason: Why it is not scored.
    """

    column: str
    unit: str
    direction: Direction
    low: float
    high: float
    values: NDArray[np.float64] | None = None
    identities: NDArray[np.int64] | None = None
    value: float | None = None
    standard_error: float | None = None
    samples: int = 0
    reason: str | None = None


@dataclass(frozen=True)
class Evidence:
    """What a metric may look at.

    Attributes:
        data: Everything, private pictures included.
        target: The defended classifier.
        evaluator: The judge, where the metric needs one; never the target.
        reconstructions: What the attack returned, where the metric is about an attack.
        run: Randomness, device, progress.
    """

    data: Data
    target: Classifier
    evaluator: Classifier | None
    reconstructions: Images | None
    run: Run


@runtime_checkable
class Metric(Plugin, Protocol):
    """A measurement.

    Attributes:
        about: ``"target"`` if it needs no attack (utility), else ``"attack"``.
        needs_evaluator: Whether a judge looks at the pictures, so that it is repeated for each one.
    """

    about: ClassVar[str]
    needs_evaluator: ClassVar[bool]

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """Measures. What cannot be computed is a measurement with a reason, never a number."""
        ...
