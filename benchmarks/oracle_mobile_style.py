"""The oracle test of heads for mobile_style: drives styles to people by one embedder, and has another judge.

    python benchmarks/oracle_mobile_style.py PEOPLE reference.safetensors heads/mobile_style_64_arcface.safetensors

``PEOPLE`` holds a folder of aligned faces for each person. No target is attacked: the question is whether the prior can
draw a person at all, and at what speed. The guide knows half of a person's pictures, the judge the other half. A person
counts as recognised if the judge finds them nearest of all in ``PEOPLE``, and nearer than all but one in a hundred
pictures of others are. Everything that is compared starts from the same draws.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.attacks.priors.mobile_generator import MobileGenerator
from unveil.attacks.priors.mobile_style import MobileStyle
from unveil.harness.data.images import decode
from unveil.harness.models.embedder import Embedder
from unveil.harness.models.faceres import FaceRes
from unveil.harness.models.fr_feature import FRFeature
from unveil.harness.models.mobile_networks import FRAMINGS, Framing
from unveil.harness.models.mobilefacenet import MobileFaceNet
from unveil.harness.types import Images, Run
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.crops import NUMBERS, RandomCrop

SIDE = 112  # of the photographs
CROP = RandomCrop((0.9, 1.0), flip=0.5)
EMBEDDERS: dict[str, type[Embedder]] = {"fr_feature": FRFeature, "faceres": FaceRes, "mobilefacenet": MobileFaceNet}


@dataclass(frozen=True)
class Asked:
    """The command line."""

    people: Path
    heads: Sequence[str]
    size: int
    framing: Framing
    guide: str
    guide_weights: str
    judge: str
    judge_weights: str
    count: int
    photographs: int
    pool: int
    steps: int
    lr: float
    pull: float
    device: str


def asked() -> Asked:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("heads", nargs="+", help="files, or: whole")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--framing", choices=list(FRAMINGS), default="arcface")
    parser.add_argument("--guide", choices=list(EMBEDDERS), default="fr_feature")
    parser.add_argument("--guide-weights", default="asset")
    parser.add_argument("--judge", choices=list(EMBEDDERS), default="faceres")
    parser.add_argument("--judge-weights", default="asset")
    parser.add_argument("--count", type=int, default=12, help="people to draw; all are in the judge's gallery")
    parser.add_argument("--photographs", type=int, default=20, help="of each person")
    parser.add_argument("--pool", type=int, default=128, help="draws, of which each person's search takes the nearest")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--lr", type=float, default=0.03)
    parser.add_argument("--pull", type=float, default=0.05, help="of the styles to their mean")
    parser.add_argument("--device", default="cpu")
    return Asked(**vars(parser.parse_args()))


def photographs(how: Asked) -> Tensor:
    """``(people, photographs, 3, SIDE, SIDE)`` in [0, 1], of everybody who has enough."""
    people = []
    for folder in sorted(folder for folder in how.people.iterdir() if folder.is_dir()):
        files = sorted(file for file in folder.iterdir() if file.is_file())[: how.photographs]
        if len(files) == how.photographs:
            read = decode(files, size=SIDE, channels=3, crop=True, run=Run("oracle"))
            people.append(read.pixels.to(how.device).float() / 255)
    return torch.stack(people)


def embedder(name: str, weights: str, device: str) -> Classifier:
    """A face embedder with its weights."""
    made = EMBEDDERS[name](weights=weights).build(2, (3, SIDE, SIDE), Run("oracle"))
    return made.eval().requires_grad_(False).to(device)


def embedded(network: Classifier, x: Tensor) -> Tensor:
    """Unit vectors ``(..., F)`` of pixels ``(..., C, H, W)``."""
    features = torch.cat([network.features(part) for part in x.flatten(0, -4).split(64)])
    return F.normalize(features, dim=1).reshape(*x.shape[:-3], -1)


@dataclass(frozen=True)
class Gallery:
    """What the judge knows.

    Attributes:
        network: Embeds faces.
        centres: Of each person, unit vectors ``(people, F)``.
        least: Cosine to a person's centre that one in a hundred pictures of others reaches.
    """

    network: Classifier
    centres: Tensor
    least: float

    @classmethod
    def of(cls, network: Classifier, x: Tensor) -> "Gallery":
        """From photographs ``(people, n, C, H, W)``."""
        each = embedded(network, x)
        centres = F.normalize(each.mean(1), dim=1)
        cosines = each @ centres.T  # (people, n, people)
        others = ~torch.eye(len(x), dtype=torch.bool, device=x.device)[:, None].expand_as(cosines)
        return cls(network, centres, cosines[others].quantile(0.99).item())

    def judge(self, x: Tensor) -> tuple[float, float]:
        """Share that is recognised of picture i as person i, and the mean cosine to that person."""
        cosines = embedded(self.network, x) @ self.centres.T
        own = cosines.diagonal()
        right = (cosines.argmax(1) == torch.arange(len(x), device=x.device)) & (own > self.least)
        return right.float().mean().item(), own.mean().item()


def generator(how: Asked, head: str) -> MobileGenerator:
    """The prior with that head."""
    prior = MobileStyle(framing=how.framing, **({"whole": True} if head == "whole" else {"head": head}))
    shape = (3, how.size, how.size)
    made = prior.build(2, shape)
    assert isinstance(made, MobileGenerator)
    prior.fit(made, Images(torch.zeros(1, *shape), torch.tensor([-1])), None, Run("oracle", torch.device(how.device)))
    return made


def driven(how: Asked, made: MobileGenerator, guide: Classifier, wanted: Tensor) -> Tensor:
    """Pictures of the people whose embeddings ``(people, F)`` are wanted, found by descending the guide's cosine."""
    draws = torch.Generator().manual_seed(0)
    w = made.mapping(torch.randn(how.pool, made.latent, generator=draws).to(how.device))

    def drawn(w: Tensor) -> Tensor:
        return made.synthesize_w(w[:, None].expand(-1, made.num_ws, -1))

    with torch.no_grad():
        near = torch.cat([embedded(guide, drawn(part)) for part in w.split(16)]) @ wanted.T
    x = w[near.argmax(0)].clone().requires_grad_(True)
    adam = torch.optim.Adam([x], lr=how.lr)
    for _ in range(how.steps):
        u = torch.rand(len(x), NUMBERS, generator=draws).to(how.device)
        cosine = (embedded(guide, CROP(drawn(x), u)) * wanted).sum()
        loss = how.pull * (x - made.w_avg).square().mean(1).sum() - cosine
        adam.zero_grad()
        loss.backward()
        adam.step()
    with torch.no_grad():
        return drawn(x)


