"""The page of all commands, from the command line itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import typer
from typer.core import TyperCommand, TyperGroup

from unveil.cli.app import app


def commands() -> Iterator[tuple[str, TyperCommand]]:
    """All commands with their full names, those of groups too."""
    root = typer.main.get_command(app)
    assert isinstance(root, TyperGroup)
    yield from _below("unveil", root)


def _below(name: str, group: TyperGroup) -> Iterator[tuple[str, TyperCommand]]:
    for part, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from _below(f"{name} {part}", command)
        elif isinstance(command, TyperCommand):
            yield f"{name} {part}", command


def commands_page(intro: str) -> str:
    """The page.

    Args:
        intro: What was written by hand, with its heading.
    """
    return "\n\n".join([intro.strip(), *(_section(name, command) for name, command in commands())]) + "\n"


def _section(name: str, command: TyperCommand) -> str:
    rows = _rows(name, command)
    arguments = [given for kind, given, _ in rows if kind == "argument"]
    usage = " ".join([name, *arguments, *(["[options]"] if len(rows) > len(arguments) else [])])
    parts = [f"## {name}", f"```text\n{usage}\n```", inspect.cleandoc(command.help or "")]
    if rows:
        table = [f"| `{_cell(given)}` | {_cell(about)} |" for _, given, about in rows]
        parts.append("\n".join(["| argument or option | what it does |", "|---|---|", *table]))
    return "\n\n".join(parts)


def _rows(name: str, command: TyperCommand) -> list[tuple[str, str, str]]:
    """Of each argument and option: which of the two it is, how it is given, and what it does."""
    context = command.make_context(name, [], resilient_parsing=True)
    records = [(one.param_type_name, one.get_help_record(context)) for one in command.params]
    told = [(kind, *record) for kind, record in records if record]
    return [(kind, given.split()[0].upper() if kind == "argument" else given, about) for kind, given, about in told]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
