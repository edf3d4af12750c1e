"""Heads of a cut MobileStyleGAN in files: those of this package, written in half precision, and read back strictly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unveil.harness.assets import weights
from unveil.harness.models.mobile_networks import Head
from unveil.harness.words.errors import WeightsError

HEADS = Path(__file__).parent / "heads"
MEAN = "w_mean"  # in a file beside the head: the mean style, which is not read


def shipped(framing: str) -> Mapping[int, Path]:
    """The heads for a framing that come with this package, by the size of their pictures; their terms lie beside."""
    found = sorted(HEADS.glob(f"mobile_style_*_{framing}.safetensors"))
    return {int(path.name.split("_")[2]): path for path in found}


def write(path: Path, head: Head, framing: str, size: int, facts: Mapping[str, str]) -> None:
    """Writes a head in half precision.

    Args:
        path: A ``.safetensors`` file.
        head: What was learnt.
        framing: What it was learnt for.
        size: Of its pictures.
        facts: How it was learnt, and its terms.
    """
    state = {name: tensor.half().cpu().contiguous() for name, tensor in head.state_dict().items()}
    save_file(state, path, {**facts, "framing": framing, "size": str(size)})


def read(path: Path, framing: str, size: int | None) -> tuple[Mapping[str, Tensor], Sequence[str]]:
    """A head's tensors in full precision, and what a reader must know of the file.

    Args:
        path: A file that ``write`` wrote, or the same without words.
        framing: What it is wanted for.
        size: Of the wanted pictures; None: any.

    Raises:
        WeightsError: If it is no such file, or for another framing or size.
    """
    state, told = _contents(path)
    for name, wanted in (("framing", framing), ("size", None if size is None else str(size))):
        if wanted is not None and told.get(name, wanted) != wanted:
            raise WeightsError(
                f"{path} is a head for {name} {told[name]}",
                f"one for {wanted}",
                "name another file, or let one be learnt",
            )
    silent = [name for name in ("framing", "size") if name not in told]
    return state, [f"the head does not say which {' and '.join(silent)} it is for"] if silent else []


def widths(path: Path) -> tuple[int, Sequence[int]]:
    """Channels of the features that a head draws from, and behind each of its doublings.

    Raises:
        WeightsError: If it is no head's file.
    """
    state, _ = _contents(path)
    return state["c1.weight"].shape[1], tuple(len(state[f"m{n}.bias"]) for n in range(3, _rows(state) + 1, 2))


def _rows(state: Mapping[str, Tensor]) -> int:
    return sum(name[0] == "m" and name.endswith(".bias") for name in state)


def _ranks(rows: int) -> Mapping[str, int]:
    layers = {f"m{n}": 2 for n in range(1, rows + 1)} | {f"c{n}": 4 for n in range(1, rows + 1)}
    ranks = layers | {f"d{n}": 4 for n in range(1, rows)}
    kernels = {f"{layer}.weight": rank for layer, rank in ranks.items()}
    return kernels | {f"{layer}.bias": 1 for layer in ranks}


def _contents(path: Path) -> tuple[dict[str, Tensor], Mapping[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            told: dict[str, str] = file.metadata() or {}
            state = {name: file.get_tensor(name).float() for name in file.keys() if name != MEAN}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path} cannot be read: {error}", "a head's .safetensors file", "correct the path"
        ) from error
    rows = _rows(state)
    if rows < 3 or rows % 2 == 0 or {name: tensor.ndim for name, tensor in state.items()} != _ranks(rows):
        raise WeightsError(
            f"{path} holds {', '.join(sorted(state)[:5])}",
            f"the tensors {', '.join(_ranks(3))}, and four more for each doubling more",
            "name a head's file",
        )
    weights.require_numbers(state, str(path))
    return state, told
