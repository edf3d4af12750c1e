"""The audit of one given model: it is looked at, judges are found, a small try is timed, and the budget is spent.

Every stage is a plan of its own on one store, so that a later one finds what an earlier one has computed, and the last
one is a plan that anybody can run again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unveil.harness.assets import fetch
from unveil.harness.figures.audit_facts import AuditFacts
from unveil.harness.figures.rows import Results
from unveil.harness.plan.canonical import digest
from unveil.harness.running import audit_plan
from unveil.harness.running.assemble import results as assemble
from unveil.harness.running.audit_plan import Request, Setup
from unveil.harness.running.deadline import NO_TIME
from unveil.harness.running.effort import ATTACKS, FEWEST_PEOPLE, Tried, open_to, pictures, rate, sized
from unveil.harness.store.artefacts import Store
from unveil.harness.words.names import Access
from unveil.looker import Looker, Tell, Work

TRAINING = 0.35  # of what is left goes to training again, with defenses
EPOCHS = (2, 40)


@dataclass(frozen=True)
class Audited:
    """What an audit gives.

    Attributes:
        results: Its rows.
        facts: What was found out before, and what was left out.
        store: Where everything is.
        folder: Of the report in the store.
    """

    results: Results
    facts: AuditFacts
    store: Store
    folder: str


class Auditor(Looker):
    """One audit under way.

    Args:
        request: What is wanted.
        store: Where everything is kept.
        work: Computes nodes; see `harness.audit.compute`.
        tell: Says what is about to happen, a line at a time.
    """

    def __init__(self, request: Request, store: Store, work: Work, tell: Tell) -> None:
        super().__init__(request, store, work, tell)
        self.left_out: list[tuple[str, str]] = []
        self.tried: tuple[Tried, ...] = ()

    def audited(self) -> Audited:
        """Runs it.

        Raises:
            UnveilError: If the model or the pictures cannot be audited; a failed attack is a row that says so.
        """
        setup = self.judged(self.looked_at())
        path = f"audits/{self._mark(setup)}.json"
        known = json.loads(self.store.get_text(path) or "null")
        if known is None:
            setup = self.decided(self.prepared(setup))
        else:
            setup, self.clock.before = self._again(setup, known), known["spent"]
            self.tell("this audit was begun before: it goes on with what was decided then")
        self.store.put_text(path, json.dumps(self._decisions(setup)))
        results, folder, fresh = self._finished(setup)
        spent = self.clock.spent if fresh or known is None else known["spent"]
        self.store.put_text(path, json.dumps({**self._decisions(setup), "spent": spent}))
        facts = self._facts(setup, spent)
        self.store.put_text(f"{folder}/audit.json", json.dumps(facts.as_dict(), indent=1) + "\n")
        return Audited(results, facts, self.store, folder)

    def prepared(self, setup: Setup) -> Setup:
        """With defenses to train again under, and as many epochs as a third of what is left allows."""
        if not self.request.with_defenses:
            return setup
        if self.request.architecture is None:
            self.left_out.append(("defenses", "training the model again needs the name of its architecture"))
            return setup
        start = self._start(setup)
        setup = setup.having(start=start, defenses=({"use": "none", "name": audit_plan.AGAIN},))
        target = self.audit(setup).matrix.cells[-1].nodes["target"]
        self.done([target])
        epoch = float(self.store.provenance(target.key)["seconds"])
        wanted = [one for one in audit_plan.DEFENSES if start or one["use"] != "tl_dmi"]
        each = TRAINING * self.clock.left / (1 + len(wanted)) / max(epoch, 0.1)
        if each < EPOCHS[0]:
            why = f"training once takes {epoch:.0f} s an epoch, and the budget leaves time for {each:.1f} of each"
            self.left_out.append(("defenses", why))
            return setup.having(start={}, defenses=())
        epochs = int(min(each, EPOCHS[1]))
        self.tell(
            f"training again with {1 + len(wanted)} recipes, {epochs} epochs each: about {epoch * epochs:.0f} s each"
        )
        return setup.having(defenses=(*setup.defenses, *wanted), epochs=epochs)

    def decided(self, setup: Setup) -> Setup:
        """With attacks that fill what is left of the budget, after each has been tried on a few people."""
        self.tried = open_to(self._access())
        self.done([cell.nodes["target"] for cell in self.audit(setup).matrix.cells])
        rates, fixed, small = self._rates(setup)
        if not self.tried:
            return setup
        targets = 1 + len(setup.defenses)
        sizing = sized(self.tried, rates, int(self.looks["people"]), self.clock.left - targets * fixed, targets)
        if sum(sizing.seconds.values()) > self.clock.left:
            self.notes.append(
                f"the budget was spent on preparing (looking, judges, a generator and a small try took "
                f"{self.clock.spent:.0f} s): attacks made their least effort, on {small.people} people; give more time"
            )
            return small.having(defenses=setup.defenses, epochs=setup.epochs)
        for name, seconds in sizing.seconds.items():
            self.tell(f"{name}: {sizing.people} people, about {seconds:.0f} s")
        first, *others = self.tried
        each = dict(sizing.each)
        before = self._with(setup, sizing.people, {one.use: each[one.use] for one in others})
        self.done([n for n in self.audit(before).matrix.nodes() if n.kind != "picture"], must=False)
        left = self.clock.left - targets * fixed / 2
        each[first.use] = pictures(first, rates[first.use], sizing.people, left / targets)
        seconds = targets * rates[first.use] * first.effort(sizing.people, each[first.use]).work
        self.tell(f"{first.use}, with what is left: about {seconds:.0f} s")
        return self._with(setup, sizing.people, each)

    def _with(self, setup: Setup, people: int, each: Mapping[str, float]) -> Setup:
        entries = [audit_plan.attack(one, people, each[one.use], setup.prior) for one in self.tried if one.use in each]
        return setup.having(attacks=tuple(entries), people=people)

    def _rates(self, setup: Setup) -> tuple[dict[str, float], float, Setup]:
        """Seconds a picture of each attack, what a target's figures take, and the small try that this is known from."""
        few = min(int(self.looks["people"]), FEWEST_PEOPLE)
        self.tell(f"a small try on {few} people, to see how long attacks take here")
        tried = self._with(setup.having(defenses=()), few, {one.use: one.least for one in self.tried})
        audit = self.audit(tried)
        self.done([node for node in audit.matrix.nodes() if node.kind != "picture"], must=False)
        rates: dict[str, float] = {}
        for cell in audit.matrix.cells:
            node = cell.nodes["attack"]
            if not cell.role and self.store.has(node.key):
                record = self.store.record(node.key)
                rates[cell.attack] = rate(float(self.store.provenance(node.key)["seconds"]), record["budget"])
        failed = [one for one in self.tried if one.use not in rates]
        self.left_out += [(one.use, "it failed on the first people it was tried on") for one in failed]
        self.tried = tuple(one for one in self.tried if one.use in rates)
        measured = [n for cell in audit.matrix.cells for n in cell.measures if self.store.has(n.key)]
        fixed = sum(float(self.store.provenance(node.key)["seconds"]) for node in measured)
        return rates, fixed, self._with(tried, few, {one.use: one.least for one in self.tried})

    def _finished(self, setup: Setup) -> tuple[Results, str, bool]:
        audit = self.audit(setup)
        outcomes = self.done(audit.matrix.nodes(), must=False)
        results = assemble(audit.file, audit.matrix, outcomes, self.store)
        ended = {row.attack for row in results.rows if not row.role and (row.error or "").startswith(NO_TIME)}
        self.left_out += [(name, "the budget ended before it did") for name in sorted(ended)]
        self.tried = tuple(one for one in self.tried if one.use not in ended)
        fresh = any(outcome.status == "done" for outcome in outcomes.values())
        return results, audit.keep(results), fresh

    def _start(self, setup: Setup) -> dict[str, Any]:
        """What training again begins with."""
        name = f"efficientnet-lite{str(self.request.architecture)[-1]}"
        known = str(self.request.architecture).startswith("tf_efficientnet_lite") and fetch.path_if_present(name)
        if known:
            return {"weights": "asset"}
        return {"pretrain": {"epochs": 5}} if self.public_people(setup) >= 2 else {}

    def _mark(self, setup: Setup) -> str:
        """Names this audit: what is audited and how, and not when."""
        node = self.audit(setup).matrix.cells[0].nodes["target"]
        wanted = self.request
        judges = [dict(one) for one in setup.judges]
        asked = [node.identity, str(wanted.access), wanted.budget, wanted.with_defenses, judges, dict(setup.prior)]
        return digest({"audit": asked})[:16]

    def _decisions(self, setup: Setup) -> dict[str, Any]:
        decided = ("attacks", "people", "defenses", "start", "epochs")
        plain = {name: getattr(setup, name) for name in decided}
        tried = [one.use for one in self.tried]
        return {**plain, "tried": tried, "left_out": self.left_out, "spent": self.clock.spent}

    def _again(self, setup: Setup, known: dict[str, Any]) -> Setup:
        self.tried = tuple(one for one in ATTACKS if one.use in known["tried"])
        self.left_out = [(name, why) for name, why in known["left_out"]]
        fields = {f.name: known[f.name] for f in dataclasses.fields(setup) if f.name in known}
        return setup.having(**{name: tuple(v) if isinstance(v, list) else v for name, v in fields.items()})

    def _facts(self, setup: Setup, spent: float) -> AuditFacts:
        wanted, expects = self.request, self.looks["expects"]
        access = self._access()
        return AuditFacts(
            model=wanted.name,
            file=wanted.model,
            checksum=self.looks["checksum"],
            access=access,
            classes=self.looks["classes"],
            people_checked=expects["people"],
            pictures_checked=expects["pictures"],
            accuracy=expects["accuracy"],
            order=expects["by"],
            normalisation=expects["input"]["name"] + (", blue first" if expects["input"]["bgr"] else ""),
            size=setup.size or setup.side,
            budget=wanted.budget,
            spent=spent,
            tried=tuple((one.use, one.says) for one in self.tried),
            not_tried=(*self.left_out, *audit_plan.not_tried(access, self.tried, ATTACKS)),
            notes=(*self.looks["notes"], *self.notes, *self._unknown(setup)),
            defenses=tuple(str(one.get("name", one["use"])) for one in setup.defenses),
            reference=audit_plan.AGAIN if setup.defenses else "",
        )

    def _access(self) -> Access:
        hidden = self.request.is_program and self.request.access is Access.WHITE_BOX
        return Access.SCORES if hidden else self.request.access

    def _unknown(self, setup: Setup) -> list[str]:
        """What follows from pictures that the model has probably been trained on."""
        found = [
            "the private pictures are probably those that the model learnt from: its accuracy here says nothing of how "
            "well it does on new pictures of these people"
        ]
        if setup.people and setup.people < self.looks["people"]:
            found.append(f"{setup.people} of {self.looks['people']} people were attacked, drawn at random")
        return found
