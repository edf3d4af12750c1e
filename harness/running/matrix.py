"""From a plan to cells, each with the nodes that answer it: equal questions are one node."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from unveil.harness.plan import plugins, reserved
from unveil.harness.plan.asker import Asker
from unveil.harness.plan.defense_part import DefensePart
from unveil.harness.plan.file import PlanFile
from unveil.harness.plan.node import Node
from unveil.harness.plan.parts import AttackPart, MetricPart, Part, TargetPart
from unveil.harness.plan.settings import dump
from unveil.harness.running import independence, scores_only, served
from unveil.harness.running.adaptive import adapted
from unveil.harness.steps import attack as attacks
from unveil.harness.steps import data as datasets
from unveil.harness.steps import evaluator, given_target, measure, picture, target
from unveil.harness.steps.wishes import Place
from unveil.harness.words.errors import PlanError
from unveil.harness.words.names import Access, Role, Strength


@dataclass(frozen=True)
class Cell:
    """One entry of the matrix, with the nodes that answer it.

    Attributes:
        data: Names as in the plan, and so on for the next four.
        measures: One node per metric, and per judge where the metric needs one.
        notes: Departures from the common recipe, and what the target's and the prior's files want said.
        family: What the defense is a strength of: its own name, or that of the sweep.
        strength: Its step of the sweep; None without one.
        role: What the attack is a control for; empty for a real one.
        access: How much of the target the attack sees; None for the ceiling, which sees none.
        adapts: The attack of the plan that this one is, but for what it knows of the defense; empty for others.
    """

    data: str
    model: str
    defense: str
    attack: str
    seed: int
    nodes: Mapping[str, Node]
    measures: tuple[Node, ...]
    notes: tuple[str, ...] = ()
    family: str = ""
    strength: Strength | None = None
    role: Role | Literal[""] = ""
    access: Access | None = None
    adapts: str = ""


@dataclass(frozen=True)
class Matrix:
    """What a plan comes to.

    Attributes:
        cells: All cells.
        judges: All judges, by (data, name).
        notes: What a reader must know of the files that plugins read, once for each plugin.
    """

    cells: tuple[Cell, ...]
    judges: Mapping[tuple[str, str], Node]
    notes: tuple[str, ...] = ()

    def nodes(self) -> list[Node]:
        """Every node once, parents before children, cell by cell."""
        wanted = [*self.judges.values()]
        for cell in self.cells:
            wanted += [*cell.nodes.values(), *cell.measures]
        return list(dict.fromkeys(node for want in wanted for node in want.lineage()))


class _Builder:
    """Turns one plan into cells."""

    def __init__(self, file: PlanFile) -> None:
        self.asker = Asker(file)
        self.file, self.plan = file, file.plan
        self.targets: dict[tuple[str, ...], Node] = {}
        self.families = {
            part.label: (sweep.label, strength)
            for sweep in self.plan.defenses
            for part, strength in zip(sweep.variants, sweep.strengths, strict=True)
        }

    def require_judges(self) -> None:
        metrics = [part for part in self.plan.metrics if self.asker.use("metrics", part.spec).plugin.needs_evaluator]
        if metrics and not self.plan.evaluators:
            name = metrics[0].label
            raise PlanError(
                f"metric {name!r} asks a judge, and the plan has no evaluators",
                "a judge of another architecture than the targets'",
                f'add [evaluator] with use = "plain_cnn" and name = "judge", or remove {name!r}',
            )

    def judges(self) -> dict[tuple[str, str], Node]:
        return {
            (part.label, judge.label): evaluator.ask(self.asker, judge, datasets.ask(self.asker, part))
            for part in self.plan.data
            for judge in self.plan.evaluators
        }

    def notes(self, model: TargetPart, defense: DefensePart) -> tuple[str, ...]:
        common, own = (dump(self.asker.whole_recipe(model.recipe, change)) for change in ({}, defense.recipe))
        changed = [f"{name} {own[name]} instead of {common[name]}" for name in own if own[name] != common[name]]
        return (f"own recipe: {', '.join(changed)}",) if changed else ()

    def rehearsed(self, *labels: str) -> tuple[str, ...]:
        """That a cell is part of a rehearsal, and what of it was cut; labels are those of data to attack, in order."""
        if self.plan.scale == 1:
            return ()
        mine = dict(zip(("data", "targets", "defenses", "attacks"), labels, strict=True))
        return (self.file.rehearsal(cut for cut in self.file.cuts if mine.get(cut.part, cut.label) == cut.label),)

    def target(self, part: Part, model: TargetPart, defense: DefensePart, seed: int) -> Node:
        """The same object for all attacks, so that it is hashed once."""
        place = (part.label, model.label, defense.label, str(seed))
        if place not in self.targets:
            kind = given_target if given_target.is_wanted(model, defense) else target
            self.targets[place] = kind.ask(self.asker, model, defense, datasets.ask(self.asker, part), seed)
        return self.targets[place]

    def cell(self, names: tuple[Part, TargetPart, DefensePart, AttackPart, int], judges: Mapping[str, Node]) -> Cell:
        part, model, common, attack, seed = names
        defense = common.meeting(model.label)
        family, strength = self.families[defense.label]
        attacked = self.target(part, model, defense, seed)
        place = Place(attacked.parents["data"], attacked, seed, None, attack.limits, attack.sides)
        known = adapted(self.asker, attack, defense)
        asked = attacks.ask(self.asker, known.spec, place, attack.label)
        scores_only.require(asked)
        nodes = {"data": place.data, "target": attacked, **_flat(asked), "attack": asked}
        measures = [node for one in self.plan.metrics for node in measure.ask(self.asker, one, attacked, asked, judges)]
        if self.plan.pictures:
            nodes["picture"] = picture.ask(asked, self.plan.pictures)
        labels = (part.label, model.label, defense.label, attack.label)
        plugin = asked.uses["attack"][0].plugin
        role = plugins.role(plugin)
        access = None if role == Role.CEILING else plugin.access
        resolution = (f"works at {attack.resolution} x {attack.resolution} pixels",) * bool(attack.resolution)
        told = (*_first_weights(nodes), *resolution, *_crops(self.plan.metrics), *_judges_from_outside(measures))
        rehearsed = self.rehearsed(part.label, model.label, family, attack.label)
        notes = (*rehearsed, *self.notes(model, defense), *known.notes, *told)
        return Cell(*labels, seed, nodes, tuple(measures), notes, family, strength, role, access, known.fixed)


def targets(file: PlanFile, part: DefensePart) -> dict[tuple[str, str], Node]:
    """A target under a defense for each data set and model of a plan, by their names, with the plan's first seed.

    Args:
        file: Gives data sets, models, recipe and seed; its own defenses are left alone.
        part: The defense.

    Raises:
        PlanError: If a model is not trained here.
    """
    asker, plan = Asker(file), file.plan
    if given := [model.label for model in plan.targets if model.trained is not None]:
        raise PlanError(
            f"the target {given[0]!r} is given as trained: no strength of {part.label} can be tried on it",
            "a target that is trained here",
            "remove its key `trained`",
        )
    return {
        (data.label, model.label): target.ask(
            asker, model, part.meeting(model.label), datasets.ask(asker, data), plan.seeds[0]
        )
        for data in plan.data
        for model in plan.targets
    }


def _first_weights(nodes: Mapping[str, Node]) -> list[str]:
    """Notes on the weights that the target and the prior of a cell start from."""
    starts = [
        (role, use)
        for role, part in (("target", "model"), ("prior", "prior"))
        if role in nodes
        for use in nodes[role].uses[part]
    ]
    return [f"{role}'s first weights: {note}" for role, use in starts for note in use.notes]


def _crops(metrics: Iterable[MetricPart]) -> list[str]:
    """Which metrics look at a part of the pictures."""
    crops = {part.label: part.crop for part in metrics if part.crop is not None}
    return [f"{name} looks at {w} x {h} pixels from {x}, {y}" for name, (x, y, w, h) in crops.items()]


def _judges_from_outside(measures: Iterable[Node]) -> list[str]:
    """What a reader must know of judges from outside, such as that pictures were sent to them; once each."""
    uses = [
        use
        for node in measures
        for one in node.needs.values()
        if one.kind == "comparer"
        for use in one.uses["comparer"]
    ]
    return list(dict.fromkeys(f"judge {use.name}: {note}" for use in uses for note in use.notes))


def _flat(node: Node, within: str = "") -> dict[str, Node]:
    """What a node's plugin needs, and what these need in turn, by role and the roles that lead there."""
    found: dict[str, Node] = {}
    for role, need in node.needs.items():
        found |= {f"{within}{role}": need, **_flat(need, f"{within}{role} ")}
    return found


def expand(file: PlanFile) -> Matrix:
    """All cells of a plan. Makes every plugin, so that every wrong name and setting is found before anything runs.

    Raises:
        PluginError: For a plugin that is unknown, broken or wrongly configured.
        PlanError: For a metric that asks a judge where there is none, or a prior that cannot serve its attack.
        WeightsError: For weights that cannot be used.
        JudgeError: For an evaluator that is the target, or a network that judges and guides.
        AccessError: For an attack that asks a target for what it cannot answer.
    """
    build, plan = _Builder(file), file.plan
    reserved.require_free(reserved.entries_of(plan), file.base)
    build.require_judges()
    judges = build.judges()
    cells = tuple(
        build.cell(
            (part, model, defense, attack, seed),
            {name: node for (data, name), node in judges.items() if data == part.label},
        )
        for seed in plan.seeds
        for part in plan.data
        for model in plan.targets
        for sweep in plan.defenses
        for defense in sweep.variants
        for attack in plan.attacks
    )
    served.require((cell.attack, cell.nodes["attack"]) for cell in cells)
    independence.require(judges, [cell.nodes["attack"] for cell in cells], [m for c in cells for m in c.measures])
    return Matrix(cells, judges, (*file.notes, *build.asker.notes))
