"""Finds plugins by name or file. Imports no torch, and no plugin until asked."""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from unveil.harness.plan import checkout
from unveil.harness.words.errors import PluginError
from unveil.harness.words.names import Role
from unveil.harness.words.spec import NESTED, TRAINED

KINDS = ("datasets", "models", "defenses", "priors", "attacks", "metrics")

# What a class must offer to be of a kind; checked by name so that nothing heavy is imported here.
OFFERS = {
    "datasets": ("load",),
    "models": ("build",),
    "defenses": (
        "prepare", "learner", "begin", "selectable", "augment", "loss", "watch", "calibrate", "finish", "at_zero",
        "open", "ladder", "counter", "per_sample",
    ),
    "priors": ("build", "fit"),
    "attacks": ("access", "needs", "reconstruct"),
    "metrics": ("about", "needs_evaluator", "measure"),
    "comparers": ("yes_or_no", "compare"),  # no kind of their own in a plan: a setting of a metric names them
    "checkpoints": ("restore",),  # nor these: the key `trained` of an entry names them
}  # fmt: skip

OF_FILE = "unveil_file_"  # how the modules of files are called


@dataclass(frozen=True)
class Entry:
    """A registered plugin that has not been imported.

    Attributes:
        kind: One of ``KINDS``.
        name: Registered name.
        target: ``module:Class``.
        origin: Distribution and version that registered it.
    """

    kind: str
    name: str
    target: str
    origin: str


