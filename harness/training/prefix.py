"""Training batches as they enter the part of a classifier that trains; a frozen prefix is computed once per picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from unveil.harness.words.classifier import Classifier
from unveil.harness.words.defense import Defense
from unveil.harness.words.images import Images
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run

BUDGET = 2 * 2**30  # bytes of prefix outputs that a training keeps; what is more is computed anew each time
CHUNK = 128  # pictures per pass when the prefix is computed in advance


class Source:
    """Augmented batches, and what the frozen prefix makes of them.

    Attributes:
        depth: Number of leading stages that are frozen; batches come as the output of that many.
        shown: Pictures per epoch.

    Args:
        classifier: Already prepared by all defenses and on the run's device.
        defenses: Their ``augment`` changes batches.
        images: Pictures to draw from.
        recipe: Augmentation and order.
        run: Randomness and device.
        budget: Bytes of prefix outputs that may be kept; None for as many as a training may keep.
    """

    def __init__(
        self,
        classifier: Classifier,
        defenses: Sequence[Defense],
        images: Images,
        recipe: Recipe,
        run: Run,
        budget: int | None = None,
    ) -> None:
        self.budget = BUDGET if budget is None else budget
        self.classifier, self.images, self.recipe, self.run = classifier, images, recipe, run
        self.depth, self.shown = classifier.frozen_depth, len(images)
        self.augmenting = [d for d in defenses if type(d).augment is not Defense.augment]
        self._fresh = recipe.changes and not recipe.views
        self._changes = recipe.draw_views(self.shown, run) if recipe.changes and recipe.views else None
        self._rows = torch.arange(self.shown)  # row v * N + i is version v of picture i
        repeats = self.depth > 0 and self.shown > 0 and not self._fresh and not self.augmenting
        self._kept = self._compute() if repeats else None

    @property
    def left(self) -> int:
        """Bytes that may still be kept of other pictures."""
        return self.budget - (0 if self._kept is None else self._kept.nbytes)

    def epoch(self, epoch: int) -> None:
        """Starts an epoch: draws or picks the version of each picture that it shows."""
        if self._fresh:
            self._changes = self.recipe.draw(self.shown, self.run.generator("fresh", epoch))
        elif self._changes is not None:
            self._rows = self.recipe.pick_views(self.shown, epoch, self.run) * self.shown + torch.arange(self.shown)

    def batch(self, index: Tensor, run: Run) -> tuple[Tensor, Tensor, Tensor]:
        """Augmented pixels ``(n, C, H, W)``, labels ``(n,)``, and the output of the frozen prefix.

        Args:
            index: Pictures of the batch.
            run: Randomness of this step, for the defenses' ``augment``.
        """
        rows = self._rows[index]
        batch = Images(self._pixels(rows), self.images.labels[index].to(self.run.device))
        for defense in self.augmenting:
            batch = defense.augment(batch, run)
        h = self._prefix(batch.pixels) if self._kept is None else _nhwc(self._kept[rows.to(self._kept.device)])
        return batch.pixels, batch.labels, h

    def in_order(self) -> Iterator[Tensor]:
        """Outputs of the frozen prefix for all pictures, as they are, a chunk at a time."""
        for rows in torch.split(torch.arange(self.shown), CHUNK):
            yield self._prefix(self._pixels(rows)) if self._kept is None else _nhwc(self._kept[rows])

    def _pixels(self, rows: Tensor) -> Tensor:
        x = self.images.at(rows % self.shown).to(self.run.device)
        return x if self._changes is None else self._changes[rows].apply(x)

    @torch.no_grad()
    def _prefix(self, x: Tensor) -> Tensor:
        with self.run.autocast():
            return self.classifier.prefix(_nhwc(x), self.depth)

    def _compute(self) -> Tensor | None:
        """The prefix of every version of every picture, or None if that is more than the budget."""
        rows = torch.arange(self.shown if self._changes is None else len(self._changes.flip))
        self.classifier.train()  # frozen stages evaluate whatever the mode; this is the mode they are used in
        one = self._prefix(self._pixels(rows[:1]))
        if one.nbytes * len(rows) > self.budget:
            return None
        kept = one.new_empty(len(rows), *one.shape[1:])
        with self.run.progress("frozen stages", len(rows)) as bar:
            for part in torch.split(rows, CHUNK):
                kept[part] = self._prefix(self._pixels(part))
                bar.advance(len(part))
        return kept


def _nhwc(h: Tensor) -> Tensor:
    """The memory format that convolutions are fastest in, where there is a choice."""
    return h.contiguous(memory_format=torch.channels_last) if h.ndim == 4 else h
