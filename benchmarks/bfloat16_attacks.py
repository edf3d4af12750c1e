"""What ``--precision probe`` makes of every attack that descends, against a peer's loop on the same frozen networks.

    OMP_NUM_THREADS=1 python benchmarks/bfloat16_attacks.py [target] [width] [names, with commas] [rounds]

The peer's loop is the bare loop of ``bare_loops.py``: the same passes in float32, channels last, without starts, random
numbers and pictures kept. Whole attacks, in float32 and in bfloat16, and that loop are timed in turns and in processor
time, so that other work slows all alike; a figure is the median of the rounds' ratios. ``width`` is that of the GANs.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from bare_loops import SHAPE, Scale, World
from trials import trials

from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.models.timm import Timm
from unveil.harness.training import probe
from unveil.harness.types import Access
from unveil.harness.words.needs import Surrogate, needs_of
from unveil.harness.words.run import Run

TARGETS = {"small_resnet": SmallResNet(), "resnet18": Timm("resnet18")}
SCALE = Scale(people=8, each=2, steps=16, public=256)


def compared(name: str, scale: Scale, rounds: int) -> str:
    """One line of the table."""
    if "kedmi" in name:  # searches one distribution a person
        scale = replace(scale, people=scale.samples, each=1)
    attack, bare = trials(scale)[name]
    full, mixed = (World(scale, Run("benchmark", mixed_precision=one)) for one in (False, True))
    loop = bare(full, attack)["the bare loop"]
    ways: tuple[Callable[[], object], ...] = (loop, lambda: full.attacked(attack), lambda: mixed.attacked(attack))
    taken = [tuple(map(seconds, ways)) for _ in range(rounds + 1)][1:]  # the first time is slower
    plain, fast, gained = (median(one[a] / one[b] for one in taken) for a, b in ((0, 1), (0, 2), (1, 2)))
    told = tried(attack, full)
    chosen = "mixed" if told >= probe.ENOUGH else "full"
    return f"{name:<18} {told:>6.2f}  {plain:>6.2f}  {fast:>6.2f}  {gained:>6.2f}  {chosen}"


def tried(attack: Any, world: World) -> float:
    """What the step's own trial says."""
    needs = needs_of(attack)
    students = world.students if any(isinstance(need, Surrogate) for need in needs.values()) else []
    networks = [*([world.target] if attack.access is Access.WHITE_BOX else []), *students]
    prior = world.prior_of(attack) if "prior" in needs else None
    batch = min(getattr(attack, "batch", world.scale.people), probe.PICTURES)
    return probe.gain_in_attack(world.run, probe.Descended.by(attack, networks, prior, SHAPE), batch)


def seconds(way: Callable[[], object]) -> float:
    """Processor time."""
    begun = time.process_time()
    way()
    return time.process_time() - begun


def main(target: str = "small_resnet", width: str = "8", names: str = "", rounds: str = "3") -> None:
    """Prints a line an attack."""
    scale = replace(SCALE, target=TARGETS[target], width=int(width))
    all_of_them = trials(scale)
    descending = [
        name
        for name, (attack, _) in all_of_them.items()
        if attack.access is Access.WHITE_BOX or any(isinstance(one, Surrogate) for one in needs_of(attack).values())
    ]
    print(f"{target}, GANs of width {width}, {scale.samples} samples, {scale.steps} steps, torch {torch.__version__}")
    print(
        f"{'':<18} {'trial':>6}  {'full':>6}  {'mixed':>6}  {'gain':>6}  chosen (full, mixed: times the peer's speed)"
    )
    for name in names.split(",") if names else descending:
        print(compared(name, scale, int(rounds)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
