"""A given model is looked at, and judges are found that fit its people; what an audit's attacks stand on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from unveil.harness.assets import fetch
from unveil.harness.audit import Audit, prepare
from unveil.harness.models.timm import Timm
from unveil.harness.plan.node import Node
from unveil.harness.running import audit_plan
from unveil.harness.running.audit_plan import Request, Setup
from unveil.harness.running.effort import Clock
from unveil.harness.running.execute import Outcome
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.people import known_people
from unveil.harness.store.artefacts import Store
from unveil.harness.words.account import Account
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.names import ACCEPTS_PRIVATE, TAKES_STRANGERS

Work: TypeAlias = Callable[[Sequence[Node], Store, float | None], dict[str, Outcome]]
"""Computes nodes; within so many seconds, where that is said: see `harness.running.deadline`."""
Tell: TypeAlias = Callable[[str], None]

LOOKED_AT = 128  # side at which a model is looked at
SMALL = 64  # side that the strong prior and the attacks are quickest at
ENOUGH = 0.75  # of its accuracy, that a model must keep at the small side
FIT = {ACCEPTS_PRIVATE: 0.7, TAKES_STRANGERS: 0.1}  # what a judge by gallery must reach and must not exceed
FEWEST_PICTURES = 5  # of a public person that is learnt
LEARNS_A_HEAD = 2400.0  # seconds of a budget in which a strong prior can be fitted to another side than the small one


class Looker:
    """The first stages of an audit.

    Args:
        request: What is wanted.
        store: Where everything is kept.
        work: Computes nodes; see `harness.audit.compute`.
        tell: Says what is about to happen, a line at a time.
    """

    def __init__(self, request: Request, store: Store, work: Work, tell: Tell) -> None:
        self.request, self.store, self.tell = request, store, tell
        self._work = work
        self.clock = Clock(float("inf") if request.budget is None else request.budget)
        self.notes: list[str] = []
        self.looks: dict[str, Any] = {}

    def looked_at(self) -> Setup:
        """The model's own size, normalisation and order of classes, and the side that pictures are attacked at."""
        self.tell(f"looking at {self.request.name}: classes, size and normalisation, by what it names rightly")
        setup = Setup(self.request, channels=self._channels(), size=self.request.size, side=self._first_side())
        node, record = self.given(setup)
        found = record["expects"]["input"]
        size = found["size"] or setup.side
        known = {"mean": found["mean"], "std": found["std"], "bgr": found["bgr"]}
        setup = setup.having(size=size, known=known, batch=audit_plan.batch(record["pictures"]))
        self.looks = {**record, "checksum": node.uses["trained"][0].question["settings"]["file"]}
        if setup.side > SMALL:
            _, small = self.given(setup.having(side=SMALL))
            if size <= SMALL or small["expects"]["accuracy"] >= ENOUGH * record["expects"]["accuracy"]:
                setup = setup.having(side=SMALL)
                self._note_side(small, record, size)
        expects = record["expects"]
        self.tell(
            f"it tells {record['classes']} classes apart and names {expects['accuracy']:.1%} of {expects['pictures']} "
            f"private pictures rightly; order of classes: {expects['by']}; {found['name']} at {size} px"
        )
        return setup

    def judged(self, setup: Setup) -> Setup:
        """With judges: embedders in which people are enrolled where these fit, else some that learn the people."""
        here = [name for name in ("fr_feature", "faceres") if setup.channels == 3 and fetch.path_if_present(name)]
        found = audit_plan.galleries(here)
        if found:
            audit = self.audit(setup.having(judges=found))
            self.done(list(audit.matrix.judges.values()), must=False)
            fit = [name for (_, name), node in audit.matrix.judges.items() if self._fits(node)]
            found = tuple(judge for judge in found if judge["name"] in fit)
        prior = {"use": "wgan_gp", "width": 16, "steps": self._steps(), "batch": 16}
        quick = setup.side == SMALL or self.clock.budget >= LEARNS_A_HEAD
        if found and quick and fetch.path_if_present("mobilestylegan"):
            prior = dict(audit_plan.MOBILE)
        if len(found) < 2:
            if here:
                self.notes.append("the embedders of faces do not tell these people apart, so that judges were trained")
            others = "identities" if self.public_people(setup) >= 2 else "nobody"
            count = self.looks["pictures"]
            found = (*found, *audit_plan.learning(self.request.architecture, others, 2 - len(found), count))
        self.tell(f"judges: {', '.join(str(judge['name']) for judge in found)}; generator: {prior['use']}")
        return setup.having(judges=found, prior=prior)

    def given(self, setup: Setup) -> tuple[Node, dict[str, Any]]:
        """The given target at a side, and its record."""
        audit = self.audit(setup)
        node = audit.matrix.cells[0].nodes["target"]
        self.done([node])
        account = Account.model_validate(self.store.record(node.parents["data"].key)["account"])
        counts = {"people": len(account.people), "pictures": account.parts["train"].pictures}
        return node, {**self.store.record(node.key), **counts}

    def audit(self, setup: Setup) -> Audit:
        """The plan that a setup comes to, on the store."""
        return prepare(setup.plan(), self.store)

    def done(self, nodes: Sequence[Node], *, must: bool = True) -> dict[str, Outcome]:
        """Computes nodes, and before them all that they need.

        Args:
            nodes: What is wanted.
            must: Whether there is no audit without them. Others end with the budget.

        Raises:
            UnveilError: If one fails without which there is no audit.
        """
        every = list(dict.fromkeys(one for node in nodes for one in node.lineage()))
        outcomes = self._work(every, self.store, None if must else self.clock.remains)
        failed = [one for one in outcomes.values() if one.status == "failed"]
        if must and failed:
            what, _, more = failed[0].error.partition("\nexpected: ")
            expected, _, todo = more.partition("\nto do: ")
            raise UnveilError(what, expected, todo)
        return outcomes

    def _first_side(self) -> int:
        return LOOKED_AT if self.request.size is None else max(SMALL, min(self.request.size, LOOKED_AT))

    def _channels(self) -> int:
        if self.request.architecture is None:
            return 3
        return Timm(self.request.architecture).colours(Path(self.request.model))

    def _note_side(self, small: dict[str, Any], record: dict[str, Any], size: int) -> None:
        lost = record["expects"]["accuracy"] - small["expects"]["accuracy"]
        if size > SMALL:
            self.notes.append(
                f"pictures of {SMALL} pixels are reconstructed, though the model takes {size}: of private pictures "
                f"shrunk so it names {small['expects']['accuracy']:.0%} rightly, {lost:.0%} less than in full"
            )

    def _fits(self, node: Node) -> bool:
        if not self.store.has(node.key):
            return False
        figures = {figure["quantity"]: figure["value"] for figure in self.store.record(node.key)["figures"]}
        accepts, takes = (figures.get(name) for name in FIT)
        return accepts is not None and accepts >= FIT[ACCEPTS_PRIVATE] and (takes or 0) <= FIT[TAKES_STRANGERS]

    def public_people(self, setup: Setup) -> int:
        """Public people who have a few pictures each."""
        node = self.audit(setup).matrix.cells[0].nodes["data"]
        public = datasets.read(node, Bench(self.store)).public
        return len(known_people(public, FEWEST_PICTURES).labels.unique())

    def _steps(self) -> int:
        """Of a generator that is trained here; a small budget buys few."""
        return int(min(max(60.0, self.clock.budget / 2), 1000.0))
