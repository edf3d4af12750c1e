"""Goes through arithmetic without doing it, and counts what it would take: operations, and bytes at a time.

Every result has the shape that it would have, and is zero. Its memory is asked of the system and never written to, so
that a network for 1024 pixels goes through on a small machine in the time that Python takes to call its operations.
"""

from __future__ import annotations

import mmap
import sys
import weakref
from collections.abc import Iterator
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from unveil.harness.running.shortcut import told

SMALL = 2**16  # numbers; as many are made for real where nothing else is given, and bytes that nobody counts
REAL = ("argmax", "argmin", "argsort", "sort", "topk")  # whose whole numbers decide what is done
FALSE = ("bitwise_not", "isinf", "isnan", "logical_not")  # of numbers that are all finite
# Nothing is set aside for them: together they may be more than the machine has.
LAZY: dict[str, int] = (
    {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0x4000)}
    if sys.platform == "linux"
    else {}
)
ATTENTION = "aten::_scaled_dot_product_flash_attention_for_cpu"  # which torch does not count


class Weightless(TorchDispatchMode):
    """Counts multiplications and additions of matrix products and convolutions, and bytes of tensors that are there.

    Computed are operations on whole numbers alone, views, and small ones that are given no tensor. Changes in place of
    floating-point numbers are left out. All else is zero, and what says whether something is finite says yes.

    Attributes:
        flops: Operations so far, two for a multiplication with its addition; see ``counting``.
        counting: Whether they are counted.
        peak: Most bytes of results that were there at a time.
        weights: Bytes of the parameters that were used and are no results.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops, self.counting, self.peak = 0, True, 0
        self._now, self._shapes = 0, dict[Any, Any]()
        self._parameters: dict[int, int] = {}
        self._made: set[int] = set()

    @property
    def weights(self) -> int:
        """Bytes of parameters."""
        return sum(size for place, size in self._parameters.items() if place not in self._made)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled here: torch need not load its compiler, which takes seconds."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """As torch calls it for every operation."""
        kwargs = kwargs or {}
        given = list(_tensors((*args, *kwargs.values())))
        self._note_parameters(given)
        if _left_out(changed := _changed(func, args, kwargs)):
            return _as_returned(func, changed)
        if func._schema.name == "aten::allclose":  # whoever asks wants to be sure of constants
            return True
        if _must_be_computed(func, given, args):
            return func(*args, **kwargs)
        asked = (func, told(args), told(kwargs))
        if asked not in self._shapes:
            self._shapes[asked] = _shapes(func, args, kwargs)
        shapes = self._shapes[asked]
        if shapes is None:
            return func(*args, **kwargs)
        found = self._like(shapes, func)
        self._count(func, args, kwargs, found)
        return found

    def _note_parameters(self, given: list[Tensor]) -> None:
        for one in given:
            if isinstance(one, torch.nn.Parameter):
                self._parameters.setdefault(one.data_ptr(), one.nbytes)

    def _count(self, func: Any, args: Any, kwargs: Any, found: Any) -> None:
        if not self.counting:
            return
        if (counted := flop_registry.get(func._overloadpacket)) is not None:
            self.flops += counted(*args, **kwargs, out_val=found)
        elif func._schema.name == ATTENTION:
            self.flops += sdpa_flop_count(*(one.shape for one in args[:3]))

    def _like(self, shapes: Any, func: Any) -> Any:
        if isinstance(shapes, _Shape):
            return self._blank(shapes, func)
        if isinstance(shapes, list | tuple):
            return type(shapes)(self._like(one, func) for one in shapes)
        return shapes

    def _blank(self, shape: _Shape, func: Any) -> Tensor:
        """A tensor of zeros; of truths, where it says whether something is."""
        if shape.dtype == torch.bool:
            name = func._schema.name.partition("::")[2]
            return torch.full(shape.size, name not in FALSE).as_strided(shape.size, shape.stride)
        count = 1 + sum((n - 1) * step for n, step in zip(shape.size, shape.stride, strict=True) if n)
        bytes_ = count * shape.dtype.itemsize
        if bytes_ <= SMALL or not prod(shape.size):
            return torch.empty_strided(shape.size, shape.stride, dtype=shape.dtype).zero_()
        whole = torch.frombuffer(self._block(bytes_), dtype=shape.dtype)
        self._made.add(whole.data_ptr())
        return whole.as_strided(shape.size, shape.stride)

    def _block(self, size: int) -> mmap.mmap:
        """Zeros that take no room; they are counted until nobody has them any more."""
        block = mmap.mmap(-1, size, **LAZY)
        weakref.finalize(block, self._gone, size).atexit = False
        self._now += size
        self.peak = max(self.peak, self._now)
        return block

    def _gone(self, size: int) -> None:
        self._now -= size


class _Shape:
    """What a result looks like."""

    def __init__(self, like: Tensor) -> None:
        self.size, self.stride, self.dtype = tuple(like.shape), tuple(like.stride()), like.dtype


def _shapes(func: Any, args: Any, kwargs: Any) -> Any:
    """What an operation gives, by its shapes alone; None where its numbers decide."""
    kwargs = {**kwargs, "device": torch.device("meta")} if kwargs.get("device") is not None else kwargs
    try:
        return _map(func(*_map(args, _meta), **_map(kwargs, _meta)), _Shape)
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        return None


def _meta(one: Tensor) -> Tensor:
    return torch.empty_strided(one.shape, one.stride(), dtype=one.dtype, device="meta")


def _map(value: Any, change: Any) -> Any:
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, list | tuple):
        return type(value)([_map(one, change) for one in value])
    if isinstance(value, dict):
        return {name: _map(one, change) for name, one in value.items()}
    return value


def _tensors(values: Any) -> Iterator[Tensor]:
    for one in values:
        if isinstance(one, Tensor):
            yield one
        elif isinstance(one, list | tuple):
            yield from _tensors(one)


def _left_out(changed: list[Tensor]) -> bool:
    """Whether what is written into are numbers with a fraction; an optimiser's count of its steps goes on."""
    return any(one.is_floating_point() for one in changed) and any(one.numel() > 1 for one in changed)


def _changed(func: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """What an operation writes into, in the order in which it is given."""
    if not func._schema.is_mutable:
        return []
    named = {one.name: value for one, value in zip(func._schema.arguments, args, strict=False)} | kwargs
    into = [one.name for one in func._schema.arguments if one.alias_info is not None and one.alias_info.is_write]
    return list(_tensors([named[name] for name in into if name in named]))


def _as_returned(func: Any, changed: list[Tensor]) -> Any:
    count = len(func._schema.returns)
    return None if not count else changed[0] if count == 1 else tuple(changed[:count])


def _must_be_computed(func: Any, given: list[Tensor], args: Any) -> bool:
    """Whether its numbers matter, or it makes none: views, whole numbers, and the little that comes of nothing."""
    schema = func._schema
    if any(one.alias_info is not None for one in (*schema.arguments, *schema.returns)):
        return True
    name = schema.name.partition("::")[2]
    if name in REAL or name == "_local_scalar_dense":
        return True
    if not given:
        return not (args and isinstance(args[0], list | tuple) and _many(args[0]))
    return not any(one.is_floating_point() or one.is_complex() for one in given)


def _many(size: Any) -> bool:
    return all(isinstance(n, int) for n in size) and prod(size) > SMALL
