"""``check`` and ``new``."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unveil.cli.terminal import errors, output, print_json, table
from unveil.harness.plan import plugins as found
from unveil.harness.words.errors import PluginError

if TYPE_CHECKING:
    from unveil.harness.conformance import Report

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
MARKS = {True: "ok", False: "FAILED", None: "skipped"}


def check(
    plugin: Annotated[str, typer.Argument(help="A registered name, or a file and class: my_defense.py:MyDefense.")],
    kind: Annotated[str, typer.Option("--kind", help="Its kind, where a name or class has several.")] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, such as --set strength=0.5; may be repeated.", metavar="NAME=VALUE"),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Try a plugin out on tiny synthetic data; status 1 if it does what no plugin may do."""
    from unveil.harness.conformance import check as try_out  # noqa: PLC0415 (loads torch)

    settings = dict(_setting(text) for text in set_ or [])
    report = try_out(plugin, _kind(kind) if kind else None, settings)
    if as_json:
        print_json({**dataclasses.asdict(report), "ok": report.ok})
    else:
        _show(report)
    if not report.ok:
        raise typer.Exit(1)


def _show(report: Report) -> None:
    output().print(f"{report.use} ({report.kind}, {report.origin})", soft_wrap=True)
    made = table("", "", "what", "detail")
    for finding in report.findings:
        made.add_row(MARKS[finding.ok], finding.name, finding.detail)
    output().print(made)
    if report.made_small:
        output().print(f"tried out with {report.made_small}")
    words = "conforms" if report.ok else f"does not conform: {len(report.failures)} of {len(report.findings)} checks"
    colour = "green" if report.ok else "red"
    output().print(f"{report.use} {words}", style=colour, soft_wrap=True)


def _setting(text: str) -> tuple[str, Any]:
    """``name=value``, the value as TOML has it; what is not TOML is text."""
    name, mark, value = text.partition("=")
    if not mark or not name:
        raise PluginError(f"--set {text!r}", "name=value", "write it as --set strength=0.5")
    try:
        return name, tomllib.loads(f"value = {value}")["value"]
    except tomllib.TOMLDecodeError:
        return name, value


def _kind(word: str) -> str:
    """A kind in the plural, as groups of plugins are called."""
    plural = {"defense": "defenses"}.get(word, f"{word}s")
    kind = word if word in found.KINDS else plural
    if kind not in found.KINDS:
        raise PluginError(
            f"there is no kind {word!r}{found.suggest(plural, found.KINDS)}",
            f"one of {', '.join(found.KINDS)}",
            "correct it",
        )
    return kind


def new(
    kind: Annotated[str, typer.Argument(help="dataset, model, defense, prior, attack or metric.")],
    name: Annotated[str, typer.Argument(help="What plans will call it, such as input_noise.")],
    into: Annotated[Path, typer.Option("--into", help="Folder that the package is put in.")] = Path(),
) -> None:
    """Write a working, commented plugin package with its test, to be changed into your own."""
    from unveil.cli.scaffold import scaffold  # noqa: PLC0415 (not needed for --help)

    folder = scaffold(_kind(kind), name, into)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            output().print(str(path), soft_wrap=True)
    errors().print(f"next: read {folder / 'README.md'}", soft_wrap=True)


COMMANDS = (check, new)
