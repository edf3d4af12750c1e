"""Chooses the public side of a study: people who look like nobody private, with enough pictures each.

    python prepare.py faces/pins53/private.csv faces/lfw158/private.csv faces/lfw158/public-for-pins.csv \
        --weights faces/arcface_mobilefacenet_casia.pth --out faces/lfw158/public-for-study.csv

Each CSV has the columns ``file`` (relative to its folder) and ``identity``. A person stays out if one of their pictures
is more like a private person than ``--most``: cosine to the mean embedding, 0.36 by default. Of the others, those with
``--fewest`` pictures or more are kept, and ``--single`` pictures of people with fewer, by name.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.harness.data.images import decode
from unveil.harness.models.mobilefacenet import MobileFaceNet
from unveil.harness.types import Run

SIDE = 112  # what the embedder was trained on
BATCH = 64


def listed(table: Path) -> Iterator[tuple[Path, str]]:
    """Pictures and whose they are."""
    with table.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            yield table.parent / line["file"], line["identity"]


@torch.no_grad()
def embedded(pictures: Sequence[Path], weights: str) -> Tensor:
    """Embeddings of length one, ``(N, F)``."""
    net = MobileFaceNet(weights=weights).build(2, (3, SIDE, SIDE), Run("similarity")).eval()
    pixels = decode(pictures, size=SIDE, channels=3, crop=True, run=Run("similarity")).pixels
    return torch.cat([F.normalize(net.features(x.float() / 255), dim=1) for x in pixels.split(BATCH)])


def means(people: Sequence[str], features: Tensor) -> Tensor:
    """The mean embedding of each person ``(P, F)``, of length one."""
    groups = defaultdict(list)
    for i, who in enumerate(people):
        groups[who].append(i)
    return F.normalize(torch.stack([features[rows].mean(0) for rows in groups.values()]), dim=1)


def main() -> None:
    """Writes the CSV of the public side."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("private", type=Path)
    parser.add_argument("public", type=Path, nargs="+")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--most", type=float, default=0.36)
    parser.add_argument("--fewest", type=int, default=3)
    parser.add_argument("--single", type=int, default=1000)
    asked = parser.parse_args()
    files, people = zip(*listed(asked.private), strict=True)
    centres = means(people, embedded(files, asked.weights))
    others, names = zip(*(entry for table in asked.public for entry in listed(table)), strict=True)
    alike = (embedded(others, asked.weights) @ centres.T).amax(1).tolist()
    groups: dict[str, list[tuple[Path, float]]] = defaultdict(list)
    for file, name, cosine in zip(others, names, alike, strict=True):
        groups[name].append((file, cosine))
    strangers = {name: found for name, found in sorted(groups.items()) if max(c for _, c in found) < asked.most}
    kept = [(file, name) for name, found in strangers.items() if len(found) >= asked.fewest for file, _ in found]
    rest = [(file, name) for name, found in strangers.items() if len(found) < asked.fewest for file, _ in found]
    with asked.out.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(("file", "identity"))
        writer.writerows((file.relative_to(asked.out.parent), name) for file, name in [*kept, *rest[: asked.single]])
    sys.stdout.write(f"{len(strangers)} of {len(groups)} people look like nobody private\n")


if __name__ == "__main__":
    main()
