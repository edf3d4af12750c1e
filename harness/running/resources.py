"""What a step needs of a machine, by its kind."""

from __future__ import annotations

from enum import StrEnum

from unveil.harness.plan.node import Node

HANDS = ("data", "strength", "picture", "measure")  # kinds that read, compare, draw and measure


class Needs(StrEnum):
    """What a step should not go without, where a pool has it."""

    GPU = "gpu"
    CPU = "cpu"


def needs(node: Node) -> Needs:
    """Of a node: whatever trains, distils or attacks runs networks for long."""
    return Needs.CPU if node.kind in HANDS else Needs.GPU
