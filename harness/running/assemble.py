"""From outcomes and artefacts to rows. Knows no torch."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from unveil.harness.assets.catalogue import ASSETS
from unveil.harness.figures import panel
from unveil.harness.figures.protocol import PROTOCOL
from unveil.harness.figures.rows import Figure, Judge, Picture, PluginUsed, Results, Row
from unveil.harness.figures.rungs import summary
from unveil.harness.plan.scaling import lines
from unveil.harness.words.account import Account
from unveil.harness.words.names import Access

if TYPE_CHECKING:
    from unveil.harness.plan.file import PlanFile
    from unveil.harness.plan.node import Node, Use
    from unveil.harness.running.execute import Outcome
    from unveil.harness.running.matrix import Cell, Matrix
    from unveil.harness.store.artefacts import Store


def results(file: PlanFile, matrix: Matrix, outcomes: Mapping[str, Outcome], store: Store) -> Results:
    """Everything a page shows, failed cells included."""
    nodes = {node.key: node for node in matrix.nodes()}
    good = [key for key in nodes if outcomes[key].good]
    judges = [_judge(*names, node, outcomes[node.key], store) for names, node in matrix.judges.items()]
    return Results(
        title=file.plan.title,
        plan=file.text,
        datasets={name: _dataset(node, store) for name, node in _datasets(matrix, outcomes).items()},
        accounts={name: account(node, store) for name, node in _datasets(matrix, outcomes).items()},
        rows=tuple(row(cell, outcomes, store) for cell in matrix.cells),
        judges=tuple(judges),
        pictures=tuple(p for cell in matrix.cells if (p := _picture(cell, outcomes, store)) is not None),
        plugins=_plugins(nodes.values(), outcomes, store),
        provenance={key: store.provenance(key) for key in good},
        protocol=PROTOCOL,
        published=tuple(file.plan.published),
        reproduced=file.plan.reproduced,
        scale=file.plan.scale,
        cuts=lines(file.cuts),
    )


def _plugins(nodes: Iterable[Node], outcomes: Mapping[str, Outcome], store: Store) -> tuple[PluginUsed, ...]:
    """Where the code came from that computed each step; of those that were not computed, where it comes from now."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for node in nodes:
        kept = store.provenance(node.key) if outcomes[node.key].good else {}
        for name, told in kept.get("origins", node.origins).items():
            found[name].add(told)
    named = {name: name.split(" ", 1) for name in sorted(found)}
    return tuple(PluginUsed(kind=kind, name=own, origins=tuple(sorted(found[n]))) for n, (kind, own) in named.items())


def row(cell: Cell, outcomes: Mapping[str, Outcome], store: Store) -> Row:
    """One cell as a row."""
    wanted = {role: node for role, node in cell.nodes.items() if role != "picture"}
    ends = [outcomes[node.key] for node in (*wanted.values(), *cell.measures)]
    bad = [outcome for outcome in ends if not outcome.good and outcome.status != "unscored"]
    figures = [figure for node in cell.measures for figure in _figures(node, outcomes[node.key], store)]
    attack, target = cell.nodes["attack"], cell.nodes["target"]
    record = store.record(target.key) if outcomes[target.key].good else None
    asked = store.record(attack.key) if outcomes[attack.key].good else {}
    return Row(
        **_names(cell),
        family=cell.family,
        strength=cell.strength,
        role=cell.role,
        access=cell.access,
        adapts=cell.adapts,
        status=_status(bad),
        error=bad[0].error if bad else None,
        figures=(*figures, *_panel(cell, outcomes, store)),
        budget=asked.get("budget", {}),
        facts=_facts(record, cell, outcomes, store) if record else {},
        notes=(
            *cell.notes,
            *(_of_target(record, target) if record else ()),
            *_of_priors(cell, outcomes, store),
            *asked.get("notes", ()),
        ),
        keys={role: node.key for role, node in wanted.items()},
    )


def _figures(node: Node, outcome: Outcome, store: Store) -> list[Figure]:
    if outcome.good:
        return [Figure.model_validate(figure) for figure in store.record(node.key)["figures"]]
    if outcome.status != "unscored":
        return []
    names = {"metric": node.options["name"], "judge": node.options["judge"] or None}
    return [Figure(**names, quantity="not available", unit="", direction="", range=(0, 0), reason=outcome.error)]


def _panel(cell: Cell, outcomes: Mapping[str, Outcome], store: Store) -> list[Figure]:
    """What the judges that were heard make of the cell together."""
    heard = [store.record(node.key) for node in cell.measures if outcomes[node.key].good]
    return panel.figures([panel.read(plain) for record in heard for plain in record["verdicts"]])


def _names(cell: Cell) -> dict[str, Any]:
    return {name: getattr(cell, name) for name in ("data", "model", "defense", "attack", "seed")}


def _status(bad: list[Outcome]) -> Any:
    if not bad:
        return "done"
    return "failed" if any(outcome.status == "failed" for outcome in bad) else "blocked"


def _facts(record: Mapping[str, Any], cell: Cell, outcomes: Mapping[str, Outcome], store: Store) -> dict[str, str]:
    learnt, picked = _learnt_from(cell, outcomes, store), _picked(cell.nodes["target"], store)
    return {**_trained(record), **picked, **learnt, "precision": _precision(cell, outcomes, store)}


def _trained(record: Mapping[str, Any]) -> dict[str, str]:
    facts = {
        "trainable parameters": f"{record['trainable']:,}",
        "frozen parameters": f"{record['frozen']:,}",
    }
    if record["chosen"] is not None:
        facts["epoch chosen on validation"] = str(record["chosen"])
    return {**facts, **record["facts"]}


