"""What a prior plugin offers: a recipe for a generator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

from torch import nn

from unveil.harness.words.defense import Plugin
from unveil.harness.words.generator import Generator
from unveil.harness.words.given import Given
from unveil.harness.words.images import Images
from unveil.harness.words.names import Access
from unveil.harness.words.needs import Need
from unveil.harness.words.run import Run
from unveil.harness.words.view import View


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
class Renamed:
    """A GAN's own networks under the names that its checkpoints were released with: to fill.

    Attributes:
        parts: ``"generator"`` and ``"critic"``: modules over the same tensors.
        unless: Why a file with these names is not for these settings; empty if it is.
        instead: What is expected in that case, and what to do.
    """

    parts: Mapping[str, nn.Module]
    unless: str = ""
    instead: tuple[str, str] = ("", "")


@runtime_checkable
class Renaming(Protocol):
    """A prior that knows the names of released checkpoints."""

    def released(self, generator: Generator) -> Renamed:
        """The networks that it built, under these names."""
        ...


@runtime_checkable
class Pretrained(Protocol):
    """A prior that starts from weights trained elsewhere. One whose ``content()`` names files must be one."""

    def origin(self) -> Origin | None:
        """Where they come from; None if its settings let it learn everything here."""
        ...
