"""A target that somebody has trained elsewhere: its weights are taken as they are, and fitted to the data's people."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any, TypeGuard

import torch
from torch import nn

from unveil.harness.models.program import KEPT, ClassOrder, Running
from unveil.harness.models.trained_elsewhere import Reopening
from unveil.harness.plan.asker import Asker, seed_label
from unveil.harness.plan.defense_part import DefensePart
from unveil.harness.plan.node import Node, step
from unveil.harness.plan.parts import TargetPart, checkpoint
from unveil.harness.steps import classifiers
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench, owned
from unveil.harness.steps.expectations import Expectations, Knowledge, expectations
from unveil.harness.steps.preparation import Input
from unveil.harness.store.artefact import Artefact
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.defense import Defense
from unveil.harness.words.errors import PlanError, WeightsError, listed
from unveil.harness.words.images import Data
from unveil.harness.words.run import Run


def is_wanted(part: TargetPart, defense: DefensePart) -> bool:
    """Whether the plan names weights for a target under a defense."""
    return part.trained is not None or defense.trained is not None


def ask(asker: Asker, part: TargetPart, defense: DefensePart, data: Node, seed: int) -> Node:
    """A model of the plan with weights of its own, under a defense that these were trained under.

    Raises:
        PlanError: If a defense would have to act while the target learns, and the weights are not said to be its.
        WeightsError: If the weights cannot be read.
    """
    own = {name: value for name, value in part.spec.settings.items() if name != "weights"}  # nothing starts from them
    model = asker.use("models", dataclasses.replace(part.spec, settings=own))
    defenses = tuple(asker.use("defenses", spec) for spec in defense.stack)
    wanted = checkpoint(defense.trained) or checkpoint(part.trained)
    assert wanted is not None
    if defense.trained is None:
        _require_post_hoc(part, defense, [use.plugin for use in defenses])
    if open_ := [use.name for use in defenses if use.plugin.open]:
        raise PlanError(
            f"{open_[0]} leaves its strength to be picked, and the target {part.label!r} is not trained here",
            "the strength that the weights were trained with",
            f"set it for {open_[0]}",
        )
    trained = asker.use("checkpoints", wanted)
    if asker.is_first(trained, model, *defenses):
        trained.plugin.try_out(model.plugin, partial(_prepared, [use.plugin for use in defenses], Run("tried out")))
    uses = {"model": (model,), "defenses": defenses, "trained": (trained,)}
    stream = {"model": model.question, "seed": seed, "data": data.identity}
    label = f"target {part.label}, as given, with {defense.label}{seed_label(seed)}"
    return Node("given_target", label, uses, {"seed": seed}, {"data": data}, stream)


def _require_post_hoc(part: TargetPart, defense: DefensePart, plugins: list[Any]) -> None:
    for plugin in plugins:
        if not getattr(plugin, "post_hoc", False) and plugin != plugin.at_zero():
            raise PlanError(
                f"the target {part.label!r} is given as trained, and {defense.label!r} acts while a target learns",
                "weights that were trained under that defense",
                f'give the entry {defense.label!r} a key trained = "file" of its own, or remove that of the target',
            )


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """The target, its classes in the order of the data's people, and what it expects of pictures.

    Raises:
        WeightsError: If the weights do not fit, or the model knows other people.
    """
    data = datasets.read(node.parents["data"], bench)
    classifier, facts = fitted(node, bench, data, run)
    tensors = {name: value.cpu() for name, value in classifier.state_dict().items()}
    record = {"classes": classifier.classes, "shape": list(data.train.shape), **facts}
    running = next(filter(_runs, classifier.stages.values()), None)
    return Artefact(record, tensors, {} if running is None else {KEPT: running.content})


def fitted(node: Node, bench: Bench, data: Data, run: Run) -> tuple[Classifier, dict[str, Any]]:
    """A classifier with the weights that a node names, fitted to the data's people, on the run's device.

    Returns:
        The classifier, and what a record says of it.

    Raises:
        WeightsError: If the weights do not fit, or the model knows other people.
    """
    model, trained = (node.uses[role][0].make() for role in ("model", "trained"))
    classifier, notes = trained.restore(model, partial(_defended, node, bench, run), data.train.shape, run)
    _require_classes(classifier, data, node.label)
    frozen, trainable = classifier.count()
    classifier = classifier.to(run.device, memory_format=torch.channels_last).eval()
    found = expectations(classifier, data, _knowledge(model, trained, classifier, data), run)
    reorder(classifier, [*found.order, *(k for k in range(classifier.classes) if k not in found.order)])
    return classifier, {
        "expects": found.plain(),
        "notes": [*notes, *found.notes],
        "frozen": frozen,
        "trainable": trainable,
        "curves": {},
        "chosen": None,
        "facts": _facts(found, classifier.classes, data),
    }


def _facts(found: Expectations, classes: int, data: Data) -> dict[str, str]:
    told = {
        "trained": "elsewhere, and used as it is",
        "classes in the order": f"{found.by}, which names {found.accuracy:.1%} of {found.pictures} private pictures",
        "pictures are given as": found.input.told,
    }
    side = found.input.size or data.train.shape[-1]
    more = {"classes": f"{classes}, of which {data.classes} are checked"} if classes > data.classes else {}
    return {**told, "side of its pictures": str(side), **more}


def read(node: Node, bench: Bench, run: Run) -> Classifier:
    """A target, or an evaluator, with weights that were given, in evaluation mode; do not change it."""
    own = owned(node, run)

    def load() -> Classifier:
        artefact = bench.artefact(node)
        record = artefact.record
        given = Input.of(record["expects"]["input"])
        model = sized(node.uses["model"][0].make(), given.size)
        place = record["classes"], tuple(record["shape"]), own
        bare = model.reopened(artefact.files, *place) if isinstance(model, Reopening) else model.build(*place)
        classifier = _defended(node, bench, own, bare)
        if node.kind == "evaluator":
            step("evaluator").refit(node, classifier, artefact.tensors)
        classifiers.fill(classifier, artefact.tensors, node.label)
        given.give(classifier)
        for defense in classifiers.defenses(node, bench):
            classifier = defense.finish(classifier, own)
        return classifier.to(run.device).eval().requires_grad_(False)

    return bench.keep(node, load, run.device)


def _runs(stage: nn.Module) -> TypeGuard[Running]:
    return isinstance(stage, Running)


def sized(model: Any, size: int | None) -> Any:
    """A model plugin that resizes pictures to a side; some networks have to know it when they are built."""
    has = size is not None and "size" in {field.name for field in dataclasses.fields(model)}
    return dataclasses.replace(model, size=size) if has else model


def _knowledge(model: Any, trained: Any, classifier: Classifier, data: Data) -> Knowledge:
    names, order = trained.names(), None
    if names is not None:
        _require_names(names, classifier, data)
        order = tuple(names.index(name) for name in data.names)
    searched = names is None and trained.order == "auto"
    return Knowledge(order, searched, trained.mean, trained.std, trained.bgr, getattr(model, "size", None))


def _require_classes(classifier: Classifier, data: Data, label: str) -> None:
    if classifier.classes < data.classes:
        raise WeightsError(
            f"{label}: the model tells {classifier.classes} classes apart, and the private pictures show "
            f"{data.classes} people: {listed(data.names)}",
            "a class for each of the private people",
            "leave the folders of people out whom it was not trained on, or name the checkpoint that was",
        )


def _require_names(names: tuple[str, ...], classifier: Classifier, data: Data) -> None:
    absent = [name for name in data.names if name not in names]
    if len(names) != classifier.classes or absent:
        raise WeightsError(
            f"the order of the classes has {len(names)} names"
            + (f", and {listed(absent)} are not among them" if absent else "")
            + f"; the model has {classifier.classes} classes",
            "a name for each class, and among them those of all private people",
            "correct the file",
        )


def _defended(node: Node, bench: Bench, run: Run, classifier: Classifier) -> Classifier:
    return _prepared(classifiers.defenses(node, bench), run, classifier)


def _prepared(defenses: Sequence[Defense], run: Run, classifier: Classifier) -> Classifier:
    for defense in defenses:
        classifier = defense.prepare(classifier, run)
    return classifier


def reorder(classifier: Classifier, order: list[int]) -> None:
    """Puts a classifier's classes in another order: class i is what was class ``order[i]``.

    Raises:
        WeightsError: If its answers are not those of a linear layer.
    """
    head = classifier.head
    rows = torch.tensor(order)
    if isinstance(head, ClassOrder):
        head.reorder(rows)
        return
    last = [module for module in head.modules() if isinstance(module, nn.Linear)][-1:]
    if not last or last[0].out_features != len(order):
        raise WeightsError(
            f"the head of the model is a {type(head).__name__}, whose classes cannot be put in another order",
            "a head that ends in a linear layer",
            "train it with a linear head, or name the people's folders in the order of its classes",
        )
    with torch.no_grad():
        last[0].weight.copy_(last[0].weight[rows.to(last[0].weight.device)])
        if last[0].bias is not None:
            last[0].bias.copy_(last[0].bias[rows.to(last[0].bias.device)])
