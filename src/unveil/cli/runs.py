"""``run``, ``plan``, ``board`` and ``log``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from unveil.cli.surroundings import CompileOption, DeviceOption, Precision, PrecisionOption, surroundings
from unveil.cli.tables import show
from unveil.cli.terminal import Screen, errors, lasting, one_line, output, print_json, table
from unveil.harness.words.errors import DamageError, PlanError, TrackingError

if TYPE_CHECKING:
    from unveil.harness.figures.rows import Results
    from unveil.harness.plan.file import PlanFile
    from unveil.harness.plan.node import Node
    from unveil.harness.running.execute import Outcome, Surroundings
    from unveil.harness.running.matrix import Matrix
    from unveil.harness.store.artefacts import Store

PlanArgument = Annotated[str, typer.Argument(help="A plan file, or a preset such as quick.", metavar="PLAN")]
StoreOption = Annotated[
    str, typer.Option("--store", help="Folder or URL where everything computed is kept.", envvar="UNVEIL_STORE")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
PrivateOption = Annotated[
    bool, typer.Option("--private-pictures", help="Embed pictures of real people in the page. Do not publish it.")
]
UriOption = Annotated[
    str,
    typer.Option(
        "--mlflow",
        help="MLflow tracking URI; default: SQLite in the store; 'off': do not log.",
        envvar="MLFLOW_TRACKING_URI",
    ),
]
InProcessOption = Annotated[
    bool,
    typer.Option(
        "--in-process", help="Keep targets in the attacks' process, even where these see scores or labels only."
    ),
]


def run(  # noqa: PLR0913, PLR0917 (an option each)
    plan: PlanArgument,
    store: StoreOption = "runs",
    mlflow: UriOption = "",
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.AUTO,
    compiled: CompileOption = False,
    private_pictures: PrivateOption = False,
    in_process: InProcessOption = False,
    as_json: JsonOption = False,
) -> None:
    """Train, attack, measure, log and render whatever of a plan is not there yet."""
    from unveil.harness.plan.file import read  # noqa: PLC0415
    from unveil.harness.running.matrix import expand  # noqa: PLC0415 (torch is loaded here, not for --help)
    from unveil.harness.running.reports import Reports  # noqa: PLC0415
    from unveil.harness.store.artefacts import Store  # noqa: PLC0415

    file, kept = read(plan), Store(store)
    matrix = expand(file)
    _say_notes(matrix)
    around = surroundings(kept, device, precision, compiled, isolated=not in_process)
    results = compute_results(file, matrix, kept, around)
    folder = Reports(kept, file.name).keep(file.text, file.path, results)
    page = _render(results, kept, folder, private_pictures)
    _log(results, page, kept, mlflow)
    if as_json:
        print_json([row.plain() for row in results.rows])
    else:
        show(results)
    errors().print(f"leaderboard: {_page(kept, folder)}", soft_wrap=True)
    if any(row.status != "done" for row in results.rows):
        raise typer.Exit(1)


def compute_results(file: PlanFile, matrix: Matrix, store: Store, around: Surroundings) -> Results:
    """Computes what is not there yet and puts all together; what is found damaged only then is computed again, too.

    Args:
        file: The plan.
        matrix: Its cells.
        store: Where everything is kept.
        around: What it is computed with.
    """
    from unveil.harness.running.assemble import results as assemble  # noqa: PLC0415 (see run)

    try:
        return assemble(file, matrix, compute_all(matrix.nodes(), store, around), store)
    except DamageError:
        return assemble(file, matrix, compute_all(matrix.nodes(), store, around), store)


def _say_notes(matrix: Matrix) -> None:
    for note in matrix.notes:
        errors().print(f"note: {note}", style="yellow")


def compute_all(
    nodes: Sequence[Node], store: Store, around: Surroundings, *, tell_data: bool = True
) -> dict[str, Outcome]:
    """Computes what is not there yet and says so; Ctrl-C ends the command with status 130.

    Args:
        nodes: Parents before children.
        store: Where everything is kept.
        around: What it is computed with; progress goes to the terminal.
        tell_data: Whether to say of each data set what was read and what was not.

    Raises:
        StoreError: If nothing can be written there, before anything is computed; or later.
    """
    from unveil.harness.running.pools import InlinePool  # noqa: PLC0415
    from unveil.harness.running.schedule import run_nodes  # noqa: PLC0415

    store.check()
    with Screen() as screen:
        heard = _Teller(screen, nodes, store, tell_data=tell_data)
        try:
            outcomes = run_nodes(nodes, replace(around, shown=screen), InlinePool(), heard)
        except KeyboardInterrupt:
            screen.say("interrupted: what was computed is kept; run the same command again to go on", "yellow")
            raise typer.Exit(130) from None
    counts = Counter(outcome.status for outcome in outcomes.values())
    bad = "".join(f", {counts[how]} {how}" for how in ("failed", "blocked", "unscored") if counts[how])
    screen.say(f"{len(nodes)} steps: {counts['done']} computed now, {counts['cached']} known before{bad}")
    return outcomes


class _Teller:
    """Says what starts and how it ended."""

    def __init__(self, screen: Screen, nodes: Sequence[Node], store: Store, *, tell_data: bool) -> None:
        self.screen, self.nodes, self.store, self.tell_data = screen, nodes, store, tell_data
        self.total = len(nodes)
        self.ended: set[str] = set()  # keys, since a step that turns out to be damaged ends twice

    def __call__(self, node: Node, outcome: Outcome | None) -> None:
        from unveil.harness.figures.rungs import summary  # noqa: PLC0415 (numpy and scipy take a while)

        if outcome is None:
            self.screen.starts(f"[{len(self.ended) + 1}/{self.total}] {one_line(node.label)} ...")
            return
        self.ended.add(node.key)
        if outcome.status == "done":
            self.screen.say(f"[{len(self.ended)}/{self.total}] {one_line(node.label)}: {outcome.seconds:.1f} s")
            if node.kind == "strength":
                self.screen.say(f"    validation accuracy: {summary(node, self.store)}")
        elif outcome.status in ("failed", "unscored"):  # what is blocked by it need not repeat its error
            how = f"{outcome.status.upper()}: {outcome.error}"
            self.screen.say(f"[{len(self.ended)}/{self.total}] {one_line(node.label)}: {how}", "red")
        if node.kind == "data" and outcome.good and self.tell_data:
            self._account(node)

    def _account(self, node: Node) -> None:
        """What was read and what was not, of a data set that was known before, too."""
        from unveil.harness.running.assemble import account  # noqa: PLC0415 (see run)

        found = account(node, self.store)
        for line in found.lines():
            self.screen.say(f"    {one_line(node.label)}: {line}")
        attacks = [one for one in self.nodes if one.kind == "attack" and one.parents["data"].key == node.key]
        asked = max((one.options["identities"] for one in attacks), default=0)
        if asked > (there := found.parts["train"].people):
            self.screen.say(
                f"    {one_line(node.label)}: the plan says identities = {asked}, but there are {there} private "
                "people: all of them are attacked",
                "yellow",
            )


def _render(results: Results, store: Store, folder: str, private: bool) -> str:
    """Writes the page and returns the one that may be shown around."""
    from unveil.leaderboard.page import render  # noqa: PLC0415 (pandas takes a while)

    page = render(results)
    store.put_text(f"{folder}/leaderboard.html", render(results, private_pictures=True) if private else page)
    return page


def _page(store: Store, folder: str) -> str:
    return f"{store.url}/{folder}/leaderboard.html"


def _log(results: Results, page: str, store: Store, uri: str) -> None:
    if uri == "off":
        return
    from unveil.harness.running import tracking  # noqa: PLC0415 (see run)
    from unveil.leaderboard.page import fisher_charts  # noqa: PLC0415

    try:
        tracking.log(results, page, store, uri or tracking.default_uri(store), fisher_charts(results))
    except TrackingError as error:  # whatever a tracking server may do: no result may be lost over it
        errors().print(f"warning: {error}", style="yellow", soft_wrap=True)


def plan_(plan: PlanArgument, store: StoreOption = "runs", as_json: JsonOption = False) -> None:
    """Show what a plan would run, what is known already, and what the rest may cost."""
    from unveil.harness.plan.file import read  # noqa: PLC0415
    from unveil.harness.running.estimate import estimate  # noqa: PLC0415 (see run)
    from unveil.harness.running.matrix import expand  # noqa: PLC0415
    from unveil.harness.store.artefacts import Store  # noqa: PLC0415

    file = read(plan)
    matrix = expand(file)
    _say_notes(matrix)
    steps = estimate(matrix, Store(store))
    if as_json:
        print_json([step.__dict__ for step in steps])
        return
    made = table(
        f"{file.plan.title}: {len(matrix.cells)} cells, {len(steps)} steps",
        "step",
        "what",
        "state",
        "seconds",
        "known from",
    )
    for step in steps:
        seconds = "" if step.seconds is None else f"{step.seconds:.0f}"
        made.add_row(step.kind, step.label, step.state, seconds, step.source)
    output().print(made)
    left = [step for step in steps if step.state != "known"]
    unknown = sum(step.seconds is None for step in left)
    more = f", and {unknown} steps of unknown cost" if unknown else ""
    cost = lasting(sum(step.seconds or 0.0 for step in left))
    output().print(f"to run: {len(left)} steps, about {cost}{more}")


def board(
    plan: PlanArgument,
    store: StoreOption = "runs",
    out: Annotated[str, typer.Option("--out", help="Write the page here instead of into the store.")] = "",
    private_pictures: PrivateOption = False,
) -> None:
    """Render the leaderboard of a plan again from its stored results."""
    from unveil.leaderboard.page import render  # noqa: PLC0415 (see run)

    kept, folder, results = _stored(plan, store)
    if out:
        _write(Path(out), render(results, private_pictures=private_pictures))
    else:
        _render(results, kept, folder, private_pictures)
    output().print(out or _page(kept, folder), soft_wrap=True)


def _write(out: Path, page: str) -> None:
    from unveil.harness.words import disk  # noqa: PLC0415 (not needed for --help)

    with disk.told(f"the page {str(out)!r}"):
        if out.exists() and not out.is_file():  # a pipe, or a folder, which is refused
            out.write_text(page, encoding="utf-8")
        else:
            disk.write(out.resolve(), page.encode())


def log(plan: PlanArgument, store: StoreOption = "runs", mlflow: UriOption = "") -> None:
    """Log the stored results of a plan to MLflow, again or elsewhere."""
    from unveil.harness.running import tracking  # noqa: PLC0415 (see run)
    from unveil.leaderboard.page import fisher_charts, render  # noqa: PLC0415

    kept, _, results = _stored(plan, store)
    where = mlflow or tracking.default_uri(kept)
    logged = tracking.log(results, render(results), kept, where, fisher_charts(results))
    output().print(f"{'logged' if logged.fresh else 'was logged before'}: run {logged.run} at {where}", soft_wrap=True)


def _stored(where: str, url: str) -> tuple[Store, str, Results]:
    """The store, the folder of a plan's report there, and its results; says so if the plan has changed since."""
    from unveil.harness.plan.file import find  # noqa: PLC0415 (see run)
    from unveil.harness.running.reports import Reports  # noqa: PLC0415
    from unveil.harness.store.artefacts import Store  # noqa: PLC0415

    store, todo = Store(url), f"unveil run {where}"
    reports = Reports(store, Path(where).stem)
    known = reports.folders()
    try:
        text, path = find(where)
    except PlanError:
        if len(known) != 1:
            raise
        results = reports.read(known[0], "run the plan")
        _warn(f"there is no plan {where!r} to be read: these are the results stored under that name")
        return store, known[0], results
    folder = reports.find(text, path)
    if folder is None:
        others = f": {', '.join(known)} {'is' if len(known) == 1 else 'are'} of other plans of that name" * bool(known)
        raise PlanError(f"no results of {where!r} in {store.url}{others}", "a plan that was run with this store", todo)
    results = reports.read(folder, todo)
    if results.plan != text:
        _warn(f"{where} has changed since: these are the results of the plan as it was run. `{todo}` computes the new")
    return store, folder, results


def _warn(text: str) -> None:
    errors().print(text, style="yellow", soft_wrap=True)


COMMANDS = (run, plan_, board, log)
