"""The commands, wired together."""

from __future__ import annotations

import signal
import sys
from typing import Annotated

import typer

from unveil import __version__
from unveil.cli import assets, audit, board, check, data, fisher, judge, plugins, profile, runs, store, submit, tune
from unveil.cli.failures import in_words, tell
from unveil.cli.streams import open_streams
from unveil.cli.waiting import wait_asleep

app = typer.Typer(
    name="unveil",
    help="Audit how much of its private training data an image classifier gives away to model-inversion attacks.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (runs, audit, board, judge, submit, profile, data, tune, fisher, plugins, check, assets):
    for command in module.COMMANDS:
        app.command(name=command.__name__.rstrip("_").replace("_", "-"))(in_words(command))
kept = typer.Typer(help="What a store holds, what of it can go, and what of it travels.", no_args_is_help=True)
for command in store.COMMANDS:
    kept.command(name=command.__name__.rstrip("_"))(in_words(command))
app.add_typer(kept, name="store")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"unveil {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    _show: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Audit how much of its private training data an image classifier gives away to model-inversion attacks."""


def main() -> None:
    """Runs a command; whatever stops it is told in words, see `unveil.cli.failures`."""
    wait_asleep()
    open_streams()
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: a queue wants an end, and not a corpse
    try:
        app()
    except Exception as error:  # what typer itself met, such as a full disk under --help
        sys.exit(tell(error))
