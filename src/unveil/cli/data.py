"""``data``: what a plan's data sets hold, before anything trains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from unveil.cli.computing import compute_all
from unveil.cli.runs import JsonOption, PlanArgument, ScaleOption, SetOption, StoreOption, say_notes, settings_of
from unveil.cli.terminal import errors, output, print_json, table
from unveil.harness.words.errors import PlanError, StoreError

if TYPE_CHECKING:
    from unveil.harness.plan.node import Node
    from unveil.harness.store.artefacts import Store
    from unveil.harness.words.account import Account

LINES = 40  # people whose counts are printed


def data(
    plan: PlanArgument,
    store: StoreOption = "runs",
    out: Annotated[
        str, typer.Option("--out", help="Write the contact sheet here instead of into the store. Do not publish it.")
    ] = "",
    as_json: JsonOption = False,
    set_: SetOption = [],  # noqa: B006 (read, and never changed)
    scale: ScaleOption = None,
) -> None:
    """Show what a plan's data sets hold, what lies there and is not used, and a sheet of pictures; trains nothing."""
    from unveil.harness.plan.file import read  # noqa: PLC0415
    from unveil.harness.running.assemble import account  # noqa: PLC0415 (torch is loaded here, not for --help)
    from unveil.harness.running.execute import Surroundings  # noqa: PLC0415
    from unveil.harness.running.matrix import expand  # noqa: PLC0415
    from unveil.harness.store.artefacts import Store  # noqa: PLC0415

    file, kept = read(plan, settings_of(set_, scale)), Store(store)
    say_notes(file.notes)
    nodes = {cell.data: cell.nodes["data"] for cell in expand(file).cells}
    if out and len(nodes) > 1:
        raise PlanError(f"--out names one file, and the plan has {len(nodes)} data sets", "one", "leave --out out")
    outcomes = compute_all(list(nodes.values()), kept, Surroundings(kept.url), accounts=False)
    good = {name: node for name, node in nodes.items() if outcomes[node.key].good}
    told = {name: (account(node, kept), _sheet(node, name, kept, out, file.name)) for name, node in good.items()}
    if as_json:
        print_json([_plain(name, good[name], kept, *one) for name, one in told.items()])
    else:
        for name, (found, sheet) in told.items():
            _show(f"{file.plan.title}: {name}", found, kept.record(good[name].key)["disjoint"])
            errors().print(f"contact sheet: {sheet}", soft_wrap=True)
    if len(good) < len(nodes):
        raise typer.Exit(1)


def _plain(name: str, node: Node, store: Store, found: Account, sheet: Path) -> dict[str, Any]:
    facts = store.record(node.key)["facts"]
    return {"data": name, "facts": facts, "account": found.model_dump(mode="json"), "contact sheet": str(sheet)}


def _sheet(node: Node, name: str, store: Store, out: str, plan: str) -> Path:
    """Writes the contact sheet, which stays on this machine: it shows what the store may hold for others' eyes only."""
    from unveil.harness.data.contact import sheet  # noqa: PLC0415 (see data)
    from unveil.harness.steps import data as datasets  # noqa: PLC0415
    from unveil.harness.steps.bench import Bench  # noqa: PLC0415

    folder = Path() if store.local is None else store.local / "data"
    label = re.sub(r"[^\w.-]+", "_", name)
    file = Path(out) if out else folder / f"{plan}-{label}-{node.key[:8]}.png"
    drawn = sheet(datasets.read(node, Bench(store)))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(drawn)
    except OSError as error:
        raise StoreError(
            f"the contact sheet could not be written to {file}: {error.strerror}",
            "a folder that can be written to",
            "name another file with --out",
        ) from error
    return file.resolve()


def _show(title: str, found: Account, disjoint: str) -> None:
    read = table(f"{title}: what was read", "part", "people", "pictures", "of a person", "of nobody known")
    for name, part in found.ordered.items():
        span = f"{part.fewest} to {part.most}" if part.people else ""
        read.add_row(name, str(part.people), str(part.pictures), span, str(part.nameless or ""))
    output().print(read)
    _show_people(found)
    if found.remarks:
        rest = table("What was not, and what to know of the rest", "side", "used", "how many", "what", "the first")
        for one in found.remarks:
            texts = (one.side, "yes" if one.used else "no", str(one.count), one.what, ", ".join(one.names))
            rest.add_row(*map(Text, texts))
        output().print(rest)
    else:
        output().print("Nothing else lies there.")
    output().print(f"private people among the public ones: {disjoint}", soft_wrap=True)


def _show_people(found: Account) -> None:
    made = table("Pictures of each private person", "person", "train", "validation", "test")
    for name, counts in list(found.people.items())[:LINES]:
        made.add_row(Text(name), *map(str, counts))
    output().print(made)
    if len(found.people) > LINES:
        output().print(f"and {len(found.people) - LINES} more people, all in --json", highlight=False)


COMMANDS = (data,)
