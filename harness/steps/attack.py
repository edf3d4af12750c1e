"""Runs an attack on a target, through the access it declared and with nothing private at hand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from unveil.harness.plan import plugins
from unveil.harness.plan.asker import Asker
from unveil.harness.plan.node import Node
from unveil.harness.steps import classifiers
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.given import by_wrapped, ingredients, spent
from unveil.harness.steps.isolation import Held, held_apart
from unveil.harness.steps.wishes import Place, needs, require_access
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.training.probe import Descended, choose_for_attack
from unveil.harness.words.attack import Attack, Ceiling
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AccessError, UnveilError
from unveil.harness.words.gathering import DIVERGED, Gathering
from unveil.harness.words.given import Attempt, Ingredients
from unveil.harness.words.images import Images
from unveil.harness.words.memo import forget_all
from unveil.harness.words.meter import Budget, Spent
from unveil.harness.words.names import Access, Attacked, Role
from unveil.harness.words.needs import WrappedAttack, access_of
from unveil.harness.words.pixels import Chosen, Stored
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec
from unveil.harness.words.view import View


def ask(asker: Asker, spec: Spec, place: Place, name: str) -> Node:
    """An attack, with what it needs for parents.

    Args:
        asker: The plan.
        spec: The plugin.
        place: What is attacked; the limits are its own.
        name: What it is called.

    Raises:
        AccessError: If something that it needs asks the target for more than the attack may.
    """
    use = asker.use("attacks", spec)
    role = plugins.role(use.plugin)
    wanted = {} if role == Role.CEILING else needs(asker, use, replace(place, access=access_of(use.plugin)))
    if not role:
        require_access(asker, use)
    stream = {"attack": use.question, "seed": place.seed, "data": place.data.identity}
    options = {
        "seed": place.seed,
        "identities": asker.plan.identities,
        **({"attacked": asker.plan.attacked} if asker.plan.identities and asker.plan.attacked != "drawn" else {}),
        "role": str(role),
        **place.limits,
        **place.sides,
    }
    parents = {"data": place.data, "target": place.target, **wanted}
    return Node("attack", f"{name} on {place.on}", {"attack": (use,)}, options, parents, stream)


def answer(asker: Asker, need: WrappedAttack, place: Place, number: int) -> Node:  # noqa: ARG001 (as all that answer)
    """An attack that another one wraps.

    Raises:
        AccessError: If it is one that is shown private pictures.
    """
    spec = need.attack
    if plugins.role(asker.use("attacks", spec).plugin) == Role.CEILING:
        raise AccessError(
            f"{asker.asking[-1].spec.use} wraps {spec.use}, which is shown private pictures",
            "an attack that sees no more than its target's answers",
            "wrap another attack",
        )
    return ask(asker, spec, place, asker.use("attacks", spec).name)


PIXELS = "pixels"  # the tensor that is an attack's pictures
KEPT = "kept "  # begins the names of tensors that an attack keeps beside its pictures
LIMITED = ("queries", "gradients")
CHUNK = 256  # pictures that are looked at at once


def victims(classes: int, count: int, run: Run, how: Attacked = "drawn") -> Tensor:
    """Which private people are attacked: all (count 0), the first, or a draw that all attacks and defenses share."""
    if not 0 < count < classes:
        return torch.arange(classes)
    if how == "first":
        return torch.arange(count)
    return torch.randperm(classes, generator=run.generator("victims"))[:count].sort().values


def checked(
    images: Images, labels: Tensor, shape: tuple[int, int, int], name: str, folder: Path | None = None
) -> Images:
    """Refuses reconstructions that cannot be scored, and quantises the rest to 8 bits: they are pictures.

    Args:
        images: What the attack returned.
        labels: Whom it was to reconstruct.
        shape: ``(C, H, W)`` that a picture must have.
        name: What the attack is called.
        folder: Where a file of them may be, if they are many; None for the system's own place.

    Raises:
        StoreError: If there is no room for them.
        UnveilError: If there are none of a person, or pixels are not finite, out of range or of another shape.
    """
    lost, low, high = _extremes(images)
    wrong, todo = "", "repair the attack"
    if lost:
        wrong = f"pixels that are not finite, in {lost} of {len(images)} pictures: its search diverged"
        todo = DIVERGED
    elif images.shape != shape:
        wrong = f"pictures of shape {images.shape} instead of {shape}"
    elif low < -1e-3 or high > 1 + 1e-3:
        wrong = f"pixels from {low:.3g} to {high:.3g}"
    elif set(images.labels.tolist()) != set(labels.tolist()):
        wrong = f"pictures of {len(images.labels.unique())} people instead of the {len(labels)} asked for"
    if wrong:
        raise UnveilError(f"{name} returned {wrong}", "finite pixels in [0, 1] for every label", todo)
    return _put_away(images, folder)


def _put_away(images: Images, folder: Path | None) -> Images:
    """The same with 8 bits on the CPU: in memory, or if they are many in a file, where they may be already."""
    kept = images.stored
    if isinstance(kept, Chosen) and not kept.held and kept.dtype == torch.uint8:
        return images.labelled(images.labels.cpu())
    made = Gathering(len(images), images.shape, folder)
    for rows in torch.arange(len(images)).split(CHUNK):
        made.put(int(rows[0]), images.levels(rows))
    return made.images(images.labels.cpu())


def _extremes(images: Images) -> tuple[int, float, float]:
    """How many pictures have pixels that are not finite, and the lowest and highest pixel; a few pictures at a time."""
    if images.stored.dtype == torch.uint8:
        return 0, 0.0, 1.0
    lost, low, high = 0, float("inf"), -float("inf")
    for x in images.batches(CHUNK):
        lost += int((~torch.isfinite(x.flatten(1))).any(1).sum())
        low, high = min(low, float(x.min())), max(high, float(x.max()))
    return lost, low, high


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """Reconstructions of the attacked people, and what they cost."""
    images, budget = (_show if node.options["role"] == Role.CEILING else _attack)(node, bench, run)
    asked, people = node.options["identities"], len(images.labels.unique())
    if people < asked:
        run.note(f"all {people} private people were attacked: the plan asks for {asked}")
    kept = {f"{KEPT}{name}": value for name, value in run.kept.items()}
    small = {"labels": images.labels, **kept}
    record = {"budget": budget, "notes": run.notes}
    if isinstance(images.stored, Chosen) and not images.stored.held:
        return Artefact(record, small, pictures={PIXELS: images.stored})
    return Artefact(record, {PIXELS: images.levels(slice(None)), **small})


def _attacked(node: Node, bench: Bench) -> Tensor:
    source = node.parents["data"]
    who = Run(source.identity + str(node.options["seed"]))
    asked, how = node.options["identities"], node.options.get("attacked", "drawn")
    return victims(datasets.read(source, bench).classes, asked, who, how)


def _show(node: Node, bench: Bench, run: Run) -> tuple[Images, dict[str, int]]:
    ceiling: Ceiling = node.uses["attack"][0].make()
    data, labels = datasets.read(node.parents["data"], bench), _attacked(node, bench)
    images = checked(ceiling.show(data, labels, run), labels, data.train.shape, node.label, run.scratch)
    return datasets.at_resolution(images, node, run), {}


def _attack(node: Node, bench: Bench, run: Run) -> tuple[Images, dict[str, int]]:
    # No name for the private pictures: where the target is isolated they are not in the attack's process either.
    had, labels = ingredients(node, bench, run), _attacked(node, bench)
    attack: Attack = node.uses["attack"][0].make()
    if attack.access is Access.WHITE_BOX:
        _meet_the_target(node, attack, had, bench, run)
    elif had.surrogates:  # what it descends in the target's place
        _choose_precision(attack, had.surrogates, had, len(labels), run)
    limits = Budget(node.options.get("max_queries"), node.options.get("max_gradients"), len(labels))
    shape = had.public.shape
    with target_seen(node, attack.access, shape, left(limits, by_wrapped(node, bench.store)), bench, run) as view:
        images = attack.reconstruct(view, had, labels, run)
        own = view.spent
    if own.refused:
        run.note(f"stopped at its budget of {_told(limits)} per identity")
    return checked(images, labels, shape, node.label, run.scratch), {
        "attack queries": own.queries,
        "attack gradients": own.gradients,
        **{f"attack {name} allowed": most for name in LIMITED if (most := limits.total(name)) is not None},
        **spent(node, bench.store),
    }


BYPASSED = (
    "the output defense is bypassed: who holds the weights takes it off, so this is what the target leaks without it"
)


def _meet_the_target(node: Node, attack: Attack, had: Ingredients, bench: Bench, run: Run) -> None:
    """Chooses the precision without the attack's view: nothing is asked that would count."""
    target = classifiers.read(node.parents["target"], bench, run)
    if target.guarded:
        run.note(BYPASSED)
    _choose_precision(attack, [target, *had.surrogates], had, len(_attacked(node, bench)), run)


