"""``run``, ``plan`` and ``log``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from unveil.cli.computing import compute_results
from unveil.cli.demands import show_demands, weighed, weight_of
from unveil.cli.events import EventsOption, lines
from unveil.cli.pages import place, render_page
from unveil.cli.surroundings import (
    AddressOption,
    CompileOption,
    DeviceOption,
    JobsOption,
    MemoryOption,
    PoolOption,
    PrecisionOption,
    SlurmOption,
    ThreadsOption,
    TimeoutOption,
    pool_of,
)
from unveil.cli.tables import show
from unveil.cli.terminal import Screen, errors, one_line, output, print_json, roughly, table
from unveil.harness.words.errors import TrackingError
from unveil.harness.words.names import Precision

if TYPE_CHECKING:
    from unveil.harness.figures.rows import Results
    from unveil.harness.running.estimate import Step
    from unveil.harness.running.matrix import Matrix
    from unveil.harness.store.artefacts import Store

PlanArgument = Annotated[str, typer.Argument(help="A plan file, or a preset such as quick.", metavar="PLAN")]
StoreOption = Annotated[
    str, typer.Option("--store", help="Folder or URL where everything computed is kept.", envvar="UNVEIL_STORE")
]
SetOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        help="Set something in the plan, such as data.root=/data/celeba or attacks.gmi.steps=10; may be repeated.",
        metavar="KEY=VALUE",
    ),
]
ScaleOption = Annotated[
    float | None,
    typer.Option("--scale", help="Rehearse: people, epochs and steps are cut to this share; as --set scale=SHARE."),
]
CardOption = Annotated[
    str, typer.Option("--card", help="Tell memory and hours of this GPU, such as a100; default: of none without one.")
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


def settings_of(given: Sequence[str], scale: float | None) -> tuple[str, ...]:
    """What these options set in a plan."""
    return (*given, *([] if scale is None else [f"scale={scale!r}"]))


def run(  # noqa: PLR0913, PLR0917 (an option each)
    plan: PlanArgument,
    store: StoreOption = "runs",
    mlflow: UriOption = "",
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.AUTO,
    compiled: CompileOption = False,
    pool: PoolOption = "",
    jobs: JobsOption = 0,
    threads: ThreadsOption = 0,
    step_timeout: TimeoutOption = 0.0,
    step_memory: MemoryOption = 0.0,
    address: AddressOption = "",
    slurm: SlurmOption = [],  # noqa: B006 (read, and never changed)
    private_pictures: PrivateOption = False,
    in_process: InProcessOption = False,
    events: EventsOption = None,
    as_json: JsonOption = False,
    set_: SetOption = [],  # noqa: B006 (read, and never changed)
    scale: ScaleOption = None,
) -> None:
    """Train, attack, measure, log and render whatever of a plan is not there yet."""
    from unveil.harness.audit import prepare  # noqa: PLC0415 (torch is loaded here, not for --help)
    from unveil.harness.running.devices import surroundings  # noqa: PLC0415

    where = pool_of(pool, jobs, threads, step_timeout, step_memory, address, slurm)
    audit = prepare(plan, store, settings_of(set_, scale))
    say_notes(audit.matrix.notes)
    rounding = audit.file.plan.rounding(precision)
    around = surroundings(audit.store, device, rounding, compiled, isolated=not in_process, pool=where)
    with lines(events) as tell:
        results, undone = compute_results(audit, around, where, tell)
    folder = audit.keep(results)
    _log(results, render_page(results, audit.store, folder, private=private_pictures), audit.store, mlflow)
    if as_json:
        print_json([row.plain() for row in results.rows])
    else:
        show(results)
    errors().print(f"leaderboard: {place(audit.store, folder)}", soft_wrap=True)
    if undone:
        raise typer.Exit(1)


def say_notes(notes: Iterable[str]) -> None:
    """What a reader must know of a plan, before anything is computed."""
    for note in notes:
        errors().print(f"note: {note}", style="yellow")


def _log(results: Results, page: str, store: Store, uri: str) -> None:
    if uri == "off":
        return
    from unveil.harness.running import tracking  # noqa: PLC0415 (see run)
    from unveil.harness.running.mlflow_view import way  # noqa: PLC0415
    from unveil.leaderboard.page import fisher_charts  # noqa: PLC0415

    try:
        where = uri or tracking.default_uri(store)
        logged = tracking.log(results, page, store, where, fisher_charts(results))
        errors().print(f"MLflow: {way(where, logged.link)}", soft_wrap=True)
    except TrackingError as error:  # whatever a tracking server may do: no result may be lost over it
        errors().print(f"warning: {error}", style="yellow", soft_wrap=True)


def plan_(  # noqa: PLR0913, PLR0917 (an option each)
    plan: PlanArgument,
    store: StoreOption = "runs",
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.AUTO,
    jobs: JobsOption = 0,
    threads: ThreadsOption = 0,
    no_probe: Annotated[bool, typer.Option("--no-probe", help="Time and weigh nothing that is unknown.")] = False,
    card: CardOption = "",
    as_json: JsonOption = False,
    set_: SetOption = [],  # noqa: B006 (see run)
    scale: ScaleOption = None,
) -> None:
    """Show what a plan would run, what is known already, and what the rest may cost."""
    from unveil.harness.audit import prepare  # noqa: PLC0415 (see run)
    from unveil.harness.running import cards  # noqa: PLC0415
    from unveil.harness.running.conditions import Conditions  # noqa: PLC0415
    from unveil.harness.running.devices import surroundings  # noqa: PLC0415
    from unveil.harness.running.estimate import estimate  # noqa: PLC0415
    from unveil.harness.running.probes import Probing  # noqa: PLC0415

    where = pool_of("", jobs, threads, 0.0, 0.0, "", [])
    audit = prepare(plan, store, settings_of(set_, scale))
    say_notes(audit.matrix.notes)
    rounding = audit.file.plan.rounding(precision)
    around = surroundings(audit.store, device, rounding, compiled=False, pool=where)
    on = cards.card(card or cards.USUAL) if card or around.device.startswith("cuda") else None
    with Screen() as screen:
        probing = Probing(around, shown=lambda label: screen.starts(f"timing {one_line(label)} ..."))
        here = Conditions.here(around.device, around.threads)
        steps = estimate(audit.matrix, audit.store, None if no_probe else probing, here)
        heavy = weighed(audit, screen, 0.0 if no_probe else probing.seconds) if on else []
    if as_json:
        print_json([{**step.__dict__, **weight_of(step.key, heavy)} for step in steps])
        return
    _show_steps(f"{audit.file.plan.title}: {len(audit.matrix.cells)} cells, {len(steps)} steps", steps)
    output().print(_total(steps, audit.matrix, where.jobs), soft_wrap=True)
    if on:
        show_demands(heavy, on)


def _show_steps(title: str, steps: Sequence[Step]) -> None:
    made = table(title, "step", "what", "state", "seconds", "known from")
    for step in steps:
        seconds = "" if step.seconds is None else "> " * step.at_least + f"{step.seconds:.0f}"
        made.add_row(step.kind, one_line(step.label), step.state, seconds, one_line(step.source))
    output().print(made)


def _total(steps: Sequence[Step], matrix: Matrix, jobs: int) -> str:
    """What is left to run, and how long that takes: one step at a time, and so many."""
    from unveil.harness.running.makespan import makespan  # noqa: PLC0415 (see run)

    left = {step.key: step.seconds for step in steps if step.state != "known"}
    seconds = {key: cost or 0.0 for key, cost in left.items()}
    cost = makespan(matrix.nodes(), seconds, jobs)
    unknown = sum(one is None for one in left.values())
    more = f", and {unknown} steps of unknown cost" if unknown else ""
    together = f" with {jobs} jobs" if jobs > 1 else ""
    about = "at least " if any(step.at_least for step in steps) else "about " * (cost >= 10)
    return f"to run: {len(left)} steps, {about}{roughly(cost)}{together}{more}"


def log(
    plan: PlanArgument,
    store: StoreOption = "runs",
    mlflow: UriOption = "",
    set_: SetOption = [],  # noqa: B006 (see run)
    scale: ScaleOption = None,
) -> None:
    """Log the stored results of a plan to MLflow, again or elsewhere."""
    from unveil.harness.running import tracking  # noqa: PLC0415 (see run)
    from unveil.harness.running.mlflow_view import way  # noqa: PLC0415
    from unveil.harness.running.mlflow_words import public  # noqa: PLC0415
    from unveil.leaderboard.page import fisher_charts, render  # noqa: PLC0415

    kept, _, results = stored_results(plan, store, settings_of(set_, scale))
    where = mlflow or tracking.default_uri(kept)
    logged = tracking.log(results, render(results), kept, where, fisher_charts(results))
    output().print(
        f"{'logged' if logged.fresh else 'was logged before'}: run {logged.run} at {public(where)}", soft_wrap=True
    )
    output().print(f"to see it: {way(where, logged.link)}", soft_wrap=True)


def stored_results(plan: str, store: str, settings: Sequence[str] = ()) -> tuple[Store, str, Results]:
    """The store, the folder of a plan's report there, and its results; says so if the plan has changed since."""
    from unveil.harness.audit import stored  # noqa: PLC0415 (see run)

    found = stored(plan, store, settings)
    if found.note:
        errors().print(found.note, style="yellow", soft_wrap=True)
    return found.store, found.folder, found.results


COMMANDS = (run, plan_, log)
