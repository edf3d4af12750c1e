"""What came out when the strengths of a defense were tried: read from the store, in words and numbers. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from unveil.harness.figures.intervals import interval
from unveil.harness.figures.tries import accuracy

if TYPE_CHECKING:
    from unveil.harness.plan.node import Node
    from unveil.harness.store.artefacts import Store


@dataclass(frozen=True)
class Rung:
    """One strength.

    Attributes:
        name: The settings that differ from the defense as asked for; ``strength zero`` for the first rung.
        settings: These settings, as a plan may have them.
        picked: Whether it was chosen.
        accuracy: On the validation pictures, in [0, 1]; None if it could not be trained.
        low: Lower end of the 95 % interval over people.
        high: Upper end.
        cost: Accuracy of strength zero minus this one's; negative if this one is better.
        trainable: Parameters that learn.
        frozen: Parameters that do not.
        error: Why it could not be trained.
    """

    name: str
    settings: Mapping[str, Any]
    picked: bool
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None
    cost: float | None = None
    trainable: int | None = None
    frozen: int | None = None
    error: str | None = None


def rungs(node: Node, store: Store) -> list[Rung]:
    """All that was tried, weakest first.

    Args:
        node: Of kind ``strength``, computed.
        store: Where it is.
    """
    tried = store.record(node.parents["ladder"].key)["tried"]
    chosen = store.record(node.key)["chosen"]
    zero = accuracy(tried[0])
    return [_rung(one, i == chosen, zero) for i, one in enumerate(tried)]


def _rung(tried: Mapping[str, Any], picked: bool, zero: float) -> Rung:
    if "error" in tried:
        return Rung(tried["name"], tried["settings"], picked, error=tried["error"])
    counts = np.array(list(tried["people"].values()))
    right = np.concatenate([np.arange(pictures) < hits for hits, pictures in counts]).astype(float)
    low, high = interval(right, np.repeat(np.arange(len(counts)), counts[:, 1]), bounds=(0, 1))
    found = accuracy(tried)
    return Rung(
        tried["name"], tried["settings"], picked, found, low, high, zero - found, tried["trainable"], tried["frozen"]
    )


def summary(node: Node, store: Store) -> str:
    """What was tried, in one line, an arrow before what was picked."""
    return "; ".join(f"{'-> ' * rung.picked}{rung.name}: {_number(rung)}" for rung in rungs(node, store))


def _number(rung: Rung) -> str:
    if rung.accuracy is None or rung.low is None or rung.high is None:
        return "failed"
    return f"{100 * rung.accuracy:.1f} % [{100 * rung.low:.1f}, {100 * rung.high:.1f}]"
