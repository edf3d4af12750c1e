"""Goes through the rest of a loop without its arithmetic, once its steps have been timed: for probes alone."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

LARGE = 2048  # numbers in a result that is worth not being computed; small ones are what loops look at
HELD = 2**30  # bytes of results that are kept
IN_PLACE = (
    "add", "addcdiv", "addcmul", "clamp", "clamp_max", "clamp_min", "div", "elu", "exp", "hardsigmoid", "hardswish",
    "hardtanh", "leaky_relu", "lerp", "mul", "neg", "pow", "relu", "sigmoid", "silu", "sqrt", "sub", "tanh",
    "threshold",
)  # fmt: skip
"""Arithmetic on what is there already: without it there are still numbers. Optimisers do it, so nothing is learnt."""
Result: TypeAlias = Tensor | tuple[Any, ...]


class Shortcut(TorchDispatchMode):
    """Gives what an operation came to the last time that it had tensors of these shapes, instead of computing it.

    What comes out is of no use but for its shape: every picture is some earlier one. Operations are computed whose
    results are small, or are no floating-point numbers, or share memory with what they are given.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known: dict[Any, Result] = {}
        self._computed: dict[Any, bool] = {}
        self._in_place: dict[Any, bool] = {}
        self._held = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """As torch calls it for every operation."""
        kwargs = kwargs or {}
        if self._changes_only(func) and _worth_it(args[0]):
            return args[0] if func._schema.returns else None
        if self._must_be_computed(func):
            return func(*args, **kwargs)
        asked = (func, told(args), told(kwargs))
        if (known := self._known.get(asked)) is not None:
            return _afresh(known)
        found = func(*args, **kwargs)
        if _worth_it(found) and self._held < HELD:
            self._held += sum(one.nbytes for one in _tensors(found))
            self._known[asked] = _afresh(found)
        return found

    def _changes_only(self, func: Any) -> bool:
        """Whether an operation is arithmetic in place."""
        if func not in self._in_place:
            name = func._schema.name.partition("::")[2].removeprefix("_foreach_")
            self._in_place[func] = name.endswith("_") and name.removesuffix("_") in IN_PLACE
        return self._in_place[func]

    def _must_be_computed(self, func: Any) -> bool:
        """Whether an operation writes into what it is given, or gives a part of it."""
        if func not in self._computed:
            schema = func._schema
            both = (*schema.arguments, *schema.returns)
            self._computed[func] = schema.is_mutable or any(one.alias_info is not None for one in both)
        return self._computed[func]


def told(value: Any) -> Any:
    """What decides the shape of a result: shapes and whole numbers."""
    if isinstance(value, Tensor):
        return (*value.shape, value.dtype, value.device, value.stride())
    if isinstance(value, list | tuple):
        return tuple(map(told, value))
    if isinstance(value, dict):
        return tuple((name, told(one)) for name, one in value.items())
    return None if isinstance(value, float) else str(value) if isinstance(value, torch.Generator) else value


def _tensors(found: Any) -> list[Tensor]:
    parts = found if isinstance(found, list | tuple) else [found]
    return [part for part in parts if isinstance(part, Tensor)]


def _worth_it(found: Any) -> bool:
    tensors = _tensors(found)
    if not tensors or not all(one.dtype.is_floating_point or not one.numel() for one in tensors):
        return False
    return sum(one.numel() for one in tensors) >= LARGE


def _afresh(found: Any) -> Any:
    """The same numbers in tensors of their own, so that none has been changed since somebody began to need it."""
    if isinstance(found, Tensor):
        return found.data
    return type(found)(map(_afresh, found)) if isinstance(found, list | tuple) else found
