"""Fisher information of a target's layers: the squared gradient of each picture alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from unveil.harness.types import Classifier, Images, Run

Loss = Callable[[Tensor, Tensor], Tensor]
Layers = Mapping[str, tuple[str, ...]]


def layers_of(classifier: Classifier, probe: Tensor, *, norms: bool) -> dict[str, tuple[str, ...]]:
    """Layers and the names of their parameters, in the order in which a forward pass first calls them.

    A layer that is not called (some attention reads its weights instead) stands behind the one declared before it.

    Args:
        classifier: In evaluation mode.
        probe: A picture ``(1, C, H, W)`` on its device.
        norms: Whether modules whose weight is a vector count, too.
    """
    owners = {
        name: module
        for name, module in classifier.named_modules()
        if isinstance(weight := module._parameters.get("weight"), Tensor) and (norms or weight.ndim > 1)
    }
    called = calls(classifier, owners, probe)
    places, before = {}, -1.0
    for name in owners:
        places[name] = before = called.get(name, before + 1e-3)
    return {
        name.removeprefix("stages."): tuple(f"{name}.{p}" for p, _ in owners[name].named_parameters(recurse=False))
        for name in sorted(places, key=lambda name: places[name])
    }


@torch.no_grad()
def calls(classifier: Classifier, modules: Mapping[str, nn.Module], probe: Tensor) -> dict[str, int]:
    """When each module was first called, counted in calls; those that were not are left out."""
    seen: dict[str, int] = {}

    def watch(name: str) -> Callable[[nn.Module, Any], None]:
        return lambda *_: seen.update({name: seen.get(name, len(seen))})

    hooks = [module.register_forward_pre_hook(watch(name)) for name, module in modules.items()]
    try:
        classifier.logits(probe)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def fisher_information(
    classifier: Classifier, layers: Layers, loss: Loss, images: Images, chunk: int, run: Run
) -> NDArray[np.float64]:
    """Mean squared gradient over the parameters of each layer, for each picture ``(N, L)``.

    Args:
        classifier: In evaluation mode, on the run's device; neither it nor its flags are changed.
        layers: Names of parameters by layer.
        loss: Logits ``(1, C)`` and label ``(1,)`` to the loss of one sample ``(1,)``.
        images: Pictures and labels, N > 0.
        chunk: Pictures at a time.
        run: Device and progress.
    """
    state = {name: t.detach() for name, t in [*classifier.named_parameters(), *classifier.named_buffers()]}
    wanted = {name: state[name] for names in layers.values() for name in names}

    def one(parameters: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        logits = functional_call(classifier, {**state, **parameters}, (x[None],))
        return loss(logits.float(), y[None])[0]

    out, together = [], True
    with run.progress("fisher", len(images)) as bar:
        for start in range(0, len(images), chunk):
            part = images[start : start + chunk]
            x, y = part.pixels.to(run.device), part.labels.to(run.device)
            together, squares = squared(one, wanted, x, y, together=together)
            out.append(torch.stack([over(squares, names) for names in layers.values()], 1).cpu().numpy())
            bar.advance(len(part))
    return np.concatenate(out)


def over(squares: Mapping[str, tuple[Tensor, int]], names: Sequence[str]) -> Tensor:
    """Mean over all parameters of a layer: squared gradients summed ``(N,)``, by how many numbers they are."""
    total = torch.stack([squares[name][0] for name in names]).sum(0)
    return total / sum(squares[name][1] for name in names)


def squared(
    one: Callable[..., Tensor], wanted: Mapping[str, Tensor], x: Tensor, y: Tensor, *, together: bool
) -> tuple[bool, dict[str, tuple[Tensor, int]]]:
    """Squared gradients of each picture, summed over each parameter ``(N,)``, with the size of the parameter.

    Args:
        one: Parameters, a picture and its label to its loss.
        wanted: The parameters.
        x: Pictures ``(N, C, H, W)``.
        y: Labels ``(N,)``.
        together: Whether to try all pictures at once.

    Returns:
        Whether that went, and the sums.
    """
    sums: dict[str, Tensor] = {}
    if together:
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "There is a performance drop")  # an operation that is looped over
                found = vmap(grad(one), in_dims=(None, 0, 0))(dict(wanted), x, y)
            sums = {name: g.double().square().flatten(1).sum(1) for name, g in found.items()}
        except RuntimeError:  # no batching rule, or a step that depends on a value: picture by picture instead
            together = False
    if not together:
        rows = list(alone(one, wanted, x, y))
        sums = {name: torch.stack([row[i] for row in rows]) for i, name in enumerate(wanted)}
    return together, {name: (sums[name], wanted[name].numel()) for name in wanted}


def alone(one: Callable[..., Tensor], wanted: Mapping[str, Tensor], x: Tensor, y: Tensor) -> Iterator[list[Tensor]]:
    """Squared gradient of one picture after the other, summed over each parameter."""
    for picture, label in zip(x, y, strict=True):
        leaves = {name: t.clone().requires_grad_() for name, t in wanted.items()}
        with torch.enable_grad():
            found = torch.autograd.grad(one(leaves, picture, label), list(leaves.values()), materialize_grads=True)
        yield [g.double().square().sum() for g in found]
