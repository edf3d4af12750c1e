"""Files with the weights of a prior that somebody has trained elsewhere, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import torch
from pydantic import Field
from torch import Tensor, nn

from unveil.harness.assets import checkpoints, weights
from unveil.harness.assets.checkpoints import Checkpoint
from unveil.harness.assets.weights import WHOLE
from unveil.harness.assets.wrappers import select, spectral
from unveil.harness.models.trained_elsewhere import AUTO, SORTED, misfit, named_in
from unveil.harness.words.errors import WeightsError
from unveil.harness.words.generator import Generator
from unveil.harness.words.prior import Prior, Renamed, Renaming
from unveil.harness.words.spec import LocalPath

PARTS: Mapping[str, str] = {"generator": "network", "critic": "critic"}  # of a GAN, and what its networks are called
Shape: TypeAlias = tuple[int, int, int]


@dataclass(frozen=True)
class Restored:
    """A prior with weights from elsewhere.

    Attributes:
        generator: Its networks, filled.
        classes: How many people they tell apart; None if they know of no people.
        notes: What a reader must know of how the files were read.
        axes: Along which axis tensors have a place for each of these people, by name.
    """

    generator: Generator
    classes: int | None
    notes: tuple[str, ...]
    axes: Mapping[str, int]


@dataclass(frozen=True)
class TrainedPriorElsewhere:
    """Weights of a prior that were trained elsewhere, used as they are.

    A file is a state dict, wherever in it that lies and whatever wrappers have put into its names, with the names that
    this package saves, or those of the released checkpoints where the prior knows them. Where a file lies enters no
    identity, only what is in it.

    Attributes:
        file: All networks of the prior. Or ``generator`` and ``critic``.
        generator: The generator's file, where each network has its own.
        critic: The critic's, or discriminator's.
        trained_on: What they were trained on and how it is known that no private person is among it, in words. It is
            your word that stands beside every result.
        order: Whose class is which, for a prior that is told a class. ``"auto"``: as the target's classes stand in its
            file, if that was trained elsewhere, too; else as ``"sorted"``: by the people's sorted names. Or a file, as
            for a target.
    """

    trained_on: Annotated[str, Field(min_length=8)] = ""
    file: LocalPath = ""
    generator: LocalPath = ""
    critic: LocalPath = ""
    order: Annotated[LocalPath, Field(min_length=1)] = AUTO

    def __post_init__(self) -> None:
        parts = bool(self.generator), bool(self.critic)
        if parts != ((not self.file,) * 2):
            raise ValueError('trained names one file with all networks, or a table with "generator" and "critic"')
        if not self.trained_on.strip():
            raise ValueError(
                "trained_on is missing: what the prior's weights were trained on, and how it is known that no private "
                "person is among it"
            )

    def content(self) -> Mapping[str, str]:
        """The checksums of the weights, and of the file that says whose class is which.

        Raises:
            WeightsError: If one of them cannot be read.
        """
        named = {name: getattr(self, name) for name in ("file", "generator", "critic", "order")}
        return {name: weights.checksum(Path(at)) for name, at in named.items() if at not in ("", AUTO, SORTED)}

    def names(self) -> tuple[str, ...] | None:
        """Who the classes are, in order; None where no file says so.

        Raises:
            WeightsError: If the file cannot be understood.
        """
        return None if self.order in (AUTO, SORTED) else named_in(Path(self.order))

    def try_out(self, prior: Prior, side: int | None) -> None:
        """Reads the files, and puts them into the networks if it is known what size of pictures these draw.

        Args:
            prior: Whose they are.
            side: Of the pictures.

        Raises:
            WeightsError: If they cannot be read, or do not fit.
        """
        self.names()
        for path in self._paths():
            checkpoints.read(path)
        if side is not None:
            try:
                self.restore(prior, 2, (3, side, side))
            except WeightsError:
                if not self._fits_grey(prior, side):
                    raise

    def _fits_grey(self, prior: Prior, side: int) -> bool:
        try:
            self.restore(prior, 2, (1, side, side))
        except WeightsError:
            return False
        return True

    def restore(self, prior: Prior, classes: int, shape: Shape) -> Restored:
        """The prior's networks with these weights, for as many classes as they know.

        Args:
            prior: Their architecture.
            classes: How many people there are, for a prior whose networks know of none.
            shape: Of its pictures, ``(C, H, W)``.

        Raises:
            WeightsError: If the weights do not fit.
        """
        probe = prior.build(2, shape)
        axes = class_axes(probe, prior.build(3, shape))
        files = [spectral(checkpoints.read(path)) for path in self._paths()]
        known = set(_counts(self._places(prior, probe, files), probe, axes))
        if len(known) > 1:
            raise WeightsError(
                f"{self._told} tell {' and '.join(map(str, sorted(known)))} classes apart",
                "networks that were trained together",
                "name the critic that belongs to the generator",
            )
        (count,) = known or {classes}
        generator = prior.build(count, shape)
        places = self._places(prior, generator, files)
        notes = [note for checkpoint, module in places for note in weights.load(module, checkpoint, WHOLE)]
        return Restored(generator, count if known else None, tuple(dict.fromkeys(notes)), axes)

    @torch.no_grad()
    def reorder(self, found: Restored, order: Sequence[int]) -> None:
        """Puts the classes of a restored prior in another order: class i is what was class ``order[i]``.

        Args:
            found: Changed in place.
            order: The first of its classes; the others come after them.
        """
        assert found.classes is not None
        rows = torch.tensor([*order, *(k for k in range(found.classes) if k not in order)])
        state: dict[str, Tensor] = found.generator.state_dict()
        for name, axis in found.axes.items():
            state[name].copy_(state[name].index_select(axis, rows))

    def _paths(self) -> list[Path]:
        return [Path(one) for one in (self.file, self.generator, self.critic) if one]

    @property
    def _told(self) -> str:
        return " and ".join(map(str, self._paths()))

    def _places(
        self, prior: Prior, generator: Generator, files: Sequence[Checkpoint]
    ) -> Iterator[tuple[Checkpoint, nn.Module]]:
        """Each file with the networks that are in it, under the names that it has."""
        released = prior.released(generator) if isinstance(prior, Renaming) else None
        if len(files) == 1:
            (checkpoint,) = files
            apart = 0.0 if released is None else max(_fit(checkpoint, module) for module in released.parts.values())
            if _fit(checkpoint, generator) >= apart:
                yield checkpoint, _required(checkpoint, generator)
                return
            files = [checkpoint] * len(PARTS)
        for checkpoint, part in zip(files, PARTS, strict=True):
            yield checkpoint, _network(checkpoint, generator, part, released)


def _network(checkpoint: Checkpoint, generator: Generator, part: str, released: Renamed | None) -> nn.Module:
    """A network of a GAN under the names that a file has: ours, or the released ones."""
    own = getattr(generator, PARTS[part], None)
    if not isinstance(own, nn.Module):
        raise WeightsError(
            f"the prior has no {part} of its own: it is a {type(generator).__name__}",
            "one file with the names of all that it has",
            'write trained = "file"',
        )
    if released is None or _fit(checkpoint, own) >= _fit(checkpoint, released.parts[part]):
        return _required(checkpoint, own)
    if released.unless:
        raise WeightsError(f"{checkpoint.path} has the released names: {released.unless}", *released.instead)
    return released.parts[part]


def _fit(checkpoint: Checkpoint, module: nn.Module) -> float:
    """Which share of a network's names is in a file."""
    names = module.state_dict().keys()
    return select(checkpoint, names)[0].fits / max(1, len(names))


