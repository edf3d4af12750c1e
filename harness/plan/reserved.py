"""The names that a plan takes for itself beside a plugin's settings: a setting of such a name could not be set."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unveil.harness.plan import plugins
from unveil.harness.plan.complaints import KINDS, entries, names_of
from unveil.harness.plan.parts import PARTS, Part
from unveil.harness.words.errors import PluginError

if TYPE_CHECKING:
    from unveil.harness.plan.file import Plan

TAKEN: Mapping[str, tuple[str, ...]] = {part: tuple(PARTS.get(part, Part).model_fields) for part in KINDS}
"""The keys of each part's entries that are no settings, as they are read."""


def of_kind(kind: str) -> dict[str, str]:
    """All names that no setting of a kind of plugin should have, and who takes each."""
    found = dict.fromkeys(plugins.taken(kind), "any table that names it")
    for part, names in TAKEN.items():
        if KINDS[part] == kind:
            found |= {name: f"an entry of {part}" for name in names}
    return found


def require_free(entries: Iterable[tuple[str, str]], base: Path) -> None:
    """Refuses plugins with settings that would be read as keys of their entry.

    Args:
        entries: The part of each, and its plugin.
        base: Folder that relative files are looked for in.

    Raises:
        PluginError: If there is one; names the setting and all names that are taken.
    """
    for part, use in entries:
        try:
            cls = plugins.load(KINDS[part], use, base)
        except PluginError:  # which is told where the plugin is made, if it is one
            continue
        plugins.refuse_taken(use, cls, dict.fromkeys(TAKEN[part], f"an entry of {part}"))


def entries_of(plan: Plan) -> Iterator[tuple[str, str]]:
    """Whose settings stand beside the keys of their entry: of a stack of defenses, each has a table of its own."""
    for part in KINDS:
        yield from ((part, entry.use) for entry in getattr(plan, part) if isinstance(entry.use, str))


def entries_in(raw: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The same of the tables of a plan that cannot be read, whether or not for that reason."""
    for part in KINDS:
        for name in names_of(part):
            uses = [entry.get("use") for entry in entries(raw.get(name))]
            yield from ((part, use) for use in uses if isinstance(use, str))
