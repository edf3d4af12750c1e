"""Choosing among finished candidates: by how well the target still knows them under random views."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from unveil.attacks.numbers import uniform
from unveil.attacks.search import Descent, Key, State, labels_of, search
from unveil.attacks.wspace import WSpace
from unveil.harness.types import Run, View
from unveil.harness.words.crops import NUMBERS, RandomCrop

VIEWS = RandomCrop(scale=(0.5, 0.9), ratio=(0.8, 1.2), flip=0.5)  # of PPA's final selection


def best(score: Tensor, count: int) -> Tensor:
    """Columns of the ``count`` greatest of each row ``(R, N)``, greatest first, equal ones in their order."""
    return score.sort(dim=1, descending=True, stable=True).indices[:, :count]


def best_of_each(score: Tensor, groups: int, count: int) -> Tensor:
    """Which candidates are kept.

    Args:
        score: Of candidates ``(N,)``, group by group, all of one size.
        groups: How many.
        count: How many of each group are kept.

    Returns:
        Their places ``(groups * count,)``, group by group, the best first.
    """
    size = len(score) // groups
    return (best(score.view(groups, size), count) + size * torch.arange(groups)[:, None]).flatten()


def robustness(
    view: View, run: Run, name: str, space: WSpace, w: Tensor, keys: Sequence[Key], views: int, batch: int
) -> State:
    """How well the target knows candidates under random views, one query a view.

    Args:
        view: The target.
        run: Randomness, progress, checkpoints.
        name: Beside the bar.
        space: What styles look like.
        w: One style per candidate ``(N, w_dim)``.
        keys: One per candidate, the first number its label.
        views: How many, of each candidate.
        batch: Images in memory at once.

    Returns:
        ``score``: mean softmax score of the label ``(N,)``; ``share`` of views that are labelled so ``(N,)``.
    """
    shown, crops = _Shown(space, w, keys, run), uniform(run, "views", NUMBERS)

    def start(part: Sequence[Key]) -> State:
        zero = torch.zeros(len(part), device=run.device)
        return {"score": zero, "share": zero.clone(), "y": labels_of(part, run)}

    @torch.no_grad()
    def step(part: Sequence[Key], state: State, t: int) -> Tensor:
        p = view.scores(VIEWS(shown.of(part), crops.at(part, t))).float()
        known = p.gather(1, state["y"][:, None])[:, 0]
        state["score"] += known / views
        state["share"] += (p.argmax(1) == state["y"]) / views
        return 1 - known

    return search(view, run, name, keys, views, batch, Descent(start, step))


class _Shown:
    """Pictures of the candidates of a batch, kept while the batch is looked at."""

    def __init__(self, space: WSpace, w: Tensor, keys: Sequence[Key], run: Run) -> None:
        self._space, self._w, self._device = space, w, run.device
        self._rows = {key: i for i, key in enumerate(keys)}
        self._part: Sequence[Key] = ()
        self._x = torch.empty(0)

    def of(self, part: Sequence[Key]) -> Tensor:
        if self._part != part:
            self._part = part
            self._x = self._space.pictures(self._w[[self._rows[key] for key in part]].to(self._device))
        return self._x
