"""Trains the generator that attacks search, on public pictures, and draws a few of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor

from unveil.harness.data.grid import grid
from unveil.harness.plan.asker import Asker, seed_label
from unveil.harness.plan.node import Node, Use
from unveil.harness.plan.parts import prior_checkpoint
from unveil.harness.steps import classifiers, lineage
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.given import given
from unveil.harness.steps.wishes import Place, needs
from unveil.harness.store.artefact import Artefact
from unveil.harness.words.errors import PlanError, TrainingError, WeightsError, listed
from unveil.harness.words.finite import require_finite
from unveil.harness.words.generator import ConditionalGenerator, Generator
from unveil.harness.words.given import Given
from unveil.harness.words.images import Data, Images
from unveil.harness.words.meter import Spent
from unveil.harness.words.names import Access
from unveil.harness.words.needs import TrainedPrior, access_of, needs_of
from unveil.harness.words.prior import Prior, PriorWithNeeds
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec, untrained
from unveil.harness.words.view import View

SIDE = 6  # samples a side of the grid ...
WIDEST = 1536  # ... but no more than fit into so many pixels
REMEDY = "lower the prior's learning rate, or train it for fewer steps"


def answer(asker: Asker, need: TrainedPrior, place: Place, number: int) -> Node:  # noqa: ARG001 (as all that answer)
    """A trained prior. One that asks the target, or whose needs do, is another for each target."""
    use, trained = asker.use("priors", untrained(need.prior)), _trained(asker, need.prior, place)
    access = access_of(use.plugin)
    wanted = {} if trained else needs(asker, use, replace(place, access=access, limits={}))
    parents = {"data": place.data, **({"target": place.target} if access else {}), **wanted}
    label = f"prior {use.spec.use}{seed_label(place.seed)}"
    if any(place.target in node.lineage() for node in parents.values()):
        label = f"prior {use.spec.use} for {place.on}"
    stream = {"prior": use.question, "seed": place.seed, "data": place.data.identity}
    return Node("prior", label, {"prior": (use,), **trained}, {"seed": place.seed, **place.sides}, parents, stream)


def _trained(asker: Asker, spec: Spec, place: Place) -> dict[str, tuple[Use, ...]]:
    """The weights that the plan names for a prior, which are tried out; nothing where it names none.

    Raises:
        PlanError: If nothing says what they have seen.
        WeightsError: If they cannot be used.
    """
    wanted = prior_checkpoint(spec)
    if wanted is None:
        return {}
    if not str(wanted.settings.get("trained_on", "")).strip():
        raise PlanError(
            f"the prior {spec.use} has weights that were trained elsewhere, and nothing says what these have seen",
            "trained_on: what they learnt from, and how it is known that no private person is among it, in words",
            f'add trained_on = "..." beside trained of {spec.use}',
        )
    use, prior = asker.use("checkpoints", wanted), asker.use("priors", untrained(spec))
    side = place.sides.get("resolution")
    if asker.is_first(use, prior, side):
        use.plugin.try_out(prior.plugin, side)
    return {"trained": (use,)}


def read(node: Node, bench: Bench, run: Run) -> Generator:
    """A trained prior in evaluation mode."""

    def load() -> Generator:
        artefact = bench.artefact(node)
        record = artefact.record
        generator: Generator = node.uses["prior"][0].make().build(record["classes"], tuple(record["shape"]))
        generator.load_state_dict(dict(artefact.tensors))
        return generator.to(run.device).eval().requires_grad_(False)

    return bench.keep(node, load, run.device)


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """A trained prior, with what it learnt from, what it asked of the target, and samples.

    Raises:
        DataError: If private pictures are among the public ones.
        PluginError: If the prior does not say what its pretrained weights have seen.
        TrainingError: If it holds no numbers any more.
        WeightsError: If its pretrained weights are said to have seen the private pictures.
    """
    data: Data = datasets.read(node.parents["data"], bench)
    public, classes = datasets.public(node, bench, run), data.classes
    prior: Prior = node.uses["prior"][0].make()
    if "trained" in node.uses:
        return _as_given(node, bench, prior, data, public.shape)
    learnt_from = lineage.traced(prior, data)
    generator: Generator = prior.build(classes, public.shape).to(run.device)
    view = None
    if "target" in node.parents:
        access = Access(str(access_of(prior)))
        view = View(classifiers.read(node.parents["target"], bench, run), access, public.shape)
    curves = fitted(prior, generator, public, view, run, given(node, bench, run))
    require_sound(generator, curves, node.label)
    spent = view.spent if view else Spent()
    origin, before = lineage.declared(prior), earlier(node, bench)
    learnt_from["trained elsewhere on"] = lineage.joined(learnt_from, *(one["lineage"] for one in before))
    record = {
        "classes": classes,
        "shape": list(public.shape),
        "queries": spent.queries,
        "gradients": spent.gradients,
        "curves": {name: list(values) for name, values in curves.items()},
        "lineage": learnt_from,
        "publishable": data.publishable
        and (origin is None or origin.publishable)
        and all(one["publishable"] for one in before),
    }
    generator.eval().requires_grad_(False)
    state = generator.state_dict()
    kept = {"lineage": {**learnt_from, "weights checksum": lineage.weights(state)}}
    return Artefact(record, state, {"samples.png": samples(generator, classes, run.device)}, kept)


def _as_given(node: Node, bench: Bench, prior: Prior, data: Data, shape: tuple[int, int, int]) -> Artefact:
    """A prior with weights from elsewhere: nothing is trained, and nobody is asked."""
    trained = node.uses["trained"][0].make()
    seen = lineage.given(trained.trained_on, data)
    found = trained.restore(prior, data.classes, shape)
    notes = [*found.notes]
    if isinstance(found.generator, ConditionalGenerator):
        order, told = class_order(node, bench, trained.names(), found.classes or 0, data)
        trained.reorder(found, order)
        notes.append(told)
    if access_of(prior):
        notes.append("its weights learnt from whichever target they were trained for, and not anew from this one")
    require_finite(found.generator, node.label, "as given", "take another checkpoint")
    state = found.generator.eval().requires_grad_(False).state_dict()
    classes = found.classes or data.classes
    record = {
        "classes": classes,
        "shape": list(shape),
        "queries": 0,
        "gradients": 0,
        "curves": {},
        "lineage": seen,
        "publishable": False,
        "notes": notes,
    }
    kept = {"lineage": {**seen, "weights checksum": lineage.weights(state)}}
    return Artefact(record, state, {"samples.png": samples(found.generator, classes, torch.device("cpu"))}, kept)


def class_order(
    node: Node, bench: Bench, names: Sequence[str] | None, classes: int, data: Data
) -> tuple[list[int], str]:
    """Which class of a prior from elsewhere each private person is, and how that is known.

    Raises:
        WeightsError: If it does not know them all.
    """
    if names is not None:
        found = [names.index(one) for one in data.names if one in names]
        if len(found) == data.classes and max(found) < classes:
            return found, "its classes stand as the file of their names says"
        raise WeightsError(
            f"{node.label}: it tells {classes} classes apart, and its order of classes lacks some of the "
            f"{data.classes} private people: {listed(data.names)}",
            "a class for each of them",
            "correct the file, or name the checkpoint that was trained for these people",
        )
    target = bench.store.record(node.parents["target"].key) if "target" in node.parents else {}
    expects = target.get("expects")
    own = data.classes if expects is None else target["classes"]
    if own != classes:
        raise WeightsError(
            f"{node.label}: it tells {classes} classes apart, and the target {own}",
            "a prior that was trained for this target, whose classes stand in one order with its own",
            "name that checkpoint, or give trained an order: a file with the names of its classes",
        )
    if expects is None:
        return list(range(classes)), "its classes stand as the sorted names of people"
    return list(expects["order"]), "its classes stand as the target's file has them"


def earlier(node: Node, bench: Bench) -> Sequence[Mapping[str, Any]]:
    """What is known of the priors that this one was trained with, whatever it needs them for."""
    keys = dict.fromkeys(one.key for need in node.needs.values() for one in need.lineage() if one.kind == "prior")
    return [bench.store.record(key) for key in keys]


def require_sound(generator: Generator, curves: Mapping[str, Sequence[float]], label: str) -> None:
    """Refuses a prior whose training diverged, whoever wrote it.

    Raises:
        TrainingError: If weights or curves are not finite.
    """
    require_finite(generator, label, "in training", REMEDY)
    if bad := [name for name, values in curves.items() if not all(map(math.isfinite, values))]:
        raise TrainingError(f"{label} diverged: its curve {bad[0]!r} holds NaN or infinity", "finite numbers", REMEDY)


def fitted(
    prior: Prior | PriorWithNeeds, generator: Generator, public: Images, view: View | None, run: Run, had: Given
) -> Mapping[str, Sequence[float]]:
    """Trains a prior, with what it needs if it needs anything; see `harness.types.Prior.fit`."""
    if needs_of(prior):
        return cast(PriorWithNeeds, prior).fit(generator, public, view, run, had)
    return cast(Prior, prior).fit(generator, public, view, run)


def samples(generator: Generator, classes: int, device: torch.device) -> bytes:
    """PNG of samples of latents that are the same for every prior of that latent length.

    A prior that takes a class shows one class a line, the first few.

    Raises:
        TrainingError: If they are none.
    """
    first = _line(generator, 0, SIDE, device)
    side = max(1, min(SIDE, WIDEST // first[0].shape[-1]))
    lines = min(side, classes) if isinstance(generator, ConditionalGenerator) else side
    if not torch.isfinite(torch.stack(first)).all():
        raise TrainingError("the prior diverged: it draws pixels that are not finite", "pictures", REMEDY)
    return grid([first[:side], *(_line(generator, i, side, device) for i in range(1, lines))])


@torch.no_grad()
def _line(generator: Generator, number: int, count: int, device: torch.device) -> list[Tensor]:
    draws = Run("samples of a prior").generators("z", [(number, i) for i in range(count)])
    return list(_one_by_one(generator, generator.sample(draws).to(device), number))


def _one_by_one(generator: Generator, z: Tensor, number: int) -> Iterator[Tensor]:
    """One picture at a time: at 1024 pixels, more do not fit everywhere."""
    for latent in z.split(1):
        if isinstance(generator, ConditionalGenerator):
            x = generator.synthesize_as(latent, torch.full((1,), number, device=z.device))
        else:
            x = generator.synthesize(latent)
        yield x[0].float().clamp(0, 1).cpu()
