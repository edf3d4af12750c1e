"""Computes headline figures again from the pictures, judges and targets in a store, whoever put them there.

Of a stranger's artefacts, only numbers are read. Of a stranger's plan, only plugins that are installed here are made,
and only with plain settings: no file of Python is imported, and no path is followed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from unveil.harness.figures import panel, recheck
from unveil.harness.figures.intervals import to_figure
from unveil.harness.figures.rows import Figure, Judge, Results, Row
from unveil.harness.plan.asker import Asker
from unveil.harness.plan.defense_part import DefensePart
from unveil.harness.plan.file import Plan, PlanFile
from unveil.harness.plan.node import Node
from unveil.harness.plan.parts import EvaluatorPart, MetricPart, Part
from unveil.harness.running.submission.claims import where
from unveil.harness.running.submission.foreign import (
    ForeignError,
    Known,
    RefutedError,
    own_plugins,
    require_own,
    require_size,
)
from unveil.harness.running.submission.pictures import require_drawn
from unveil.harness.running.submission.rejudged import Rejudged
from unveil.harness.steps import attack, classifiers, enrolment, evaluator, measure, target
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench, owned
from unveil.harness.steps.cropped import cropped
from unveil.harness.store import manifest as manifests
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.training.fit import predict
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import JudgeError, UnveilError
from unveil.harness.words.images import Data, Images
from unveil.harness.words.metric import Evidence, Metric
from unveil.harness.words.names import ATTACK_ACCURACY, PANEL, TRUST, UTILITY
from unveil.harness.words.run import Run

P = TypeVar("P", bound=Part | DefensePart)
EDGE = 0.005  # of a share, or one picture if that is more: on a judge's edge it may fall to the other side elsewhere


def rejudge(plan: Plan, results: Results, store: Store, tell: Callable[[str], None]) -> Rejudged:
    """Judges all stored reconstructions again, and tries all stored targets and judges again.

    Args:
        plan: Of the results.
        results: What somebody says came out.
        store: Where the artefacts are, as far as they are known.
        tell: Told what is being done.
    """
    with tempfile.TemporaryDirectory() as nowhere:  # where the plan's relative paths lead
        return _Rejudging(plan, results, store, Path(nowhere)).all(tell)


class _Rejudging:
    def __init__(self, plan: Plan, results: Results, store: Store, base: Path) -> None:
        self.plan, self.results, self.bench, self.made = plan, results, Bench(store), Rejudged()
        bare = plan.model_copy(update={"targets": [one for one in plan.targets if own_plugins(one.spec)]})
        self.asker = Asker(PlanFile(bare, results.plan, base, "submission"))
        self.keys = {str(told.get("identity")): key for key, told in results.provenance.items()}
        self.judges: dict[str, dict[str, tuple[Node, Classifier]]] = {}
        self.pictures: dict[str, Node] = {}

    def all(self, tell: Callable[[str], None]) -> Rejudged:
        for judge in self.results.judges:
            tell(f"judge {judge.name} of {judge.data}")
            self._try(f"judge {judge.name} of {judge.data}", partial(self._judge, judge))
        for row in self.results.rows:
            if row.status == "done":
                tell(where(row))
                self._try(where(row), partial(self._attack, row))
                self._try(f"target of {where(row)}", partial(self._target, row))
        return self.made

    def _try(self, what: str, work: Callable[[], object]) -> None:
        """What a stranger's tensors do to a network, nobody can foresee: it is a note, and ends nothing."""
        try:
            work()
        except ForeignError as error:
            self.made.notes[str(error)] = None
        except (JudgeError, RefutedError) as error:
            first = str(error).partition("\n")[0]
            if (told := f"{what}: {first}") not in self.made.differences:
                self.made.differences.append(told)
        except (UnveilError, Exception) as error:
            first = str(error).partition("\n")[0][:300]
            self.made.notes[f"{what} cannot be computed again: {type(error).__name__}: {first}"] = None

    def _known(self, node: Node, data: Node | None = None) -> Node:
        """A node of the plan as the step in the store that says it is the same.

        Raises:
            ForeignError: If none does, or it did not come along.
        """
        key = self.keys.get(node.identity)
        if key is None:
            raise ForeignError(f"{node.label}: no step says that it is what the plan asks for in this version")
        if not self.bench.store.usable(key):
            raise ForeignError(f"{node.label}: it did not come along")
        parents = {role: self._known(one) for role, one in node.parents.items() if role.startswith("strength ")}
        parents |= {} if data is None else {"data": data}
        return Known(node.kind, node.label, node.uses, node.options, parents, node.stream, key=key)

    def _data(self, name: str) -> Node:
        """The pictures of a data set of the plan.

        Raises:
            ForeignError: If they did not come along, or are not what the plan asks for.
        """
        if name not in self.pictures:
            key = next((row.keys.get("data", "") for row in self.results.rows if row.data == name), "")
            if not self.bench.store.usable(key):
                raise ForeignError(f"data {name}: its pictures did not come along")
            identity = str(self.results.provenance.get(key, {}).get("identity"))
            known = Known("data", f"data {name}", key=key, identity=identity)
            if note := self._drawn(name, known):
                self.made.notes[f"data {name}: its pictures are taken as they came: {note}"] = None
            self.pictures[name] = known
        return self.pictures[name]

    def _drawn(self, name: str, known: Node) -> str:
        """Why pictures are taken as they came; empty if they were drawn again and are the same."""
        part = _called(name, self.plan.data)
        if not own_plugins(part.spec):
            return "their plugin or their files are not here"
        asked = datasets.ask(self.asker, part)
        if asked.identity != known.identity:
            raise ForeignError(f"data {name}: its pictures are not what the plan asks for in this version")
        return require_drawn(asked, self.bench.artefact(known), self.bench)

    def _judge(self, judge: Judge) -> None:
        part = _called(judge.name, self.plan.evaluators)
        require_own(f"judge {judge.name}", part.spec)
        data = self._data(judge.data)
        known = self._known(evaluator.ask(self.asker, part, data), data)
        own = owned(known, Run(known.randomness))
        require_size(known, self.bench)
        read = classifiers.read(known, self.bench, own)
        _require_published(part, known, self.bench, own)
        told = {figure.name: figure for figure in judge.figures}
        for found in _trust(part, read, datasets.read(data, self.bench), own):
            self._compare(f"judge {judge.name} of {judge.data}", told.get(found.name), found)
        self.judges.setdefault(judge.data, {})[judge.name] = known, read

    def _attack(self, row: Row) -> None:
        key = row.keys.get("attack", "")
        if not self.bench.store.usable(key):
            raise ForeignError("reconstructions did not come along")
        data = datasets.read(self._data(row.data), self.bench)
        shown = _reconstructions(self.bench, key, data)
        verdicts: list[dict[str, Any]] = []
        for metric, part in self._metrics(ATTACK_ACCURACY):
            for judge, (node, judging) in self.judges.get(row.data, {}).items():
                run = Run(f"{where(row)} {judge}")
                evidence = Evidence(data, judging, judging, shown, run)  # the judge alone is asked
                found = metric.measure(cropped(evidence, part.crop))
                self._figures(row, [measure.figure(part.label, judge, m) for m in found])
                asked = Node("measure", part.label, {}, {"name": part.label, "judge": judge}, {"evaluator": node})
                verdicts += measure.verdicts(asked, found, shown)
        if {v["opinion"]["judge"] for v in verdicts} == {one.label for one in self.plan.evaluators}:
            together = panel.figures([panel.read(one) for one in verdicts])
            self._figures(row, [figure for figure in together if figure.confirmed is None])

    def _target(self, row: Row) -> None:
        part = _called(row.model, self.plan.targets)
        variants = [variant for one in self.plan.defenses for variant in one.variants]
        defense = _called(row.defense, variants).meeting(part.label)
        for spec in (part.spec, *defense.stack):
            require_own(f"target {row.model} with {row.defense}", spec)
        data = self._data(row.data)
        known = self._known(target.ask(self.asker, part, defense, data, row.seed), data)
        if known.key != row.keys.get("target"):
            raise ForeignError(f"{known.label}: the row's target is not what the plan asks for in this version")
        require_size(known, self.bench)
        own = owned(known, Run(known.randomness))
        read, pictures = classifiers.read(known, self.bench, own), datasets.read(data, self.bench)
        for _, judge in self.judges.get(row.data, {}).values():
            measure.never_the_target(judge, read, where(row))
        for metric, one in self._metrics(UTILITY):
            found = metric.measure(Evidence(pictures, read, None, None, own))
            self._figures(row, [measure.figure(one.label, None, measure.unscored_if_lost(m)) for m in found])

    def _metrics(self, use: str) -> Iterator[tuple[Metric, MetricPart]]:
        for part in self.plan.metrics:
            if part.use == use:
                require_own(f"metric {part.label}", part.spec)
                yield self.asker.use("metrics", part.spec).make(), part

    def _figures(self, row: Row, found: list[Figure]) -> None:
        told = {figure.name: figure for figure in row.figures}
        for figure in found:
            if figure.metric == PANEL and figure.name not in told:
                continue
            self._compare(where(row), told.get(figure.name), figure)
            self.made.found.setdefault(row.cell, set()).add(figure.name)

    def _compare(self, what: str, said: Figure | None, found: Figure) -> None:
        if difference := compared(said, found):
            self.made.differences.append(f"{what}: {found.name} {difference}")


