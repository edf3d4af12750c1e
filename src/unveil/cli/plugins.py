"""``list``, ``check`` and ``new``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from unveil.cli.terminal import output, print_json, table
from unveil.harness.plan import plugins as found
from unveil.harness.words.errors import PluginError

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def list_(
    name: Annotated[str, typer.Argument(help="A kind (attacks) or a plugin (gmi), for its settings.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List what is registered: datasets, models, defenses, priors, attacks, metrics."""
    entries = [entry for kind in found.KINDS for group in found.registered(kind).values() for entry in group]
    if name in found.KINDS:
        entries = [entry for entry in entries if entry.kind == name]
    elif name:
        _settings(name, [entry for entry in entries if entry.name == name], as_json)
        return
    rows = [(entry, found.about(entry)) for entry in entries]
    if as_json:
        print_json([{**dataclasses.asdict(entry), **dataclasses.asdict(about)} for entry, about in rows])
        return
    made = table("Plugins", "kind", "name", "what it is", "from", "paper")
    for entry, about in rows:
        made.add_row(entry.kind, entry.name, about.line, entry.origin, about.paper)
    output().print(made)


def _settings(name: str, entries: list[found.Entry], as_json: bool) -> None:
    if not entries:
        names = [known for kind in found.KINDS for known in found.registered(kind)]
        raise PluginError(
            f"nothing is called {name!r}{found.suggest(name, [*names, *found.KINDS])}",
            "a kind or a plugin",
            "unveil list",
        )
    rows = [
        (entry, field.name, _type(field), _default(field))
        for entry in entries
        for field in dataclasses.fields(found.load(entry.kind, entry.name, Path.cwd()))
    ]
    if as_json:
        print_json([{"kind": e.kind, "plugin": e.name, "setting": s, "type": t, "default": d} for e, s, t, d in rows])
        return
    for entry in entries:
        output().print(f"{entry.name} ({entry.kind}): {found.about(entry).line}")
    made = table("", "plugin", "setting", "type", "default")
    for entry, setting, type_, default in rows:
        made.add_row(entry.name, setting, type_, default)
    output().print(made)


def _type(field: dataclasses.Field[object]) -> str:
    """As its class has it, but for the mark that it came later, which is between the class and identities."""
    said, mark = str(field.type), ", LATER]"
    return said.removeprefix("Annotated[").removesuffix(mark) if said.endswith(mark) else said


def _default(field: dataclasses.Field[object]) -> str:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    return repr(field.default_factory()) if field.default_factory is not dataclasses.MISSING else "(required)"


COMMANDS = (list_,)
