"""Steps that are computed while somebody looks on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import typer

from unveil.cli.events import Line, event, sentence
from unveil.cli.terminal import Screen, errors, one_line

if TYPE_CHECKING:
    from unveil.harness.audit import Audit
    from unveil.harness.figures.rows import Results
    from unveil.harness.plan.node import Node
    from unveil.harness.running.execute import Outcome, Surroundings
    from unveil.harness.running.pools import Pooling
    from unveil.harness.store.artefacts import Store

T = TypeVar("T")


UNDONE = ("failed", "blocked", "unscored")
"""How steps end that leave something of what was asked for undone: the command says so with status 1."""


class Computed(NamedTuple):
    """What came of a plan.

    Attributes:
        results: All cells.
        undone: Steps that were not brought to their end, whoever's fault that is: a judge who is away is asked again by
            the next run, and until then a number is missing.
    """

    results: Results
    undone: int


def compute_results(audit: Audit, around: Surroundings, pool: Pooling, tell: Line | None = None) -> Computed:
    """The results of a plan, with what is computed for them on the screen; Ctrl-C ends the command with status 130."""
    _say_threads(pool)
    results, counts = _on_screen(
        audit.matrix.nodes(),
        audit.store,
        lambda screen, listener: audit.results(replace(around, shown=screen), listener, pool),
        tell=tell,
    )
    return Computed(results, sum(counts[how] for how in UNDONE))


def compute_all(
    nodes: Sequence[Node], store: Store, around: Surroundings, pool: Pooling | None = None, *, accounts: bool
) -> dict[str, Outcome]:
    """Computes what is not there yet and says so; Ctrl-C ends the command with status 130.

    Args:
        nodes: Parents before children.
        store: Where everything is kept.
        around: What it is computed with; progress goes to the terminal.
        pool: Where; None: here, and nothing is said of threads.
        accounts: Whether to say of each data set what was read and what was not.

    Raises:
        StoreError: If nothing can be written there, before anything is computed; or later.
    """
    from unveil.harness.audit import compute  # noqa: PLC0415 (torch is loaded here, not for --help)

    if pool is not None:
        _say_threads(pool)
    outcomes, _ = _on_screen(
        nodes,
        store,
        lambda screen, listener: compute(nodes, store, replace(around, shown=screen), listener, pool),
        accounts=accounts,
    )
    return outcomes


def _on_screen(
    nodes: Sequence[Node],
    store: Store,
    work: Callable[[Screen, _Teller], T],
    *,
    accounts: bool = True,
    tell: Line | None = None,
) -> tuple[T, Counter[str]]:
    """What comes of the work, and how many steps ended how."""
    with Screen() as screen:
        listener = _Teller(screen, nodes, store, accounts=accounts, tell=tell)
        try:
            done = work(screen, listener)
        except KeyboardInterrupt:
            screen.say("interrupted: what was computed is kept; run the same command again to go on", "yellow")
            raise typer.Exit(130) from None
    counts = Counter(listener.tally.ended.values())
    bad = "".join(f", {counts[how]} {how}" for how in UNDONE if counts[how])
    screen.say(f"{len(nodes)} steps: {counts['done']} computed now, {counts['cached']} known before{bad}")
    return done, counts


def _say_threads(where: Pooling) -> None:
    """They change the last bits of results, and how soon others get theirs."""
    import torch  # noqa: PLC0415 (see compute_all)

    from unveil.harness.running.processors import crowd  # noqa: PLC0415

    each = where.threads or torch.get_num_threads()
    threads = "1 thread" if each == 1 else f"{each} threads"
    places = {"inline": "", "processes": f" in each of {where.jobs} processes"}
    errors().print(f"computing with {threads}{places.get(where.kind, f' a step on {where.kind.title()}')}")
    if not where.elsewhere and (note := crowd(each * where.jobs)):
        errors().print(f"note: {note}", style="yellow")


class _Teller:
    """Says what starts and how it ended."""

    def __init__(
        self, screen: Screen, nodes: Sequence[Node], store: Store, *, accounts: bool, tell: Line | None
    ) -> None:
        from unveil.harness.running.tally import Tally  # noqa: PLC0415 (see compute_all)

        self.screen, self.nodes, self.store, self.accounts, self.tell = screen, nodes, store, accounts, tell
        self.total, self.tally = len(nodes), Tally(nodes, store)

    def __call__(self, node: Node, outcome: Outcome | None) -> None:
        self.tally.heard(node, outcome)
        self._say(node, outcome)
        if self.tell is not None:
            self.tell(event(node, outcome, self.tally))
        if outcome is not None and outcome.status != "cached":
            self.screen.tally(sentence(self.tally), len(self.tally.ended), self.total)

    def _say(self, node: Node, outcome: Outcome | None) -> None:
        from unveil.harness.figures.rungs import summary  # noqa: PLC0415 (numpy and scipy take a while)

        ended = len(self.tally.ended)
        if outcome is None:
            self.screen.starts(f"[{ended + 1}/{self.total}] {one_line(node.label)} ...")
            return
        if outcome.status == "done":
            self.screen.say(f"[{ended}/{self.total}] {one_line(node.label)}: {outcome.seconds:.1f} s")
            if node.kind == "strength":
                self.screen.say(f"    validation accuracy: {summary(node, self.store)}")
        elif outcome.status in ("failed", "unscored"):  # what is blocked by it need not repeat its error
            how = f"{outcome.status.upper()}: {outcome.error}"
            self.screen.say(f"[{ended}/{self.total}] {one_line(node.label)}: {how}", "red")
        if node.kind == "data" and outcome.good and self.accounts:
            self._account(node)

    def _account(self, node: Node) -> None:
        """What was read and what was not, of a data set that was known before, too."""
        from unveil.harness.running.assemble import account  # noqa: PLC0415 (see compute_all)

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
