"""A target that is a program answers with scores: nothing that needs more of it is begun."""

from __future__ import annotations

from unveil.harness.plan.node import Node
from unveil.harness.words.errors import AccessError
from unveil.harness.words.names import Access
from unveil.harness.words.needs import access_of

ASKING = {"attack": "attack", "prior": "prior"}  # kinds of step that ask a target, and the role of their plugin


def require(attack: Node) -> None:
    """Refuses an attack that asks a program for gradients, itself or by what it needs.

    Raises:
        AccessError: If it does.
    """
    for node in attack.lineage():
        target = node.parents.get("target")
        if target is None or not getattr(target.uses["model"][0].plugin, "scores_only", False):
            continue
        if _asked(node) == Access.WHITE_BOX:
            name = target.uses["model"][0].name
            raise AccessError(
                f"{node.label} needs gradients, and a target of the model {name!r} answers with scores only",
                "attacks that see scores or labels",
                "leave it out, or name the model's weights and its architecture instead of the program",
            )


def _asked(node: Node) -> str | None:
    if node.kind in ASKING and node.options.get("role") != "ceiling":
        return access_of(node.uses[ASKING[node.kind]][0].plugin)
    return node.options.get("access")  # of a student