def _required(checkpoint: Checkpoint, module: nn.Module) -> nn.Module:
    """The same, if it is in the file at all."""
    names = module.state_dict().keys()
    found, _ = select(checkpoint, names)
    if 2 * found.fits <= len(names):
        raise misfit(checkpoint.path, found, names)
    return module


def class_axes(two: nn.Module, three: nn.Module) -> dict[str, int]:
    """Along which axis tensors have a place for each class, by name: those that grow with the number of classes.

    Args:
        two: Networks for two classes.
        three: The same for three.
    """
    other = three.state_dict()
    return {
        name: axis
        for name, tensor in two.state_dict().items()
        for axis, (a, b) in enumerate(zip(tensor.shape, other[name].shape, strict=True))
        if (a, b) == (2, 3)
    }


def _inside(module: nn.Module, whole: nn.Module, axes: Mapping[str, int]) -> dict[str, int]:
    """The same axes by the names that tensors have in a module which shares them."""
    places = {tensor.data_ptr(): axes[name] for name, tensor in whole.state_dict().items() if name in axes}
    return {name: places[t.data_ptr()] for name, t in module.state_dict().items() if t.data_ptr() in places}


def _counts(places: Iterable[tuple[Checkpoint, nn.Module]], probe: Generator, axes: Mapping[str, int]) -> Iterator[int]:
    """For how many classes each tensor in the files is that has a place for each.

    Raises:
        WeightsError: If one is missing or of another size: no networks are built by what it says of classes.
    """
    for checkpoint, module in places:
        wanted = module.state_dict()
        tensors = select(checkpoint, wanted.keys())[0].tensors
        inside = _inside(module, probe, axes)
        for name, axis in inside.items():
            if name not in tensors or _but(tensors[name], axis) != _but(wanted[name], axis):
                weights.load(module, checkpoint, WHOLE)  # which says what does not fit
        yield from (tensors[name].shape[axis] for name, axis in inside.items())


def _but(tensor: Tensor, axis: int) -> tuple[int, ...]:
    """The shape without an axis."""
    return *tensor.shape[:axis], *tensor.shape[axis + 1 :]
