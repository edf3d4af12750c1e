"""Asks face embedders whether the people of `portraits` are as like and unlike as photographs of real people are.

    python benchmarks/likeness_of_portraits.py [--real lfw pins] [--mobilefacenet arcface.pth] [--svg likeness.svg]

Pairs of pictures of one person (genuine) and of two (impostor), by the cosine of their embeddings: mean and standard
deviation of both, the area under the ROC, and the share of genuine pairs above all but one in a hundred impostor pairs.
A folder of real people holds a folder of aligned faces for each; they are shown as small as the portraits. What is
drawn is how often each cosine occurs, and no picture. No embedder here was used to train anything.
"""

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.harness.data.images import decode
from unveil.harness.data.portraits import Portraits
from unveil.harness.models.embedder import Embedder
from unveil.harness.models.faceres import FaceRes
from unveil.harness.models.fr_feature import FRFeature
from unveil.harness.models.mobilefacenet import MobileFaceNet
from unveil.harness.types import Run
from unveil.harness.words.classifier import Classifier

RUN = Run("likeness")
BINS, LOW, HIGH = 40, -0.4, 1.0
WIDE, TALL, MARGIN = 300, 120, 24  # of a panel of the drawing
COLOURS = ("#2a7", "#a33")  # of genuine and of impostor pairs
DASHES = ("none", "6 3", "2 2", "8 2 2 2")  # of portraits, and of the real people in the order of the table


def asked() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", type=Path, nargs="*", default=[], help="folders of people")
    parser.add_argument("--people", type=int, default=40)
    parser.add_argument("--pictures", type=int, default=12, help="of each")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--faceres", default="asset")
    parser.add_argument("--fr-feature", default="asset")
    parser.add_argument("--mobilefacenet", help="a checkpoint; without it this embedder is left out")
    parser.add_argument("--svg", type=Path)
    return parser.parse_args()


def embedders(how: argparse.Namespace) -> Mapping[str, Classifier]:
    """Networks by name."""
    made: dict[str, Embedder] = {"faceres": FaceRes(how.faceres), "fr_feature": FRFeature(how.fr_feature)}
    if how.mobilefacenet:
        made["mobilefacenet"] = MobileFaceNet(how.mobilefacenet)
    return {name: model.build(2, (3, how.size, how.size), RUN).eval() for name, model in made.items()}


def drawn(how: argparse.Namespace) -> Tensor:
    """Portraits ``(people, pictures, 3, size, size)``."""
    data = Portraits(private=how.people, pictures=how.pictures, public=1, public_pictures=1, size=how.size).load(RUN)
    parts = (data.train, data.validation, data.test)
    labels = torch.cat([part.labels for part in parts])
    return torch.cat([part.pixels for part in parts])[labels.argsort(stable=True)].unflatten(0, (how.people, -1))


def photographed(folder: Path, how: argparse.Namespace) -> Tensor:
    """Real people ``(people or fewer, pictures, 3, size, size)``: the first that have enough pictures."""
    people: list[Tensor] = []
    for person in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(file for file in person.iterdir() if file.is_file())
        files = files[:: max(len(files) // how.pictures, 1)][: how.pictures]
        if len(files) == how.pictures and len(people) < how.people:
            people.append(decode(files, size=how.size, channels=3, crop=True, run=RUN).pixels.float() / 255)
    return torch.stack(people)


@torch.no_grad()
def pairs(network: Classifier, x: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines of genuine and of impostor pairs of ``(people, pictures, C, H, W)``."""
    e = F.normalize(torch.cat([network.features(part) for part in x.flatten(0, 1).split(32)]), dim=1)
    whose = torch.arange(len(x)).repeat_interleave(x.shape[1])
    later = torch.ones(len(e), len(e)).triu(1).bool()
    same = whose[:, None] == whose[None, :]
    cosines = e @ e.T
    return cosines[same & later], cosines[~same & later]


def told(genuine: Tensor, impostor: Tensor) -> str:
    """One line of the table."""
    ranks = torch.cat((genuine, impostor)).argsort().argsort()[: len(genuine)].double() + 1
    area = (ranks.sum() - len(genuine) * (len(genuine) + 1) / 2) / (len(genuine) * len(impostor))
    found = (genuine > impostor.sort().values[int(0.99 * len(impostor))]).float().mean()
    halves = [f"{part.mean():.2f} ({part.std():.2f})" for part in (genuine, impostor)]
    return " | ".join([*halves, f"{area:.3f}", f"{found:.0%}"])


def panel(name: str, sets: Sequence[tuple[Tensor, Tensor]], top: int) -> str:
    """Two histograms for each set of people as SVG, each of area one."""
    heights = [[torch.histc(curve, BINS, LOW, HIGH) / len(curve) for curve in curves] for curves in sets]
    tallest = max(float(height.max()) for both in heights for height in both)
    parts = [f'<text x="{MARGIN}" y="{top + 12}">{name}</text>']
    for both, dash in zip(heights, itertools.cycle(DASHES)):
        for height, colour in zip(both, COLOURS, strict=True):
            points = [
                f"{MARGIN + WIDE * (i + 0.5) / BINS:.1f},{top + TALL - 90 * float(h) / tallest:.1f}"
                for i, h in enumerate(height)
            ]
            stroke = f'stroke="{colour}" stroke-width="1.5" stroke-dasharray="{dash}"'
            parts.append(f'<polyline fill="none" {stroke} points="{" ".join(points)}"/>')
    for value in (0.0, 0.5, 1.0):
        x = MARGIN + WIDE * (value - LOW) / (HIGH - LOW)
        parts.append(f'<text x="{x:.0f}" y="{top + TALL + 14}" text-anchor="middle">{value}</text>')
    return "\n".join(parts)


def drawing(found: Mapping[str, Sequence[tuple[Tensor, Tensor]]]) -> str:
    """The panels below each other, one for each embedder, as SVG."""
    panels = [panel(name, sets, k * (TALL + MARGIN)) for k, (name, sets) in enumerate(found.items())]
    wide, tall = WIDE + 2 * MARGIN, len(found) * (TALL + MARGIN) + MARGIN
    style = 'font-family="sans-serif" font-size="11"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {tall}" {style}>'
    paper = '<rect width="100%" height="100%" fill="#fff"/>'
    words = "cosine: one person (green), two (red); portraits whole, real people dashed"
    return "\n".join([head, paper, *panels, f'<text x="4" y="{tall - 6}" font-size="10">{words}</text>', "</svg>", ""])


def main() -> None:
    """Prints the table, and draws."""
    how, curves = asked(), dict[str, list[tuple[Tensor, Tensor]]]()
    sets = {"portraits": drawn(how), **{str(folder): photographed(folder, how) for folder in how.real}}
    sys.stdout.write("| embedder | people | genuine | impostor | area | found at 1 % |\n|---|---|---|---|---|---|\n")
    for name, network in embedders(how).items():
        for people, x in sets.items():
            found = pairs(network, x)
            sys.stdout.write(f"| {name} | {people} | {told(*found)} |\n")
            sys.stdout.flush()
            curves.setdefault(name, []).append(found)
    if how.svg:
        how.svg.write_text(drawing(curves), encoding="utf-8")


if __name__ == "__main__":
    main()
