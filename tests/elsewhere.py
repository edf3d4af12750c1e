"""A device that is none: tensors that are computed on the CPU, say they lie elsewhere, and mix with none of the CPU's.

What a GPU refuses, this refuses: operations on tensors of two devices (but for numbers without dimensions, and indices,
which may lie on the CPU), random numbers from a generator of the CPU, and NumPy. So code that names no device where it
should is found without a GPU, and what it computes is the same to the bit.

torch must not have computed a gradient before this is imported: it counts its devices then. So ``another_device.py`` is
a program of its own. Run what is tested in ``with pretended():``, on ``DEVICE``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten
MOVES = {aten._to_copy.default, aten.copy_.default}
READS = {aten.index.Tensor}
WRITES = {aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}


class _Module(backend_registration._DummyBackendModule):
    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16]


backend_registration._setup_privateuseone_for_python_backend("elsewhere", _Module())
DEVICE = torch.device("elsewhere:0")
ITS_GENERATORS: list[torch._C.Generator] = []  # those that may draw there


def leave(wrong: str) -> None:
    """Ends the process, as `sys.exit` does; torch's threads for such a device cannot be ended by the interpreter."""
    print(wrong, file=sys.stderr, flush=True)  # noqa: T201
    os._exit(bool(wrong))


class Elsewhere(Tensor):
    """A tensor that says it lies elsewhere.

    Attributes:
        held: What it is, on the CPU.
    """

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> Elsewhere:
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        made = Tensor._make_wrapper_subclass(cls, held.size(), dtype=held.dtype, device=DEVICE, **layout)
        made.held = held
        return made

    def __repr__(self) -> str:
        return f"Elsewhere({self.held!r})"

    @property
    def data(self) -> Tensor:
        return Tensor.data.__get__(self)

    @data.setter
    def data(self, other: Elsewhere) -> None:
        """As modules do that are moved to another memory format."""
        Tensor.data.__set__(self, other)
        self.held = other.held

    def tolist(self) -> Any:
        return self.held.tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Is loaded on the CPU, as checkpoints are."""
        return self.held.__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if id(self) not in memo:
            made = Elsewhere(self.held.clone()).requires_grad_(self.requires_grad)
            own = getattr(self, "_is_param", False)
            memo[id(self)] = torch.nn.Parameter(made, self.requires_grad) if own else made
        return memo[id(self)]

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


@contextmanager
def pretended() -> Iterator[None]:
    """There is such a device."""
    with _Dispatch(), _Literals():
        yield


class _Dispatch(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """What torch makes of Python lists goes to the device and asks no dispatch mode; and the device may draw."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (Tensor.__getitem__, Tensor.__setitem__):
            at = args[1] if isinstance(args[1], tuple) else (args[1],)
            args = (args[0], tuple(torch.tensor(i) if isinstance(i, list) else i for i in at), *args[2:])
        allowed = any(kwargs.get("generator") is one for one in ITS_GENERATORS)
        if (allowed or func in (torch.tensor, torch.as_tensor)) and _there(kwargs.get("device")):
            return func(*args, **{**kwargs, "device": "cpu"}).to(DEVICE)
        return func(*args, **kwargs)


def _there(device: Any) -> bool:
    return device is not None and torch.device(device).type == DEVICE.type


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
    mine = [t for t in tensors if isinstance(t, Elsewhere)]
    device = kwargs.get("device")
    if mine and func not in MOVES:
        _refuse_a_mixture(func, args, tensors)
    if kwargs.get("generator") is not None and (mine or _there(device)):
        raise RuntimeError(f"{func}: a generator of the CPU for random numbers elsewhere")
    given = tree_map(lambda t: t.held if isinstance(t, Elsewhere) else t, (args, kwargs))
    if device is not None:
        given[1]["device"] = torch.device("cpu")
    found = func(*given[0], **given[1])
    goes = _there(device) if device is not None else isinstance(args[0], Elsewhere) if func in MOVES else bool(mine)
    if not goes:
        return found
    made = tree_map(lambda t: Elsewhere(t) if isinstance(t, Tensor) else t, found)
    return return_and_correct_aliasing(func, args, kwargs, made) if mine else made


def _refuse_a_mixture(func: Any, args: Any, tensors: list[Tensor]) -> None:
    """As CUDA does; what is indexed must lie elsewhere, and so must what is written into it, not the indices."""
    if func in READS | WRITES and isinstance(args[0], Elsewhere):
        tensors = [args[0], *(args[2:3] if func in WRITES else ())]
    here = [tuple(t.shape) for t in tensors if not isinstance(t, Elsewhere) and t.dim()]
    if here:
        raise RuntimeError(f"{func}: tensors on two devices, of shapes {here} on the CPU")
