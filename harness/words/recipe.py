"""How classifiers are trained: one recipe for every defense, so that only the defense differs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from unveil.harness.words import batches
from unveil.harness.words.augmentation import Changes
from unveil.harness.words.crops import NUMBERS, RandomCrop
from unveil.harness.words.errors import PlanError
from unveil.harness.words.run import Run
from unveil.harness.words.spec import LATER

Count = Annotated[int, Field(ge=1)]
Amount = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Above = Annotated[float, Field(gt=0, allow_inf_nan=False)]


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
        people: People in a batch, each with ``each`` pictures, so that ``batch`` is their product; 16 with 4 in BiDO's
            published training. None draws pictures whoever is on them.
        each: Pictures of each person in a batch; only with ``people``.
        crop: Least and greatest share of its area that a crop at a random place shows of a picture, resized to the
            whole; (.85, 1) in PPA's published training. None does not crop.
        crop_ratio: Least and greatest width over height of the crop.
        contrast: Contrast is multiplied with 1 - this to 1 + this.
        saturation: Saturation is multiplied with 1 - this to 1 + this.
        hue: Hues are turned by at most this share of the circle, either way.
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
    people: Annotated[Count | None, LATER] = None
    each: Annotated[Count | None, LATER] = None
    crop: Annotated[tuple[Share, Share] | None, LATER] = None
    crop_ratio: Annotated[tuple[Above, Above], LATER] = (1.0, 1.0)
    contrast: Annotated[Share, LATER] = 0.0
    saturation: Annotated[Share, LATER] = 0.0
    hue: Annotated[Annotated[float, Field(ge=0, le=0.5)], LATER] = 0.0

    def __post_init__(self) -> None:
        if self.milestones and self.schedule != "step":
            raise PlanError(
                f"milestones = {list(self.milestones)} with schedule = {self.schedule!r}",
                "milestones only with schedule = 'step'",
                "set schedule = 'step' or drop the milestones",
            )
        self._require_batches()
        self._require_crops()

    def _require_batches(self) -> None:
        people, each = self.people, self.each
        if (people is None) != (each is None):
            raise PlanError(
                f"people = {people} with each = {each}", "both, or neither", "say how many pictures of each person"
            )
        if people is not None and each is not None and people * each != self.batch:
            raise PlanError(
                f"batch = {self.batch} with people = {people} and each = {each}",
                f"a batch of {people * each}",
                f"set batch = {people * each}",
            )
        if people is not None and self.balance:
            raise PlanError(
                "people with balance = true", "one of them", "people come equally often anyhow: drop balance"
            )

    def _require_crops(self) -> None:
        for name, pair in (("crop", self.crop), ("crop_ratio", self.crop_ratio)):
            if pair is not None and not 0 < pair[0] <= pair[1]:
                raise PlanError(f"{name} = {list(pair)}", "the least, above 0, then the greatest", f"correct {name}")
        if self.crop is None and self.crop_ratio != (1.0, 1.0):
            raise PlanError(
                f"crop_ratio = {list(self.crop_ratio)}, and no crop", "both", "set crop, such as [0.85, 1.0]"
            )

    @property
    def changes(self) -> bool:
        """Whether there is any augmentation."""
        return self.flip or self.shift > 0 or self.brightness > 0 or self.crop is not None or self._jitters

    @property
    def _jitters(self) -> bool:
        return max(self.contrast, self.saturation, self.hue) > 0

    def plain(self) -> Recipe:
        """The same without augmentation."""
        still = replace(self, flip=False, shift=0, brightness=0.0, crop=None, crop_ratio=(1.0, 1.0))
        return replace(still, contrast=0.0, saturation=0.0, hue=0.0)

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
        if self.people is not None and self.each is not None:
            return batches.by_people(labels, self.people, self.each, generator)
        return (batches.balanced if self.balance else batches.shuffled)(labels, self.batch, generator)

    def pick_views(self, n: int, epoch: int, run: Run) -> Tensor:
        """Which version of each of n pictures an epoch shows ``(n,)``."""
        return torch.randint(max(self.views, 1), (n,), generator=run.generator("pick", epoch))

    def draw(self, n: int, generator: torch.Generator) -> Changes:
        """One version of each of n pictures."""
        flip = torch.rand(n, generator=generator) < 0.5 * self.flip
        shift = torch.randint(-self.shift, self.shift + 1, (n, 2), generator=generator)
        gain = 1 + self.brightness * (2 * torch.rand(n, generator=generator) - 1)
        crop = None if self.crop is None else RandomCrop(self.crop, self.crop_ratio)
        numbers = None if crop is None else torch.rand(n, NUMBERS, generator=generator)
        return Changes(flip, shift, gain, numbers, self._draw_jitter(n, generator) if self._jitters else None, crop)

    def _draw_jitter(self, n: int, generator: torch.Generator) -> Tensor:
        most = torch.tensor([self.contrast, self.saturation, self.hue])
        return torch.tensor([1.0, 1.0, 0.0]) + most * (2 * torch.rand(n, 3, generator=generator) - 1)

    def draw_views(self, n: int, run: Run) -> Changes:
        """All versions of n pictures; version v of picture i is at ``v * n + i``."""
        return Changes.joined([self.draw(n, run.generator("view", v)) for v in range(self.views)])