def suggest(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'gmi'?`` if something similar is known, else nothing."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


@cache
def registered(kind: str) -> dict[str, tuple[Entry, ...]]:
    """All plugins of a kind by name; a name that two packages claim has two entries."""
    found: dict[str, dict[tuple[str, str], Entry]] = {}
    for point in (*entry_points(group=f"unveil.{kind}"), *checkout.entry_points(f"unveil.{kind}")):
        entry = Entry(kind, point.name, point.value, _origin(point))
        found.setdefault(point.name, {})[entry.target, entry.origin] = entry
    return {name: tuple(found[name].values()) for name in sorted(found)}


def _origin(point: EntryPoint) -> str:
    if point.dist:
        return f"{point.dist.name} {point.dist.version}"
    return f"{checkout.NAME} {checkout.version()} (not installed)" if _own(point) else "unknown package"


def _own(point: EntryPoint) -> bool:
    return point.value.startswith(f"{checkout.NAME}.")


def find(kind: str, use: str) -> Entry:
    """The one entry registered under a name.

    Raises:
        PluginError: If there is none, or more than one.
    """
    entries = registered(kind).get(use, ())
    if not entries:
        elsewhere = [k for k in KINDS if k != kind and use in registered(k)]
        hint = f"; {use!r} is registered under {elsewhere[0]}" if elsewhere else suggest(use, registered(kind))
        raise PluginError(
            f"no {kind} plugin is called {use!r}{hint}",
            f"one of {', '.join(registered(kind)) or '(none registered)'}",
            "correct the name, install the package that has it, or name a file: use = 'my_plugin.py:MyPlugin'",
        )
    if len(entries) > 1:
        raise PluginError(
            f"{len(entries)} packages register {kind} {use!r}: {', '.join(e.origin for e in entries)}",
            "one plugin for one name",
            "uninstall one of the packages, or name the file: use = 'path/to/file.py:Class'",
        )
    return entries[0]


def origin(kind: str, use: str, base: Path) -> str:
    """Where a plugin's code comes from: distribution and version, or a file and the start of its SHA-256.

    Args:
        kind: One of ``KINDS``, or ``comparers``.
        use: Registered name or ``file.py:Class``.
        base: Folder that a relative file is looked for in.
    """
    path = use.rpartition(":")[0]
    if not path.endswith(".py"):
        return ", ".join(entry.origin for entry in registered(kind).get(use, ())) or "not registered any more"
    try:
        return f"file {Path(path).name}, sha256 {hashlib.sha256((base / path).read_bytes()).hexdigest()[:12]}"
    except OSError:
        return f"file {Path(path).name}, which cannot be read any more"


def load(kind: str, use: str, base: Path) -> type:
    """Imports a plugin's class.

    Args:
        kind: One of ``KINDS``.
        use: Registered name or ``file.py:Class``.
        base: Folder that a relative file is looked for in.

    Raises:
        PluginError: If it is unknown, registered twice, or cannot be imported or used as that kind.
    """
    path, _, name = use.rpartition(":")
    if path.endswith(".py"):
        cls = _attribute(_import_file(base / path), name, use)
    else:
        entry = find(kind, use)
        module, _, name = entry.target.partition(":")
        cls = _attribute(_import(module, use, entry.origin), name, use)
    offers = ("show",) if kind == "attacks" and role(cls) == Role.CEILING else OFFERS[kind]
    missing = [offer for offer in offers if not hasattr(cls, offer)]
    params = getattr(cls, "__dataclass_params__", None)
    if params is None or not params.frozen:
        raise PluginError(f"{use!r} is not a frozen dataclass", "@dataclass(frozen=True)", "decorate the class so")
    refuse_taken(use, cls, dict.fromkeys(taken(kind), "any table that names it"))
    if missing:
        raise PluginError(
            f"{use!r} lacks {', '.join(missing)}", f"a class of kind {kind}", "see docs/plugins.md, or `unveil new`"
        )
    return cls


def taken(kind: str) -> tuple[str, ...]:
    """Keys of a table that names a plugin of a kind, wherever it stands, beside the plugin's settings."""
    return (*NESTED, TRAINED[0]) if kind == "priors" else NESTED


def refuse_taken(use: str, cls: Any, names: Mapping[str, str]) -> None:
    """Refuses a plugin one of whose settings has a name that a plan takes for itself.

    Args:
        use: The plugin.
        cls: Its class, or itself.
        names: The names that are taken, and by what.

    Raises:
        PluginError: If one has.
    """
    for name in cls.__dataclass_fields__:
        if name in names:
            raise PluginError(
                f"{use} has a setting {name!r}, which {names[name]} takes for itself: nobody could set it",
                f"settings of other names than {', '.join(names)}",
                "rename the setting in the plugin",
            )


def use_of(cls: type) -> str:
    """How a plan names a class: as it is registered, else by its file.

    Raises:
        PluginError: If it was defined in a notebook cell, at a prompt or in the running script.
    """
    target = f"{cls.__module__}:{cls.__qualname__}"
    for kind in KINDS:
        for name, entries in registered(kind).items():
            if [entry.target for entry in entries] == [target]:
                return name
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    if cls.__module__ == "__main__" or file is None or "." in cls.__qualname__:
        raise PluginError(
            f"{cls.__qualname__} is defined in {cls.__module__}, where its code cannot be found again",
            "a class at the top level of a file: the code is part of what a result is known by, and old results would "
            "be taken for those of changed code",
            f"write it to a file (in a notebook: begin its cell with %%writefile my_plugin.py) and name it: "
            f"use = 'my_plugin.py:{cls.__name__}'",
        )
    return f"{file}:{cls.__qualname__}"


def role(attack: Any) -> Role | Literal[""]:
    """What an attack, or its class, is a control for; empty for a real one.

    Raises:
        PluginError: If it claims to be a control of a kind that there is not.
    """
    found = getattr(attack, "role", "")
    if found not in ("", *Role):
        raise PluginError(f"an attack has the role {found!r}", f"one of {', '.join(Role)}, or none", "correct it")
    return Role(found) if found else ""


def _import(module: str, use: str, origin: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"plugin {use!r} from {origin} cannot be imported: {type(error).__name__}: {error}",
            f"module {module} to import without error",
            "repair or uninstall that package",
        ) from error


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise PluginError(
            f"plugin file {path} does not exist", "a Python file", "correct the path (it is relative to the plan)"
        )
    name = f"{OF_FILE}{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PluginError(
            f"plugin file {path} raised {type(error).__name__}: {error}", "a file that imports", "repair it"
        ) from error
    return module


def _attribute(module: ModuleType, name: str, use: str) -> type:
    cls = getattr(module, name, None)
    if not inspect.isclass(cls):
        classes = [n for n, v in vars(module).items() if inspect.isclass(v) and v.__module__ == module.__name__]
        place = "" if module.__name__.startswith(OF_FILE) else f" in {module.__name__}"
        raise PluginError(
            f"{use!r} names no class{place}{suggest(name, classes)}",
            f"one of {', '.join(classes)}" if classes else "a class, and there is none in that file",
            "correct the name",
        )
    return cls


@dataclass(frozen=True)
class About:
    """What a list says of a plugin."""

    line: str
    paper: str


def about(entry: Entry) -> About:
    """One line and the paper, read from the source without importing the plugin."""
    module, _, name = entry.target.partition(":")
    try:
        spec = importlib.util.find_spec(module)
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8")) if spec and spec.origin else ast.parse("")
    except (Exception, SystemExit) as error:  # the package around the module is imported, and may do anything
        return About(f"(cannot be read: {type(error).__name__}: {error})", "")
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            doc = (ast.get_docstring(node) or "").strip()
            return About(doc.split("\n")[0], _paper(node))
    return About("(its class is not in its module)", "")


def _paper(node: ast.ClassDef) -> str:
    for line in node.body:
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and line.target.id == "paper":
            return str(line.value.value) if isinstance(line.value, ast.Constant) else ""
    return ""
