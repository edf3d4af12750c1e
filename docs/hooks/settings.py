"""The settings of a plugin as a table: what a plan may write, the default, and what it does."""

from __future__ import annotations

import dataclasses
import html
import inspect
import re
import types
import typing
from typing import Any

from annotated_types import BaseMetadata, Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic.fields import FieldInfo

from unveil.harness.words.spec import Spec

PLAIN = {int: "whole number", float: "number", bool: "true or false", str: "text", Spec: "a plugin"}
BOUNDS = {Ge: "at least", Gt: "above", Le: "at most", Lt: "below"}


@dataclasses.dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        name: As a plan writes it.
        kind: What values it takes, in words.
        default: As a plan would write it; empty if there is none.
        about: What it does, from the docstring of the class; empty if that does not say.
    """

    name: str
    kind: str
    default: str
    about: str


def settings(cls: type) -> list[Setting]:
    """All settings of a plugin class, in their order."""
    hints, told = typing.get_type_hints(cls, include_extras=True), attributes(cls)
    return [
        Setting(field.name, in_words(hints[field.name]), _default(field), told.get(field.name, ""))
        for field in dataclasses.fields(cls)
    ]


def sections(cls: type) -> tuple[str, str]:
    """The docstring of a class without its attributes, and these."""
    text, _, rest = inspect.cleandoc(cls.__doc__ or "").partition("\nAttributes:\n")
    return text.strip(), re.split(r"\n(?=\S)", rest)[0]


def attributes(cls: type) -> dict[str, str]:
    """What the docstrings of a class and of those it is made from say of each attribute."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, part = sections(base)
        for name, text in re.findall(r"(?ms)^    (\w+): (.*?)(?=^    \w+: |\Z)", part):
            found[name] = " ".join(text.split())
    return found


def in_words(hint: Any) -> str:
    """A type in the words of a reader of plans: ``whole number, at least 1``."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return ", ".join([in_words(parts[0]), *(said for mark in parts[1:] for said in _bounds(mark))])
    if origin is typing.Literal:
        return " or ".join(_toml(part) for part in parts)
    if origin in (typing.Union, types.UnionType):
        kinds = [in_words(part) for part in parts if part is not types.NoneType]
        return "; or ".join([*kinds, *(["left out"] if types.NoneType in parts else [])])
    if origin in (tuple, list):
        several = len(parts) == 2 and parts[1] is Ellipsis
        return f"list, each: {in_words(parts[0])}" if several else f"list: {'; '.join(map(in_words, parts))}"
    return PLAIN.get(hint) or getattr(hint, "__name__", str(hint))


def _bounds(mark: Any) -> list[str]:
    if isinstance(mark, FieldInfo):
        return [said for part in mark.metadata for said in _bounds(part)]
    if isinstance(mark, MinLen | MaxLen):
        return []  # of a text or a list: an empty one is no value
    if isinstance(mark, BaseMetadata):
        return [f"{word} {getattr(mark, field)}" for kind, word in BOUNDS.items() if isinstance(mark, kind)
                for field in [kind.__name__.lower()]]  # fmt: skip
    return []


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default is not dataclasses.MISSING:
        return _toml(field.default)
    return _toml(field.default_factory()) if field.default_factory is not dataclasses.MISSING else ""


def _toml(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Spec):
        inner = [f"use = {_toml(value.use)}", *(f"{name} = {_toml(one)}" for name, one in value.settings.items())]
        return f"{{ {', '.join(inner)} }}" if value.settings else _toml(value.use)
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return f"{value:.4g}" if (value and abs(value) < 1e-3) or value != round(value, 4) else repr(value)
    return f'"{value}"' if isinstance(value, str) else str(value)


def table(cls: type) -> str:
    """A Markdown table of the settings of a class: two columns, which a telephone has room for."""
    rows = [f"| `{one.name}` | {_cell(one.about)}<br>{_cell(_value(one))} |" for one in settings(cls)]
    return "\n".join(["| setting | what it does |", "|---|---|", *rows]) + "\n" if rows else "It has no settings.\n"


def _value(setting: Setting) -> str:
    default = "must be set" if not setting.default else f"default `{setting.default}`"
    if setting.default == "none":
        default = "by default left out"
    return f"<small>{html.escape(setting.kind, quote=False)}; {default}</small>"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
