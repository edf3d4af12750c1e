"""``judge``: a page on which people say whether pictures show a person, and what their answers come to."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from unveil.cli.runs import JsonOption, PlanArgument, StoreOption
from unveil.cli.terminal import errors, output, print_json, table
from unveil.harness.words.errors import PlanError, StoreError

if TYPE_CHECKING:
    from pathlib import Path

    from unveil.harness.store.artefacts import Store
    from unveil.leaderboard.judging.pairs import Pair
    from unveil.leaderboard.judging.summary import Agreement, Opinion, Share, Summary

NOBODY = "answers of people: nobody has answered yet"


def judge(  # noqa: PLR0913, PLR0917 (an option each)
    plan: PlanArgument,
    store: StoreOption = "runs",
    name: Annotated[
        str, typer.Option("--judge", help="Who judges, such as ann; each judge has answers of their own.")
    ] = "",
    pairs: Annotated[
        int, typer.Option("--pairs", help="Most pairs: genuine, impostor, and of each defense and attack.", min=1)
    ] = 30,
    defense: Annotated[list[str], typer.Option("--defense", help="Only this defense; may be repeated.")] = [],  # noqa: B006
    attack: Annotated[list[str], typer.Option("--attack", help="Only this attack; may be repeated.")] = [],  # noqa: B006
    port: Annotated[int, typer.Option("--port", help="Where; 0: any that is free.", min=0, max=65535)] = 0,
    report: Annotated[bool, typer.Option("--report", help="Print what all answers so far come to, and end.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let people judge reconstructions among real pictures, blind, on a page for this machine alone."""
    from unveil.cli.judging import pairs_of  # noqa: PLC0415 (torch is loaded here, not for --help)
    from unveil.harness.audit import stored  # noqa: PLC0415

    if report == bool(name):
        raise PlanError(
            "judge takes --judge or --report" + ", and not both" * report,
            "somebody who judges, or the report",
            f"unveil judge {plan} --judge ann, and then unveil judge {plan} --report",
        )
    kept = stored(plan, store)
    if kept.note:
        errors().print(f"note: {kept.note}", style="yellow", soft_wrap=True)
    folder = _local(kept.store)
    found = pairs_of(kept, pairs, defense, attack)
    if name:
        _sit(found, name, folder, port)
    _report(found, folder, as_json=as_json)


def _local(store: Store) -> Path:
    """The store's folder: answers are added line by line, which buckets cannot."""
    if store.local is None:
        raise StoreError(f"{store.url} is no folder", "a store on this machine", "copy it with unveil store export")
    return store.local


def _sit(pairs: list[Pair], name: str, folder: Path, port: int) -> None:
    from unveil.leaderboard.judging.answers import Answers  # noqa: PLC0415 (not needed for --help)
    from unveil.leaderboard.judging.serving import Sitting, address, server  # noqa: PLC0415

    sitting = Sitting(pairs, name, Answers(folder, name))
    with server(sitting, port) as serving:
        errors().print("pictures of real people are shown: open this yourself, end with Ctrl-C", style="yellow")
        errors().print(address(sitting, serving), soft_wrap=True)
        try:
            serving.serve_forever()
        except KeyboardInterrupt:
            errors().print(
                f"stopped: {len(sitting.answers.given)} answers are in {sitting.answers.path}", soft_wrap=True
            )


def _report(pairs: list[Pair], folder: Path, *, as_json: bool) -> None:
    from unveil.leaderboard.judging.answers import everybody  # noqa: PLC0415 (not needed for --help)
    from unveil.leaderboard.judging.summary import summary  # noqa: PLC0415

    found = summary(pairs, everybody(folder))
    if as_json:
        print_json(asdict(found))
    elif not found.opinions:
        output().print(NOBODY)
    else:
        _show(found)


def _show(found: Summary) -> None:
    made = table("What people accept [95 % interval over people]", "judge", "answered", "pairs", "accepted", "unsure")
    for opinion in found.opinions:
        for kind, share in _lines(opinion):
            made.add_row(opinion.judge, f"{opinion.answered} of {opinion.of}", kind, _told(share), str(share.unsure))
    output().print(made)
    for opinion in found.opinions:
        if opinion.doubt:
            errors().print(f"{opinion.judge}: {opinion.doubt}: what is accepted says nothing", style="yellow")
    if found.judges:
        output().print(_agreements("Agreement of judges, on all pairs", found.judges))
    if found.evaluators:
        output().print(_agreements("Agreement with evaluators, on reconstructions", found.evaluators))


def _lines(opinion: Opinion) -> list[tuple[str, Share]]:
    real = [("genuine", opinion.genuine), ("impostors (false accepts)", opinion.false_accepts)]
    return real + [(f"reconstructions: {row}", share) for row, share in opinion.rows.items()]


def _agreements(title: str, some: tuple[Agreement, ...]) -> object:
    made = table(title, "judge", "and", "agree", "kappa", "false positives", "false negatives")
    for one in some:
        kappa = "" if one.kappa is None else f"{one.kappa:.2f}"
        wrong = [_told(share) if share else "" for share in (one.false_positives, one.false_negatives)]
        made.add_row(one.one, one.other, _told(one.agree), kappa, *wrong)
    return made


def _told(share: Share) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "no pairs"
    return f"{100 * share.value:.1f} % [{100 * share.low:.1f}, {100 * share.high:.1f}] of {share.pairs}"


COMMANDS = (judge,)