def seconds_per_picture(made: MobileGenerator, *, gradient: bool) -> float:
    """Of a batch of 16 where the generator is, the best of three after one that does not count."""
    w = made.w_avg.expand(16, made.num_ws, -1).clone().requires_grad_(gradient)
    found = []
    for _ in range(4):
        start = time.perf_counter()
        with torch.set_grad_enabled(gradient):
            x = made.synthesize_w(w).sum()
            if gradient:
                x.backward()
        x.item()  # waits for a card
        found.append((time.perf_counter() - start) / len(w))
    return min(found[1:])


def main() -> None:
    """Prints a line of JSON for the photographs, and one for each head."""
    how = asked()
    guide, judge = (
        embedder(name, weights, how.device)
        for name, weights in ((how.guide, how.guide_weights), (how.judge, how.judge_weights))
    )
    with torch.no_grad():
        x = photographs(how)
        known, told = x[:, ::2], x[:, 1::2]
        gallery = Gallery.of(judge, told)
        wanted = F.normalize(embedded(guide, known[: how.count]).mean(1), dim=1)
        share, cosine = gallery.judge(known[:, 0])
    say({"head": "photographs", "recognised": share, "cosine": round(cosine, 3), "people": len(x)})
    for head in how.heads:
        made = generator(how, head)
        found = driven(how, made, guide, wanted)
        with torch.no_grad():
            share, cosine = gallery.judge(found)
            by_guide = (embedded(guide, found) * wanted).sum(1).mean().item()
        told_of = {"recognised": round(share, 3), "cosine": round(cosine, 3), "cosine by the guide": round(by_guide, 3)}
        times = {
            "seconds a picture": round(seconds_per_picture(made, gradient=False), 4),
            "and its gradient": round(seconds_per_picture(made, gradient=True), 4),
        }
        say({"head": head, **told_of, **times, "judge's threshold": round(gallery.least, 3)})


def say(facts: dict[str, object]) -> None:
    """A line of JSON, at once."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
