"""How classifiers are trained: one recipe for every defense, so that only the defense differs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unveil.harness.words.errors import PlanError
from unveil.harness.words.run import Run

Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]


@dataclass(frozen=True)
class Changes:
    """What augmentation does to each picture of a batch.

    Attributes:
        flip: Whether it is mirrored ``(N,)``.
        shift: Pixels it is moved down and right ``(N, 2)``; the edge is repeated.
        gain: What its brightness is multiplied with ``(N,)``.
    """

    flip: Tensor
    shift: Tensor
    gain: Tensor

    def __getitem__(self, index: Tensor) -> Changes:
        return Changes(self.flip[index], self.shift[index], self.gain[index])

    def apply(self, x: Tensor) -> Tensor:
        """Changes pixels ``(N, C, H, W)`` in [0, 1]; the result is in [0, 1], too."""
        n, c, h, w = x.shape
        flip, shift, gain = self.flip.to(x.device), self.shift.to(x.device), self.gain.to(x.device)
        rows = (torch.arange(h, device=x.device) - shift[:, :1]).clamp(0, h - 1)
        columns = (torch.arange(w, device=x.device) - shift[:, 1:]).clamp(0, w - 1)
        columns = torch.where(flip[:, None], w - 1 - columns, columns)
        source = (rows[:, :, None] * w + columns[:, None, :]).view(n, 1, h * w).expand(n, c, h * w)
        moved = x.reshape(n, c, h * w).gather(2, source).view(n, c, h, w)
        return (moved * gain.view(n, 1, 1, 1)).clamp(0, 1)


@dataclass(frozen=True)
class Recipe:
    """Optimiser, schedule, augmentation and model selection.

    Attributes:
        epochs: Passes over the training pictures.
        batch: Most pictures in a batch; an epoch is cut into batches of equal size, give or take one.
        optimiser: ``"sgd"``, ``"adam"`` or ``"adamw"``.
        lr: Highest learning rate.
        momentum: Of SGD; the first beta of Adam.
        weight_decay: L2 penalty of SGD and Adam; decoupled for AdamW.
        schedule: ``"constant"``, ``"cosine"`` (to zero at the end) or ``"step"``.
        milestones: Epochs from which a step schedule multiplies the rate with ``gamma`` once more.
        gamma: See ``milestones``.
        warmup: Epochs over which the rate first rises linearly.
        flip: Whether pictures are mirrored at random.
        shift: Pixels a picture is moved at most, in both directions.
        brightness: Brightness is multiplied with 1 - this to 1 + this.
        views: Number of versions of each picture drawn in advance, of which each epoch picks one, so that a frozen
            prefix is computed once per version; 0 draws a new version every epoch.
        select: ``"best"`` keeps the epoch with the best validation accuracy (among equals, the lowest validation
            loss), ``"last"`` the last.
        grad_clip: Largest norm of the gradient; None does not limit it.
        balance: Whether all classes are drawn equally often however many pictures they have.
    """

    epochs: Count = 16
    batch: Count = 64
    optimiser: Literal["sgd", "adam", "adamw"] = "adamw"
    lr: Annotated[float, Field(gt=0)] = 3e-3
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Amount = 1e-2
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    milestones: tuple[Count, ...] = ()
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup: Amount = 1.0
    flip: bool = True
    shift: Annotated[int, Field(ge=0)] = 3
    brightness: Annotated[float, Field(ge=0, le=1)] = 0.2
    views: Annotated[int, Field(ge=0)] = 8
    select: Literal["best", "last"] = "best"
    grad_clip: Annotated[float, Field(gt=0)] | None = None
    balance: bool = False

    def __post_init__(self) -> None:
        if self.milestones and self.schedule != "step":
            raise PlanError(
                f"milestones = {list(self.milestones)} with schedule = {self.schedule!r}",
                "milestones only with schedule = 'step'",
                "set schedule = 'step' or drop the milestones",
            )

    @property
    def changes(self) -> bool:
        """Whether there is any augmentation."""
        return self.flip or self.shift > 0 or self.brightness > 0

    def rate(self, epoch: float, batches: int) -> float:
        """Learning rate.

        Args:
            epoch: Time in epochs from the start, in [0, epochs).
            batches: Number of batches in an epoch; the first step of a warm-up is one of them high, not zero.
        """
        if epoch < self.warmup:
            return self.lr * min(1.0, (epoch + 1 / batches) / self.warmup)
        if self.schedule == "step":
            return self.lr * self.gamma ** sum(int(epoch) >= milestone for milestone in self.milestones)
        if self.schedule == "cosine":
            return self.lr * 0.5 * (1 + math.cos(math.pi * (epoch - self.warmup) / (self.epochs - self.warmup)))
        return self.lr

    def make_optimiser(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """An optimiser with these settings."""
        if self.optimiser == "sgd":
            return torch.optim.SGD(parameters, self.lr, momentum=self.momentum, weight_decay=self.weight_decay)
        kind = torch.optim.Adam if self.optimiser == "adam" else torch.optim.AdamW
        return kind(parameters, self.lr, betas=(self.momentum, 0.999), weight_decay=self.weight_decay)

    def batches(self, labels: Tensor, epoch: int, run: Run) -> list[Tensor]:
        """Indices of the pictures in each batch of an epoch, in the order in which they are shown."""
        generator = run.generator("order", epoch)
        order = _balanced(labels, generator) if self.balance else torch.randperm(len(labels), generator=generator)
        return list(order.tensor_split(math.ceil(len(order) / self.batch)))

    def pick_views(self, n: int, epoch: int, run: Run) -> Tensor:
        """Which version of each of n pictures an epoch shows ``(n,)``."""
        return torch.randint(max(self.views, 1), (n,), generator=run.generator("pick", epoch))

    def draw(self, n: int, generator: torch.Generator) -> Changes:
        """One version of each of n pictures."""
        flip = torch.rand(n, generator=generator) < 0.5 * self.flip
        shift = torch.randint(-self.shift, self.shift + 1, (n, 2), generator=generator)
        gain = 1 + self.brightness * (2 * torch.rand(n, generator=generator) - 1)
        return Changes(flip, shift, gain)

    def draw_views(self, n: int, run: Run) -> Changes:
        """All versions of n pictures; version v of picture i is at ``v * n + i``."""
        drawn = [self.draw(n, run.generator("view", v)) for v in range(self.views)]
        return Changes(*(torch.cat([getattr(d, name) for d in drawn]) for name in ("flip", "shift", "gain")))


def _balanced(labels: Tensor, generator: torch.Generator) -> Tensor:
    """As many indices as there are labels; every class in turn, each class's pictures without repetition in turn."""
    members = [torch.nonzero(labels == label).flatten() for label in torch.unique(labels)]
    turns = math.ceil(len(labels) / len(members))
    columns = []
    for member in members:
        laps = math.ceil(turns / len(member))
        laid = torch.cat([member[torch.randperm(len(member), generator=generator)] for _ in range(laps)])
        columns.append(laid[:turns])
    rows = torch.stack(columns, dim=1)  # (turn, class)
    mixed = torch.stack([row[torch.randperm(len(row), generator=generator)] for row in rows])
    return mixed.flatten()[: len(labels)]
