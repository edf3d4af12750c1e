"""The commands, wired together."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from unveil.harness.cli import assets, check, data, fisher, plugins, runs, tune
from unveil.harness.cli.terminal import errors
from unveil.harness.errors import UnveilError

app = typer.Typer(
    name="unveil",
    help="Audit how much of its private training data an image classifier gives away to model-inversion attacks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (runs, data, tune, fisher, plugins, check, assets):
    for command in module.COMMANDS:
        app.command(name=command.__name__.rstrip("_").replace("_", "-"))(command)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"unveil {version('unveil')}")
        raise typer.Exit


@app.callback()
def _root(
    _show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Audit how much of its private training data an image classifier gives away to model-inversion attacks."""


def main() -> None:
    """Runs a command; what the user did wrong is told in words and ends with status 2, Ctrl-C with 130."""
    try:
        app()
    except UnveilError as error:
        errors().print(f"error: {error}", style="red", markup=False, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        errors().print("interrupted: what was computed is kept; run the same command again to go on", style="yellow")
        sys.exit(130)
