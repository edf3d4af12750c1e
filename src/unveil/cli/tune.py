"""``tune``."""

from __future__ import annotations

import dataclasses
import json
import tomllib
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from unveil.cli.computing import compute_all
from unveil.cli.runs import JsonOption, StoreOption
from unveil.cli.surroundings import (
    AddressOption,
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
from unveil.cli.terminal import errors, output, print_json, table
from unveil.harness.plan.plugins import KINDS, registered, suggest
from unveil.harness.words.errors import PlanError
from unveil.harness.words.names import Precision

if TYPE_CHECKING:
    from unveil.harness.plan.defense_part import DefensePart
    from unveil.harness.plan.file import PlanFile
    from unveil.harness.plan.node import Node
    from unveil.harness.store.artefacts import Store


DefenseArgument = Annotated[
    str, typer.Argument(help="A defense of the plan by its name there, a registered name, or file.py:Class.")
]
PlanOption = Annotated[
    str, typer.Option("--plan", help="Plan whose data, targets and recipe are used.", metavar="PLAN")
]
CostOption = Annotated[float, typer.Option("--cost", help="Points of validation accuracy it may cost.", min=0, max=99)]
SetOption = Annotated[
    str,
    typer.Option(
        "--set", help="Values to try, weakest first; default: the defense's own ladder.", metavar="NAME=V1,V2,..."
    ),
]
RESERVED = ("use", "name", "recipe", "sweep", "tune", "trained")  # keys of a defense in a plan that are no settings


def tune(  # noqa: PLR0913, PLR0917 (an option each)
    defense: DefenseArgument,
    plan: PlanOption,
    cost: CostOption = 2.0,
    set_: SetOption = "",
    store: StoreOption = "runs",
    device: DeviceOption = "auto",
    precision: PrecisionOption = Precision.AUTO,
    pool: PoolOption = "",
    jobs: JobsOption = 0,
    threads: ThreadsOption = 0,
    step_timeout: TimeoutOption = 0.0,
    step_memory: MemoryOption = 0.0,
    address: AddressOption = "",
    slurm: SlurmOption = [],  # noqa: B006 (read, and never changed)
    as_json: JsonOption = False,
) -> None:
    """Find the strongest setting of a defense that costs no more utility than stated, on validation pictures."""
    from unveil.harness.plan.file import read  # noqa: PLC0415
    from unveil.harness.running.devices import surroundings  # noqa: PLC0415 (torch is loaded here, not for --help)
    from unveil.harness.running.matrix import targets  # noqa: PLC0415
    from unveil.harness.store.artefacts import Store  # noqa: PLC0415

    where = pool_of(pool, jobs, threads, step_timeout, step_memory, address, slurm)
    file, kept = read(plan), Store(store)
    part = _part(file, defense, cost / 100, set_)
    found = targets(file, part)
    needed = [node for target in found.values() for node in _strengths(target).values()]
    nodes = list(dict.fromkeys(node for want in needed for node in want.lineage()))
    around = surroundings(kept, device, file.plan.rounding(precision), compiled=False, pool=where)
    outcomes = compute_all(nodes, kept, around, where, accounts=True)
    failed = [outcomes[node.key].error for node in nodes if outcomes[node.key].status == "failed"]
    if failed:
        errors().print("\n".join(failed), style="red")
        raise typer.Exit(1)
    answers = [_answer(names, target, part, kept) for names, target in found.items()]
    if as_json:
        print_json(answers)
    else:
        _show(answers, part.label, cost)


def _part(file: PlanFile, defense: str, cost: float, values: str) -> DefensePart:
    """The defense as the plan has it, or a new one, to be tuned."""
    from unveil.harness.plan.defense_part import DefensePart  # noqa: PLC0415 (not needed for --help)

    named = {part.label: part for part in file.plan.defenses}
    known = [*named, *registered(KINDS[2])]
    if defense not in known and not defense.rpartition(":")[0].endswith(".py"):
        raise PlanError(
            f"there is no defense {defense!r}{suggest(defense, known)}", f"one of {', '.join(known)}", "correct it"
        )
    given: dict[str, Any] = named[defense].model_dump() if defense in named else {"use": defense}
    given["tune"] = cost
    try:
        if values:
            setting, tried = _values(values)
            _set(given, setting, tried)
        return DefensePart.model_validate(given)
    except ValidationError as error:
        said = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise PlanError(f"{defense} cannot be tuned: {said}", "a defense and values to try", "correct them") from error


def _values(text: str) -> tuple[str, list[Any]]:
    """``name=v1,v2`` with values as in TOML; what is not TOML is text."""
    name, mark, values = text.partition("=")
    if not mark or not name or not values.strip():
        raise PlanError(f"--set {text!r}", "a setting and its values", "write it as --set beta=0.003,0.01,0.03")
    try:
        return name.strip(), tomllib.loads(f"values = [{values}]")["values"]
    except tomllib.TOMLDecodeError:
        return name.strip(), [value.strip() for value in values.split(",")]


def _set(given: dict[str, Any], setting: str, tried: list[Any]) -> None:
    """Puts the values to try into a part, in place of what it says of that setting."""
    stacked = isinstance(given["use"], list)
    last = given["use"][-1] if stacked else ""
    own = given.setdefault(last, {}) if stacked else given
    if stacked or setting not in RESERVED:
        own.pop(setting, None)
    given["sweep"] = {last: {setting: tried}} if stacked else {setting: tried}


def _strengths(target: Node) -> dict[int, Node]:
    """The nodes that pick a strength, by the defense's place in the stack."""
    return {int(name.split()[1]): node for name, node in target.parents.items() if node.kind == "strength"}


def _answer(names: tuple[str, str], target: Node, part: DefensePart, store: Store) -> dict[str, Any]:
    from unveil.harness.figures.rungs import rungs  # noqa: PLC0415 (numpy and scipy take a while)

    picks = {place: rungs(node, store) for place, node in _strengths(target).items()}
    stack = part.names
    told = {stack[place]: [dataclasses.asdict(rung) for rung in found] for place, found in picks.items()}
    chosen = {stack[place]: next(r for r in found if r.picked).settings for place, found in picks.items()}
    return {"data": names[0], "target": names[1], "rungs": told, "toml": toml(part, chosen)}


def _show(answers: list[dict[str, Any]], label: str, cost: float) -> None:
    for answer in answers:
        for use, found in answer["rungs"].items():
            title = f"{use} in {label}" if use != label else label
            _table(f"{title}: {answer['data']}, {answer['target']}, at most {cost:g} points", found)
            if found[0]["picked"]:
                say = f"every strength of {use} costs more than {cost:g} points: strength zero is no defense"
                errors().print(say, style="yellow")
        if len(answers) > 1:
            output().print(f"# {answer['data']}, {answer['target']}")
        output().print(answer["toml"], soft_wrap=True)


def _table(title: str, found: list[dict[str, Any]]) -> None:
    made = table(title, "", "strength", "validation accuracy", "cost", "trainable parameters")
    for rung in found:
        mark = "->" if rung["picked"] else ""
        if rung["error"]:
            made.add_row(mark, rung["name"], f"failed: {rung['error']}", "", "")
            continue
        value, low, high = (f"{100 * rung[name]:.1f}" for name in ("accuracy", "low", "high"))
        points = f"{100 * rung['cost']:.1f}"
        made.add_row(mark, rung["name"], f"{value} % [{low}, {high}]", points, f"{rung['trainable']:,}")
    output().print(made)


def toml(part: DefensePart, chosen: dict[str, Any]) -> str:
    """An entry for a plan, with the settings that were picked.

    Args:
        part: The defense that was tuned.
        chosen: Settings by defense.
    """
    given = part.model_dump(exclude={"tune", "sweep"}, exclude_defaults=True)
    for use, settings in chosen.items():
        inner = given if isinstance(part.use, str) else given.setdefault(use, {})
        inner.update(settings)
    lines = [f"{name} = {_toml(value)}" for name, value in given.items() if value is not None]
    # TOML has no word for nothing
    lines += [f"# {name}: leave it out, or none" for name, value in given.items() if value is None]
    return "\n".join(["[[defenses]]", *lines])


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        inner = (f"{name} = {_toml(one)}" for name, one in value.items() if one is not None)
        return "{ " + ", ".join(inner) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if value in ("Infinity", "-Infinity"):  # so it stands in a dump
        return str(value).replace("Infinity", "inf")
    return json.dumps(value, ensure_ascii=False)


COMMANDS = (tune,)