def _choose_precision(attack: Attack, networks: Sequence[Classifier], had: Ingredients, people: int, run: Run) -> None:
    batch = getattr(attack, "batch", people)  # one that wraps another has none of its own
    choose_for_attack(run, Descended.by(attack, networks, had.prior, had.public.shape), batch)


def left(limits: Budget, spent: Spent) -> Budget:
    """What an attack may spend of its limits once attacks that it wraps have spent so much: together they keep them."""
    each = {
        name: None if (most := limits.total(name)) is None else max(0, most - getattr(spent, name)) // limits.identities
        for name in LIMITED
    }
    return Budget(each["queries"], each["gradients"], limits.identities)


def _told(limits: Budget) -> str:
    each = {name: getattr(limits, name) for name in LIMITED}
    return " and ".join(f"{most:,} {name}" for name, most in each.items() if most is not None)


@contextmanager
def target_seen(
    node: Node, access: Access, shape: tuple[int, int, int], limits: Budget, bench: Bench, run: Run
) -> Iterator[View]:
    """An attack's view of its target. Where it needs no gradient, nothing of the target stays in this process."""
    target = node.parents["target"]
    elsewhere = getattr(target.uses["model"][0].plugin, "scores_only", False)  # a program has its own process already
    if access is Access.WHITE_BOX or not run.isolated or elsewhere:
        yield View(classifiers.read(target, bench, run), access, shape, limits, run.compile)
        return
    forget_all()
    threads = torch.get_num_threads()
    held = Held(bench.store.url, target, access, shape, limits, str(run.device), threads)
    with held_apart(held, bench.store.record(target.key)["classes"]) as desk:
        yield View.at(desk)


def read(node: Node, bench: Bench, run: Run) -> Attempt:
    """An attack that has been run, for another one that wraps it."""
    artefact = opened(bench.store, node.key)
    kept = {name.removeprefix(KEPT): t for name, t in artefact.tensors.items() if name.startswith(KEPT)}
    attack = node.uses["attack"][0].make()
    return Attempt(attack, reconstructions(artefact), kept, ingredients(node, bench, run))


def opened(store: Store, key: str) -> Artefact:
    """The artefact of an attack; its pictures stay in their file, if they are many.

    Raises:
        DamageError: As `Store.open`.
    """
    return store.open(key, [PIXELS])


def reconstructions(artefact: Artefact) -> Images:
    """The stored pictures of an attack."""
    found: Mapping[str, Stored] = {**artefact.tensors, **artefact.pictures}
    return Images(found[PIXELS], artefact.tensors["labels"])


def path(artefact: Artefact) -> Images | None:
    """Pictures along the attack's search, where it left some; see `attacks.search`."""
    if f"{KEPT}path pixels" not in artefact.tensors:
        return None
    return Images(*(artefact.tensors[f"{KEPT}path {name}"] for name in ("pixels", "labels")))
