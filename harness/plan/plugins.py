"""Finds plugins by name or file, and makes them from settings. Imports no torch and no plugin until asked."""

from __future__ import annotations

import ast
import dataclasses
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import json
import math
import sys
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType, UnionType
from typing import Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from unveil.harness.plan.validation import expected, shown
from unveil.harness.words.errors import PluginError
from unveil.harness.words.names import ENDLESS, Role
from unveil.harness.words.spec import HELD, LOCAL_PATH, Spec

T = TypeVar("T")
REMEMBERED = 512  # classes whose settings' types have been read; a file that is imported anew is another class
KINDS = ("datasets", "models", "defenses", "priors", "attacks", "metrics")

# What a class must offer to be of a kind; checked by name so that nothing heavy is imported here.
OFFERS = {
    "datasets": ("load",),
    "models": ("build",),
    "defenses": (
        "prepare", "learner", "begin", "selectable", "augment", "loss", "watch", "finish", "at_zero", "open", "ladder",
        "per_sample",
    ),
    "priors": ("build", "fit"),
    "attacks": ("access", "needs", "reconstruct"),
    "metrics": ("about", "needs_evaluator", "measure"),
    "comparers": ("yes_or_no", "compare"),  # no kind of their own in a plan: a setting of a metric names them
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
    for point in entry_points(group=f"unveil.{kind}"):
        entry = Entry(kind, point.name, point.value, _origin(point))
        found.setdefault(point.name, {})[entry.target, entry.origin] = entry
    return {name: tuple(found[name].values()) for name in sorted(found)}


def _origin(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "unknown package"


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
    if missing:
        raise PluginError(
            f"{use!r} lacks {', '.join(missing)}", f"a class of kind {kind}", "see docs/plugins.md, or `unveil new`"
        )
    return cls


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


def make(kind: str, spec: Spec, base: Path) -> Any:
    """A plugin with its settings validated.

    Raises:
        PluginError: If the plugin cannot be loaded, or a setting is unknown, of the wrong type or out of range.
    """
    return validated(load(kind, spec.use, base), spec.use, spec.settings, base)


def _read_types(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


# Dear to make, and the same each time that a plugin of the class is made or dumped.
_adapter: Callable[[type], TypeAdapter[Any]] = lru_cache(maxsize=REMEMBERED)(TypeAdapter)
_hints: Callable[[type], dict[str, Any]] = lru_cache(maxsize=REMEMBERED)(_read_types)


def validated(cls: type[T], name: str, settings: Mapping[str, Any], base: Path) -> T:
    """An instance of a dataclass, made from settings that may be wrong.

    Args:
        cls: The dataclass.
        name: What to call it in errors.
        settings: As in a plan.
        base: Folder that relative paths are taken from.

    Raises:
        PluginError: If a setting is unknown, missing, of the wrong type or out of range.
    """
    settings, hints = reshaped(cls, settings, base), _hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]  # type: ignore[arg-type]
    for setting in settings:
        if setting not in names:
            raise PluginError(
                f"{name} has no setting {setting!r}{suggest(setting, names)}",
                f"one of {', '.join(names) or '(it has none)'}",
                "correct or remove it",
            )
    prepared = {setting: _prepared(value, hints[setting], base) for setting, value in settings.items()}
    try:  # through JSON: strict about types, yet lists become tuples and text becomes enums
        made: T = _adapter(cls).validate_json(json.dumps(prepared), strict=True)
    except ValidationError as error:
        raise _setting_error(name, error) from error
    except TypeError as error:
        raise PluginError(f"{name}: {error}", "numbers, text, true or false, lists and tables") from error
    return made


def reshaped(cls: type, settings: Mapping[str, Any], base: Path) -> Mapping[str, Any]:
    """Settings by the names of a class's fields. A class that takes them in another form, too, has ``from_plan``."""
    read: Callable[[Mapping[str, Any], Path], Mapping[str, Any]] | None = getattr(cls, "from_plan", None)
    return settings if read is None else read(settings, base)


def held(plugin: Any) -> dict[str, Spec]:
    """The attacks that run inside a plugin, by setting."""
    hints = _hints(type(plugin))
    names = [f.name for f in dataclasses.fields(plugin) if HELD in getattr(hints[f.name], "__metadata__", ())]
    return {name: getattr(plugin, name) for name in names}


def _setting_error(use: str, error: ValidationError) -> PluginError:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    see = f"see `unveil list {use}`" if any(use in registered(kind) for kind in KINDS) else "see docs/plans.md"
    if first["type"] in ("missing", "missing_argument"):
        return PluginError(f"{use}: the setting {where!r} is missing", "a value for it, which has no default", see)
    found = f"{use}: {where or 'settings'} = {shown(first['input'])}"
    if first["type"] in ("value_error", "assertion_error"):  # which the plugin itself has put into words
        return PluginError(f"{found}: {first['msg'].partition(', ')[2]}", "a value that the setting allows", see)
    return PluginError(found, expected(first), see)


def _prepared(value: Any, hint: Any, base: Path) -> Any:
    """Nested plugins become ``Spec``s; relative paths become absolute ones if something lies there."""
    parts = typing.get_args(hint) if isinstance(hint, UnionType) or typing.get_origin(hint) is typing.Union else (hint,)
    marks = [mark for part in parts for mark in getattr(part, "__metadata__", ())]
    plain = [typing.get_args(part)[0] if typing.get_origin(part) is typing.Annotated else part for part in parts]
    if Spec in plain and isinstance(value, str) and set(plain) <= {Spec, type(None)}:
        value = {"use": value}
    if Spec in plain and isinstance(value, Mapping) and "use" in value:
        rest = {name: setting for name, setting in value.items() if name != "use"}
        use = _placed(value["use"], base) if LOCAL_PATH in marks else value["use"]
        spec = {"use": use, "settings": rest} if "settings" not in value else {**value, "use": use}
        return _checked(Spec(use, spec["settings"]), base) if HELD in marks else spec
    if (kinds := _leaves(hint)) >= {float} and str not in kinds:
        value = _numbers(value)
    if typing.get_origin(hint) is tuple and typing.get_args(hint)[1:] == (...,) and isinstance(value, list | tuple):
        return [_prepared(item, typing.get_args(hint)[0], base) for item in value]
    if LOCAL_PATH in marks and isinstance(value, str) and value:
        place = base / Path(value).expanduser() if value.startswith("~") else base / value
        return _as_json_has_it(str(place.resolve())) if place.exists() else value
    return value


def _as_json_has_it(path: str) -> str:
    try:
        path.encode()
    except UnicodeEncodeError as error:
        raise PluginError(
            f"the folder {path!a} has a name that is not UTF-8",
            "a path that can be written in JSON (names of the pictures in it may be anything)",
            "rename that folder, or put the plan and its data elsewhere",
        ) from error
    return path


def _checked(spec: Spec, base: Path) -> dict[str, Any]:
    """A held attack with the settings that were given, as they are after checking."""
    checked = dump(make("attacks", spec, base))
    given = reshaped(load("attacks", spec.use, base), spec.settings, base)
    return {"use": spec.use, "settings": {name: checked[name] for name in given}}


def _placed(use: Any, base: Path) -> Any:
    """``file.py:Class`` with the file's absolute path, if it lies there."""
    path, _, name = use.rpartition(":") if isinstance(use, str) else ("", "", "")
    there = path.endswith(".py") and (base / path).is_file()
    return f"{(base / path).resolve()}:{name}" if there else use


def _leaves(hint: Any) -> set[Any]:
    """The plain types in a type, such as float in ``tuple[Annotated[float, ...], ...] | None``."""
    inner = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Annotated:
        return _leaves(inner[0])
    return {leaf for part in inner for leaf in _leaves(part)} if inner else {hint}


def _numbers(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_numbers(one) for one in value]
    return ENDLESS.get(value, value) if isinstance(value, str) else value


def dump(plugin: Any) -> dict[str, Any]:
    """All settings of a plugin, defaults included, as JSON-able values from which ``make`` makes it again."""
    dumped: dict[str, Any] = _told(_adapter(type(plugin)).dump_python(plugin, mode="json"))
    return dumped


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _told(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_told(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def asked(spec: Spec, plugin: Any) -> dict[str, Any]:
    """What a plugin is asked to do, as it enters an identity.

    Where a plugin reports a checksum under the name of one of its settings, the checksum replaces the
    setting: a folder that was moved is still the same folder. A plugin whose settings can be said in several ways, or
    could once be said in another, says in which they enter with ``canonical()``.
    """
    content: Mapping[str, str] = getattr(plugin, "content", dict)()  # a plugin that reads nothing need not say so
    canonical: Callable[[], Mapping[str, Any]] | None = getattr(plugin, "canonical", None)
    settings = {**(dump(plugin) if canonical is None else canonical()), **content}
    path, _, name = spec.use.rpartition(":")
    use = f"{Path(path).name}:{name}" if path.endswith(".py") else spec.use
    return {"use": use, "settings": settings}


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
