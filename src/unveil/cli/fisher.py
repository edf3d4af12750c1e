"""``fisher``: where in each target of a plan the information sits."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import typer

from unveil.cli.computing import compute_results
from unveil.cli.runs import JsonOption, PlanArgument, StoreOption
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
from unveil.cli.terminal import one_line, output, print_json, table
from unveil.harness.words.errors import PlanError
from unveil.harness.words.names import Precision

if TYPE_CHECKING:
    from unveil.harness.figures.rows import Row
    from unveil.harness.plan.file import PlanFile
    from unveil.leaderboard.fisher import Profile


def fisher(  # noqa: PLR0913, PLR0917 (an option each)
    plan: PlanArgument,
    store: StoreOption = "runs",
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
    as_json: JsonOption = False,
) -> None:
    """Show by layer what classification and inversion look at in a plan's targets, and whether TL-DMI's claim holds."""
    from unveil.harness.audit import prepare  # noqa: PLC0415 (torch is loaded here, not for --help)
    from unveil.harness.plan.file import read  # noqa: PLC0415
    from unveil.harness.running.devices import surroundings  # noqa: PLC0415
    from unveil.leaderboard.figures import setups  # noqa: PLC0415
    from unveil.leaderboard.fisher import plain, profiles  # noqa: PLC0415

    where = pool_of(pool, jobs, threads, step_timeout, step_memory, address, slurm)
    audit = prepare(only_fisher(read(plan)), store)
    rounding = audit.file.plan.rounding(precision)
    results, undone = compute_results(audit, surroundings(audit.store, device, rounding, compiled, pool=where), where)
    found = [(setup, profile) for setup in setups(results) for profile in profiles(setup.rows)]
    if as_json:
        print_json([{"data": setup.data, "model": setup.model, **plain(profile)} for setup, profile in found])
    else:
        for setup, profile in found:
            _show(setup.title, profile)
    _complain([row for row in results.rows if row.status != "done"])
    if undone or not found:
        raise typer.Exit(1)


def only_fisher(file: PlanFile) -> PlanFile:
    """The plan without what Fisher information does not need: judges, other metrics, controls and unguided attacks.

    Raises:
        PlanError: If no attack of the plan descends an identity loss.
    """
    from unveil.harness.plan import plugins, settings  # noqa: PLC0415 (imports pydantic)
    from unveil.harness.plan.parts import MetricPart  # noqa: PLC0415
    from unveil.harness.words.attack import Guided  # noqa: PLC0415 (imports torch)

    plan = file.plan
    made = [(part, settings.make("attacks", part.spec, file.base)) for part in plan.attacks]
    guided = [part for part, attack in made if isinstance(attack, Guided) and not plugins.role(attack)]
    if not guided:
        raise PlanError(
            f"no attack of the plan ({', '.join(part.label for part in plan.attacks)}) descends an identity loss",
            "at least one that has identity_loss(logits, labels), such as gmi",
            "add one to the plan",
        )
    metrics = [part for part in plan.metrics if part.use == "fisher"] or [MetricPart(use="fisher")]
    changes = {"attacks": guided, "metrics": metrics, "evaluators": [], "pictures": 0}
    return dataclasses.replace(file, plan=plan.model_copy(update=changes))


def _show(title: str, profile: Profile) -> None:
    from unveil.leaderboard.fisher import TASKS, share_text, totals  # noqa: PLC0415 (see fisher)

    made = table(f"{profile.defense} x {profile.attack} ({title})", "layer", *TASKS, "difference")
    for layer in profile.layers:
        made.add_row(layer, *(share_text(profile, task, layer) for task in TASKS), "")
    made.add_section()
    for what, texts in totals(profile):
        made.add_row(what, *texts)
    output().print(made)
    output().print(f"{profile.sentence}\n", soft_wrap=True)


def _complain(bad: list[Row]) -> None:
    for row in bad:
        text = f"{one_line(f'{row.defense} x {row.attack}')}, seed {row.seed}: {row.status}: {row.error}"
        output().print(text, style="red", soft_wrap=True)


COMMANDS = (fisher,)
