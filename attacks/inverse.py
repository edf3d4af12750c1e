"""C2FMI's inverse network: from what a target says of a picture to what an embedder sees in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.attacks.loop import resumable_steps
from unveil.harness.types import Classifier, Images, Run, Spent, View, seeded

SLOPE = 0.2  # of its leaky ReLUs
DROPPED = 0.25  # share of the last hidden layer
LOWEST, RAISED = -1000.0, 50.0  # logarithms of scores are no lower, and are raised by so much
HALFLIFE, DECAY = 2, 0.8  # epochs after which the learning rate falls, and to which share


class Inverse(nn.Module):
    """A perceptron with two hidden layers.

    Args:
        classes: Scores that it is told.
        length: Of an embedding.
        width: Of its hidden layers.
        run: Randomness of its weights.
    """

    def __init__(self, classes: int, length: int, width: int, run: Run) -> None:
        super().__init__()
        self.width = width
        with seeded(run, "inverse"):
            self.first, self.second = nn.Linear(classes, width), nn.Linear(width, width)
            self.last = nn.Linear(width, length)

    def forward(self, v: Tensor, kept: Tensor | None = None) -> Tensor:
        """Codes ``(N, classes)`` to embeddings ``(N, length)``; what dropout keeps is scaled by ``kept``."""
        h = F.leaky_relu(self.second(F.leaky_relu(self.first(v), SLOPE)), SLOPE)
        out: Tensor = self.last(h if kept is None else h * kept)
        return out


def code(scores: Tensor, top: int | None = None) -> Tensor:
    """Scores as the network takes them: logarithms, raised above zero, of length 1.

    What is certain has one coordinate: the code of a one-hot vector is that vector.

    Args:
        scores: ``(N, C)``.
        top: How many scores are told, greatest first; all if None.

    Example:
        >>> code(torch.eye(2)).tolist()
        [[1.0, 0.0], [0.0, 1.0]]
    """
    if top is not None and top < scores.shape[1]:
        greatest = scores.topk(top, dim=1)
        scores = torch.zeros_like(scores).scatter(1, greatest.indices, greatest.values)
    v = scores.log().clamp(min=LOWEST) + RAISED
    return F.normalize(v - v.amin(1, keepdim=True).clamp(max=0), dim=1)


def pairs(
    view: View, embedder: Classifier, public: Images, chosen: Tensor, batch: int, run: Run
) -> tuple[Tensor, Tensor]:
    """What a target says of public pictures, one query each, and what an embedder sees in them.

    Args:
        view: The target.
        embedder: On the run's device.
        public: The pictures.
        chosen: Which of them ``(N,)``.
        batch: Pictures in memory at once.
        run: Progress and checkpoints.

    Returns:
        Scores ``(N, C)`` and embeddings ``(N, F)``, on the CPU.
    """
    scores: list[Tensor] = []
    seen: list[Tensor] = []

    def state() -> Mapping[str, Any]:
        return {"scores": scores, "seen": seen, "spent": asdict(view.spent)}

    def restore(saved: Mapping[str, Any]) -> None:
        scores.extend(saved["scores"])
        seen.extend(saved["seen"])
        view.resume(Spent(**saved["spent"]))

    parts = chosen.split(batch)
    for i, bar in resumable_steps(run, "c2f pictures", len(parts), state, restore):
        x = public.at(parts[i]).to(run.device)
        scores.append(view.scores(x).float().cpu())
        with torch.no_grad():
            seen.append(embedder.features(x).float().cpu())
        bar.advance(1)
    return torch.cat(scores), torch.cat(seen)


def teach(inverse: Inverse, v: Tensor, seen: Tensor, epochs: int, batch: int, lr: float, run: Run) -> None:
    """Teaches the network in place, by the mean squared error and Adam; ends in evaluation mode, frozen.

    Args:
        inverse: On the run's device.
        v: Codes ``(N, C)``.
        seen: Embeddings ``(N, F)``.
        epochs: Passes over them.
        batch: Pictures in a batch; the incomplete last one is dropped.
        lr: First learning rate.
        run: Randomness, progress, checkpoints.
    """
    optimiser, count = torch.optim.Adam(inverse.parameters(), lr), max(1, len(v) // batch)

    def state() -> Mapping[str, Any]:
        return {"inverse": inverse.state_dict(), "optimiser": optimiser.state_dict()}

    def restore(saved: Mapping[str, Any]) -> None:
        inverse.load_state_dict(saved["inverse"])
        optimiser.load_state_dict(saved["optimiser"])

    order: Sequence[Tensor] = ()
    for i, bar in resumable_steps(run, "inverse", epochs * count, state, restore):
        epoch, number = divmod(i, count)
        if number == 0 or not order:
            order = torch.randperm(len(v), generator=run.generator("inverse", "order", epoch)).split(batch)
        optimiser.param_groups[0]["lr"] = lr * DECAY ** (epoch // HALFLIFE)
        index = order[number]
        u = torch.rand(len(index), inverse.width, generator=run.generator("inverse", "dropout", i))
        kept = ((u >= DROPPED) / (1 - DROPPED)).to(run.device)
        loss = F.mse_loss(inverse(v[index].to(run.device), kept), seen[index].to(run.device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        bar.advance(1, loss=loss.item())
    inverse.eval().requires_grad_(False)
