"""Reads checkpoints and puts them into models, strictly: what does not fit is named, never skipped."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from unveil.harness.classifier import Classifier
from unveil.harness.errors import WeightsError

log = logging.getLogger(__name__)
SHOWN = 5  # names listed in an error

State = Mapping[str, Tensor]


def checksum(path: Path) -> str:
    """SHA-256 of a weight file.

    Raises:
        WeightsError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error


def read(path: Path) -> dict[str, Tensor]:
    """Tensors by name from a ``.safetensors`` file or a state dict in a ``.pt`` or ``.pth`` file.

    A state dict may lie under ``"state_dict"`` or ``"model"``, and its names may start with ``"module."``. Pickled
    code is never run.

    Raises:
        WeightsError: If the file is missing, damaged or something else.
    """
    try:
        if path.suffix == ".safetensors":
            return dict(safetensors.torch.load_file(path))
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise whatever its bytes happen to mean
        raise _unreadable(path, error) from error
    for wrapper in ("state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise WeightsError(
            f"{path} holds {type(found).__name__}, not a state dict",
            "tensors by name, as model.state_dict() gives them",
            "save the state dict alone",
        )
    return {name.removeprefix("module."): value for name, value in found.items()}


def load(model: nn.Module, state: State, head: str, stem: Sequence[str] = ()) -> tuple[str, ...]:
    """Loads a checkpoint into a model of the same architecture.

    Args:
        model: To be filled in place.
        state: Tensors by name.
        head: Name of the model's classifier layer; left as it is if the checkpoint knows another number of classes.
        stem: Names of the convolutions that see the image; their weights are summed over colours for grey models.

    Returns:
        Names in the checkpoint that were not used because they belong to a head for other classes.

    Raises:
        WeightsError: If a tensor is missing, unexpected or of another shape.
    """
    wanted = model.state_dict()
    state = _grey(state, wanted, stem)
    for name in wanted.keys() - state.keys():
        if name.endswith("num_batches_tracked"):  # older checkpoints lack this counter, which nothing reads
            state[name] = wanted[name]
    at_head = {name for name in wanted.keys() | state.keys() if name.startswith(f"{head}.")}
    fits = all(name in state and name in wanted and state[name].shape == wanted[name].shape for name in at_head)
    dropped = () if fits else tuple(sorted(at_head & state.keys()))
    state = {name: value for name, value in state.items() if name not in dropped}
    _check(wanted, state, ignored=at_head if dropped or not at_head & state.keys() else set())
    model.load_state_dict(state, strict=False)
    if dropped:
        log.info("the checkpoint's head (%s) is for other classes and was left out", ", ".join(dropped))
    return dropped


def load_in_order(model: nn.Module, tensors: Iterable[Tensor], head: str, stem: Sequence[str] = ()) -> tuple[str, ...]:
    """Loads a checkpoint whose names differ but whose order does not; otherwise like ``load``."""
    names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    found = list(tensors)
    if len(found) != len(names):
        raise WeightsError(
            f"the checkpoint holds {len(found)} tensors",
            f"{len(names)}, one for each of the model's",
            "check that the file belongs to this architecture",
        )
    return load(model, dict(zip(names, found, strict=True)), head, stem)


def adopt(classifier: Classifier, state: State) -> tuple[str, ...]:
    """Loads everything but the head from another classifier of the same architecture, such as one trained publicly.

    Args:
        classifier: To be filled in place.
        state: ``state_dict()`` of the other.

    Returns:
        Names that were left out: the other's head, if it is for another number of classes.

    Raises:
        WeightsError: If the architectures differ.
    """
    return load(classifier, state, "head")


def _grey(state: State, wanted: State, stem: Sequence[str]) -> dict[str, Tensor]:
    """Sums the first convolution over its colours if the model sees grey only: the answer to r = g = b."""
    out = dict(state)
    for name in (f"{module}.weight" for module in stem):
        if name in out and name in wanted and wanted[name].shape[1] == 1:
            out[name] = out[name].sum(1, keepdim=True)
    return out


def _check(wanted: State, state: State, ignored: set[str]) -> None:
    missing = sorted(wanted.keys() - state.keys() - ignored)
    unexpected = sorted(state.keys() - wanted.keys())
    shapes = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & state.keys())
        if state[name].shape != wanted[name].shape
    ]
    named = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    found = [f"{len(names)} {kind}: {_first(names)}" for kind, names in named.items() if names]
    if found:
        raise WeightsError(
            "the checkpoint does not fit the model; tensors " + "; ".join(found),
            "the model's own tensors, each of its shape",
            "check architecture, width and input size against what the checkpoint was trained with",
        )


def _first(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")


def _unreadable(path: Path, error: Exception) -> WeightsError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return WeightsError(
        f"{path} cannot be read as weights: {reason}",
        "a .safetensors file, or a .pt or .pth file with a state dict and no pickled code",
        "check the path, or convert the file with safetensors.torch.save_file(model.state_dict(), ...)",
    )
