"""Reads back what a node's plugin asked for, and what that has cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from unveil.harness.plan.node import Node, step
from unveil.harness.steps import data as datasets
from unveil.harness.store.artefacts import Store
from unveil.harness.words.given import Given, Ingredients
from unveil.harness.words.meter import Spent
from unveil.harness.words.needs import PRIOR
from unveil.harness.words.run import Run

if TYPE_CHECKING:
    from unveil.harness.steps.bench import Bench


def given(node: Node, bench: Bench, run: Run) -> Given:
    """All that a node's plugin asked for, by role, each as the step of its kind reads it back."""
    found: dict[str, dict[str, Any]] = {kind: {} for kind in ("prior", "student", "model", "comparer", "attack")}
    for role, need in node.needs.items():
        found[need.kind][role] = step(need.kind).read(need, bench, run)
    return Given(found["prior"], found["student"] | found["model"], found["comparer"], found["attack"])


def ingredients(node: Node, bench: Bench, run: Run) -> Ingredients:
    """What an attack's node is given besides the target."""
    found = given(node, bench, run)
    surrogates = [found.models[role] for role, need in node.needs.items() if need.kind == "student"]
    public = datasets.public(node, bench, run)
    return Ingredients(found.priors.get(PRIOR), public, surrogates, found)


def spent(node: Node, store: Store) -> dict[str, int]:
    """What was asked of the target before an attack began, by who asked: its priors, surrogates and wrapped attacks.

    Each is counted once, whoever of them shares it. What a wrapped attack and its own needs asked is under its role.
    """
    total = {"prior queries": 0, "prior gradients": 0, "surrogate queries": 0}
    for name, count in _asked(node, store, "", set()):
        total[name] = total.get(name, 0) + count
    return total


def _asked(node: Node, store: Store, within: str, seen: set[str]) -> Iterator[tuple[str, int]]:
    own = {role: need for role, need in node.needs.items() if need.key not in seen}
    seen.update(need.key for need in own.values())
    for role, need in own.items():
        record = store.record(need.key)
        if need.kind == "prior":
            yield from ((f"{within}prior {name}", record[name]) for name in ("queries", "gradients"))
        elif need.kind == "student":
            yield f"{within}surrogate queries", record["queries"]
        elif need.kind == "attack":
            yield from (
                (f"{within}{role} {name}", record["budget"].get(name, 0))  # a control may ask nothing
                for name in ("attack queries", "attack gradients")
            )
    for role, need in own.items():  # after all of its own: what others share with it is its own
        yield from _asked(need, store, f"{within}{role} ", seen)


def by_wrapped(node: Node, store: Store) -> Spent:
    """What the attacks asked that a node wraps, and those that they wrap; not what was asked to train a prior."""
    found = {need.key: need for need in _wrapped(node)}
    budgets = [store.record(key)["budget"] for key in found]
    queries, gradients = (sum(one.get(f"attack {name}", 0) for one in budgets) for name in ("queries", "gradients"))
    return Spent(queries, gradients)


def _wrapped(node: Node) -> Iterator[Node]:
    for need in node.needs.values():
        if need.kind == "attack":
            yield need
            yield from _wrapped(need)
