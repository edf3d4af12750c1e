"""What a plan takes of a GPU, as ``plan`` shows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unveil.cli.terminal import one_line, output, table

if TYPE_CHECKING:
    from unveil.cli.terminal import Screen
    from unveil.harness.audit import Audit
    from unveil.harness.running.cards import Card
    from unveil.harness.running.demand import Demand

TERA, GIGA = 1e12, 2**30


def weighed(audit: Audit, screen: Screen, seconds: float) -> list[Demand]:
    """What the steps of a plan weigh that are to run, as far as that can be found in so many seconds."""
    from unveil.harness.running.demand import demands  # noqa: PLC0415 (torch is loaded for whoever weighs)

    def shown(label: str) -> None:
        screen.starts(f"weighing {one_line(label)} ...")

    return demands(audit.matrix.nodes(), audit.store, seconds, shown)


def weight_of(key: str, heavy: Sequence[Demand]) -> dict[str, float | int | None]:
    """Of one step, for JSON."""
    mine = next((one for one in heavy if key in one.keys), None)
    known = mine is not None and mine.flops is not None
    return {"flops": mine.flops if mine and known else None, "memory": mine.memory if mine and known else None}


def show_demands(heavy: Sequence[Demand], card: Card) -> None:
    """A line for each kind of work that is to run, and the sum."""
    known = [one for one in heavy if one.flops is not None]
    if not heavy:
        return
    if known:
        _show(known, card)
    unknown = [one for one in heavy if one.flops is None]
    for reason in dict.fromkeys(one.reason for one in unknown):
        some = [one for one in unknown if one.reason == reason]
        more = f" and {len(some) - 1} more" if len(some) > 1 else ""
        output().print(
            f"GPU time of {one_line(some[0].label)}{more}: {one_line(reason.splitlines()[0])}", soft_wrap=True
        )


def _show(known: Sequence[Demand], card: Card) -> None:
    from unveil.harness.running.cards import SHARE, room  # noqa: PLC0415 (the other commands need none)

    title = f"on one {card.name} at {SHARE:.0%} of its {card.peak / TERA:g} TFLOP/s in float32"
    made = table(title, "step", "what", "steps", "TFLOP each", "GPU-hours", "GPU memory")
    for one in known:
        memory = f"{room(one.memory) / GIGA:.1f} GiB" + ("" if card.fits(one.memory) else ": DOES NOT FIT")
        time = f"{card.hours(one.all_flops):.2g}"
        each = "> " * (not one.whole) + f"{(one.flops or 0) / TERA:,.3g}"
        made.add_row(one.kind, one_line(one.label), str(len(one.keys)), each, time, memory)
    output().print(made)
    most = max(room(one.memory) for one in known)
    hours = card.hours(sum(one.all_flops for one in known))
    about = "about" if all(one.whole for one in known) else "at least"
    output().print(
        f"GPU: {about} {hours:.2g} hours, {most / GIGA:.1f} GiB at most, counted by arithmetic; metrics, validation "
        "and what a defense adds to its training are not in it",
        soft_wrap=True,
    )
    for one in known:
        if not card.fits(one.memory):
            output().print(
                f"{one_line(one.label)} takes {room(one.memory) / GIGA:.0f} GiB, and a {card.name} has "
                f"{card.memory / GIGA:.0f}: lower its batch",
                style="yellow",
                soft_wrap=True,
            )
