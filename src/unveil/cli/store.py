"""``unveil store``: what a store holds, what of it can go, and what of it travels."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unveil.cli.pages import place, render_page
from unveil.cli.runs import JsonOption, PlanArgument, StoreOption, stored_results
from unveil.cli.terminal import errors, in_bytes, one_line, output, print_json, table

if TYPE_CHECKING:
    from unveil.harness.figures.rows import Results
    from unveil.harness.store.collection import Garbage
    from unveil.harness.store.inventory import Inventory

SHOWN = 20  # lines of damage; all of it is in --json
AsideOption = Annotated[
    bool, typer.Option("--set-aside", help="Move what is damaged out of the way; the next run computes it anew.")
]
PrivateOption = Annotated[
    bool, typer.Option("--private-pictures", help="Pack pictures, models and reconstructions of real people, too.")
]


def verify(store: StoreOption = "runs", set_aside: AsideOption = False, as_json: JsonOption = False) -> None:
    """Hash every blob, read every manifest, and say what is damaged; status 1 if anything is."""
    from unveil.harness.store import inventory  # noqa: PLC0415 (not needed for --help)
    from unveil.harness.store.artefacts import Store  # noqa: PLC0415

    kept = Store(store)
    found = inventory.verify(kept)
    if set_aside:
        inventory.set_aside(kept, found)
    if as_json:
        print_json({**asdict(found), "damaged": dict(found.damaged)})
    else:
        say = f"{found.artefacts} artefacts, {found.blobs} blobs, {in_bytes(found.bytes)}"
        output().print(f"{say}: {f'{len(found.damaged)} files are damaged or lost' if found.damaged else 'all whole'}")
        for path, why in list(found.damaged.items())[:SHOWN]:
            output().print(f"{path} {why}", style="red", soft_wrap=True)
        for one in found.hit[:SHOWN]:
            output().print(f"of no use for it: {one.kind} {one_line(one.label)} ({one.key[:12]})", soft_wrap=True)
        if found.damaged and not set_aside:
            output().print("to do: run again with --set-aside, then run the plan: what is missing is computed anew")
    if found.damaged:
        raise typer.Exit(1)


def du(store: StoreOption = "runs", as_json: JsonOption = False) -> None:
    """Show what takes how much room: by kind of step, by plan, and besides."""
    from unveil.harness.running.reports import steps_of  # noqa: PLC0415 (see verify)
    from unveil.harness.store import collection, inventory  # noqa: PLC0415
    from unveil.harness.store.artefacts import Store  # noqa: PLC0415

    kept = Store(store)
    found = inventory.take(kept)
    kinds, plans, pins = _by_kind(found), _by_plan(found, steps_of(kept)), collection.pins(kept)
    total, outside = sum(found.sizes.values()), found.outside()
    if as_json:
        print_json({"bytes": total, "kinds": kinds, "plans": plans, "outside": outside, "pinned": sorted(pins)})
        return
    made = table(f"{kept.url}: {in_bytes(total)}", "kind", "artefacts", "size")
    for kind, one in sorted(kinds.items(), key=lambda pair: -pair[1]["bytes"]):
        made.add_row(one_line(kind), str(one["artefacts"]), in_bytes(one["bytes"]))
    for what, size in outside.items():
        made.add_row(what, "", in_bytes(size))
    output().print(made)
    made = table("What each plan that was run reaches", "report", "artefacts", "size", "of it nobody else's")
    for name, one in plans.items():
        pinned = " (pinned)" * (name in pins)
        made.add_row(one_line(name) + pinned, str(one["artefacts"]), in_bytes(one["bytes"]), in_bytes(one["own bytes"]))
    output().print(made)


def _by_kind(found: Inventory) -> dict[str, dict[str, int]]:
    keys: dict[str, list[str]] = {}
    for one in found.held.values():
        keys.setdefault(one.kind, []).append(one.key)
    return {kind: {"artefacts": len(some), "bytes": found.bytes_of(some)} for kind, some in keys.items()}


def _by_plan(found: Inventory, plans: dict[str, frozenset[str]]) -> dict[str, dict[str, int]]:
    """Also what would be free without a plan: what no other plan's steps need."""
    made = {}
    for name, keys in plans.items():
        here = [key for key in keys if key in found.held]
        alone = keys.difference(*(some for other, some in plans.items() if other != name))
        others = found.paths_of(set(found.held) - alone)
        own = sum(found.sizes.get(path, 0) for path in found.paths_of(alone) - others)
        made[name] = {"artefacts": len(here), "bytes": found.bytes_of(here), "own bytes": own}
    return made


