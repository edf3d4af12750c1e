"""The vocabulary: what datasets, models, defenses, priors, attacks and metrics say to each other.

A plugin is a frozen dataclass whose fields are its settings. It may carry ``paper`` (a citation, shown by
``unveil list``). A plugin that reads files from outside the package says what is in them with ``content()``,
so that another file under the same name is another identity.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unveil.harness.words.classifier import Classifier, Forward
from unveil.harness.words.defense import Defense, Plugin, Step, Terms
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.images import Data, Images
from unveil.harness.words.memo import Memo
from unveil.harness.words.names import Access, Direction, Quantity, Role
from unveil.harness.words.needs import (
    Distillation,
    GivenComparer,
    GivenModel,
    Need,
    Surrogate,
    TrainedPrior,
    WrappedAttack,
)
from unveil.harness.words.run import Run, draw_normal
from unveil.harness.words.spec import Spec
from unveil.harness.words.view import Budget, Spent, View

__all__ = [
    "Access", "Attack", "Attempt", "Budget", "Ceiling", "Classifier", "Comparer", "ConditionalGenerator", "Control",
    "Data", "Dataset", "Defense", "Direction", "Distillation", "Evidence", "Forward", "Generator", "Given",
    "GivenComparer", "GivenModel", "Guided", "Images", "Ingredients", "Measurement", "Memo", "Metric", "Model", "Need",
    "Origin", "Plugin", "Pretrained", "Prior", "PriorWithNeeds", "Quantity", "Role", "Run", "Spec", "Spent", "Step",
    "Surrogate", "Terms", "TrainedPrior", "UnveilError", "View", "WrappedAttack", "draw_normal",
]  # fmt: skip


@runtime_checkable
class Dataset(Plugin, Protocol):
    """Where private and public pictures come from."""

    def load(self, run: Run) -> Data:
        """Reads or draws the pictures, splits them and refuses people and pictures that are on both sides.

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


class ConditionalGenerator(Generator):
    """A trained prior that is told whom to show.

    Attacks that know nothing of classes can search it, too: ``synthesize`` must show nobody in particular, and
    ``realism`` judge a picture whoever it shows.
    """

    def synthesize_as(self, z: Tensor, y: Tensor) -> Tensor:
        """Latents ``(N, latent)`` and the target's classes ``(N,)`` to pixels ``(N, C, H, W)`` in [0, 1]."""
        raise NotImplementedError


@runtime_checkable
class Prior(Plugin, Protocol):
    """A recipe for a generator, trained on public pictures.

    Attributes:
        access: What training asks of the target, so that each defended target has a prior of its own; None: nothing. An
            attack whose own access is less cannot have it.
    """

    access: ClassVar[Access | None] = None

    def build(self, classes: int, shape: tuple[int, int, int]) -> Generator:
        """The untrained networks, which a stored state is loaded into."""
        ...

    def fit(self, generator: Generator, public: Images, view: View | None, run: Run) -> Mapping[str, Sequence[float]]:
        """Trains the networks in place.

        Args:
            generator: What ``build`` returned.
            public: Public pictures.
            view: The target through the declared access; None if there is none.
            run: Randomness, progress, checkpoints.

        Returns:
            Training curves by name.
        """
        ...


class PriorWithNeeds(Plugin, Protocol):
    """A prior that wants something besides public pictures, such as what an attack reconstructed.

    Attributes:
        access: As of any prior.
    """

    access: ClassVar[Access | None] = None

    def needs(self) -> Mapping[str, Need]:
        """What it wants, by role."""
        ...

    def build(self, classes: int, shape: tuple[int, int, int]) -> Generator:
        """As of any prior."""
        ...

    def fit(
        self, generator: Generator, public: Images, view: View | None, run: Run, given: Given
    ) -> Mapping[str, Sequence[float]]:
        """As of any prior, with what it wanted besides."""
        ...


@dataclass(frozen=True)
class Origin:
    """Where weights come from that were trained elsewhere.

    Attributes:
        trained_on: What they were trained on, in words, and how it is known that no private person is among it. A
            SHA-256 in it, such as the checksum of a data set or of its public pictures, is compared with the private
            ones.
        publishable: Whether what they draw may be shown: nobody real can be recognised on it.
    """

    trained_on: str
    publishable: bool = False


@runtime_checkable
class Pretrained(Protocol):
    """A prior that starts from weights trained elsewhere. One whose ``content()`` names files must be one."""

    def origin(self) -> Origin | None:
        """Where they come from; None if its settings let it learn everything here."""
        ...


@dataclass(frozen=True)
class Given:
    """What a plugin asked for with ``needs()``, by role. It is shared with others: copy what is to change.

    Attributes:
        priors: Trained generators, in evaluation mode.
        models: Surrogates, and models as they are, for the data's people; in evaluation mode, frozen.
        comparers: Who compares pictures.
        attacks: Other attacks on the same target, which have been run.
    """

    priors: Mapping[str, Generator] = field(default_factory=dict)
    models: Mapping[str, Classifier] = field(default_factory=dict)
    comparers: Mapping[str, Comparer] = field(default_factory=dict)
    attacks: Mapping[str, Attempt] = field(default_factory=dict)


@dataclass(frozen=True)
class Ingredients:
    """What an attack is given besides the target: nothing private, and never an evaluator.

    Attributes:
        prior: The trained generator that it asked for under the role ``prior``; None if it did not.
        public: Public pictures.
        surrogates: The attacker's own models, distilled from the target, in the order in which it asked for them.
        given: All that it asked for, by role, these included.
    """

    prior: Generator | None
    public: Images
    surrogates: Sequence[Classifier] = ()
    given: Given = field(default_factory=Given)


