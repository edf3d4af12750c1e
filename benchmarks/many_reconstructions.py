"""What memory many reconstructions take: drawn, stored, and looked at by judges, metrics and the page's pictures.

Run ``python benchmarks/many_reconstructions.py [pictures] [size]`` (default 2000 and 224; minutes with
OMP_NUM_THREADS=1). An attack that searches nothing draws half as many pictures, and as many, in processes of their
own; the peak of each step is printed (VmHWM, reset before it). What a picture costs is the difference of the two
peaks by the difference in pictures. Networks are the smallest there are and see 32 pixels; what may be held in memory
(HELD) is scaled down as the number of pictures is from a published one.

Linux only.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from big_data import MIB, peak, tell

PEOPLE = 20
MANY = 26_500  # pictures of a published study
PLUGINS = '''
"""Few people of one colour each, and an attack that draws noise."""
from dataclasses import dataclass
from typing import ClassVar
import torch
import torch.nn.functional as F
from unveil.attacks.drawing import draw
from unveil.harness.data.splits import Pictures, Shares, assemble
from unveil.harness.types import Access, Images


def pictures(side, people, each, size):
    g = torch.Generator().manual_seed(len(side))
    looks = torch.randint(0, 256, (people, 1, 3, 4, 4), generator=g)
    noise = torch.randint(0, 64, (people, each, 3, 4, 4), generator=g)
    x = F.interpolate((0.7 * looks + noise).flatten(0, 1), (size, size), mode="bilinear").byte()
    return Pictures(x, torch.arange(people).repeat_interleave(each), tuple(f"{side} {i}" for i in range(people)))


@dataclass(frozen=True)
class Few:
    """A data set."""

    size: int

    def content(self):
        return {}

    def load(self, run):
        sides = pictures("private", PEOPLE, 10, self.size), pictures("public", 10, 4, self.size)
        return assemble(*sides, Shares(0.2, 0.3, 0), publishable=True)


@dataclass(frozen=True)
class Painted:
    """An attack that searches nothing."""

    each: int
    access: ClassVar[Access] = Access.WHITE_BOX
    paper: ClassVar[str] = ""

    def needs(self):
        return None

    def reconstruct(self, view, ingredients, labels, run):
        keys = [(y, i) for y in labels.tolist() for i in range(self.each)]
        z = torch.randn(len(keys), 48, generator=run.generator("z"))
        side = view.shape[-1]
        return draw(lambda z: F.interpolate(z.view(-1, 3, 4, 4).sigmoid(), (side, side)), z, keys, run)
'''


def plan(size: int, pictures: int) -> dict[str, object]:
    """The smallest target and judge, an attack, and metrics that look at each of its pictures."""
    return {
        "title": "Many reconstructions",
        "identities": PEOPLE,
        "pictures": 4,
        "recipe": {"epochs": 1, "batch": 32, "views": 0},
        "data": {"use": "plugins.py:Few", "size": size},
        "target": {"use": "timm", "architecture": "test_efficientnet", "size": 32, "name": "target"},
        "evaluator": {"use": "timm", "architecture": "test_resnet", "size": 32, "others": "nobody", "name": "judge"},
        "defenses": [{"use": "none"}],
        "attacks": [{"use": "plugins.py:Painted", "each": pictures // PEOPLE}],
        "metrics": [{"use": use} for use in ("attack_accuracy", "knn_distance", "copies", "memorisation_gap")],
    }


def work(size: int, pictures: int) -> None:
    """Runs the plan in this folder, and prints the peak of each step as a JSON line."""
    import unveil  # noqa: PLC0415 (the parent has no need of it)
    from unveil.harness.words import pixels  # noqa: PLC0415

    pixels.HELD = pixels.HELD * pictures // MANY
    begun = time.monotonic()

    def heard(node, outcome):
        nonlocal begun
        if outcome is not None:
            tell({"step": node.label, "status": outcome.status, "peak": peak(), "seconds": time.monotonic() - begun})
        begun = time.monotonic()
        Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on

    results = unveil.run(plan(size, pictures), store="store", device="cpu", listener=heard)
    assert {row.status for row in results.rows} == {"done"}, [row.error for row in results.rows]


def measured(size: int, pictures: int) -> dict[str, int]:
    """Runs it in a process of its own, and gives the peak of each step."""
    folder = Path(tempfile.mkdtemp(prefix="many-reconstructions-"))
    try:
        (folder / "plugins.py").write_text(PLUGINS.replace("PEOPLE", str(PEOPLE)))
        command = [sys.executable, str(Path(__file__).resolve()), "work", str(size), str(pictures)]
        done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    steps = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {one["step"]: one["peak"] for one in steps}


def main(pictures: int, size: int) -> None:
    """Measures with half as many pictures and with all."""
    few, many = measured(size, pictures // 2), measured(size, pictures)
    sys.stdout.write(
        f"{pictures} pictures are {pictures * 3 * size**2 / MIB:.0f} MiB as bytes, four times that as floats\n"
        f"{'step':<60} {pictures // 2:>6} {pictures:>6}  MiB per 1,000\n"
    )
    for step, high in many.items():
        slope = 1000 * (high - few[step]) / (pictures - pictures // 2)
        sys.stdout.write(f"{step:<60} {few[step] / MIB:>6.0f} {high / MIB:>6.0f} {slope / MIB:>10.0f}\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(int(sys.argv[2]), int(sys.argv[3]))
    else:
        main(*(int(given) for given in [*sys.argv[1:], *("2000", "224")[len(sys.argv) - 1 :]]))
