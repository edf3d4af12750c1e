"""Whether the steps that a row names are those that its plan asks for, and belong together, by their provenance alone.

The identity of an attack is a hash of what was asked, of its target's identity among others. So it can be computed
again from the provenance without any of the code, and an attack on one target cannot be passed off as one on another
by exchanging names. Executes nothing; knows no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from unveil.harness.figures.rows import Row
from unveil.harness.plan.canonical import digest
from unveil.harness.plan.file import Plan
from unveil.harness.plan.parts import EvaluatorPart
from unveil.harness.words.errors import UnveilError, listed

KINDS = ("data", "target", "attack")  # of steps that every row has
Step = Mapping[str, Any]


def bare(use: str) -> str:
    """A plugin as a provenance names it: of a file without its folders.

    >>> bare("../mine/attack.py:Guess"), bare("gmi")
    ('attack.py:Guess', 'gmi')
    """
    path, _, name = use.rpartition(":")
    return f"{path.replace(chr(92), '/').rpartition('/')[2]}:{name}" if path.endswith(".py") else use


def used(step: Step, role: str) -> Sequence[Step]:
    """What a step's provenance, which may hold anything, says of its plugins in a role."""
    uses = step.get("uses")
    group = uses.get(role) if isinstance(uses, Mapping) else None
    return [one for one in group if isinstance(one, Mapping)] if isinstance(group, list) else []


def option(step: Step, name: str) -> object:
    """One of the options that a step was computed with."""
    options = step.get("options")
    return options.get(name) if isinstance(options, Mapping) else None


def differences(plan: Plan, row: Row, provenance: Mapping[str, Step]) -> Iterator[str]:
    """What of the steps of a row is not as the plan has it, in words."""
    steps = {kind: provenance.get(row.keys.get(kind, ""), {}) for kind in KINDS}
    for kind, step in steps.items():
        if step.get("kind") != kind:
            yield f"its {kind} is not in the provenance"
            return
        if not _versions(step):
            yield f"its {kind} does not say which version of unveil computed it"
        if (found := _names(step)) != (wanted := _wanted(plan, row, kind)):
            yield f"its {kind} was computed with {listed(found)}, and the plan has {listed(wanted)}"
        if kind != "data" and option(step, "seed") != row.seed:
            yield f"its {kind} was computed with seed {str(option(step, 'seed'))[:20]}"
    if attack_identity(row, provenance) != steps["attack"].get("identity"):
        yield "its attack is not one on its target, by their identities"


def attack_identity(row: Row, provenance: Mapping[str, Step]) -> str | None:
    """The identity that an attack on the row's target has, see `harness.steps.attack.ask`; None if that is not told."""
    step = provenance[row.keys["attack"]]
    asked = next(iter(used(step, "attack")), None)
    parents = {role: provenance.get(row.keys[role], {}).get("identity") for role in _direct(row)}
    seed = option(step, "seed")
    if asked is None or not all(isinstance(one, str) for one in parents.values()):
        return None
    stream = {"attack": asked, "seed": seed, "data": parents["data"]}
    told = {"kind": "attack", "uses": step["uses"], "options": step["options"], "parents": parents, "stream": stream}
    try:
        return digest(told)
    except (UnveilError, TypeError, ValueError, RecursionError):  # what no identity is made of
        return None


def _direct(row: Row) -> list[str]:
    """Roles of what the attack itself needs: ``prior``, but not ``attack prior``, which another attack needs."""
    roles = [role for role in row.keys if role != "attack"]
    inner = {role for role in roles if any(role.startswith(f"{other} ") for other in roles)}
    return [role for role in roles if role not in inner]


def judge_steps(part: EvaluatorPart, data: Step, provenance: Mapping[str, Step]) -> list[str]:
    """Keys of the steps that may be a judge of the plan on a data set: its network and its seed, on those pictures."""
    pictures = next(iter(used(data, "dataset")), None)
    return [
        key
        for key, step in provenance.items()
        if step.get("kind") == "evaluator"
        and [str(one.get("use")) for one in used(step, "model")] == [bare(part.use)]
        and option(step, "seed") == part.seed
        and _of(step.get("on"), "dataset") == pictures
    ]


def _of(told: object, name: str) -> object:
    return told.get(name) if isinstance(told, Mapping) else None


def _versions(step: Step) -> bool:
    return isinstance(_of(step.get("versions"), "unveil"), str)


def _names(step: Step) -> list[str]:
    roles = step.get("uses")
    return sorted(
        str(one.get("use")) for role in (roles if isinstance(roles, Mapping) else ()) for one in used(step, role)
    )


def _wanted(plan: Plan, row: Row, kind: str) -> list[str]:
    """Plugins that the plan names for a row."""
    data = [part.use for part in plan.data if part.label == row.data]
    attack = [part.use for part in plan.attacks if part.label == row.attack]
    stacks = [one.stack for part in plan.defenses for one in part.variants if one.label == row.defense]
    target = [part.use for part in plan.targets if part.label == row.model] + [s.use for some in stacks for s in some]
    return sorted(map(bare, {"data": data, "attack": attack, "target": target}[kind]))