@dataclass(frozen=True)
class Attempt:
    """Another attack on the same target: what came of it, and all that it takes to run it again.

    To run it with another prior: ``attempt.attack.reconstruct(view, replace(attempt.ingredients, prior=mine), labels,
    run)``. What that asks of the target counts for the attack that does so.

    Attributes:
        attack: The attack.
        images: All its reconstructions.
        kept: What it kept beside them, by name; see `Run.keep`.
        ingredients: What it was given.
    """

    attack: Attack
    images: Images
    kept: Mapping[str, Tensor]
    ingredients: Ingredients


@runtime_checkable
class Attack(Plugin, Protocol):
    """A model-inversion attack.

    Attributes:
        access: The threat model it needs.
    """

    access: ClassVar[Access]

    def needs(self) -> Mapping[str, Need] | Spec | None:
        """What it wants besides its settings, by role.

        What asks the target may ask for no more than ``access``. A `Spec` alone is a prior under the role ``prior``.
        """
        ...

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Reconstructs pictures of people the target was trained on.

        Args:
            view: The target through the declared access.
            ingredients: Public pictures and what it wanted.
            labels: Classes to attack ``(K,)``, without repetition.
            run: Randomness, progress, checkpoints.

        Returns:
            All reconstructions, successes and failures, each labelled with the class it is meant to show.
        """
        ...


@runtime_checkable
class Control(Protocol):
    """An attack that other attacks are compared with. It stands apart on the page: never ranked, never averaged.

    Attributes:
        role: A `Role`: ``floor`` (what luck scores), ``gullibility`` (how easily a judge is fooled) or ``ceiling``.
    """

    role: ClassVar[str]


@runtime_checkable
class Ceiling(Control, Protocol):
    """The control that no attack can beat. It alone sees private pictures, and sees no target."""

    def show(self, data: Data, labels: Tensor, run: Run) -> Images:
        """Pictures of people the target was trained on, as good as can be.

        Args:
            data: Everything, private pictures included.
            labels: Classes to show ``(K,)``, without repetition.
            run: Randomness.

        Returns:
            Pictures of every label.
        """
        ...


@runtime_checkable
class Guided(Protocol):
    """An attack that descends an identity loss, so that one can ask which weights of the target that loss looks at."""

    def identity_loss(self, o: Tensor, y: Tensor) -> Tensor:
        """Logits ``(N, C)`` of the target and labels ``(N,)`` to the loss of each sample ``(N,)``, unweighted."""
        ...


@dataclass(frozen=True)
class Measurement:
    """Values of one metric, before any mean or interval.

    A metric that is a mean gives ``values``, one per sample. One that is not (FID) gives ``value`` and its
    ``standard_error`` over identities. One that could not be computed gives a ``reason`` and neither.

    Attributes:
        column: What was measured, such as ``"top-1"``; a `Quantity` where there is more to say than a name, such as the
            false-accept rate.
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
        accepted: Whether each reconstruction, in the attack's order, is taken for the person it should show ``(N,)``.
            Only of columns that are such a verdict: it is what judges are compared by, picture by picture.
        counted: Whether the value hangs on how many samples there are (FID), so that only equal numbers compare.
    """

    column: str | Quantity
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
    accepted: NDArray[np.bool_] | None = None
    counted: bool = False

    @property
    def about(self) -> Quantity:
        """The column in fields."""
        return self.column if isinstance(self.column, Quantity) else Quantity(quantity=self.column)


@dataclass(frozen=True)
class Evidence:
    """What a metric may look at.

    Attributes:
        data: Everything, private pictures included.
        target: The defended classifier.
        evaluator: The judge, where the metric needs one; never the target.
        reconstructions: What the attack returned, where the metric is about an attack.
        path: Pictures along the attack's search, one sample per person at several steps; None if it left none.
        identity_loss: What the attack descends (see ``Guided``); None if nothing.
        run: Randomness, device, progress.
        given: What the metric asked for with ``needs()``.
    """

    data: Data
    target: Classifier
    evaluator: Classifier | None
    reconstructions: Images | None
    run: Run
    path: Images | None = None
    identity_loss: Callable[[Tensor, Tensor], Tensor] | None = None
    given: Given = field(default_factory=Given)


@runtime_checkable
class Metric(Plugin, Protocol):
    """A measurement.

    Attributes:
        about: ``"target"`` if it needs no attack (utility), else ``"attack"``.
        needs_evaluator: Whether a judge looks at the pictures, so that it is repeated for each one.
    """

    about: ClassVar[str]
    needs_evaluator: ClassVar[bool]

    def needs(self) -> Mapping[str, Need]:
        """What it wants besides its settings, by role. Where a model's weights cannot be had, nothing is scored."""
        return {}

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """Measures. What cannot be computed is a measurement with a reason, never a number."""
        ...


@runtime_checkable
class Comparer(Protocol):
    """Who says whether a picture shows a person: a network, a language model that sees pictures, people who are asked.

    Attributes:
        yes_or_no: Whether answers are 1 (it is the person) and 0 alone. Then the false-accept rate is what it is;
            of other answers, thresholds are made.
    """

    yes_or_no: ClassVar[bool]

    def compare(
        self, pictures: Tensor, people: Sequence[Tensor], pairs: NDArray[np.int64], run: Run
    ) -> NDArray[np.float64]:
        """How alike pictures and people are.

        Args:
            pictures: ``(N, C, H, W)`` in [0, 1], of 256 levels.
            people: Real pictures of each enrolled person, each ``(M, C, H, W)``.
            pairs: Which picture and which person each question is about ``(Q, 2)``, in an order that tells nothing.
            run: Randomness, device, progress, checkpoints.

        Returns:
            ``(Q,)``, finite; higher is more alike.

        Raises:
            UnansweredError: If there are no answers yet; why, in words.
        """
        ...
