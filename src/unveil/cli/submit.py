"""``unveil submit``: hand in results, or check what somebody handed in."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unveil.cli.pages import render_page
from unveil.cli.runs import JsonOption, StoreOption, stored_results
from unveil.cli.terminal import errors, in_bytes, one_line, output, print_json, table
from unveil.harness.words.errors import PlanError

if TYPE_CHECKING:
    from unveil.harness.running.submission.check import Checked

SourceArgument = Annotated[
    str, typer.Argument(help="A plan that was run; with --check, a submission.", metavar="PLAN|BUNDLE")
]
ToOption = Annotated[Path | None, typer.Option("--to", help="The submission to write, such as submissions/mine.zip.")]
ByOption = Annotated[str, typer.Option("--by", help="Who hands it in, as it shall stand on a board.")]
FiguresOption = Annotated[
    bool, typer.Option("--figures-only", help="Leave pictures and networks out: small, and nobody can judge again.")
]
PrivateOption = Annotated[
    bool, typer.Option("--private-pictures", help="Pack pictures, models and reconstructions of real people, too.")
]
CheckOption = Annotated[
    bool, typer.Option("--check", help="Check a submission; nothing in it is executed. Status 1 if it is refuted.")
]
IntoOption = Annotated[str, typer.Option("--into", help="With --check: take it into this store, with its standing.")]
STYLES = {"re-verified": "green", "self-reported": "yellow", "refuted": "red"}


def submit(  # noqa: PLR0913, PLR0917 (an option each)
    source: SourceArgument,
    to: ToOption = None,
    check: CheckOption = False,
    by: ByOption = "",
    figures_only: FiguresOption = False,
    private_pictures: PrivateOption = False,
    store: StoreOption = "runs",
    into: IntoOption = "",
    as_json: JsonOption = False,
) -> None:
    """Write the stored results of a plan as a submission (--to FILE), or check one (--check)."""
    if check == (to is not None) or (into and not check):
        raise PlanError(
            "it is not clear what to do with " + repr(source),
            "either --to FILE, which makes a submission, or --check, which checks one; --into goes with --check",
            f"unveil submit {source} --to submission.zip, or unveil submit {source} --check",
        )
    if to is not None:
        _make(source, store, to, by, pictures=not figures_only, private=private_pictures, as_json=as_json)
    else:
        _check(Path(source), into, as_json=as_json)


def _make(plan: str, url: str, to: Path, by: str, *, pictures: bool, private: bool, as_json: bool) -> None:
    from unveil.harness.running import bundles  # noqa: PLC0415 (not needed for --help)
    from unveil.harness.running.submission.make import make  # noqa: PLC0415
    from unveil.leaderboard.page import render  # noqa: PLC0415

    kept, folder, results = stored_results(plan, url)
    name = folder.rpartition("/")[2]
    made = make(to, kept, name, results, render, submitter=by, pictures=pictures, private=private)
    if as_json:
        print_json({"submission": str(to), "protocol": results.protocol, **asdict(made)})
    else:
        size = f"{in_bytes(made.bytes)}, {made.artefacts} artefacts, protocol {results.protocol}"
        output().print(f"{to}: {size}, sha256 {made.sha256}", soft_wrap=True)
        output().print(f"to see how it will be judged: unveil submit {to} --check", soft_wrap=True)
    if private and not bundles.publishable(results):
        say = "it holds pictures of real people, and models and reconstructions of them: do not publish it"
        errors().print(say, style="yellow", soft_wrap=True)
    elif not made.artefacts:
        say = "no picture and no network is in it: its figures will stand as self-reported"
        errors().print(say, style="yellow", soft_wrap=True)


def _check(source: Path, into: str, *, as_json: bool) -> None:
    from unveil.harness.running.submission import check  # noqa: PLC0415 (see _make)
    from unveil.harness.store.artefacts import Store  # noqa: PLC0415

    checked = check.check(source, lambda what: errors().print(f"judging again: {one_line(what)}", soft_wrap=True))
    if into:
        kept = Store(into)
        received = check.receive(source, kept, checked)
        render_page(received.results, kept, received.folder, private=False)
        errors().print(f"{received.folder} is in {kept.url}", soft_wrap=True)
    if as_json:
        print_json({"name": checked.name, "title": checked.results.title, **checked.standing.as_dict()})
    else:
        _show(checked)
    if checked.standing.state == "refuted":
        raise typer.Exit(1)


def _show(checked: Checked) -> None:
    found = checked.standing
    made = table(one_line(checked.results.title), "what", "found")
    made.add_row("standing", found.state, style=STYLES[found.state])
    made.add_row("headline figures computed again", f"{found.checked} of {found.of}")
    made.add_row("cells", str(len(checked.results.rows)))
    made.add_row("protocol", str(found.protocol))
    made.add_row("handed in by", one_line(found.submitter) or "(not said)")
    output().print(made)
    for difference in found.differences:
        output().print(f"differs: {one_line(difference)}", style="red", soft_wrap=True)
    for note in found.notes:
        output().print(f"note: {one_line(note)}", soft_wrap=True)


COMMANDS = (submit,)
