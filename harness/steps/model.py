"""A model as its plugin brings it: built once to see that it can be, and again by whoever needs it."""

from __future__ import annotations

from collections.abc import Mapping

from unveil.harness.plan.graph import Node
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefacts import Artefact
from unveil.harness.types import Model, Run
from unveil.harness.words.errors import AssetError, WeightsError


def compute(node: Node, bench: Bench, run: Run) -> Artefact:
    """How large it is.

    Raises:
        AssetError: If its weights cannot be had; whatever is measured with it is not scored then.
        WeightsError: If they are there and do not fit.
    """
    use = node.uses["model"][0]
    model: Model = use.make()
    require_weights(model, use.spec.use.rpartition(":")[2], trained=node.options["trained"])
    data = bench.data(node.parents["data"])
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
