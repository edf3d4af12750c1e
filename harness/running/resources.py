"""What a step needs of a machine, by its kind."""

from __future__ import annotations

from enum import StrEnum

from unveil.harness.plan.node import Node

HANDS = ("data", "strength", "picture")  # kinds that read, compare and draw: no network runs in them


class Needs(StrEnum):
    """What a step cannot do without."""

    NETWORKS = "networks"  # a GPU where there is one
    HANDS = "hands"  # a processor alone


def needs(node: Node) -> Needs:
    """Of a node."""
    return Needs.HANDS if node.kind in HANDS else Needs.NETWORKS
