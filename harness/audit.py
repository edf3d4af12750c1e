"""Plan, store and pool in, results out: what the command line and a notebook both call. Raises, and never exits."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unveil.harness.figures.rows import Results
from unveil.harness.plan import plugins as registry
from unveil.harness.plan.file import PlanFile, find, from_mapping, name_of, read
from unveil.harness.plan.given import Given, joined, split
from unveil.harness.plan.node import Node
from unveil.harness.running.assemble import results as assemble
from unveil.harness.running.conditions import Conditions
from unveil.harness.running.devices import surroundings
from unveil.harness.running.estimate import costs
from unveil.harness.running.execute import Outcome, Surroundings
from unveil.harness.running.line import ranks
from unveil.harness.running.matrix import Matrix, expand
from unveil.harness.running.pools import InlinePool, Pool, Pooling, pooling
from unveil.harness.running.reports import Reports
from unveil.harness.running.schedule import Listener, run_nodes
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import DamageError, PlanError
from unveil.harness.words.names import Precision

log = logging.getLogger("unveil")


@dataclass(frozen=True)
class Audit:
    """A plan on a store.

    Attributes:
        file: The plan.
        matrix: Its cells.
        store: Where everything is kept.
    """

    file: PlanFile
    matrix: Matrix
    store: Store

    def results(self, around: Surroundings, listener: Listener, pool: Pool | Pooling | None = None) -> Results:
        """Computes what is not there yet and puts all together; what is found damaged only then is computed, too.

        Args:
            around: What it is computed with.
            listener: Told of every start and end.
            pool: Where to compute, or which pool to open for it; None computes here, step by step.

        Raises:
            StoreError: If the store cannot be read or written.
        """
        with _opened(pool, self.store) as opened:
            try:
                return self._results(around, listener, opened)
            except DamageError:
                return self._results(around, listener, opened)

    def _results(self, around: Surroundings, listener: Listener, pool: Pool) -> Results:
        outcomes = compute(self.matrix.nodes(), self.store, around, listener, pool)
        return assemble(self.file, self.matrix, outcomes, self.store)

    def keep(self, results: Results) -> str:
        """Writes results beside the plan's earlier ones, and returns the folder in the store."""
        return Reports(self.store, self.file.name).keep(self.file.text, self.file.path, results)


def prepare(
    plan: str | Path | Mapping[str, Any] | PlanFile, store: str | Path | Store = "runs", settings: Iterable[str] = ()
) -> Audit:
    """Reads a plan and makes all its plugins, so that every wrong name and setting is found before anything runs.

    Args:
        plan: A TOML file, the name of a preset, what such a file holds, or a plan that was read.
        store: A folder or URL.
        settings: What else is set in it, ``KEY=VALUE``; see `harness.plan.assignments.assigned`.

    Raises:
        UnveilError: If the plan cannot be run as it is, or the store cannot be used.
    """
    file = _file(plan, tuple(settings))
    kept = store if isinstance(store, Store) else Store(str(store))
    return Audit(file, expand(file), kept)


def _file(plan: str | Path | Mapping[str, Any] | PlanFile, settings: Sequence[str]) -> PlanFile:
    if isinstance(plan, PlanFile):
        if settings:
            raise PlanError("settings for a plan that was read", "none", "give them to what reads it")
        return plan
    return from_mapping(plan, settings) if isinstance(plan, Mapping) else read(str(plan), settings)


def compute(
    nodes: Sequence[Node], store: Store, around: Surroundings, listener: Listener, pool: Pool | Pooling | None = None
) -> dict[str, Outcome]:
    """Computes the nodes that are not in the store yet.

    Args:
        nodes: Parents before children.
        store: Where everything is kept.
        around: What they are computed with.
        listener: Told of every start and end.
        pool: Where to compute, or which pool to open for it; None computes here, step by step.

    Returns:
        Outcome per key.

    Raises:
        StoreError: If nothing can be written there, before anything is computed; or later.
    """
    store.check()
    with _opened(pool, store) as opened:
        alone = isinstance(opened, InlinePool)  # where the order of a plan is as good as any
        expected = {} if alone and around.deadline is None else costs(nodes, store, _conditions(around, pool))
        return run_nodes(nodes, around, opened, listener, store, {} if alone else ranks(nodes, expected), expected)


def _conditions(around: Surroundings, pool: Pool | Pooling | None) -> Conditions | None:
    """What steps are computed under; None where that is another machine's affair."""
    elsewhere = isinstance(pool, Pooling) and pool.elsewhere
    return None if elsewhere else Conditions.here(around.device, around.threads)


def _opened(pool: Pool | Pooling | None, store: Store) -> AbstractContextManager[Pool]:
    """A pool that is closed in the end if it is opened here."""
    if isinstance(pool, Pooling):
        return pool.opened(store.local or Path.cwd())
    return nullcontext(pool or InlinePool())


