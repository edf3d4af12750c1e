"""Makes plugins from settings that may be wrong, and says what settings a plugin has. Imports no torch."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from unveil.harness.plan.plugins import KINDS, OFFERS, load, registered, suggest
from unveil.harness.plan.validation import expected, shown
from unveil.harness.words.errors import PluginError, UnveilError
from unveil.harness.words.names import ENDLESS
from unveil.harness.words.spec import HELD, HELD_DATA, HELD_PRIOR, LATER, LOCAL_PATH, Spec, untrained

T = TypeVar("T")
# Marks of settings, and what kind of plugin they hold.
HOLDING = {HELD: "attacks", HELD_PRIOR: "priors", HELD_DATA: "datasets"}
REMEMBERED = 512  # classes whose settings' types have been read; a file that is imported anew is another class


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


def held_attacks(plugin: Any) -> dict[str, Spec]:
    """The attacks that run inside a plugin, by setting."""
    return _held(plugin, HELD)


def inside(plugin: Any) -> list[tuple[str, Spec]]:
    """Kind and settings of every plugin that runs inside another: its code decides numbers as its holder's does."""
    return [(HOLDING[mark], spec) for mark in (HELD, HELD_DATA) for spec in _held(plugin, mark).values()]


def _held(plugin: Any, mark: str) -> dict[str, Spec]:
    hints = _hints(type(plugin))
    marked = [f.name for f in dataclasses.fields(plugin) if mark in _marks(hints[f.name])]
    return {name: spec for name in marked if isinstance(spec := getattr(plugin, name), Spec)}


def _parts(hint: Any) -> tuple[Any, ...]:
    """The types of a union, or the one that it is."""
    union = isinstance(hint, UnionType) or typing.get_origin(hint) is typing.Union
    return typing.get_args(hint) if union else (hint,)


def _marks(hint: Any) -> list[Any]:
    return [mark for part in _parts(hint) for mark in getattr(part, "__metadata__", ())]


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
    parts, marks = _parts(hint), _marks(hint)
    plain = [typing.get_args(part)[0] if typing.get_origin(part) is typing.Annotated else part for part in parts]
    words = {word for part in plain if typing.get_origin(part) is typing.Literal for word in typing.get_args(part)}
    if Spec in plain and isinstance(value, str) and str not in plain and value not in words:
        value = {"use": value}
    if Spec in plain and isinstance(value, Mapping) and "use" in value:
        rest = {name: setting for name, setting in value.items() if name != "use"}
        use = _placed(value["use"], base) if LOCAL_PATH in marks else value["use"]
        spec = {"use": use, "settings": rest} if "settings" not in value else {**value, "use": use}
        held = next((kind for mark, kind in HOLDING.items() if mark in marks), None)
        return spec if held is None else _checked(held, Spec(use, spec["settings"]), base)
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


def _checked(kind: str, spec: Spec, base: Path) -> dict[str, Any]:
    """What is held, with the settings that were given, as they are after checking."""
    bare = untrained(spec) if kind == "priors" else spec
    checked = dump(make(kind, bare, base))
    given = reshaped(load(kind, spec.use, base), bare.settings, base)
    weights = {name: value for name, value in spec.settings.items() if name not in bare.settings}
    return {"use": spec.use, "settings": {**{name: checked[name] for name in given}, **weights}}


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


def said(plugin: Any) -> dict[str, Any]:
    """Settings as identities say them: all, but those marked ``LATER`` that are at their default."""
    hints = _hints(type(plugin))
    later = [f for f in dataclasses.fields(plugin) if LATER in getattr(hints[f.name], "__metadata__", ())]
    unsaid = {f.name for f in later if getattr(plugin, f.name) == f.default}
    return {name: value for name, value in dump(plugin).items() if name not in unsaid}


def _told(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _told(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_told(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def question(spec: Spec, plugin: Any, base: Path | None = None) -> dict[str, Any]:
    """What a plugin is asked to do, as it enters an identity.

    Where a plugin reports a checksum under the name of one of its settings, the checksum replaces the
    setting: a folder that was moved is still the same folder. A plugin whose settings can be said in several ways, or
    could once be said in another, says in which they enter with ``canonical()``. So it is with the files
    of plugins that are its settings, such as those of an attack's prior.

    Args:
        spec: How a plan names it.
        plugin: It.
        base: Folder that relative paths are taken from; the current one by default.
    """
    content: Mapping[str, str] = getattr(plugin, "content", dict)()  # a plugin that reads nothing need not say so
    canonical: Callable[[], Mapping[str, Any]] | None = getattr(plugin, "canonical", None)
    told = {**(said(plugin) if canonical is None else canonical()), **content}
    settings = {name: _placeless(one, base or Path()) for name, one in told.items()}
    return {"use": bare(spec.use), "settings": settings}


def bare(use: str) -> str:
    """A plugin's name; of a file without the folders, which say more of a machine than of a plugin.

    >>> bare("gmi"), bare("/home/me/own.py:Own")
    ('gmi', 'own.py:Own')
    """
    path, _, name = use.rpartition(":")
    return f"{Path(path).name}:{name}" if path.endswith(".py") else use


def _placeless(value: Any, base: Path) -> Any:
    """A setting without the places of plugins in it, and of files that these name: what is in them says more.

    The weights that a plan names for a prior are left out altogether, since its own node says what is in them.
    """
    if isinstance(value, list | tuple):
        return [_placeless(one, base) for one in value]
    if not isinstance(value, Mapping):
        return value
    if value.keys() == {"use", "settings"}:
        spec = untrained(Spec(value["use"], value["settings"]))
        value = {"use": bare(spec.use), "settings": {**spec.settings, **_checksums(spec, base)}}
    elif isinstance(value.get("use"), str):
        rest = {name: one for name, one in value.items() if name != "use"}
        value = {**value, **_checksums(Spec(value["use"], rest), base), "use": bare(value["use"])}
    return {name: _placeless(one, base) for name, one in value.items()}


def _checksums(spec: Spec, base: Path) -> dict[str, str]:
    """What is in the files that a plugin's settings name, by setting, as far as it says so itself."""
    named = [name for name, one in spec.settings.items() if isinstance(one, str) and one and os.path.exists(base / one)]
    for kind in OFFERS if named else ():
        try:
            cls = load(kind, spec.use, base)
            paths = [name for name in named if LOCAL_PATH in _marks(_hints(cls).get(name))]
            content: Mapping[str, str] = getattr(make(kind, spec, base), "content", dict)() if paths else {}
        except UnveilError:  # of another kind, or of none: what is wrong with it is told where it is made
            continue
        return {name: content[name] for name in paths if name in content}
    return {}
