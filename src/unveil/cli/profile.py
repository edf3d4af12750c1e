"""``profile``: where a matrix spends its time."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from unveil.cli.runs import JsonOption, PlanArgument, StoreOption
from unveil.cli.terminal import in_bytes, lasting, one_line, output, print_json, table

if TYPE_CHECKING:
    from unveil.harness.running.hotspots import Hotspots, Sum

GROUPS = ("kind", "defense", "attack")
COLUMNS = ("time", "share", "processors", "GPU", "peak memory", "stored")


def profile(
    plan: PlanArgument,
    store: StoreOption = "runs",
    worst: Annotated[int, typer.Option("--worst", min=1, help="How many of the longest steps to show.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Show where a matrix spent its time: by kind of step, defense and attack, and the worst offenders."""
    from unveil.harness.audit import prepare  # noqa: PLC0415 (torch is loaded here, not for --help)
    from unveil.harness.running.hotspots import hotspots  # noqa: PLC0415

    audit = prepare(plan, store)
    found = hotspots(audit.matrix, audit.store)
    if as_json:
        groups = {what: {name: asdict(one) for name, one in found.by(what).items()} for what in GROUPS}
        print_json({"steps": [asdict(step) for step in found.steps], "missing": found.missing, "by": groups})
        return
    _show(found, worst)


def _show(found: Hotspots, worst: int) -> None:
    total = found.total
    for what in GROUPS:
        made = table(f"By {what}", what, "steps", *COLUMNS)
        for name, one in found.by(what).items():
            made.add_row(one_line(name), str(one.steps), *_cells(one, total.wall_s))
        output().print(made)
    made = table("The longest steps", "step", *COLUMNS)
    from unveil.harness.running.hotspots import add  # noqa: PLC0415 (see profile)

    for step in found.steps[:worst]:
        made.add_row(one_line(step.label), *_cells(add([step]), total.wall_s))
    output().print(made)
    left = f"; {found.missing} more are not known yet" if found.missing else ""
    output().print(f"{total.steps} steps, {lasting(total.wall_s)} one after the other{left}")


def _cells(one: Sum, total: float) -> list[str]:
    """Processors are how many were busy on average."""
    busy = (spent / one.wall_s if spent is not None and one.wall_s else None for spent in (one.cpu_s, one.gpu_s))
    cpu, gpu = ("" if share is None else f"{share:.2f}" for share in busy)
    peak = "" if one.peak_memory_bytes is None else in_bytes(one.peak_memory_bytes)
    share = f"{100 * one.wall_s / total:.0f} %" if total else ""
    wall = lasting(one.wall_s) if one.wall_s >= 10 else f"{one.wall_s:.1f} s"
    return [wall, share, cpu, gpu, peak, in_bytes(one.stored_bytes)]


COMMANDS = (profile,)
