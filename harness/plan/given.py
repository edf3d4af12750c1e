"""What a command line and the environment gave a plan beside its file, and how its text says so. Imports no torch.

The text of a plan as it was run begins with both, and the file follows word for word: whoever has that text can run the
same again, and sees what came from where.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from unveil.harness.plan.text import tables
from unveil.harness.words.errors import PlanError

OPENING = "# As it was run; what the command line and the environment gave beside the file:\n"
CLOSING = "# The file itself:\n"


@dataclass(frozen=True)
class Given:
    """What a plan was given beside its file.

    Attributes:
        settings: As ``--set`` has them, ``KEY=VALUE``, in their order.
        environment: The variables that the plan names, with what they were.
    """

    settings: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def with_settings(self, more: Iterable[str]) -> Given:
        """The same with further settings; of one key the last one counts."""
        found = {text.partition("=")[0].strip(): text.strip() for text in (*self.settings, *more)}
        return Given(tuple(found.values()), self.environment)

    @property
    def options(self) -> str:
        """As a command line has the settings."""
        return " ".join(f"--set {_quoted(text)}" for text in self.settings)


def split(text: str) -> tuple[Given, str]:
    """What a plan's text says it was given, and the text of its file.

    Raises:
        PlanError: If it begins as the text of a plan that was run, and does not go on so.
    """
    if not text.startswith(OPENING):
        return Given(), text
    head, mark, file = text.removeprefix(OPENING).partition(CLOSING)
    try:
        told = tables(head, "what it was given")
    except PlanError:
        told, mark = {}, ""
    settings, variables = told.pop("set", []), told.pop("environment", {})
    if not mark or told or not _texts(settings, list) or not _texts(variables, dict):
        raise PlanError(
            "the plan begins as one that was run, and what it was given cannot be read",
            f"set = [...] and environment = {{ ... }} with texts, and then {CLOSING.strip()!r}",
            f"remove everything above {CLOSING.strip()!r}, or take the plan from its report again",
        )
    return Given(tuple(settings), variables), file


def settings_of(text: str) -> tuple[str, ...]:
    """The settings that a plan's text says it was given, sorted; none where that cannot be read."""
    try:
        return tuple(sorted(split(text)[0].settings))
    except PlanError:
        return ()


def joined(given: Given, file: str) -> str:
    """The text of a plan as it was run, see ``split``; the file's own, where nothing was given."""
    lines = [f"set = [{', '.join(map(_toml, given.settings))}]"] if given.settings else []
    if given.environment:
        pairs = ", ".join(f"{name} = {_toml(value)}" for name, value in sorted(given.environment.items()))
        lines.append(f"environment = {{ {pairs} }}")
    return "".join([OPENING, *(f"{line}\n" for line in lines), CLOSING, file]) if lines else file


def _toml(text: str) -> str:
    """A text as TOML has it.

    Raises:
        PlanError: If it is none.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise PlanError(f"{text!a} is no text in UTF-8", "text", "give it in UTF-8, or rename that file") from error
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _quoted(text: str) -> str:
    plain = all(c.isalnum() or c in "._=/+-:,@" for c in text)
    return text if plain else "'" + text.replace("'", "'\\''") + "'"


def _texts(value: object, kind: type[list[object]] | type[dict[str, object]]) -> bool:
    if not isinstance(value, kind):
        return False
    return all(isinstance(one, str) for one in (value.values() if isinstance(value, dict) else value))