def gc(
    plans: Annotated[list[str], typer.Argument(help="Plans whose steps stay.", metavar="PLAN...")],
    store: StoreOption = "runs",
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without it, what would be is shown.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete what neither these plans, as they are now, nor pinned results reach. Shows it only, without --yes."""
    from unveil.harness.audit import prepare  # noqa: PLC0415 (see verify)
    from unveil.harness.store import collection  # noqa: PLC0415
    from unveil.harness.store.artefacts import Store  # noqa: PLC0415

    kept = Store(store)
    reached = {node.key for plan in plans for node in prepare(plan, kept).matrix.nodes()}
    found = collection.find(kept, reached)
    if yes:
        collection.delete(kept, found)
    if as_json:
        print_json({"kept": found.kept, "deleted": yes, "bytes": dict(found.sizes), "paths": dict(found.paths)})
    else:
        _show_garbage(found, deleted=yes)


def _show_garbage(found: Garbage, *, deleted: bool) -> None:
    made = table("Deleted" if deleted else "Would be deleted", "what", "files", "size")
    for what, paths in found.paths.items():
        made.add_row(what, str(len(paths)), in_bytes(found.sizes[what]))
    output().print(made)
    output().print(f"{found.kept} artefacts stay")
    if found.paths and not deleted:
        output().print("nothing was deleted: run again with --yes to delete it")


def pin(
    plan: PlanArgument,
    store: StoreOption = "runs",
    remove: Annotated[bool, typer.Option("--remove", help="Let them be collected again.")] = False,
) -> None:
    """Keep the stored results of a plan, with all steps behind them, whatever `gc` is told to keep."""
    from unveil.harness.store import collection  # noqa: PLC0415 (see verify)
    from unveil.harness.store.artefacts import Store  # noqa: PLC0415

    if remove and collection.unpin(Store(store), plan):  # its name alone, as `du` shows it
        output().print(f"{one_line(plan)}: no longer pinned")
        return
    kept, folder, results = stored_results(plan, store)
    name = folder.rpartition("/")[2]
    if remove:
        was = collection.unpin(kept, name)
        output().print(f"{one_line(name)}: {'no longer' if was else 'was not'} pinned")
    else:
        collection.pin(kept, name, list(results.provenance))
        output().print(f"{one_line(name)}: pinned, with {len(results.provenance)} steps")


def export(
    plan: PlanArgument,
    out: Annotated[Path, typer.Argument(help="The bundle to write, such as audit.zip.", metavar="OUT")],
    store: StoreOption = "runs",
    private_pictures: PrivateOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write the stored results of a plan as one file: plan, results, page, artefacts and their checksums."""
    from unveil.harness.running import bundles  # noqa: PLC0415 (see verify)
    from unveil.leaderboard.page import render  # noqa: PLC0415

    kept, folder, results = stored_results(plan, store)
    name = folder.rpartition("/")[2]
    made = bundles.export(out, kept, name, results, render, private=private_pictures)
    if as_json:
        print_json({"bundle": str(out), **asdict(made)})
    else:
        output().print(
            f"{out}: {in_bytes(made.bytes)}, {made.artefacts} artefacts, sha256 {made.sha256}", soft_wrap=True
        )
    _say_what_is_in_it(results, private_pictures)


def _say_what_is_in_it(results: Results, private: bool) -> None:
    from unveil.harness.running.bundles import publishable  # noqa: PLC0415 (see verify)

    if publishable(results):
        return
    say = "the data may not be published: plan, figures and page are in the bundle, and no artefact"
    if private:
        say = "the bundle holds pictures of real people, and models and reconstructions of them: do not publish it"
    errors().print(say, style="yellow", soft_wrap=True)


def import_(
    bundle: Annotated[Path, typer.Argument(help="What `unveil store export` wrote.", metavar="BUNDLE")],
    store: StoreOption = "runs",
    as_json: JsonOption = False,
) -> None:
    """Take a bundle into a store, after comparing all of it with its checksums; nothing in it is executed."""
    from unveil.harness.running.submission import check  # noqa: PLC0415 (see verify)
    from unveil.harness.store.artefacts import Store  # noqa: PLC0415

    kept = Store(store)
    found = check.receive(bundle, kept)
    render_page(found.results, kept, found.folder, private=False)
    told: dict[str, Any] = {"report": found.folder, "artefacts": found.artefacts}
    if as_json:
        print_json(told)
        return
    say = f"{found.artefacts} artefacts are in {kept.url}; leaderboard: {place(kept, found.folder)}"
    output().print(say, soft_wrap=True)
    errors().print("checksums say that nothing was changed on the way, not that the numbers are true", soft_wrap=True)


COMMANDS = (verify, du, gc, pin, export, import_)
