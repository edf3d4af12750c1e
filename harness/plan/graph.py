"""From a plan to cells, and from cells to nodes: equal questions are one node."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from unveil.harness.plan import plugins
from unveil.harness.plan.canonical import digest
from unveil.harness.plan.complaints import require_own
from unveil.harness.plan.file import AttackPart, DefensePart, EvaluatorPart, Part, Plan, PlanFile, TargetPart
from unveil.harness.plan.fingerprint import fingerprint
from unveil.harness.store.artefacts import SCHEMA
from unveil.harness.words.account import Remark
from unveil.harness.words.errors import AccessError, AssetError, JudgeError, PlanError, PluginError, WeightsError
from unveil.harness.words.names import Role, Strength
from unveil.harness.words.needs import (
    ACCESS,
    TAKEN,
    GivenComparer,
    GivenModel,
    Need,
    Surrogate,
    TrainedPrior,
    WrappedAttack,
    access_of,
    needs_of,
)
from unveil.harness.words.spec import Spec

NEEDY = ("attack", "prior", "measure")  # kinds of nodes whose plugins may need something
COST = 0.02  # share of validation accuracy that a strength picked without instruction may cost


@dataclass(frozen=True)
class Use:
    """A plugin that a node uses: enough to make it again in another process.

    Attributes:
        kind: One of ``plugins.OFFERS``.
        spec: The plugin and its settings.
        base: Folder that relative files are looked for in.
        may_lack: Whether the files that it reads may not be there: whatever needs it is then not scored, and asked for
            again by the next run.
    """

    kind: str
    spec: Spec
    base: str
    may_lack: bool = False

    def make(self) -> Any:
        """The plugin, made anew: whoever computes with it shares it with nobody."""
        return plugins.make(self.kind, self.spec, Path(self.base))

    @functools.cached_property
    def plugin(self) -> Any:
        """The plugin, made once, to be asked about itself while a plan is expanded."""
        return self.make()

    def having(self, settings: Mapping[str, Any]) -> Use:
        """The same plugin with other settings."""
        return Use(self.kind, Spec(self.spec.use, dict(settings)), self.base)

    @functools.cached_property
    def asked(self) -> dict[str, Any]:
        """What enters the identity."""
        try:
            return plugins.asked(self.spec, self.plugin)
        except (AssetError, WeightsError):
            if not self.may_lack:
                raise
            return {"use": self.spec.use, "settings": plugins.dump(self.plugin), "absent": True}

    @functools.cached_property
    def passed_over(self) -> tuple[Remark, ...]:
        """What lies beside a data set's pictures now; of no identity, since it is not used."""
        return tuple(getattr(self.plugin, "passed_over", tuple)())  # a plugin that reads no folder need not say so

    @functools.cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the files it reads, which are tried out here.

        Raises:
            UnveilError: If they cannot be used.
        """
        try:
            return tuple(getattr(self.plugin, "preflight", tuple)())  # a plugin that reads nothing need not say so
        except AssetError:
            if not self.may_lack:
                raise
            return ()

    @functools.cached_property
    def modules(self) -> tuple[str, ...]:
        """Modules whose source enters the key: the plugin's, and those of attacks that run inside it."""
        inside = [Use("attacks", spec, self.base) for spec in plugins.held(self.plugin).values()]
        return (str(type(self.plugin).__module__), *(module for one in inside for module in one.modules))

    def __getstate__(self) -> dict[str, Any]:
        """Without the plugin: another process may know its class under another module, or must import it first."""
        return {name: value for name, value in self.__dict__.items() if name != "plugin"}


