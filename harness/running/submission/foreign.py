"""What of a stranger's plan and artefacts is made here: installed plugins, plain settings, no larger than they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import torch

from unveil.harness.plan import plugins
from unveil.harness.plan.node import Node
from unveil.harness.steps.bench import Bench
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec

PLAIN = re.compile(r"[\w+-]{0,100}", re.ASCII)  # no path, no address, no file of Python
MOST_CLASSES = 200_000


class ForeignError(Exception):
    """Why something of a stranger's is not computed again; never leaves the check."""


class RefutedError(Exception):
    """What in a stranger's artefacts is not what it says it is; never leaves the check."""


class Known(Node):
    """A node whose artefact is in a store under a name that is not ours, since other code may have computed it.

    Args:
        kind: And so on, as `Node`.
        key: Of the artefact.
        identity: Of what was asked, where its plugins are not to be made; None computes it.
    """

    def __init__(
        self,
        kind: str,
        label: str,
        uses: Any = None,
        options: Any = None,
        parents: Any = None,
        stream: Any = None,
        *,
        key: str,
        identity: str | None = None,
    ) -> None:
        super().__init__(kind, label, uses or {}, options or {}, parents or {}, stream or {})
        self.__dict__["key"] = key  # where a cached property keeps its value
        if identity is not None:
            self.__dict__["identity"] = identity


def own_plugins(spec: Spec) -> bool:
    """Whether a plugin is one that is installed here, with settings that lead nowhere."""
    return next(_trouble(spec), None) is None


def require_own(what: str, spec: Spec) -> None:
    """Refuses to make a plugin that came along, or one with settings that lead elsewhere.

    Raises:
        ForeignError: If it is such a one.
    """
    if (trouble := next(_trouble(spec), None)) is not None:
        raise ForeignError(f"{what}: {trouble}")


def _trouble(spec: Spec) -> Iterator[str]:
    if not any(spec.use in plugins.registered(kind) for kind in plugins.KINDS):
        yield f"{spec.use[:100]!r} is not installed here, and code of others is not run"
    yield from (f"its setting {text[:100]!r} may be a path, which is not followed" for text in _leading(spec.settings))


def _leading(value: object) -> Iterator[str]:
    """Texts in settings that may be a path, an address or a file of Python."""
    if isinstance(value, str):
        yield from () if PLAIN.fullmatch(value) else (value,)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    for one in inner:
        yield from _leading(one)


def require_size(node: Node, bench: Bench) -> None:
    """Refuses to build a network that is larger than what came along: settings may ask for any amount of memory.

    It is built without memory first. One that reads weights which are here has its size from them.

    Raises:
        ForeignError: If it is.
    """
    kept, use = bench.artefact(node), node.uses["model"][0]
    classes, shape = kept.record.get("classes"), kept.record.get("shape")
    sides = shape if isinstance(shape, list) else []
    if type(classes) is not int or len(sides) != 3 or any(type(n) is not int or n < 1 for n in [classes, *sides]):
        raise ForeignError(f"{node.label}: its record names no classes and shape")
    if classes > MOST_CLASSES:
        raise ForeignError(f"{node.label}: {classes} classes are more than anybody has")
    if getattr(use.plugin, "content", dict)():
        return
    with torch.device("meta"):
        built = use.make().build(classes, tuple(sides), Run(node.randomness)).state_dict()
    needed, there = (sum(t.numel() for t in some.values()) for some in (built, kept.tensors))
    if needed > 2 * there + 1_000_000:
        raise ForeignError(f"{node.label}: its network would have {needed:,} numbers, and {there:,} came along")
