"""Synthetic people that a generator draws: what its data sets share, however a picture comes about."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Generic, TypeVar

import torch
from pydantic import Field
from torch import Tensor

from unveil.harness.data.splits import Pictures, Shares, assemble
from unveil.harness.words.images import Data
from unveil.harness.words.pixel_file import Room
from unveil.harness.words.pixels import to_float, to_uint8
from unveil.harness.words.run import Bar, Run, draw_normal

N = TypeVar("N")


@dataclass(frozen=True)
class Drawn(ABC, Generic[N]):
    """A data set of people whose pictures depend on its settings alone; the settings are described by each.

    Attributes:
        stream: Names the data set's own randomness.
        apart: How public and private people are known to be different, in words.
        latent: Numbers in an anchor.
        together: Pictures that are drawn at once.
    """

    stream: ClassVar[str]
    apart: ClassVar[str]
    latent: ClassVar[int]
    together: ClassVar[int]

    private: Annotated[int, Field(ge=2)] = 40
    pictures: Annotated[int, Field(ge=3)] = 24
    public: Annotated[int, Field(ge=1)] = 100
    public_pictures: Annotated[int, Field(ge=1)] = 20
    exposure: Annotated[float, Field(ge=0, lt=1)] = 0.2
    noise: Annotated[float, Field(ge=0, le=0.5)] = 0.02
    size: Annotated[int, Field(ge=16, le=256)] = 64
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    seed: Annotated[int, Field(ge=0)] = 0

    @abstractmethod
    def network(self) -> N:
        """Whatever draws, ready to draw."""

    @abstractmethod
    def placed(self, network: N, anchors: Tensor) -> Tensor:
        """Anchors as the network takes them."""

    @abstractmethod
    def plain(self, network: N, anchors: Tensor) -> Tensor:
        """The pictures of placed anchors themselves ``(N, 3, size, size)``, in neutral light and without noise."""

    @abstractmethod
    def photograph(self, network: N, own: Sequence[torch.Generator], anchors: Tensor) -> Tensor:
        """Pictures ``(N, 3, size, size)`` uint8, each of its placed anchor and by a generator of its own."""

    def anchors(self) -> tuple[Tensor, Tensor]:
        """The truth: where each person lies in the generator's latent space. Draws no picture.

        Returns:
            Private ``(private, latent)`` in the order of the labels, and public ``(public, latent)``.
        """
        return self._anchors("private", self.private), self._anchors("public", self.public)

    @torch.no_grad()
    def load(self, run: Run) -> Data:
        """Draws everybody.

        Raises:
            AssetError: If the generator's weights cannot be had.
            DataError: If there are too few pictures per person to split.
            WeightsError: If a file does not hold what it should.
        """
        network = self.network()
        private, public = (self.placed(network, anchors) for anchors in self.anchors())
        total = self.private * self.pictures + self.public * self.public_pictures
        with run.progress("drawing people", total) as bar:
            hidden = self._draw(network, "private", private, self.pictures, run, bar)
            shown = self._draw(network, "public", public, self.public_pictures, run, bar)
        shares = Shares(self.test, self.validation, self.seed)
        data = assemble(hidden, shown, shares, publishable=True, apart=self.apart)
        return replace(data, anchors=to_float(to_uint8(self.plain(network, private))))

    def _source(self) -> Run:
        """The data set's own randomness: the same people in whatever plan and whatever node they are drawn."""
        return Run(f"{self.stream} {self.seed}")

    def _anchors(self, side: str, count: int) -> Tensor:
        keys = [(person, 0) for person in range(count)]
        return draw_normal(self._source().generators(f"{side} anchor", keys), (self.latent,))

    def _draw(self, network: N, side: str, anchors: Tensor, count: int, run: Run, bar: Bar) -> Pictures:
        keys = [(person, k) for person in range(len(anchors)) for k in range(count)]
        room = Room((len(keys), 3, self.size, self.size), run.scratch)
        for start in range(0, len(keys), self.together):
            chunk = keys[start : start + self.together]
            own = self._source().generators(f"{side} picture", chunk)
            room.put(start, self.photograph(network, own, anchors[[person for person, _ in chunk]]))
            bar.advance(len(chunk))
        names = tuple(f"{'person' if side == 'private' else 'public'} {person:03d}" for person in range(len(anchors)))
        return Pictures(room.filled(), torch.tensor([person for person, _ in keys]), names)