@dataclass(frozen=True)
class Node:
    """A unit of work.

    Attributes:
        kind: Stage that computes it: a module of ``unveil.harness.steps``.
        label: Short name for people.
        uses: Plugins by role; a stack of defenses is several.
        options: JSON-able settings of the stage itself.
        parents: Nodes it needs, by role.
        stream: What its random numbers are derived from, besides the kind. The defense is deliberately not
            part of a target's stream, nor the target of an attack's: all defenses start from the same
            weights, see the same batches and are attacked from the same latents (common random numbers).
    """

    kind: str
    label: str
    uses: Mapping[str, tuple[Use, ...]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    parents: Mapping[str, Node] = field(default_factory=dict)
    stream: Mapping[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def identity(self) -> str:
        """Hash of what is asked."""
        return digest(
            {
                "kind": self.kind,
                "uses": {role: [use.asked for use in uses] for role, uses in self.uses.items()},
                "options": dict(self.options),
                "parents": {role: node.identity for role, node in self.parents.items()},
                "stream": dict(self.stream),
            }
        )

    @functools.cached_property
    def key(self) -> str:
        """Name of the artefact: identity, the code that answers, and the parents' keys."""
        modules = sorted({module for uses in self.uses.values() for use in uses for module in use.modules})
        return digest(
            {
                "identity": self.identity,
                "code": fingerprint(f"unveil.harness.steps.{self.kind}", *modules),
                "schema": SCHEMA,
                "parents": {role: node.key for role, node in self.parents.items()},
            }
        )

    @functools.cached_property
    def randomness(self) -> str:
        """Identity that the node's random numbers are drawn for."""
        return digest({"kind": self.kind, "stream": dict(self.stream)})

    @property
    def needs(self) -> dict[str, Node]:
        """What its plugin asked for, by role."""
        if self.kind not in NEEDY:
            return {}
        return {role: parent for role, parent in self.parents.items() if role not in TAKEN}

    def lineage(self) -> Iterator[Node]:
        """All nodes it needs, then itself, parents first; may repeat."""
        for parent in self.parents.values():
            yield from parent.lineage()
        yield self

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.key == other.key


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


@dataclass(frozen=True)
class _Place:
    """Whom something is needed for.

    Attributes:
        data: The data set.
        target: The target.
        seed: Of the cell.
        access: Through which surrogates are distilled; None where the target is not asked.
        limits: Of the attack that needs it, which hold for attacks that it wraps, too, and for no prior.
    """

    data: Node
    target: Node
    seed: int
    access: str | None
    limits: Mapping[str, int] = field(default_factory=dict)

    @property
    def on(self) -> str:
        """The target, in words."""
        return self.target.label.removeprefix("target ")


class _Builder:
    """Turns the parts of one plan into nodes."""

    def __init__(self, file: PlanFile) -> None:
        self.plan: Plan = file.plan
        self.base = str(file.base)
        self.made: dict[tuple[str, Spec, bool], Use] = {}
        self.noted: list[str] = []
        self.asking: list[Use] = []  # whose needs are being asked for, the outermost first
        self.targets: dict[tuple[str, ...], tuple[Node, Node]] = {}
        self.families = {
            part.label: (sweep.label, strength)
            for sweep in self.plan.defenses
            for part, strength in zip(sweep.variants, sweep.strengths, strict=True)
        }

    def use(self, kind: str, spec: Spec, *, may_lack: bool = False) -> Use:
        """The same object for the same plugin, so that files are hashed and tried out once."""
        if (kind, spec, may_lack) not in self.made:
            own = plugins.load(kind, spec.use, Path(self.base)).__dataclass_fields__  # type: ignore[attr-defined]
            require_own(spec.use, spec.settings, own, Plan.model_fields)
            made = self.made[kind, spec, may_lack] = Use(kind, spec, self.base, may_lack)
            self.noted += [f"{spec.use}: {note}" for note in made.notes]
        return self.made[kind, spec, may_lack]

    def data(self, part: Part) -> Node:
        use = self.use("datasets", part.spec)
        return Node("data", f"data {part.label}", {"dataset": (use,)}, stream={"data": use.asked})

    def recipe(self, *changes: Mapping[str, Any]) -> dict[str, Any]:
        from unveil.harness.words.recipe import Recipe  # noqa: PLC0415 (imports torch)

        merged: dict[str, Any] = dict(self.plan.recipe)
        for change in changes:
            merged.update(change)
        require_own("the recipe", merged, Recipe.__dataclass_fields__, Plan.model_fields)
        return plugins.dump(plugins.validated(Recipe, "recipe", merged, Path(self.base)))

    def require_judges(self) -> None:
        asking = [part.label for part in self.plan.metrics if self.use("metrics", part.spec).make().needs_evaluator]
        if asking and not self.plan.evaluators:
            raise PlanError(
                f"metric {asking[0]!r} asks a judge, and the plan has no evaluators",
                "a judge of another architecture than the targets'",
                f'add [evaluator] with use = "plain_cnn" and name = "judge", or remove {asking[0]!r}',
            )

    def weights(self, part: TargetPart, data: Node) -> dict[str, Node]:
        """Parents of a model that starts from training on public people; empty if it does not."""
        if part.pretrain is None:
            return {}
        model = self.use("models", part.spec)
        options = {"recipe": self.recipe(part.pretrain)}
        stream = {"model": model.asked, "data": data.identity}
        return {
            "weights": Node(
                "weights", f"pretraining {part.label}", {"model": (model,)}, options, {"data": data}, stream
            )
        }

    def target(self, part: TargetPart, defense: DefensePart, data: Node, seed: int) -> Node:
        model = self.use("models", part.spec)
        stack = tuple(self.use("defenses", spec) for spec in defense.stack)
        options = {"recipe": self.recipe(defense.recipe), "seed": seed}
        parents = {"data": data, **self.weights(part, data)}
        stream = {"model": model.asked, "seed": seed, "data": data.identity}
        parents |= self.strengths(
            Node("ladder", "", {"model": (model,), "defenses": stack}, options, parents, stream), defense
        )
        label = f"target {part.label} with {defense.label}{_seed(seed)}"
        return Node("target", label, {"model": (model,), "defenses": stack}, options, parents, stream)

    def strengths(self, all_: Node, part: DefensePart) -> dict[str, Node]:
        """A node for each defense of a stack whose strength is to be picked; it knows those before it.

        Its parent is the ladder, which trains every rung and knows no cost: another cost trains nothing again.

        Args:
            all_: A ladder for the whole stack, to be cut.
            part: What the plan says of it.

        Raises:
            PluginError: If there is nothing to pick from.
        """
        found: dict[str, Node] = {}
        stack = all_.uses["defenses"]
        for i, use in enumerate(stack):
            tuned = part.tune is not None and i == len(stack) - 1
            if not (tuned or use.plugin.open):
                continue
            values = _values(use, part) if tuned and part.sweep else {}
            _require_ladder(use, values)
            name = f"{'+'.join(one.spec.use.rpartition(':')[2] for one in stack[: i + 1])}{_seed(all_.options['seed'])}"
            uses = {**all_.uses, "defenses": stack[: i + 1]}
            options = {**all_.options, "values": values}
            ladder = Node("ladder", f"ladder of {name}", uses, options, {**all_.parents, **found}, all_.stream)
            cost = {"cost": COST if part.tune is None else part.tune}
            found[f"strength {i}"] = Node("strength", f"strength of {name}", {}, cost, {"ladder": ladder})
        return found

    def evaluator(self, part: EvaluatorPart, data: Node) -> Node:
        model = self.use("models", part.spec)
        for target in self.plan.targets:
            if self.use("models", target.spec).asked == model.asked:
                raise JudgeError(
                    f"evaluator {part.label!r} is the same model as target {target.label!r}",
                    "a judge of another architecture than what it judges",
                    "choose another model for the evaluator",
                )
        own = part.model_dump(include={"seed", "others", "min_pictures"})
        reject = part.reject if part.reject is not None else (1.0 if part.others == "none" else 0.05)
        options = {"recipe": self.recipe(part.recipe), **own, "reject": reject}
        stream = {"model": model.asked, "seed": part.seed, "data": data.identity}
        return Node("evaluator", f"evaluator {part.label}", {"model": (model,)}, options, {"data": data}, stream)

    def attack(self, spec: Spec, place: _Place, name: str) -> Node:
        """An attack, with what it needs for parents.

        Args:
            spec: The plugin.
            place: What is attacked; the limits are its own.
            name: What it is called.

        Raises:
            AccessError: If something that it needs asks the target for more than the attack may.
        """
        use = self.use("attacks", spec)
        role = plugins.role(use.plugin)
        wanted = {} if role == Role.CEILING else self.needs(use, replace(place, access=access_of(use.plugin)))
        if not role:
            self.require_access(use)
        stream = {"attack": use.asked, "seed": place.seed, "data": place.data.identity}
        options = {"seed": place.seed, "identities": self.plan.identities, "role": str(role), **place.limits}
        parents = {"data": place.data, "target": place.target, **wanted}
        return Node("attack", f"{name} on {place.on}", {"attack": (use,)}, options, parents, stream)

    def needs(self, use: Use, place: _Place) -> dict[str, Node]:
        """A node for everything that a plugin needs, by role; equal needs of several plugins are one node."""
        if use in self.asking:
            chain = " needs ".join(one.spec.use for one in [*self.asking, use])
            raise PluginError(f"needs go in a circle: {chain}", "needs that come to an end", "correct needs()")
        self.asking.append(use)
        found: dict[str, Node] = {}
        for role, need in needs_of(use.plugin).items():
            students = sum(node.kind == "student" for node in found.values())
            found[role] = self.needed(need, place, f"student {students + 1}")
        self.asking.pop()
        return found

    def needed(self, need: Need, place: _Place, student: str) -> Node:
        """The node that answers a need.

        Args:
            need: What is needed.
            place: For whom.
            student: What a surrogate is called.
        """
        match need:
            case TrainedPrior(spec):
                return self.prior(spec, place)
            case Surrogate():
                return self.student(need, place, student)
            case GivenModel(spec, trained):
                use = self.use("models", spec, may_lack=True)
                stream = {"model": use.asked, "data": place.data.identity}
                parents = {"data": place.data}
                return Node("model", f"model {spec.use}", {"model": (use,)}, {"trained": trained}, parents, stream)
            case GivenComparer(spec):
                use = self.use("comparers", spec)
                return Node("comparer", f"comparer {spec.use.rpartition(':')[2]}", {"comparer": (use,)})
            case WrappedAttack(spec):
                self.require_no_private_pictures(spec)
                return self.attack(spec, place, spec.use.rpartition(":")[2])

    def require_no_private_pictures(self, spec: Spec) -> None:
        if plugins.role(self.use("attacks", spec).plugin) == Role.CEILING:
            raise AccessError(
                f"{self.asking[-1].spec.use} wraps {spec.use}, which is shown private pictures",
                "an attack that sees no more than its target's answers",
                "wrap another attack",
            )

    def require_access(self, use: Use) -> None:
        """Refuses an attack whose needs ask the target for more than it declares itself."""
        own = access_of(use.plugin)
        for need in needs_of(use.plugin).values():
            most, who = self.reach(need)
            if most is not None and (own is None or ACCESS.index(most) > ACCESS.index(own)):
                raise AccessError(
                    f"{use.spec.use} declares {own} access, and {who}, which it needs, asks the same target with "
                    f"{most} access",
                    f"needs that get by with {own} access",
                    f"give {use.spec.use} something else, such as a prior that asks the target nothing, or compare it "
                    f"with attacks of {most} access by another attack",
                )

    def reach(self, need: Need) -> tuple[str | None, str]:
        """The most access to the target that a need takes, whatever it needs in turn, and who takes it."""
        match need:
            case TrainedPrior(spec):
                use = self.use("priors", spec)
            case WrappedAttack(spec):
                use = self.use("attacks", spec)
            case _:  # a surrogate is distilled through the access of whoever wants it; the rest asks nothing
                return None, ""
        found = [(access_of(use.plugin), spec.use), *map(self.reach, needs_of(use.plugin).values())]
        return max(found, key=lambda one: -1 if one[0] is None else ACCESS.index(one[0]))

    def prior(self, spec: Spec, place: _Place) -> Node:
        """A trained prior. One that asks the target, or whose needs do, is another for each target."""
        use = self.use("priors", spec)
        access = access_of(use.plugin)
        wanted = self.needs(use, replace(place, access=access, limits={}))
        parents = {"data": place.data, **({"target": place.target} if access else {}), **wanted}
        label = f"prior {spec.use}{_seed(place.seed)}"
        if any(place.target in node.lineage() for node in parents.values()):
            label = f"prior {spec.use} for {place.on}"
        stream = {"prior": use.asked, "seed": place.seed, "data": place.data.identity}
        return Node("prior", label, {"prior": (use,)}, {"seed": place.seed}, parents, stream)

    def student(self, need: Surrogate, place: _Place, name: str) -> Node:
        """A model that is distilled from the target.

        Raises:
            AccessError: If who wants it has no access to the target.
        """
        if place.access is None:
            raise AccessError(
                f"{self.asking[-1].spec.use} needs a surrogate of the target and declares no access to it",
                "an access through which it is distilled",
                "declare access",
            )
        how, model = plugins.dump(need.distillation), self.use("models", need.model)
        stream = {"model": model.asked, "distillation": how, "seed": place.seed, "data": place.data.identity}
        options = {"distillation": how, "access": place.access, "seed": place.seed}
        parents = {"data": place.data, "target": place.target}
        return Node(
            "student", f"{name} ({need.model.use}) of {place.on}", {"model": (model,)}, options, parents, stream
        )

    def measures(self, data: Node, target: Node, attack: Node, judges: Mapping[str, Node]) -> tuple[Node, ...]:
        found: list[Node] = []
        for part in self.plan.metrics:
            use = self.use("metrics", part.spec)
            metric = use.plugin
            place = _Place(data, target, target.options["seed"], ACCESS[-1])
            parents = {"data": data, "target": target, **self.needs(use, place)}
            if metric.about == "attack":
                parents["attack"] = attack
            for name, judge in judges.items() if metric.needs_evaluator else [("", None)]:
                more = {"evaluator": judge} if judge is not None else {}
                options = {"name": part.label, "judge": name}
                label = (
                    f"{part.label} of {attack.label if metric.about == 'attack' else target.label}"
                    + f" by {name}" * bool(name)
                )
                stream = {"metric": use.asked, "data": data.identity}
                found.append(Node("measure", label, {"metric": (use,)}, options, {**parents, **more}, stream))
        return tuple(found)

    def notes(self, defense: DefensePart) -> tuple[str, ...]:
        common, own = self.recipe(), self.recipe(defense.recipe)
        changed = [f"{name} {own[name]} instead of {common[name]}" for name in own if own[name] != common[name]]
        return (f"own recipe: {', '.join(changed)}",) if changed else ()

    def attacked(self, part: Part, model: TargetPart, defense: DefensePart, seed: int) -> tuple[Node, Node]:
        """Data and target, the same objects for all attacks, so that they are hashed once."""
        place = (part.label, model.label, defense.label, str(seed))
        if place not in self.targets:
            data = self.data(part)
            self.targets[place] = data, self.target(model, defense, data, seed)
        return self.targets[place]

    def cell(self, names: tuple[Part, TargetPart, DefensePart, AttackPart, int], judges: Mapping[str, Node]) -> Cell:
        part, model, defense, attack, seed = names
        family, strength = self.families[defense.label]
        data, target = self.attacked(part, model, defense, seed)
        attacked = self.attack(attack.spec, _Place(data, target, seed, None, attack.limits), attack.label)
        nodes = {"data": data, "target": target, **_flat(attacked), "attack": attacked}
        measures = self.measures(data, target, attacked, judges)
        if self.plan.pictures:
            parents = {"data": data, "attack": nodes["attack"]}
            nodes["picture"] = Node(
                "picture", f"pictures of {nodes['attack'].label}", {}, {"people": self.plan.pictures}, parents
            )
        labels = (part.label, model.label, defense.label, attack.label)
        role = plugins.role(attacked.uses["attack"][0].plugin)
        notes = (*self.notes(defense), *_told(nodes))
        return Cell(*labels, seed, nodes, measures, notes, family, strength, role)


def targets(file: PlanFile, part: DefensePart) -> dict[tuple[str, str], Node]:
    """A target under a defense for each data set and model of a plan, by their names, with the plan's first seed.

    Args:
        file: Gives data sets, models, recipe and seed; its own defenses are left alone.
        part: The defense.
    """
    build, plan = _Builder(file), file.plan
    return {
        (data.label, model.label): build.target(model, part, build.data(data), plan.seeds[0])
        for data in plan.data
        for model in plan.targets
    }


def _values(use: Use, part: DefensePart) -> dict[str, list[Any]]:
    """The swept setting and its values as a hash can have them, each tried out on the plugin."""
    _, setting, values = part.swept
    made = [use.having({**use.spec.settings, setting: value}).make() for value in values]
    return {setting: [plugins.dump(one)[setting] for one in made]}


def _require_ladder(use: Use, values: Mapping[str, Any]) -> None:
    from unveil.harness.words.defense import Defense  # noqa: PLC0415 (imports torch)

    made = use.plugin
    if made.at_zero() is None:
        raise PluginError(
            f"{use.spec.use} declares no strength zero (at_zero returns None), which a cost is counted from",
            "a defense with `at_zero`",
            "set its strength by hand, or trace a curve with sweep and without tune",
        )
    if not values and type(made).ladder is Defense.ladder:
        raise PluginError(
            f"{use.spec.use} has no ladder of strengths to pick from",
            "a defense with `ladder`, or the values in the plan",
            "give them: sweep = { setting = [weakest, ..., strongest] }",
        )


def _told(nodes: Mapping[str, Node]) -> list[str]:
    """Notes on the weights that the target and the prior of a cell start from."""
    starts = [
        (role, use)
        for role, part in (("target", "model"), ("prior", "prior"))
        if role in nodes
        for use in nodes[role].uses[part]
    ]
    return [f"{role}'s first weights: {note}" for role, use in starts for note in use.notes]


def _flat(node: Node, within: str = "") -> dict[str, Node]:
    """What a node's plugin needs, and what these need in turn, by role and the roles that lead there."""
    found: dict[str, Node] = {}
    for role, need in node.needs.items():
        found |= {f"{within}{role}": need, **_flat(need, f"{within}{role} ")}
    return found


def _seed(seed: int) -> str:
    return f", seed {seed}" if seed else ""


def expand(file: PlanFile) -> Matrix:
    """All cells of a plan. Makes every plugin, so that every wrong name and setting is found before anything runs.

    Raises:
        PluginError: For a plugin that is unknown, broken or wrongly configured.
        PlanError: For a metric that asks a judge where there is none.
        WeightsError: For weights that cannot be used.
        JudgeError: For an evaluator that is the target.
    """
    build, plan = _Builder(file), file.plan
    build.require_judges()
    judges = {
        (part.label, judge.label): build.evaluator(judge, build.data(part))
        for part in plan.data
        for judge in plan.evaluators
    }
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
    return Matrix(cells, judges, tuple(build.noted))