def _precision(cell: Cell, outcomes: Mapping[str, Outcome], store: Store) -> str:
    """What target and attack were computed in: ``full``, ``mixed``, or which of them in what."""
    taught = any(parent.kind == "student" for parent in cell.nodes["attack"].parents.values())
    inside = ("attack",) if taught or cell.access is Access.WHITE_BOX else ()  # others compute nothing but float32
    nodes = {role: cell.nodes[role] for role in ("target", *inside) if outcomes[cell.nodes[role].key].good}
    found = {role: str(store.provenance(node.key)["precision"]) for role, node in nodes.items()}
    if len(set(found.values())) == 1:
        return found["target"]
    return ", ".join(f"{kind} {precision}" for kind, precision in found.items())


def _picked(target: Node, store: Store) -> dict[str, str]:
    """What was tried for each strength that was picked."""
    nodes = [node for node in target.parents.values() if node.kind == "strength"]
    name = "{} picked on validation".format
    return {name(node.parents["ladder"].uses["defenses"][-1].spec.use): summary(node, store) for node in nodes}


def _learnt_from(cell: Cell, outcomes: Mapping[str, Outcome], store: Store) -> dict[str, str]:
    """What the attack's prior was trained on."""
    prior = cell.nodes.get("prior")
    if prior is None or not outcomes[prior.key].good:
        return {}
    known = store.record(prior.key)["lineage"]
    elsewhere = known["trained elsewhere on"]
    if "trained" in prior.uses:
        return {"prior learnt from": f"elsewhere, and used as it is: {elsewhere}", **_drew_them(prior)}
    public = f"{known['public pictures']:,} public pictures ({known['public checksum'][:12]})"
    first = {"prior's first weights learnt from": elsewhere} if elsewhere else {}
    return {"prior learnt from": public, **first, **_drew_them(prior)}


def _drew_them(prior: Node) -> dict[str, str]:
    """Whether the prior, or one that it starts from, begins with the very network that drew the private people."""
    drew = prior.parents["data"].uses["dataset"][0].question["settings"]
    asked = str([node.uses["prior"][0].question for node in prior.lineage() if node.kind == "prior"])
    shared = [name for name in ASSETS if name in drew and str(drew[name]) in asked]
    return {"prior drew the private people": f"{', '.join(shared)}: a best case for the attack"} if shared else {}


def _of_priors(cell: Cell, outcomes: Mapping[str, Outcome], store: Store) -> list[str]:
    """What a reader must know of priors whose weights come from elsewhere."""
    given = [node for node in cell.nodes.values() if node.kind == "prior" and "trained" in node.uses]
    known = [store.record(node.key).get("notes", ()) for node in given if outcomes[node.key].good]
    return list(dict.fromkeys(f"prior: {note}" for notes in known for note in notes))


def _of_target(record: Mapping[str, Any], target: Node) -> tuple[str, ...]:
    told = (f"target: {note}" for note in record.get("notes", ()))
    return (*_frozen_noise(record, target), *told)


def _frozen_noise(record: Mapping[str, Any], target: Node) -> tuple[str, ...]:
    """Freezing layers that nobody trained is not transfer learning, and a reader must know."""
    settings = target.uses["model"][0].question["settings"]
    given = "trained" in target.uses
    trained = given or "weights" in target.parents or settings.get("weights", "none") != "none"
    if not record.get("frozen layers") or trained:
        return ()
    return ("the frozen layers are random: the target starts from no pretrained weights",)


def _judge(data: str, name: str, node: Node, outcome: Outcome, store: Store) -> Judge:
    model = _architecture(node.uses["model"][0])
    if not outcome.good:
        bad = _status([outcome])
        return Judge(data=data, name=name, model=model, knows="", status=bad, error=outcome.error)
    record = store.record(node.key)
    figures = tuple(Figure.model_validate(figure) for figure in record["figures"])
    knows = "; ".join([record["knows"], *(f"its first weights: {note}" for note in node.uses["model"][0].notes)])
    return Judge(data=data, name=name, model=model, knows=knows, figures=figures)


def _architecture(use: Use) -> str:
    """The model plugin's name, and which network where the plugin has many."""
    which = use.question["settings"].get("architecture")
    return f"{use.spec.use} {which}" if isinstance(which, str) else use.spec.use


def _picture(cell: Cell, outcomes: Mapping[str, Outcome], store: Store) -> Picture | None:
    node = cell.nodes.get("picture")
    if node is None or not outcomes[node.key].good:
        return None
    artefact = store.load(node.key)
    png = base64.b64encode(artefact.files["grid.png"]).decode()
    return Picture(**_names(cell), png=png, **artefact.record)


def _datasets(matrix: Matrix, outcomes: Mapping[str, Outcome]) -> dict[str, Node]:
    nodes = {cell.data: cell.nodes["data"] for cell in matrix.cells}
    return {name: node for name, node in nodes.items() if outcomes[node.key].good}


def account(node: Node, store: Store) -> Account:
    """What was read of a data set, and what lies beside it now: that may change while the pictures stay the same."""
    read = Account.model_validate(store.record(node.key)["account"])
    return read.as_of_now(node.uses["dataset"][0].passed_over)


def _dataset(node: Node, store: Store) -> dict[str, str]:
    use = node.uses["dataset"][0]
    settings = {name: str(value) for name, value in use.question["settings"].items()}
    return {"plugin": use.spec.use, **store.record(node.key)["facts"], **settings}
