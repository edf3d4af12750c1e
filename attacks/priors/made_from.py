"""What a GAN prior is made from besides public pictures: another generator that it starts from, or learns from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn

from unveil.harness.assets import fetch as assets
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.types import Generator, Given, Images, Need, Origin, Spec, TrainedPrior
from unveil.harness.words.needs import NEEDED
from unveil.harness.words.pixel_file import exactly
from unveil.harness.words.pixels import Stored
from unveil.harness.words.run import Run
from unveil.harness.words.spec import HeldPrior

Start: TypeAlias = Literal["z100", "digiface"] | HeldPrior
TOGETHER = 64  # pictures of another prior in memory at once


def needs(start: Start, learn_from: Spec | None) -> Mapping[str, Need]:
    """The priors whose generator one starts from, and whose pictures one learns from, where there are such."""
    wanted = {"start": start, "learn_from": learn_from}
    return {role: TrainedPrior(spec) for role, spec in wanted.items() if isinstance(spec, Spec)}


def canonical(prior: Any) -> Mapping[str, Any]:
    """A prior's settings as identities say them: as before it could be made from another, where it is not."""
    settings = plugin_settings.said(prior)
    if prior.needs():
        return settings
    return {name: value for name, value in settings.items() if name not in ("learn_from", "samples")}


def idle(learn_from: Spec | None, start: Start = "z100", *, trains: bool = True) -> tuple[str, ...]:
    """Settings that change nothing: how many pictures another prior draws, where none is asked for any."""
    draws = learn_from is not None or (isinstance(start, Spec) and not trains)
    return () if draws else ("samples",)


def lessons(public: Images, learn_from: Spec | None, samples: int, given: Given | None, run: Run) -> Images:
    """What is learnt from: the public pictures or, in their place, pictures that another prior draws."""
    if learn_from is None:
        return public
    assert given is not None
    return Images(drawn(given.priors["learn_from"], samples, "sample", run), torch.full((samples,), -1))


def drawn(generator: Generator, samples: int, stream: str, run: Run) -> Stored:
    """Pictures that a prior draws, float32 ``(samples, C, H, W)`` in [0, 1], on the CPU; of many, in a file."""
    parts = _parts(generator, samples, stream, run)
    first = next(parts)
    return exactly(chain([first], parts), (samples, *first.shape[1:]), run.scratch)


@torch.no_grad()
def _parts(generator: Generator, samples: int, stream: str, run: Run) -> Iterator[Tensor]:
    with run.progress("samples of the other prior", samples) as bar:
        for which in torch.arange(samples).split(TOGETHER):
            z = generator.sample(run.generators(stream, [(int(i),) for i in which]))
            yield generator.synthesize(z.to(run.device)).float().clamp(0, 1).cpu()
            bar.advance(len(which))


def content(start: Start, learn_from: Spec | None) -> Mapping[str, str]:
    """Checksum of the pretrained generator, where one is used; other priors are needs."""
    files = {"digiface": assets.checksum("digiface")} if start == "digiface" else {}
    return {**files, **dict.fromkeys(needs(start, learn_from), NEEDED)}


def origin(start: Start) -> Origin | None:
    """Where the pretrained generator comes from, where one is used."""
    if start != "digiface":
        return None
    return Origin(
        "DigiFace-1M: faces that were rendered from scans of people who agreed to it; no photographs", publishable=True
    )


class Taken(nn.Module):
    """The generator of another prior, as the network of a GAN.

    Args:
        generator: Its networks.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, z: Tensor) -> Tensor:
        """Latents ``(N, latent)`` to pixels in [0, 1]."""
        return self.generator.synthesize(z)
