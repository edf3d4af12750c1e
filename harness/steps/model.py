"""A model as its plugin brings it: built once to see that it can be, and again by whoever needs it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from unveil.harness.plan.asker import Asker
from unveil.harness.plan.node import Node
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench, owned
from unveil.harness.steps.sizes import sized
from unveil.harness.steps.wishes import Place
from unveil.harness.store.artefact import Artefact
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AssetError, WeightsError
from unveil.harness.words.model import Model
from unveil.harness.words.needs import GivenModel
from unveil.harness.words.run import Run


def answer(asker: Asker, need: GivenModel, place: Place, number: int) -> Node:  # noqa: ARG001 (as all that answer)
    """A model with the weights that it brings."""
    use = asker.use("models", need.model, may_lack=True)
    stream = {"model": use.question, "data": place.data.identity}
    options, parents = {"trained": need.trained}, {"data": place.data}
    return Node("model", f"model {need.model.use}", {"model": (use,)}, options, parents, stream)


def read(node: Node, bench: Bench, run: Run) -> Classifier:
    """A model as its plugin brings it, in evaluation mode; do not change it. It draws its own random numbers."""

    def load() -> Classifier:
        record = bench.store.record(node.key)
        model: Model = node.uses["model"][0].make()
        classifier = sized(model, record["classes"], tuple(record["shape"]), None, owned(node, run))
        fast: Classifier = classifier.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return fast.eval().requires_grad_(False)

    return bench.keep(node, load, run.device)


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """How large it is.

    Raises:
        AssetError: If its weights cannot be had; whatever is measured with it is not scored then.
        WeightsError: If they are there and do not fit.
    """
    use = node.uses["model"][0]
    model: Model = use.make()
    require_weights(model, use.spec.use.rpartition(":")[2], trained=node.options["trained"])
    data = datasets.read(node.parents["data"], bench)
    frozen, trainable = model.build(data.classes, data.train.shape, run).count()
    return Artefact({"classes": data.classes, "shape": list(data.train.shape), "parameters": frozen + trainable})


def require_weights(model: Model, name: str, *, trained: bool) -> None:
    """Refuses a model whose weight files are not there, or that has none where it must.

    Args:
        model: The model plugin.
        name: What to call it.
        trained: Whether it must bring trained weights.

    Raises:
        AssetError: If so.
    """
    try:
        content: Mapping[str, str] = getattr(model, "content", dict)()
    except (AssetError, WeightsError) as error:
        raise AssetError(f"the weights of {name} cannot be had: {error.what}", error.expected, error.todo) from error
    if trained and not content:
        raise AssetError(
            f"{name} has no trained weights",
            "a network that was trained, to be used as it is",
            "set weights = 'a checkpoint of it'",
        )