def run(  # noqa: PLR0913 (an option each)
    plan: str | Path | Mapping[str, Any] | PlanFile,
    store: str | Path | Store = "runs",
    *,
    settings: Iterable[str] = (),
    device: str = "auto",
    precision: str = "auto",
    compiled: bool = False,
    isolated: bool = True,
    pool: Pool | Pooling | str | None = None,
    jobs: int | None = None,
    threads: int | None = None,
    listener: Listener | None = None,
) -> Results:
    """Trains, attacks and measures whatever of a plan is not in the store yet.

    Args:
        plan: A TOML file, the name of a preset, or what such a file holds, as a dictionary. In a dictionary ``use``
            may be a class, if its module is a file that can be imported.
        store: A folder or URL where everything computed is kept.
        settings: What else is set in the plan, as ``--set`` does it: ``["attacks.gmi.steps=10", "scale=0.01"]``.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``.
        precision: ``full``, ``mixed``, ``probe`` or ``auto``: what the plan says, else mixed on a GPU.
        compiled: Whether networks that attacks descend are compiled.
        isolated: Whether a target of which an attack sees only scores or labels is kept in another process.
        pool: Where to compute: ``inline``, here and step by step, ``processes``, ``ray`` or ``slurm``; what
            `harness.running.pools.pooling` gives; or a pool of your own. None: processes for more than one job.
        jobs: Steps at a time; see `harness.running.pools.pooling`.
        threads: Threads for all of them together; None: as many as torch takes.
        listener: Told of every start and end; None logs them.

    Returns:
        All cells, failed ones too: ``results.rows``, ``results.frame()``.

    Raises:
        UnveilError: If the plan cannot be run as it is, or the store cannot be used.
    """
    audit = prepare(plan, store, settings)
    for note in audit.matrix.notes:
        log.warning("%s", note)
    where = pooling(pool, jobs, threads) if pool is None or isinstance(pool, str) else pool
    named = where if isinstance(where, Pooling) else Pooling(threads=threads or 0)
    rounding = audit.file.plan.rounding(Precision(precision))
    around = surroundings(audit.store, device, rounding, compiled, isolated=isolated, pool=named)
    results = audit.results(around, listener or _log_step, where)
    audit.keep(results)
    return results


def _log_step(node: Node, outcome: Outcome | None) -> None:
    if outcome is None:
        log.info("%s ...", node.label)
    elif outcome.status in ("failed", "unscored"):
        log.warning("%s: %s: %s", node.label, outcome.status, outcome.error)
    else:
        log.info("%s: %s, %.1f s", node.label, outcome.status, outcome.seconds)


def plugins() -> dict[str, dict[str, str]]:
    """What is registered, by kind and name, and what each is, in a line."""
    return {
        kind: {name: registry.about(entries[0]).line for name, entries in registry.registered(kind).items()}
        for kind in registry.KINDS
    }


@dataclass(frozen=True)
class Stored:
    """Results that were kept.

    Attributes:
        store: Where.
        folder: In the store.
        results: What was kept.
        note: What a reader must know of them; empty if nothing.
    """

    store: Store
    folder: str
    results: Results
    note: str = ""


def stored(plan: str, url: str, settings: Iterable[str] = ()) -> Stored:
    """The results of a plan as they were kept, without computing anything.

    Args:
        plan: A plan file or a preset.
        url: Of the store.
        settings: What was set in it when it was run. Where nothing was run with just these, and it was run in one other
            way, these are the results, and the note says so.

    Raises:
        PlanError: If there are none, or several that may be meant.
        StoreError: If they cannot be read.
    """
    store = Store(url)
    reports = Reports(store, name_of(plan))
    known = reports.folders()
    try:
        text, path = find(plan)
    except PlanError:
        if len(known) != 1:
            raise
        note = f"there is no plan {plan!r} to be read: these are the results stored under that name"
        return Stored(store, known[0], reports.read(known[0], "run the plan"), note)
    earlier, own = split(text)
    asked = earlier.with_settings(settings)
    todo = " ".join(filter(None, (f"unveil run {plan}", asked.options)))
    folder = reports.find(joined(asked, own), path) or _only(plan, reports.others(path), todo)
    if folder is None:
        others = f": {', '.join(known)} {'is' if len(known) == 1 else 'are'} of other plans of that name" * bool(known)
        raise PlanError(f"no results of {plan!r} in {store.url}{others}", "a plan that was run with this store", todo)
    results = reports.read(folder, todo)
    return Stored(store, folder, results, _otherwise(plan, own, asked, results.plan, todo))


def _only(plan: str, others: Mapping[str, Sequence[str]], todo: str) -> str | None:
    """The only folder of a plan that was run with other settings; None if it was not run.

    Raises:
        PlanError: If there are several.
    """
    if len(others) > 1:
        told = "; ".join(f"{folder}: {Given(tuple(s)).options or 'nothing'}" for folder, s in others.items())
        raise PlanError(
            f"no results of {plan!r} with these settings, but with several others ({told})",
            "the settings that it was run with",
            f"name them as here, or compute it so: {todo}",
        )
    return next(iter(others), None)


def _otherwise(plan: str, own: str, asked: Given, ran: str, todo: str) -> str:
    """What is not as asked in results of a plan that was run before, in words; empty if nothing."""
    given, file = split(ran)
    moved = {name: os.environ[name] for name, was in given.environment.items() if os.environ.get(name, was) != was}
    told = [f"{plan} has changed since"] * (file != own)
    told += [f"computed with {given.options or 'nothing set'}"] * ({*given.settings} != {*asked.settings})
    told += [f"computed where {name} was {given.environment[name]}, which is {now} now" for name, now in moved.items()]
    if not told:
        return ""
    return f"{'; '.join(told)}: these are the results of the plan as it was run. `{todo}` computes the new"
