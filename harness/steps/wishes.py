"""Asks for what plugins need: each need is a node of its own, answered by the step of its kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from unveil.harness.plan.asker import Asker
from unveil.harness.plan.node import Node, Use, step
from unveil.harness.words.errors import AccessError, PluginError
from unveil.harness.words.needs import (
    ACCESS,
    GivenComparer,
    GivenModel,
    Need,
    Surrogate,
    TrainedPrior,
    WrappedAttack,
    access_of,
    needs_of,
)
from unveil.harness.words.spec import Spec, untrained

ANSWERS: Mapping[type[Need], str] = {
    TrainedPrior: "prior",
    Surrogate: "student",
    GivenModel: "model",
    GivenComparer: "comparer",
    WrappedAttack: "attack",
}
"""Which step answers a need. Found by name: what a need is, does not depend on how all others are computed."""


@dataclass(frozen=True)
class Place:
    """Whom something is needed for.

    Attributes:
        data: The data set.
        target: The target.
        seed: Of the cell.
        access: Through which surrogates are distilled; None where the target is not asked.
        limits: Of the attack that needs it, which hold for attacks that it wraps, too, and for no prior.
        sides: The resolution that the attack works at, which holds for all that it needs.
    """

    data: Node
    target: Node
    seed: int
    access: str | None
    limits: Mapping[str, int] = field(default_factory=dict)
    sides: Mapping[str, int] = field(default_factory=dict)

    @property
    def on(self) -> str:
        """The target, in words."""
        return self.target.label.removeprefix("target ")


def needs(asker: Asker, use: Use, place: Place) -> dict[str, Node]:
    """A node for everything that a plugin needs, by role; equal needs of several plugins are one node."""
    if use in asker.asking:
        chain = " needs ".join(one.spec.use for one in [*asker.asking, use])
        raise PluginError(f"needs go in a circle: {chain}", "needs that come to an end", "correct needs()")
    asker.asking.append(use)
    found: dict[str, Node] = {}
    for role, need in needs_of(use.plugin).items():
        number = 1 + sum(node.kind == ANSWERS[type(need)] for node in found.values())
        found[role] = step(ANSWERS[type(need)]).answer(asker, need, place, number)
    asker.asking.pop()
    return found


def require_access(asker: Asker, use: Use) -> None:
    """Refuses an attack whose needs ask the target for more than it declares itself.

    Raises:
        AccessError: If they do.
    """
    own = access_of(use.plugin)
    for need in needs_of(use.plugin).values():
        most, who = reach(asker, need)
        if most is not None and (own is None or ACCESS.index(most) > ACCESS.index(own)):
            raise AccessError(
                f"{use.spec.use} declares {own} access, and {who}, which it needs, asks the same target with "
                f"{most} access",
                f"needs that get by with {own} access",
                f"give {use.spec.use} something else, such as a prior that asks the target nothing, or compare it "
                f"with attacks of {most} access by another attack",
            )


def reach(asker: Asker, need: Need) -> tuple[str | None, str]:
    """The most access to the target that a need takes, whatever it needs in turn, and who takes it."""
    match need:
        case TrainedPrior(spec) | Surrogate(source=Spec() as spec):
            use = asker.use("priors", untrained(spec))
        case WrappedAttack(spec):
            use = asker.use("attacks", spec)
        case _:  # a surrogate itself is distilled through the access of whoever wants it; the rest asks nothing
            return None, ""
    found = [(access_of(use.plugin), spec.use), *(reach(asker, one) for one in needs_of(use.plugin).values())]
    return max(found, key=lambda one: -1 if one[0] is None else ACCESS.index(one[0]))
