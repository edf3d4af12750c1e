"""Learns a small head for small pictures from what the whole MobileStyleGAN draws, and keeps it in files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.optim import Adam

from unveil.attacks.loop import resumable_steps
from unveil.attacks.priors import gan
from unveil.attacks.priors.mobile_generator import MobileGenerator
from unveil.attacks.priors.mobile_networks import Head
from unveil.harness.assets import weights
from unveil.harness.words.errors import WeightsError
from unveil.harness.words.run import Run, draw_normal

TOGETHER = 2  # pictures of 1024 pixels in memory at once
HELD_OUT = 16  # one in so many pictures is not learnt from
HEADS = Path(__file__).parent / "heads"
MEAN = "w_mean"  # in a file beside the head: the mean style, which is not read


@dataclass(frozen=True)
class Learning:
    """How a head is learnt.

    Attributes:
        pictures: Of the whole network, those that are held out included.
        steps: Of Adam.
        batch: Pictures in a step.
        lr: Learning rate at first.
    """

    pictures: int
    steps: int
    batch: int
    lr: float


def learn(small: MobileGenerator, whole: MobileGenerator, how: Learning, run: Run) -> Mapping[str, Sequence[float]]:
    """Makes the head of one generator draw what the other one draws; the rest of both stays as it is.

    The loss is the mean absolute difference of pixels, at the whole size, half and a quarter of it. Both loops show
    their progress, and go on where they were interrupted.

    Args:
        small: Its ``end`` learns.
        whole: Draws pictures of the same size.
        how: Settings.
        run: Randomness, progress, checkpoints.

    Returns:
        The loss, and in the end the peak signal-to-noise ratio in dB of pictures that were held out.
    """
    truth = _truth(whole, how.pictures, run)
    held = math.ceil(how.pictures / HELD_OUT)
    head = small.end.train().requires_grad_(True)
    adam = Adam(head.parameters(), lr=how.lr, betas=(0.9, 0.99))

    def step(i: int) -> Mapping[str, float]:
        for group in adam.param_groups:
            group["lr"] = how.lr * 0.5 * (1 + math.cos(math.pi * i / how.steps))
        which = torch.randint(held, how.pictures, (how.batch,), generator=run.generator("batch", i)).tolist()
        return {
            "loss": gan.descend(adam, difference(small.drawn(_styles(small, which, run)), _float(truth, which, run)))
        }

    curves = dict(gan.train(run, "head", how.steps, {"head": head, "adam": adam}, step))
    head.eval().requires_grad_(False)
    curves["held-out PSNR"] = [psnr(small, truth, range(held), run)]
    return curves


def difference(x: Tensor, y: Tensor) -> Tensor:
    """Mean absolute difference of pixels ``(N, 3, S, S)``, at three sizes."""
    loss = F.l1_loss(x, y)
    for _ in range(2):
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
        loss = loss + F.l1_loss(x, y)
    return loss


@torch.no_grad()
def psnr(small: MobileGenerator, truth: Tensor, which: Sequence[int], run: Run) -> float:
    """Mean peak signal-to-noise ratio in dB over pictures, of pixels in [0, 1]."""
    found = []
    for k in which:
        error = (small.drawn(_styles(small, [k], run)).clamp(0, 1) - _float(truth, [k], run)).square().mean()
        found.append(-10 * math.log10(max(error.item(), 1e-10)))
    return sum(found) / len(found)


@torch.no_grad()
def _truth(whole: MobileGenerator, count: int, run: Run) -> Tensor:
    """What the whole network draws of the first latents, ``(count, 3, S, S)`` uint8 on the CPU."""
    parts: list[Tensor] = []
    name = "pictures of the whole network"

    def state() -> Mapping[str, Any]:
        return {"pictures": torch.cat(parts)}

    def restore(saved: Mapping[str, Any]) -> None:
        parts[:] = [saved["pictures"]]

    steps = math.ceil(count / TOGETHER)
    for i, bar in resumable_steps(run, name, steps, state, restore):
        which = range(i * TOGETHER, min((i + 1) * TOGETHER, count))
        x = whole.drawn(_styles(whole, which, run)).clamp(0, 1)
        parts.append((x * 255).round().to(torch.uint8).cpu())
        bar.advance(1)
    run.save(name, {"step": steps, "state": dict(state())})
    return torch.cat(parts)


def _styles(drawing: MobileGenerator, which: Sequence[int], run: Run) -> Tensor:
    z = draw_normal(run.generators("picture", [(k,) for k in which]), (drawing.latent,))
    return drawing.map(z.to(run.device))


def _float(truth: Tensor, which: Sequence[int], run: Run) -> Tensor:
    return truth[list(which)].to(run.device).float() / 255


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
