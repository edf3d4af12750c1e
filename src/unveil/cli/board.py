"""``board`` and ``serve``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unveil.cli.pages import place, render_page
from unveil.cli.runs import (
    JsonOption,
    PrivateOption,
    ScaleOption,
    SetOption,
    StoreOption,
    settings_of,
    stored_results,
)
from unveil.cli.terminal import errors, one_line, output, print_json
from unveil.harness.words.errors import PlanError

if TYPE_CHECKING:
    from unveil.harness.figures.exhibit import Exhibit
    from unveil.leaderboard.site.people import Show

SourcesArgument = Annotated[
    list[str],
    typer.Argument(
        help="Plan files and presets that were run; with --site also results files, folders of reports, bundles, "
        "stores and mlflow:URI.",
        metavar="PLAN-OR-RESULTS...",
    ),
]


def board(  # noqa: PLR0913, PLR0917 (an option each)
    what: SourcesArgument,
    store: StoreOption = "runs",
    out: Annotated[str, typer.Option("--out", help="Write the page here instead of into the store.")] = "",
    site: Annotated[str, typer.Option("--site", help="Write a site of all these matrices into this folder.")] = "",
    title: Annotated[str, typer.Option("--title", help="What the site is called.")] = "",
    private_pictures: PrivateOption = False,
    blurred: Annotated[
        bool, typer.Option("--blurred", help="Show pictures of real people on the site, blurred for good.")
    ] = False,
    as_json: JsonOption = False,
    set_: SetOption = [],  # noqa: B006 (read, and never changed)
    scale: ScaleOption = None,
) -> None:
    """Render stored results again: the page of one plan, or a site of any number of matrices."""
    if site:
        if out or (blurred and private_pictures):
            both = "--site and --out" if out else "--blurred and --private-pictures"
            raise PlanError(f"{both} were given together", "one of them", "leave one out")
        people: Show = "shown" if private_pictures else "blurred" if blurred else "withheld"
        exhibits = [one for source in what for one in _exhibits(source, store, settings_of(set_, scale))]
        _site(exhibits, Path(site), title, people, as_json=as_json)
        return
    if len(what) > 1 or title or blurred or as_json:
        raise PlanError(
            "these are for a site, and none was asked for", "--site FOLDER", "add it, or name one plan alone"
        )
    _page(what[0], store, settings_of(set_, scale), out, private=private_pictures)


def _page(plan: str, store: str, settings: Sequence[str], out: str, *, private: bool) -> None:
    from unveil.leaderboard.page import render  # noqa: PLC0415 (scipy and jinja take a while)

    if out:
        found = _exhibits(plan, store, settings)
        if len(found) > 1:
            raise PlanError(f"{plan!r} holds {len(found)} matrices", "one, for one page", "give --site for all of them")
        _write(Path(out), render(found[0].results, private_pictures=private))
        output().print(out, soft_wrap=True)
        return
    kept, folder, results = stored_results(plan, store, settings)
    render_page(results, kept, folder, private=private)
    output().print(place(kept, folder), soft_wrap=True)


def _write(out: Path, page: str) -> None:
    from unveil.harness.words import disk  # noqa: PLC0415 (not needed for --help)

    with disk.in_words(f"the page {str(out)!r}"):
        if out.exists() and not out.is_file():  # a pipe, or a folder, which is refused
            out.write_text(page, encoding="utf-8")
        else:
            disk.write(out.resolve(), page.encode())


def _site(exhibits: Sequence[Exhibit], folder: Path, title: str, people: Show, *, as_json: bool) -> None:
    from unveil.leaderboard.site import folder as folders  # noqa: PLC0415 (scipy and jinja take a while)
    from unveil.leaderboard.site.build import TITLE, build  # noqa: PLC0415

    done = folders.write(folder, build(exhibits, title=title or TITLE, people=people))
    counts = {how: len(paths) for how, paths in asdict(done).items()}
    for path in done.left:
        errors().print(
            f"note: {one_line(path)} is no longer part of the site, and was changed: it stays", style="yellow"
        )
    if people == "shown":
        errors().print("the site may hold pictures of real people: do not publish it", style="yellow")
    if as_json:
        print_json({"site": str(folder), "matrices": [one.name for one in exhibits], **counts})
        return
    said = ", ".join(f"{count} {how}" for how, count in counts.items() if count)
    errors().print(f"{len(exhibits)} matrices; files: {said}", soft_wrap=True)
    output().print(str(folder / "index.html"), soft_wrap=True)


def _exhibits(source: str, store: str, settings: Sequence[str]) -> list[Exhibit]:
    """The matrices of one argument: what lies in a place, or the stored results of a plan."""
    from unveil.harness.running import exhibits  # noqa: PLC0415 (pydantic's models and fsspec take a while)

    if exhibits.is_place(source):
        if settings:
            raise PlanError(
                f"{source!r} is no plan, so nothing in it can be set",
                "--set and --scale for plans alone",
                "leave them out, or name the plan",
            )
        return exhibits.found(source)
    kept, folder, results = stored_results(source, store, settings)
    return [exhibits.of_report(kept, folder, results)]


def serve(
    folder: Annotated[Path, typer.Argument(help="What `unveil board --site` wrote.", metavar="DIR")],
    port: Annotated[int, typer.Option("--port", help="Where; 0: any that is free.", min=0, max=65535)] = 8000,
) -> None:
    """Serve a site on this machine, for this machine alone, until Ctrl-C."""
    from unveil.leaderboard.loopback import LOOPBACK  # noqa: PLC0415 (not needed for --help)
    from unveil.leaderboard.site.serving import server  # noqa: PLC0415

    with server(folder, port) as serving:
        output().print(f"http://{LOOPBACK}:{serving.server_address[1]}/", soft_wrap=True)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            errors().print("stopped")


COMMANDS = (board, serve)
