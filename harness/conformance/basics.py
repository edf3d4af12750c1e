"""What every plugin must be, whatever its kind: a frozen, documented, picklable bundle of settings."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unveil.harness.conformance.report import BreachError
from unveil.harness.plan import plugins, reserved, settings
from unveil.harness.plan.canonical import canonical
from unveil.harness.words.errors import PluginError, UnveilError
from unveil.harness.words.spec import Spec

LONGEST = 120  # characters of a one-line description


@dataclass(frozen=True)
class Subject:
    """A plugin and how it was asked for.

    Attributes:
        kind: One of ``plugins.KINDS``.
        spec: What was asked for.
        base: Folder of relative paths.
        plugin: The plugin with those settings.
    """

    kind: str
    spec: Spec
    base: Path
    plugin: Any


def says_what_it_is(subject: Subject) -> None:
    """The docstring's first line is one line, which lists show."""
    cls = type(subject.plugin)
    line = (inspect.cleandoc(cls.__doc__ or "")).split("\n")[0]
    if not line or line.startswith(f"{cls.__name__}("):  # the latter is what dataclasses write by themselves
        raise BreachError(f"{cls.__name__} has no docstring", "one line that says what it is", 'add """What it is."""')
    if len(line) > LONGEST:
        raise BreachError(
            f"the docstring's first line has {len(line)} characters: {line[:40]}...", f"at most {LONGEST}", "shorten it"
        )


def explains_its_settings(subject: Subject) -> None:
    """Every field stands in the class docstring under "Attributes:"."""
    doc = inspect.getdoc(type(subject.plugin)) or ""
    bare = [field.name for field in dataclasses.fields(subject.plugin) if f" {field.name}:" not in doc]
    if bare:
        raise BreachError(
            f"the docstring does not explain {', '.join(bare)}",
            'every setting under "Attributes:", with its unit or meaning',
            "add a line such as `    strength: Standard deviation of the noise, in [0, 1].`",
        )


def can_be_sent_to_another_process(subject: Subject) -> None:
    """Pickling and back gives an equal plugin."""
    back = pickle.loads(pickle.dumps(subject.plugin))  # noqa: S301 (what was dumped a moment ago)
    if back != subject.plugin:
        raise BreachError(
            "after pickling and back it is not equal to what it was",
            "an equal plugin",
            "keep everything in fields of plain types, and leave __eq__ to the dataclass",
        )


def can_be_made_again_from_its_settings(subject: Subject) -> None:
    """What is logged is enough to make it again."""
    dumped = settings.dump(subject.plugin)
    back = settings.make(subject.kind, Spec(subject.spec.use, dumped), subject.base)
    if back != subject.plugin:
        names = [f.name for f in dataclasses.fields(back) if getattr(back, f.name) != getattr(subject.plugin, f.name)]
        raise BreachError(
            f"made again from its own settings it differs in {', '.join(names)}",
            "settings that survive being written as JSON",
            "use numbers, text, enums, tuples and nested frozen dataclasses as field types",
        )


def has_an_identity(subject: Subject) -> None:
    """Settings and content can be hashed."""
    asked = settings.question(subject.spec, subject.plugin, subject.base)
    try:
        canonical(asked)
    except (TypeError, ValueError, UnveilError) as error:
        raise BreachError(
            f"its settings or content() cannot be hashed: {getattr(error, 'what', error)}",
            "numbers, text, lists and tables in settings; name to checksum in content()",
            "give a checksum as text",
        ) from error
    if not isinstance(asked["settings"], Mapping):
        raise BreachError("its settings are no table", "a dataclass with fields")


def its_settings_can_be_set(subject: Subject) -> None:
    """No setting has a name that plans take for themselves."""
    try:
        plugins.refuse_taken(subject.spec.use, subject.plugin, reserved.of_kind(subject.kind))
    except PluginError as error:
        raise BreachError(error.what, error.expected, error.todo) from error


CHECKS = (
    says_what_it_is,
    explains_its_settings,
    can_be_sent_to_another_process,
    can_be_made_again_from_its_settings,
    has_an_identity,
    its_settings_can_be_set,
)