def _called(name: str, parts: Sequence[P]) -> P:
    """The entry of a plan that has a name.

    Raises:
        ForeignError: If there is none.
    """
    for part in parts:
        if part.label == name:
            return part
    raise ForeignError(f"the plan has nothing called {name[:100]!r}")


def compared(said: Figure | None, found: Figure) -> str:
    """How a figure differs from the same one computed again, in words; empty if only by rounding."""
    if said is None:
        return "is missing"
    counts = (said.samples, said.identities), (found.samples, found.identities)
    if counts[0] != counts[1]:
        return "is over {} pictures of {} people, and there are {} of {}".format(*counts[0], *counts[1])
    if said.value is None and found.value is None:
        return ""
    edge = max(EDGE, 1.01 / max(found.samples, 1))
    if recheck.same(said.value, found.value, edge):
        slack = recheck.ROUNDING if recheck.same(said.value, found.value) else 4 * edge
        if all(recheck.same(a, b, slack) for a, b in ((said.low, found.low), (said.high, found.high))):
            return ""
    one, other = (recheck.in_words((figure.value, figure.low, figure.high)) for figure in (said, found))
    return f"says {one}, and the pictures give {other}"


def _reconstructions(bench: Bench, key: str, data: Data) -> Images:
    """An attack's pictures, of the shape of the data and of its people.

    Raises:
        ForeignError: If they are anything else.
    """
    whole = manifests.TENSORS in bench.store.blobs(key)
    kept = attack.opened(bench.store, key) if whole else Artefact()
    pixels, labels = {**kept.tensors, **kept.pictures}.get(attack.PIXELS), kept.tensors.get("labels")
    shape = data.train.shape
    if (
        pixels is None
        or labels is None
        or pixels.dtype != torch.uint8
        or tuple(pixels.shape[1:]) != shape
        or labels.dtype != torch.int64
        or tuple(labels.shape) != tuple(pixels.shape[:1])
        or not len(labels)
        or not 0 <= int(labels.min()) <= int(labels.max()) < data.classes
    ):
        raise ForeignError(f"attack {key[:12]}: its pictures are not of shape {shape} and of the private people")
    return attack.reconstructions(kept)


