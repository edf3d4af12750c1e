"""What an attack plugin offers, and what controls are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Protocol, runtime_checkable

from torch import Tensor

from unveil.harness.words.defense import Plugin
from unveil.harness.words.generator import Generator
from unveil.harness.words.given import Ingredients
from unveil.harness.words.images import Data, Images
from unveil.harness.words.names import Access
from unveil.harness.words.needs import Need
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec
from unveil.harness.words.view import View


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


@runtime_checkable
class Demanding(Protocol):
    """An attack that not every prior can serve. A plan that gives it such a one is refused before anything runs."""

    def require_prior(self, prior: Generator, shape: tuple[int, int, int]) -> None:
        """Refuses a prior whose networks cannot do what it asks of them, in the words in which it would when it runs.

        Args:
            prior: Built, and perhaps not trained: what it computes may mean nothing.
            shape: Of its pictures, ``(C, H, W)``.

        Raises:
            UnveilError: If it cannot serve.
        """
        ...
