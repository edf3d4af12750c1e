"""What ``--precision probe`` makes of every attack that descends, against a peer's loop on the same frozen networks.

    OMP_NUM_THREADS=1 python benchmarks/bfloat16_attacks.py [target] [width] [names, with commas] [rounds] [steps]

The peer's loop is the bare loop of ``bare_loops.py``: the same passes in float32, channels last, without starts, random
numbers and pictures kept. It runs in a process of its own, whose heap is as glibc leaves it; whole attacks, in float32
and in bfloat16, are computed as in a step. All are timed in turns and in processor time, so that other work slows all
alike; a figure is the median of the rounds' ratios. ``width`` is that of the GANs. Published attacks take hundreds of
steps and more: the fewer they are here, the more weighs what an attack does beside them.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from bare_loops import SHAPE, Scale, World
from trials import trials

from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.models.timm import Timm
from unveil.harness.running.heap import kept
from unveil.harness.training import probe
from unveil.harness.types import Access
from unveil.harness.words.needs import Surrogate, needs_of
from unveil.harness.words.run import Run

TARGETS = {"small_resnet": SmallResNet(), "resnet18": Timm("resnet18")}
SCALE = Scale(people=8, each=2, steps=64, public=256)


def compared(name: str, asked: Sequence[str], scale: Scale, rounds: int) -> str:
    """One line of the table."""
    attack, _ = trials(scale)[name]
    full, mixed = (World(scale, Run("benchmark", mixed_precision=one)) for one in (False, True))
    with peer(name, asked) as loop:
        taken = [
            (loop(), seconds(lambda: full.attacked(attack)), seconds(lambda: mixed.attacked(attack)))
            for _ in range(rounds + 1)
        ][1:]  # the first time is slower
    plain, fast, gained = (median(one[a] / one[b] for one in taken) for a, b in ((0, 1), (0, 2), (1, 2)))
    told = tried(attack, full)
    chosen = "mixed" if told >= probe.ENOUGH else "full"
    return f"{name:<18} {told:>6.2f}  {plain:>6.2f}  {fast:>6.2f}  {gained:>6.2f}  {chosen}"


@contextmanager
def peer(name: str, asked: Sequence[str]) -> Iterator[Callable[[], float]]:
    """Seconds of the bare loop, each time that they are asked for."""
    command = [sys.executable, __file__, "peer", name, *asked]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:

        def once() -> float:
            print(file=running.stdin, flush=True)
            return float(running.stdout.readline())

        yield once
        running.stdin.close()


def be_a_peer(name: str, target: str, width: str, steps: str) -> None:
    """Answers each line with the seconds that the bare loop took."""
    scale = at_scale(name, target, width, steps)
    attack, bare = trials(scale)[name]
    loop = bare(World(scale), attack)["the bare loop"]
    for _ in sys.stdin:
        print(seconds(loop), flush=True)


def at_scale(name: str, target: str, width: str, steps: str) -> Scale:
    """How much an attack has to do."""
    scale = replace(SCALE, target=TARGETS[target], width=int(width), steps=int(steps))
    # KEDMI searches one distribution a person
    return replace(scale, people=scale.samples, each=1) if "kedmi" in name else scale


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


def main(target: str = "small_resnet", width: str = "8", names: str = "", rounds: str = "3", steps: str = "64") -> None:
    """Prints a line an attack."""
    descending = [
        name
        for name, (attack, _) in trials(SCALE).items()
        if attack.access is Access.WHITE_BOX or any(isinstance(one, Surrogate) for one in needs_of(attack).values())
    ]
    size = f"{SCALE.samples} samples, {steps} steps"
    print(f"{target}, GANs of width {width}, {size}, torch {torch.__version__}")
    print(f"{'':<18} {'trial':>6}  {'full':>6}  {'mixed':>6}  {'gain':>6}  chosen; full, mixed: of the peer")
    with kept():
        for name in names.split(",") if names else descending:
            asked = (target, width, steps)
            print(compared(name, asked, at_scale(name, *asked), int(rounds)), flush=True)


if __name__ == "__main__":
    be_a_peer(*sys.argv[2:]) if sys.argv[1:2] == ["peer"] else main(*sys.argv[1:])
