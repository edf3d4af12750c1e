"""What bfloat16 gains on this processor, per network: the figures that ``--precision probe`` decides by.

    python benchmarks/bfloat16.py [rounds]

Networks are untrained, which costs the same. Trainings are of 32 pictures at once; descents go through a generator and
a target. All are measured by the very function that a step is probed by, in turns, so that other work slows all alike.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from statistics import median

import torch

from unveil.attacks.priors.mobile_style import MobileStyle
from unveil.attacks.priors.wgan_gp import WGANGP
from unveil.harness.models.plain_cnn import PlainCNN
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.models.timm import Timm
from unveil.harness.training import probe
from unveil.harness.types import Classifier, Generator, Images, Model, Prior, Run

PEOPLE, COUNT, SIDE = 40, 32, 64
SHAPE = (3, SIDE, SIDE)
RUN = Run("bfloat16")
MODELS: Mapping[str, Model] = {
    "small_resnet": SmallResNet(),
    "plain_cnn": PlainCNN(),
    "timm tf_efficientnet_lite0": Timm("tf_efficientnet_lite0"),
    "timm resnet18": Timm("resnet18"),
}


def priors() -> dict[str, Generator]:
    """The DCGAN generator of the GAN priors as published and as in the presets, and the shipped style network."""
    made: dict[str, Prior] = {
        "DCGAN, width 64": WGANGP(),
        "DCGAN, width 8": WGANGP(width=8),
        "mobile_style": MobileStyle(),
    }
    return {name: prior.build(PEOPLE, SHAPE) for name, prior in made.items()}


def main(rounds: int) -> None:
    """Measures everything once a round; prints medians with the smallest and the largest."""
    images = Images(torch.rand(COUNT, *SHAPE, generator=RUN.generator("pictures")), torch.arange(COUNT))
    models = {name: model.build(PEOPLE, SHAPE, RUN) for name, model in MODELS.items()}
    for model in models.values():
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    generators = priors()
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, model in models.items():
            model.requires_grad_(True)
            found.setdefault(f"train {name}", []).append(probe.gain_in_training(RUN, model, images, COUNT))
            _descend(found, f"descend {name}", model, None)
        for name, prior in generators.items():
            for target in ("small_resnet", "timm tf_efficientnet_lite0"):
                _descend(found, f"descend {target} through {name}", models[target], prior)
        sys.stdout.write(".")
        sys.stdout.flush()
    sys.stdout.write(f"\nprocessor with bfloat16 units: {probe.units()}\n")
    for name, gains in found.items():
        line = f"{name:<60} {median(gains):.2f}   ({min(gains):.2f} to {max(gains):.2f})"
        sys.stdout.write(f"{line}  {'mixed' if median(gains) >= probe.ENOUGH else 'full'}\n")


def _descend(found: dict[str, list[float]], name: str, target: Classifier, prior: Generator | None) -> None:
    target.eval().requires_grad_(False)
    found.setdefault(name, []).append(probe.gain_in_attack(RUN, probe.Descended([target], prior, SHAPE), COUNT // 2))


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 3)
