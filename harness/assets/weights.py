"""Puts checkpoints into models, strictly: what does not fit is named, never skipped."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor, nn

from unveil.harness.assets.checkpoints import EXPECTED, Checkpoint, require_file
from unveil.harness.assets.wrappers import in_order, select
from unveil.harness.words.errors import WeightsError, listed
from unveil.harness.words.finite import SHOWN as FEW
from unveil.harness.words.finite import not_finite

log = logging.getLogger(__name__)
SHOWN = 5  # names listed in an error
WHOLE = ""  # in place of a head's name: the head must be there, too

State = Mapping[str, Tensor]


def checksum(path: Path) -> str:
    """SHA-256 of a weight file.

    Raises:
        WeightsError: If it cannot be read.
    """
    require_file(path)
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WeightsError(f"{path} cannot be read as weights: {reason}", EXPECTED, "correct the path") from error


def load(model: nn.Module, checkpoint: Checkpoint, head: str, stem: Sequence[str] = ()) -> tuple[str, ...]:
    """Loads a checkpoint into a model of the same architecture.

    Args:
        model: To be filled in place.
        checkpoint: As read. What wrappers have put before or into its names is taken off.
        head: Name of the model's classifier layer; left as it is if the checkpoint knows another number of classes.
            ``WHOLE``: it must fit as all the rest.
        stem: Names of the convolutions that see the image; their weights are summed over colours for grey models.

    Returns:
        What a reader of the results must know of how it was read.

    Raises:
        WeightsError: If a tensor is missing, unexpected, of another shape or kind, or holds NaN or infinity.
    """
    found, notes = select(checkpoint, model.state_dict().keys())
    _fill(model, found.tensors, head, stem, str(checkpoint.path))
    return (*notes, *_rounded(found.tensors))


def load_in_order(model: nn.Module, checkpoint: Checkpoint, head: str, stem: Sequence[str] = ()) -> tuple[str, ...]:
    """Loads a checkpoint whose names differ but whose order does not; otherwise like ``load``."""
    names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
    tensors, notes = in_order(checkpoint, len(names))
    state = dict(zip(names, tensors, strict=True))
    _fill(model, state, head, stem, str(checkpoint.path))
    return (*notes, *_rounded(state))


def _require_floats(wanted: State, state: State, source: str) -> None:
    """Refuses integers where the model has fractions: load_state_dict would take them for the weights."""
    odd = [
        f"{name} is {str(value.dtype).removeprefix('torch.')}"
        for name, value in state.items()
        if wanted[name].is_floating_point() and not value.is_floating_point()
    ]
    if odd:
        raise WeightsError(
            f"{source} holds quantised weights: {listed(odd, FEW)}",
            "floating-point weights",
            "save them before quantising",
        )


def require_numbers(state: State, source: str) -> None:
    """Refuses weights that are not numbers.

    Raises:
        WeightsError: If a tensor holds NaN or infinity, or a variance is below zero.
    """
    if found := not_finite(state):
        raise WeightsError(
            f"{source} holds NaN or infinity in {listed(found, FEW)}",
            "finite weights",
            "take a checkpoint from before that training diverged",
        )
    negative = [name for name, value in state.items() if name.endswith("running_var") and bool((value < 0).any())]
    if negative:
        raise WeightsError(
            f"{source} holds variances below zero in {listed(negative, FEW)}: with them the model answers NaN",
            "variances of 0 or more",
            "take another checkpoint: this one is damaged, or its tensors have been mixed up",
        )


def _fill(model: nn.Module, state: State, head: str, stem: Sequence[str], source: str) -> tuple[str, ...]:
    """Loads tensors by name; gives the names of a head for other classes, which was left out."""
    wanted = model.state_dict()
    state = _shaped(_grey(state, wanted, stem), wanted)
    for name in wanted.keys() - state.keys():
        if name.endswith("num_batches_tracked"):  # older checkpoints lack this counter, which nothing reads
            state[name] = wanted[name]
    at_head = {name for name in wanted.keys() | state.keys() if name.startswith(f"{head}.")}
    fits = all(name in state and name in wanted and state[name].shape == wanted[name].shape for name in at_head)
    dropped = () if fits else tuple(sorted(at_head & state.keys()))
    state = {name: value for name, value in state.items() if name not in dropped}
    _check(wanted, state, at_head if dropped or not at_head & state.keys() else set(), source)
    _require_floats(wanted, state, source)
    require_numbers(state, source)
    model.load_state_dict(state, strict=False)
    if dropped:
        log.info("the checkpoint's head (%s) is for other classes and was left out", ", ".join(dropped))
    return dropped


def _rounded(state: State) -> tuple[str, ...]:
    """Says so where numbers were kept in another precision than the model's."""
    kinds = sorted({str(t.dtype).removeprefix("torch.") for t in state.values() if t.is_floating_point()} - {"float32"})
    return (f"the checkpoint's numbers are {' and '.join(kinds)}, taken as float32",) if kinds else ()


def _grey(state: State, wanted: State, stem: Sequence[str]) -> dict[str, Tensor]:
    """Sums the first convolution over its colours if the model sees grey only: the answer to r = g = b."""
    out = dict(state)
    for name in (f"{module}.weight" for module in stem):
        if name in out and name in wanted and wanted[name].shape[1] == 1:
            out[name] = out[name].sum(1, keepdim=True)
    return out


def _shaped(state: State, wanted: State) -> dict[str, Tensor]:
    """Linear layers as 1x1 convolutions, and the other way round, which is the same numbers."""
    alike = {
        name: value.reshape(wanted[name].shape)
        for name, value in state.items()
        if name in wanted and {value.ndim, wanted[name].ndim} == {2, 4} and _matrix(value) == _matrix(wanted[name])
    }
    return {**state, **alike}


def _matrix(value: Tensor) -> tuple[int, ...]:
    shape = tuple(value.shape)
    return shape[:2] if shape[2:] == (1, 1) else shape


def _check(wanted: State, state: State, ignored: set[str], source: str) -> None:
    missing = sorted(wanted.keys() - state.keys() - ignored)
    unexpected = sorted(state.keys() - wanted.keys())
    shapes = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in sorted(wanted.keys() & state.keys())
        if state[name].shape != wanted[name].shape
    ]
    named = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    found = [f"{len(names)} {kind}: {listed(names, SHOWN)}" for kind, names in named.items() if names]
    if found:
        raise WeightsError(
            f"{source} does not fit the model; tensors {'; '.join(found)}",
            "the model's own tensors, each of its shape",
            "check architecture, width and input size against what the checkpoint was trained with",
        )
