"""Reads back what a node's plugin asked for, and what that has cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from unveil.harness.plan.graph import Node
from unveil.harness.store.artefacts import Artefact, Store
from unveil.harness.types import Attempt, Classifier, Comparer, Generator, Given, Images, Ingredients, Run, Spent
from unveil.harness.words.needs import PRIOR

if TYPE_CHECKING:
    from unveil.harness.steps.bench import Bench

KEPT = "kept "  # begins the names of tensors that an attack keeps beside its pictures


def given(node: Node, bench: Bench, run: Run) -> Given:
    """All that a node's plugin asked for, by role."""
    priors: dict[str, Generator] = {}
    models: dict[str, Classifier] = {}
    comparers: dict[str, Comparer] = {}
    attacks: dict[str, Attempt] = {}
    for role, need in node.needs.items():
        match need.kind:
            case "prior":
                priors[role] = bench.generator(need, run)
            case "student":
                models[role] = bench.classifier(need, run)
            case "model":
                models[role] = bench.model(need, run)
            case "comparer":
                comparers[role] = need.uses["comparer"][0].make()
            case "attack":
                attacks[role] = attempt(need, bench, run)
    return Given(priors, models, comparers, attacks)


def ingredients(node: Node, bench: Bench, run: Run) -> Ingredients:
    """What an attack's node is given besides the target."""
    found = given(node, bench, run)
    surrogates = [found.models[role] for role, need in node.needs.items() if need.kind == "student"]
    public = bench.data(node.parents["data"]).public
    return Ingredients(found.priors.get(PRIOR), public, surrogates, found)


def attempt(node: Node, bench: Bench, run: Run) -> Attempt:
    """An attack that has been run."""
    artefact = bench.artefact(node)
    kept = {name.removeprefix(KEPT): t for name, t in artefact.tensors.items() if name.startswith(KEPT)}
    attack = node.uses["attack"][0].make()
    return Attempt(attack, reconstructions(artefact), kept, ingredients(node, bench, run))


def reconstructions(artefact: Artefact) -> Images:
    """The stored pictures of an attack."""
    return Images(artefact.tensors["pixels"].float() / 255, artefact.tensors["labels"])


def path(artefact: Artefact) -> Images | None:
    """Pictures along the attack's search, where it left some; see `attacks.search`."""
    if f"{KEPT}path pixels" not in artefact.tensors:
        return None
    pixels, labels = (artefact.tensors[f"{KEPT}path {name}"] for name in ("pixels", "labels"))
    return Images(pixels.float() / 255, labels)


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
