"""Finds a model's tensors in a checkpoint, under whatever names its wrappers have given them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from unveil.harness.assets.checkpoints import Checkpoint
from unveil.harness.words.errors import WeightsError, listed
from unveil.harness.words.finite import SHOWN as FEW

# What torch.compile, Opacus, DataParallel, FSDP and activation checkpointing put into names, anywhere in them
WRAPPERS = frozenset({"_orig_mod", "_module", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
AVERAGED = re.compile(r"(^|[._])(ema|swa|averaged?)([._]|$)")  # running averages of the weights


@dataclass(frozen=True)
class Found:
    """A way to read a checkpoint as the model's.

    Attributes:
        place: Where in the file.
        prefix: What the names of all tensors begin with, wrappers not counted.
        fits: How many of the model's names are found so.
        tensors: By the model's names; those that are not the model's have theirs.
        wrapped: The wrappers that were taken out of the middle of names.
        outside: Names in the same place without the prefix.
    """

    place: str
    prefix: str
    fits: int
    tensors: Mapping[str, Tensor]
    wrapped: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Where it is, in the file and in the names."""
        return f"{self.place}.{self.prefix}".strip(".")

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of how it was read."""
        taken = [*(f"{name}." for name in self.wrapped), *([self.prefix] if self.prefix else [])]
        found = [f"taken off the names in the checkpoint: {', '.join(taken)}"] if taken else []
        found += [f"taken from {self.title}, a running average"] if AVERAGED.search(self.title) else []
        found += [f"left out of the checkpoint: {listed(self.outside, FEW)}"] if self.outside else []
        return tuple(found)


SPECTRAL = {"weight_orig": "original", "weight_u": "0._u", "weight_v": "0._v"}


def spectral(checkpoint: Checkpoint) -> Checkpoint:
    """The same with the names that spectral normalisation has now, where a file has those of torch's older one."""
    groups = {
        place: {_normalised(name, tensors): value for name, value in tensors.items()}
        for place, tensors in checkpoint.groups.items()
    }
    return Checkpoint(checkpoint.path, groups)


def _normalised(name: str, among: Collection[str]) -> str:
    head, _, last = name.rpartition(".")
    if last not in SPECTRAL or f"{head}.weight_orig".removeprefix(".") not in among:
        return name
    return f"{head}.parametrizations.weight.{SPECTRAL[last]}".removeprefix(".")


def select(checkpoint: Checkpoint, wanted: Collection[str]) -> tuple[Found, tuple[str, ...]]:
    """The tensors that fit the model's names best, and what a reader must know of the choice.

    Of equal choices that which is no running average is taken.

    Args:
        checkpoint: As read.
        wanted: The model's names.

    Raises:
        WeightsError: If several networks in the file fit equally well.
    """
    ways = [way for place, tensors in checkpoint.groups.items() for way in _ways(place, tensors, wanted)]
    best = max(way.fits for way in ways)
    chosen, notes = _only([way for way in ways if way.fits == best], checkpoint)
    return chosen, (*notes, *chosen.notes)


def in_order(checkpoint: Checkpoint, count: int) -> tuple[list[Tensor], tuple[str, ...]]:
    """The tensors of a checkpoint whose names do not matter, in order, without counters of batches.

    Args:
        checkpoint: As read.
        count: How many the model has.

    Raises:
        WeightsError: If there are no so many, or several times.
    """
    plain = {
        place: {name: t for name, t in tensors.items() if not name.endswith("num_batches_tracked")}
        for place, tensors in checkpoint.groups.items()
    }
    ways = [Found(place, "", len(tensors), tensors) for place, tensors in plain.items() if len(tensors) == count]
    if not ways:
        counts = ", ".join(f"{len(t)}{f' in {place}' if place else ''}" for place, t in list(plain.items())[:5])
        raise WeightsError(
            f"{checkpoint.path} holds other numbers of tensors than the model: {counts}",
            f"{count}, one for each of the model's",
            "check that the file belongs to this architecture",
        )
    chosen, notes = _only(ways, checkpoint)
    return list(chosen.tensors.values()), notes


def _only(ways: list[Found], checkpoint: Checkpoint) -> tuple[Found, tuple[str, ...]]:
    """The one that is no running average; of equal tensors the first."""
    plain = [way for way in ways if not AVERAGED.search(way.title)] or ways
    first, *others = plain
    if first.fits and not all(_same(first.tensors, other.tensors) for other in others):
        raise WeightsError(
            f"{checkpoint.path} holds several networks that fit the model: {', '.join(way.title for way in plain)}",
            "one",
            "save the one that is meant alone, its tensors by the model's names",
        )
    left = [way.title for way in ways if way not in plain and way.fits]
    return first, ((f"taken from {first.title or 'the checkpoint'}, not from {', '.join(left)}",) if left else ())


def _same(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def _ways(place: str, tensors: Mapping[str, Tensor], wanted: Collection[str]) -> Iterator[Found]:
    """The names as they are, and without each prefix that makes more of them, and half of the model's, fit."""
    tensors, wrapped = _unwrapped(tensors, wanted)
    counts = _prefixes(tensors, wanted)
    plain = counts.pop("", 0)
    yield Found(place, "", plain, tensors, wrapped)
    for prefix, fits in counts.items():
        if fits > plain and 2 * fits >= len(wanted):
            inside = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            outside = tuple(name for name in tensors if not name.startswith(prefix))
            yield Found(place, prefix, fits, inside, wrapped, outside)


def _prefixes(names: Collection[str], wanted: Collection[str]) -> Counter[str]:
    """How many of the model's names are found behind each prefix."""
    found: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        for i in range(len(parts)):
            if ".".join(parts[i:]) in wanted:
                found[".".join([*parts[:i], ""]) if i else ""] += 1
    return found


def _unwrapped(tensors: Mapping[str, Tensor], wanted: Collection[str]) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
    """Names without the parts that wrappers of inner modules add; a part that the model's own names have is none."""
    strange = WRAPPERS - {part for name in wanted for part in name.split(".")}
    bare: dict[str, Tensor] = {}
    taken: dict[str, None] = {}
    for name, value in tensors.items():
        parts = name.split(".")
        first = next((i for i, part in enumerate(parts) if part not in strange), 0)  # before it: a prefix
        taken |= dict.fromkeys(part for part in parts[first:] if part in strange)
        bare[".".join([*parts[:first], *(part for part in parts[first:] if part not in strange)])] = value
    return (bare, tuple(taken)) if len(bare) == len(tensors) else (tensors, ())