def _trust(part: EvaluatorPart, judge: Classifier, data: Data, run: Run) -> list[Figure]:
    """How far a judge can be trusted, as `harness.steps.evaluator` measures it when it has learnt."""
    society = evaluator.gather(data, part.others, part.min_pictures, run, gallery=part.gallery)
    if part.gallery:
        answers = [judge.outputs(enrolment.answers(judge, x, run, "trust")) for x in (data.test, society.strangers)]
    else:
        answers = [predict(judge, x, device=run.device) for x in (data.test, society.strangers)]
    measured = evaluator.trust(answers[0], answers[1], data, society.strangers)
    return [to_figure(TRUST, None, m) for m in measured]


def _require_published(part: EvaluatorPart, node: Node, bench: Bench, run: Run) -> None:
    """A judge that learns nothing has the weights that were published, where these are here.

    Raises:
        RefutedError: If it has others.
    """
    if not part.gallery:
        return
    kept = bench.artefact(node)
    fresh = classifiers.untrained(node, bench, kept.record["classes"], tuple(kept.record["shape"]), run).state_dict()
    wrong = [n for n, t in fresh.items() if n.startswith("stages.") and not torch.equal(t, kept.tensors.get(n, t[:0]))]
    if wrong:
        raise RefutedError(f"its network is not the published one: {len(wrong)} tensors differ, such as {wrong[0]}")
