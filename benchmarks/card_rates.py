"""Rates and memory on a card: every attack and training against their bare loops, at the batch that fills the card."""

from __future__ import annotations

import dataclasses
import time
import traceback
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from bare_loops import SHAPE, Scale, World, random
from trials import ASKING_NOTHING, trials

from unveil.defenses.none import NoDefense
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.plan import plugins
from unveil.harness.training.fit import fit
from unveil.harness.types import Images
from unveil.harness.words.arithmetic import steady
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run

Told = tuple[str, str, str]
PEOPLE, WIDTH, LARGEST = 16, 32, 2048  # people attacked, channels of the GANs, most samples at once
FULL = 1.1  # a batch fills the card if twice as many samples are not this much faster
SECONDS = 1.0  # that a bare loop takes, about
LEAST, MOST = 8, 128  # steps of a descent
COMPILED = ("gmi", "kedmi", "plgmi", "ppa")  # compiling takes a minute for some
PICTURES, BATCH, EPOCHS = 8192, 512, 3
PROBES = (64, 128)  # batches that predict the memory of a larger one
PRECISIONS = {"float32": (False, False), "bfloat16": (True, False), "compiled": (False, True)}


def measured(device: torch.device, deadline: float, *, small: bool) -> Iterator[Told]:
    """Samples a second, and the share of the bare loop's."""
    with steady():
        scale = Scale(4, 1, LEAST, 4, 64) if small else filling(device)
    yield "batch that fills the card", str(scale.samples), "gmi in float32, twice as many are no tenth faster"
    for precision, (mixed, compiled) in PRECISIONS.items():
        run = Run("benchmark", device, mixed, compiled=compiled)
        with steady(rounded=mixed):
            yield from _attacks(scale, run, precision, deadline, some=COMPILED[: 1 if small else None])
            if not compiled and time.monotonic() < deadline:
                yield training(run, precision, small=small)


def _attacks(scale: Scale, run: Run, precision: str, deadline: float, some: tuple[str, ...]) -> Iterator[Told]:
    known = {name.split()[0] for name in trials(scale)}
    for name in sorted({*plugins.registered("attacks")} - known - ASKING_NOTHING):
        yield f"{name}, {precision}", "-", "it has no bare loop in benchmarks/trials.py"
    for name in trials(scale):
        if run.compiled and name not in some:
            continue
        if time.monotonic() > deadline:
            yield f"{name}, {precision}", "-", "no time left"
            continue
        try:
            yield rate(name, scale, run, precision)
        except Exception as error:  # the others go on
            traceback.print_exc()
            yield f"{name}, {precision}", "FAILED", f"{type(error).__name__}: {error}".replace("\n", " ")[:120]


