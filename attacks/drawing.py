"""What a search has found, as pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from unveil.attacks.search import CHUNK, Key, labels_of
from unveil.harness.types import ConditionalGenerator, Generator, Images, Run
from unveil.harness.words.gathering import gathered


def show(prior: Generator, z: Tensor, keys: Sequence[Key], run: Run, batch: int = CHUNK) -> Images:
    """Pictures of latents ``(N, latent)``, so many in memory at once, labelled with what they are meant to show."""
    return draw(prior.synthesize, z, keys, run, batch)


def show_as(prior: ConditionalGenerator, z: Tensor, keys: Sequence[Key], run: Run, batch: int = CHUNK) -> Images:
    """As `show`, of a prior that is told what to show."""
    y = iter(labels_of(keys, run).split(min(batch, CHUNK)))
    return draw(lambda part: prior.synthesize_as(part, next(y)), z, keys, run, batch)


@torch.no_grad()
def draw(picture: Callable[[Tensor], Tensor], z: Tensor, keys: Sequence[Key], run: Run, batch: int = CHUNK) -> Images:
    """As `show`, of whatever ``picture`` turns into pixels; keeps what they are made of as the run's ``latents``.

    Many are rounded to 8 bits as they are made, as all are in the end, and put away.
    """
    run.keep("latents", z)
    parts = (picture(part.to(run.device)).clamp(0, 1).float().cpu() for part in z.split(min(batch, CHUNK)))
    return gathered(parts, whom(keys), run.scratch)


def whom(keys: Sequence[Key]) -> Tensor:
    """Labels of samples ``(N,)``, on the CPU."""
    return torch.tensor([key[0] for key in keys])
