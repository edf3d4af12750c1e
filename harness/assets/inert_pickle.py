"""Reads pickles as data: nothing that they name is imported, looked up or called.

A pickle is a program for a small stack machine, which may import any function and call it. This machine knows only the
instructions that build containers. A global is no object here but its name; where a pickle calls one, a function of the
reader's own stands in for it, or the file is refused.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import IO, Any

from unveil.harness.words.errors import WeightsError

MOST_INSTRUCTIONS = 1_000_000  # a StyleGAN2 file has some ten thousand
StandIn = Callable[[tuple[Any, ...]], Any]


@dataclass(frozen=True)
class Name:
    """A global that a pickle mentions, such as ``torch._utils._rebuild_tensor_v2``; only its name."""

    text: str


class _MarkType:
    """Where a container's items begin on the stack."""


_MARK = _MarkType()
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = frozenset({
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "SHORT_BINBYTES", "BINBYTES", "BINBYTES8", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "SHORT_BINSTRING",
})  # fmt: skip
_EMPTY: Mapping[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_SET": list, "EMPTY_DICT": dict}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = frozenset({"PROTO", "FRAME"})  # a frame only says how much to read at once


def refused(what: str, todo: str = "") -> WeightsError:
    """A file that is not what it claims to be, or worse."""
    return WeightsError(
        f"the pickle was refused: {what}",
        "a StyleGAN2 network as NVIDIA's code saves it",
        todo or "get the file from where it was first published, and do not open this one with other programs",
    )


class Reader:
    """Runs the harmless part of the pickle machine.

    Sets become lists, since nothing here needs them and hashing is the pickle's to choose.

    Args:
        known: Stand-ins by dotted name: each is given the arguments of the call and returns what the call is worth.
        persistent: What a persistent id is worth; None refuses them.
        most: Instructions after which a pickle is refused; None: `MOST_INSTRUCTIONS`.
    """

    def __init__(
        self, known: Mapping[str, StandIn], persistent: Callable[[Any], Any] | None = None, most: int | None = None
    ) -> None:
        self._known, self._persistent = known, persistent
        self._most = MOST_INSTRUCTIONS if most is None else most
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def read(self, file: IO[bytes]) -> Any:
        """One pickle, from where the file stands to the end of that pickle.

        It is in memory, since a length that a pickle claims would else be reserved before it turns out to be a lie.

        Raises:
            WeightsError: If it is damaged, or wants anything but containers, numbers, text and known calls.
        """
        self._stack, self._memo = [], {}
        try:
            return self._followed(file)
        except (ValueError, IndexError, KeyError, TypeError, MemoryError, OverflowError) as error:
            raise refused(f"it is damaged ({type(error).__name__})") from error

    def _followed(self, file: IO[bytes]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of backslashes in its texts
            for count, (opcode, argument, _) in enumerate(pickletools.genops(file)):
                if count >= self._most:
                    raise refused(f"it has more than {self._most} instructions")
                if opcode.name == "STOP":
                    return self._finished()
                self._do(opcode.name, argument)
        raise refused("it does not end")

    def _finished(self) -> Any:
        if len(self._stack) != 1 or self._stack[0] is _MARK:
            raise refused("it does not build one object")
        return self._stack.pop()

    def _do(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self._stack.append(argument)
        elif name in _CONSTANTS:
            self._stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self._stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            self._stack.append(tuple(self._pop() for _ in range(_TUPLES[name]))[::-1])
        elif name == "MARK":
            self._stack.append(_MARK)
        elif name not in _IGNORED:
            step = _STEPS.get(name)
            if step is None:
                raise refused(f"it uses the instruction {name}")
            step(self, argument)

    def _pop(self) -> Any:
        value = self._stack.pop()
        if value is _MARK:
            raise refused("a container's items are missing")
        return value

    def _items(self) -> list[Any]:
        """What lies above the last mark."""
        at = len(self._stack) - 1
        while self._stack[at] is not _MARK:  # past the bottom of the stack: IndexError, hence damaged
            at -= 1
            if at < 0:
                raise refused("a container does not begin")
        items = self._stack[at + 1 :]
        del self._stack[at:]
        return items

    def _top(self, kind: type) -> Any:
        if type(self._stack[-1]) is not kind:
            raise refused(f"it fills a {type(self._stack[-1]).__name__} as if it were a {kind.__name__}")
        return self._stack[-1]

    def _append(self, _: Any) -> None:
        value = self._pop()
        self._top(list).append(value)

    def _extend(self, _: Any) -> None:
        items = self._items()
        self._top(list).extend(items)

    def _set_item(self, _: Any) -> None:
        value, key = self._pop(), self._pop()
        self._fill([key, value])

    def _set_items(self, _: Any) -> None:
        self._fill(self._items())

    def _fill(self, items: list[Any]) -> None:
        into = self._top(dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if type(key) is not str:  # the hash of anything else is work of the pickle's choosing
                raise refused(f"a table has a key of type {type(key).__name__}")
            into[key] = value

    def _tuple(self, _: Any) -> None:
        self._stack.append(tuple(self._items()))

    def _put(self, place: int | None) -> None:
        if self._stack[-1] is _MARK:
            raise refused("it remembers a mark")
        self._memo[len(self._memo) if place is None else place] = self._stack[-1]

    def _get(self, place: int) -> None:
        self._stack.append(self._memo[place])

    def _global(self, argument: str) -> None:
        module, _, name = argument.partition(" ")
        self._name(module, name)

    def _stack_global(self, _: Any) -> None:
        name, module = self._pop(), self._pop()
        self._name(module, name)

    def _name(self, module: Any, name: Any) -> None:
        whole = f"{module}.{name}" if type(module) is str and type(name) is str else ""
        if not whole or "." in name or whole not in self._known:
            raise refused(f"it names {whole[:200]!r}, which no network needs", _old(whole))
        self._stack.append(Name(whole))

    def _call(self, _: Any) -> None:
        arguments, function = self._pop(), self._pop()
        if type(function) is not Name or type(arguments) is not tuple:
            raise refused(f"it calls a {type(function).__name__}")
        self._stack.append(self._worth(function.text, arguments))

    def _worth(self, name: str, arguments: tuple[Any, ...]) -> Any:
        return self._known[name](arguments)

    def _build(self, _: Any) -> None:
        self._set_state(self._pop())

    def _set_state(self, state: Any) -> None:
        if state is not None and not (type(state) is dict and not state):
            raise refused(f"it sets the state of a {type(self._stack[-1]).__name__}")

    def _persist(self, _: Any) -> None:
        if self._persistent is None:
            raise refused("it refers to something outside itself")
        self._stack.append(self._persistent(self._pop()))


_STEPS: Mapping[str, Callable[[Reader, Any], None]] = {
    "APPEND": Reader._append,
    "APPENDS": Reader._extend,
    "ADDITEMS": Reader._extend,
    "SETITEM": Reader._set_item,
    "SETITEMS": Reader._set_items,
    "TUPLE": Reader._tuple,
    "BINPUT": Reader._put,
    "LONG_BINPUT": Reader._put,
    "MEMOIZE": Reader._put,
    "BINGET": Reader._get,
    "LONG_BINGET": Reader._get,
    "GLOBAL": Reader._global,
    "STACK_GLOBAL": Reader._stack_global,
    "REDUCE": Reader._call,
    "NEWOBJ": Reader._call,
    "BUILD": Reader._build,
    "BINPERSID": Reader._persist,
}


def _old(name: str) -> str:
    if name.startswith("dnnlib.tflib"):
        return "this is a TensorFlow network: convert it to StyleGAN2-ADA for PyTorch with NVIDIA's legacy.py first"
    return ""