def filling(device: torch.device) -> Scale:
    """The number of samples at which GMI's bare loop is about as fast as it gets."""
    before, scale = 0.0, Scale(PEOPLE, 2, LEAST, WIDTH)
    while scale.samples <= LARGEST:
        world = World(scale, Run("benchmark", device))
        attack, bare = trials(scale)["gmi"]
        now = scale.samples / seconds(bare(world, attack)["the bare loop"], device, warm=True)
        if now < FULL * before:
            break
        before, scale = now, dataclasses.replace(scale, each=2 * scale.each)
    return dataclasses.replace(scale, each=scale.each // 2)


def rate(name: str, scale: Scale, run: Run, precision: str) -> Told:
    """One attack; compiled or not, against a bare loop that is not."""
    plain = dataclasses.replace(run, compiled=False)
    if run.compiled:
        torch.compiler.reset()  # it keeps a few variants of a function and then, saying nothing, compiles no more
    if "kedmi" in name:  # searches one distribution a person
        scale = dataclasses.replace(scale, people=scale.samples, each=1)
    attack, bare = trials(scale)[name]
    world = World(scale, plain)
    took = seconds(bare(world, attack)["the bare loop"], run.device, warm=True)
    steps = max(LEAST, min(MOST, round(scale.steps * SECONDS / took)))
    if scale.samples > 8:  # not where it is only tried out
        scale = dataclasses.replace(scale, steps=steps)
        attack, bare = trials(scale)[name]
        world = World(scale, plain)
    loops = bare(world, attack)
    fast = World(scale, run) if run.compiled else world
    fast.attacked(attack)  # warms up, and compiles
    own, other = [], []
    for _ in range(2):
        other.append(seconds(loops["the bare loop"], run.device))
        own.append(seconds(lambda: fast.attacked(attack), run.device))
    per_second = fast.attacked(attack).queries / min(own)
    return f"{name}, {precision}", f"{min(other) / min(own):.2f} x bare", f"{per_second:,.0f} queries/s"


def seconds(what: Callable[[], object], device: torch.device, *, warm: bool = False) -> float:
    """How long it takes, the card's work included; the second time, if it is to be warm."""
    if warm:
        what()
    _wait(device)
    began = time.perf_counter()
    what()
    _wait(device)
    return time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def training(run: Run, precision: str, *, small: bool) -> Told:
    """Training without a defense, against the same steps on pictures that lie on the card."""
    count, batch = (64, 32) if small else (PICTURES, BATCH)
    recipe = Recipe(epochs=EPOCHS, batch=batch, flip=False, shift=0, brightness=0.0, views=0, select="last")
    pictures = Images(random(count, *SHAPE), torch.arange(count) % PEOPLE)

    def untrained() -> torch.nn.Module:
        net = SmallResNet().build(PEOPLE, SHAPE, run)
        return net.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    def engine() -> None:
        fit(untrained(), (NoDefense(),), pictures, pictures[:0], recipe, dataclasses.replace(run))

    def bare() -> None:
        net, x, y = untrained().train(), pictures.pixels.to(run.device), pictures.labels.to(run.device)
        optimiser = recipe.make_optimiser(list(net.parameters()))
        for epoch in range(recipe.epochs):
            for index in recipe.batches(pictures.labels, epoch, run):
                part = x[index.to(run.device)].contiguous(memory_format=torch.channels_last)
                with run.autocast():
                    loss = F.cross_entropy(net(part).float(), y[index.to(run.device)])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()

    own, other = seconds(engine, run.device, warm=True), seconds(bare, run.device, warm=True)
    return f"training, {precision}", f"{other / own:.2f} x bare", f"{recipe.epochs * count / own:,.0f} pictures/s"


def peaks(device: torch.device) -> Iterator[Told]:
    """Peak memory of a large batch, and what the two small ones predict: a fixed part and a part per sample."""
    for name in ("gmi", "plgmi", "ppa"):
        for precision in ("float32", "bfloat16"):
            run = Run("benchmark", device, PRECISIONS[precision][0])
            with steady(rounded=run.mixed_precision):
                few, many = (peak(name, run, samples) for samples in PROBES)
                wanted = predicted(few, many, LARGEST // 2)
                found = peak(name, run, LARGEST // 2)
            yield (
                f"{name}, {precision}, {LARGEST // 2} samples",
                f"{found / 2**20:,.0f} MiB",
                (f"{found / wanted:.2f} of the predicted {wanted / 2**20:,.0f} MiB"),
            )


def predicted(few: int, many: int, samples: int) -> float:
    """Bytes at so many samples, on the line through the two probes."""
    each = (many - few) / (PROBES[1] - PROBES[0])
    return few + each * (samples - PROBES[0])


def peak(name: str, run: Run, samples: int) -> int:
    """Bytes that torch had allocated at most during an attack on so many samples at once."""
    scale = Scale(PEOPLE, samples // PEOPLE, 2, WIDTH)
    world, attack = World(scale, run), trials(scale)[name][0]
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats(run.device)
    world.attacked(attack)
    return int(torch.cuda.max_memory_allocated(run.device))
