"""What `unveil plan` predicts of a network's training memory, beside what the processor's allocator was seen to take.

Run ``python benchmarks/predicted_memory.py`` (minutes with OMP_NUM_THREADS=1). The first table is arithmetic alone:
one step of training at the published batch. The second one does such a step for real, at three small batches and in a
process of its own each, and compares the slopes: what one more picture of the batch takes (VmHWM).

Linux only.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from big_data import MIB, peak

from unveil.harness.plan import plugins
from unveil.harness.running.weightless import Weightless
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.run import Run

CLASSES = 1000
PUBLISHED = {
    "vgg16": (64, 64),
    "ir152": (64, 64),
    "ir50_64": (64, 64),
    "ir50_112": (112, 64),
    "resnet152": (224, 128),
}  # side in pixels, and batch
MEASURED, BATCHES = ("vgg16", "ir50_64"), (4, 8, 16)


def network(name: str) -> Classifier:
    """With weights of its own."""
    side = PUBLISHED[name][0]
    settings = {"architecture": name, "weights": "none", "size": side} if name == "resnet152" else {}
    plugin = plugins.load("models", "timm" if settings else name, Path())(**settings)
    built: Classifier = plugin.build(CLASSES, (3, side, side), Run("memory"))
    return built.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload,no-any-return]


def step(net: Classifier, side: int, batch: int) -> None:
    """Two steps of training with Adam: the first makes its moments."""
    adam = torch.optim.Adam(net.parameters(), 1e-4)
    for _ in range(2):
        x = torch.rand(batch, 3, side, side).contiguous(memory_format=torch.channels_last)
        loss = F.cross_entropy(net(x), torch.zeros(batch, dtype=torch.long))
        adam.zero_grad()
        loss.backward()
        adam.step()


def predicted(name: str, batch: int) -> tuple[int, float]:
    """Bytes, and operations a picture."""
    net = network(name)
    with Weightless() as mode:
        step(net, PUBLISHED[name][0], batch)
    return mode.weights + mode.peak, mode.flops / 2 / batch


def measured(name: str, batch: int) -> int:
    """Bytes that a process of its own had at most."""
    command = [sys.executable, str(Path(__file__).resolve()), name, str(batch)]
    return int(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)


def slope(sizes: list[int]) -> float:
    """Of the line between the smallest and the largest batch."""
    return (sizes[-1] - sizes[0]) / (BATCHES[-1] - BATCHES[0])


def main() -> None:
    """Both tables."""
    for name, (side, batch) in PUBLISHED.items():
        memory, flops = predicted(name, batch)
        sys.stdout.write(
            f"{name:<10} {side:>4} px {batch:>4} a batch {memory / MIB:>8.0f} MiB {flops / 1e9:>7.1f} GFLOP a picture\n"
        )
        sys.stdout.flush()
    for name in MEASURED:
        told = [predicted(name, batch)[0] for batch in BATCHES]
        seen = [measured(name, batch) for batch in BATCHES]
        lines = ", ".join(f"{one / MIB:.0f}" for one in seen)
        sys.stdout.write(
            f"{name:<10} predicted {slope(told) / MIB:.1f}, measured {slope(seen) / MIB:.1f} MiB a picture ({lines})\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        which, many = sys.argv[1], int(sys.argv[2])
        step(network(which), PUBLISHED[which][0], many)
        sys.stdout.write(f"{peak()}\n")
    else:
        main()
