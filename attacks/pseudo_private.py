"""Which of an attack's pictures of a person are taken for private ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unveil.attacks.numbers import uniform
from unveil.attacks.search import Descent, Key, State, labels_of, search
from unveil.attacks.selection import best
from unveil.harness.types import Access, Images, Run, View


@dataclass(frozen=True)
class Choice:
    """Takes the pictures that the target knows best, on average over random views.

    Attributes:
        look: Makes a view of pictures by uniform numbers ``(N, numbers)``.
        numbers: How many numbers decide a view.
        views: How many views of each picture, one query each.
        count: How many pictures are taken, at most.
        batch: Pictures in memory at once.
    """

    look: Callable[[Tensor, Tensor], Tensor]
    numbers: int
    views: int
    count: int
    batch: int

    def of(self, images: Images, y: int, view: View, run: Run) -> Tensor:
        """Which pictures of a person, by number, the first first.

        Args:
            images: Pictures of that person.
            y: The person.
            view: The target.
            run: Randomness, progress, checkpoints.
        """
        numbers = uniform(run, "pseudo-private views", self.numbers)

        def start(keys: Sequence[Key]) -> State:
            return {"score": torch.zeros(len(keys), device=run.device), "y": labels_of(keys, run)}

        @torch.no_grad()
        def step(keys: Sequence[Key], state: State, t: int) -> Tensor:
            x = images.at(torch.tensor([i for _, i in keys])).to(run.device)
            known = _known(view, self.look(x, numbers.at(keys, t).to(run.device)), state["y"])
            state["score"] += known / self.views
            return 1 - known

        keys = [(y, i) for i in range(len(images))]
        score = search(view, run, "pseudo-private", keys, self.views, self.batch, Descent(start, step))["score"]
        return best(score[None], self.count)[0].sort().values


def _known(view: View, x: Tensor, y: Tensor) -> Tensor:
    """How sure the target is of each label ``(N,)``; of labels alone, whether it gives that one."""
    if view.access is Access.LABELS:
        return (view.labels(x) == y).float()
    return view.scores(x).float().gather(1, y[:, None])[:, 0]
