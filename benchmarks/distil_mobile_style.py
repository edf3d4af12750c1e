"""Learns heads for the prior mobile_style from many pictures of the whole network: minutes of one large card.

    python benchmarks/distil_mobile_style.py heads --sizes 64 112 --pictures 40000 --minutes 4 --device cuda

Every picture is drawn once, in float32, and shown small for each size; then the heads learn one after the other, with
bfloat16 where the device is a card. Some pictures mix the styles of two, the coarse rows of one and the fine rows of
the other, so that attacks may search each row of styles by itself. ``--minutes`` bounds it all: fewer pictures or steps
if it must be. The files hold half-precision weights with how they were learnt and their terms; they are derived from
the network, and so for non-commercial research as that is. Beside each lies a PNG: what the whole network draws, and
below what the head does.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from unveil.attacks.priors import mobile_head
from unveil.attacks.priors.mobile_generator import MobileGenerator, load
from unveil.attacks.priors.mobile_style import LEARNT, MobileStyle
from unveil.attacks.priors.style_networks import resize
from unveil.harness.data.grid import grid
from unveil.harness.models import mobile_head_file
from unveil.harness.models.mobile_networks import FRAMINGS, PUBLISHED, SIDE, Features, Framing, Head, Mapping
from unveil.harness.types import Run

WIDTHS: dict[int, Sequence[int]] = {64: (160, 64), 112: (144, 80, 40)}
DRAWING = 0.45  # of the minutes, at most
LAST_CUT = 9  # behind it the whole network and every head give all rows the same style: those beyond 64 pixels
HELD_OUT = 16  # one in so many pictures is not learnt from
EMA_HALFLIFE = 200  # steps, towards the end; shorter at first
SHOWN = 12  # pictures in the PNG
SYNC = 20  # steps between looks at the clock
LAYOUTS = (torch.contiguous_format, torch.channels_last)
TRIED = 3  # steps of learning in each layout, of which the first does not count


@dataclass(frozen=True)
class Asked:
    """The command line."""

    out: Path
    sizes: Sequence[int]
    widths: Sequence[int] | None
    framing: Framing
    pictures: int
    minutes: float
    steps: int
    batch: int
    together: int
    mixed: float
    lr: float
    seed: int
    device: str


def asked() -> Asked:
    """From the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 112])
    parser.add_argument("--widths", type=int, nargs="+", help="channels behind each doubling; for sizes but 64 and 112")
    parser.add_argument("--framing", choices=list(FRAMINGS), default="arcface")
    parser.add_argument("--pictures", type=int, default=40_000)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--steps", type=int, default=30_000, help="of each head")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--together", type=int, default=32, help="pictures of 1024 pixels in memory at once")
    parser.add_argument("--mixed", type=float, default=0.25, help="share of pictures with the styles of two")
    parser.add_argument("--lr", type=float, default=3e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    return Asked(**vars(parser.parse_args()))


class Clock:
    """Time since it was made, in seconds, once the device has done what it was told.

    Args:
        device: Whose work counts.
    """

    def __init__(self, device: str) -> None:
        self._device, self._start = torch.device(device), time.perf_counter()

    def __call__(self) -> float:
        """Seconds."""
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() - self._start


def say(text: str) -> None:
    """A line, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@dataclass(frozen=True)
class Styles:
    """Styles of pictures: the first rows of one, the others of another.

    Attributes:
        coarse: ``(N, 512)``.
        fine: ``(N, 512)``.
        cut: Where the fine ones begin, ``(N,)``; at most `LAST_CUT`, from where on all rows are equal.
    """

    coarse: Tensor
    fine: Tensor
    cut: Tensor

    def __len__(self) -> int:
        return len(self.cut)

    def rows(self, which: Tensor, count: int) -> Tensor:
        """``(len(which), count, 512)``."""
        early = torch.arange(count, device=self.cut.device) < self.cut[which, None]
        return torch.where(early[..., None], self.coarse[which, None], self.fine[which, None])


@torch.no_grad()
def styles(how: Asked, mapping: Mapping) -> Styles:
    """Of all pictures; those that are held out are not mixed."""
    draws = torch.Generator().manual_seed(how.seed)
    coarse, fine = torch.randn(2, how.pictures, MobileGenerator.latent, generator=draws)
    cut = torch.randint(1, LAST_CUT + 1, (how.pictures,), generator=draws)
    mixed = torch.rand(how.pictures, generator=draws) < how.mixed
    mixed[: math.ceil(how.pictures / HELD_OUT)] = False
    cut, fine = torch.where(mixed, cut, 0), fine.to(how.device)
    return Styles(mapping(coarse.to(how.device)), mapping(fine), cut.to(how.device))


def precise(*, whole: bool) -> None:
    """Whether float32 is float32 on a card, or may be TensorFloat-32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = not whole


@torch.no_grad()
def draw(how: Asked, clock: Clock) -> tuple[dict[int, Tensor], Styles]:
    """What the whole network draws: ``(N, 3, S, S)`` uint8 for each size, on the device; and their styles.

    Stops where the time for it is over; there may be more styles than pictures.
    """
    precise(whole=True)
    whole = MobileStyle(framing=how.framing, whole=True).build(2, (3, SIDE, SIDE))
    assert isinstance(whole, MobileGenerator)
    load(whole, Run("distil", torch.device(how.device)))
    found, every = styles(how, whole.mapping), torch.arange(how.pictures, device=how.device)
    if how.device.startswith("cuda"):
        lay_out(whole, found.rows(every[: how.together], whole.num_ws), clock)
    out = {size: torch.empty(len(every), 3, size, size, dtype=torch.uint8, device=how.device) for size in how.sizes}
    done, start = 0, clock()
    for which in every.split(how.together):
        x = frame(whole, found.rows(which, whole.num_ws))
        for size, pictures in out.items():
            pictures[which] = (resize(x, size).clamp(0, 1) * 255).round().to(torch.uint8)
        done += len(which)
        if done % (how.together * SYNC) == 0:
            spent = clock()
            say(f"{done} pictures, {done / (spent - start):.1f} a second")
            if spent > DRAWING * 60 * how.minutes:
                break
    say(f"drew {done} pictures in {clock() - start:.1f} s")
    return {size: pictures[:done] for size, pictures in out.items()}, found


def frame(whole: MobileGenerator, ws: Tensor) -> Tensor:
    """The part of the whole network's pictures that the framing shows, around [0, 1]."""
    x = whole.end(whole.features(ws), ws[:, whole.features.rows :])
    return whole.window.cut(x) * 0.5 + 0.5


def lay_out(whole: MobileGenerator, ws: Tensor, clock: Clock) -> None:
    """Lays the network out in memory as it draws faster: which way that is differs from card to card."""
    found = {}
    for layout in LAYOUTS:
        whole.to(memory_format=layout)  # type: ignore[call-overload]
        frame(whole, ws)
        start = clock()
        frame(whole, ws)
        found[layout] = clock() - start
    say(f"a batch of {len(ws)}: " + ", ".join(f"{seconds:.3f} s {layout}" for layout, seconds in found.items()))
    whole.to(memory_format=min(found, key=lambda layout: found[layout]))  # type: ignore[call-overload]


def student(how: Asked, size: int) -> MobileGenerator:
    """The published network cut early, with a new head; on the device."""
    widths = how.widths or WIDTHS.get(size)
    if widths is None or size % (1 << len(widths)):
        raise SystemExit(f"no head of widths {widths} for {size} pixels: say --widths, a number for each doubling")
    blocks = next(k for k in range(1, len(PUBLISHED)) if 4 << k >= size >> len(widths))
    torch.manual_seed(how.seed)
    features = Features(PUBLISHED[:blocks])
    made = MobileGenerator(features, Head(features.channels, widths), FRAMINGS[how.framing], size)
    load(made, Run("distil", torch.device(how.device)))
    return made


class Teacher:
    """Makes the head of a generator draw what the whole network draws.

    Adam with a cosine from ``lr`` to nothing; an exponential mean of the weights is what remains.

    Args:
        how: Settings.
        made: Its head learns.
        truth: Pictures ``(N, 3, S, S)``, uint8; the first ones are held out.
        of: Their styles.
        clock: The time.
    """

    def __init__(self, how: Asked, made: MobileGenerator, truth: Tensor, of: Styles, clock: Clock) -> None:
        self.how, self.made, self.truth, self.styles, self.clock = how, made, truth, of, clock
        self.held = min(math.ceil(how.pictures / HELD_OUT), len(truth) // 2)
        assert isinstance(made.end, Head)
        self.head = made.end.train().requires_grad_(True)
        self.mean = [p.detach().clone() for p in self.head.parameters()]
        self.adam = torch.optim.Adam(self.head.parameters(), lr=how.lr, betas=(0.9, 0.99), fused=how.device != "cpu")
        self.picks = torch.Generator(how.device).manual_seed(how.seed)
        self.kept = self._seen_by_all() if how.device.startswith("cuda") else None
        self.layout = torch.channels_last

    def learn(self, seconds: float) -> int:
        """Learns until all steps are done or the time is over; gives how many steps that took."""
        precise(whole=False)
        if self.kept is not None:
            self._lay_out()
        start, share, loss = self.clock(), 0.0, torch.zeros(())
        for i in range(self.how.steps):
            if i % SYNC == 0:
                share = (self.clock() - start) / seconds
                if share >= 1:
                    return self._end(i)
                if i % (10 * SYNC) == 0:
                    say(f"step {i}: loss {loss.item():.4f}, {self.clock() - start:.0f} s")
            loss = self._step(i, max(share, i / self.how.steps))
        return self._end(self.how.steps)

    def _lay_out(self) -> None:
        """Lays the head out as it learns faster: some cards take a hundred times as long for depthwise gradients.

        At the learning rate zero, so that nothing is learnt.
        """
        found = {}
        for layout in LAYOUTS:
            self.layout = layout
            self.head.to(memory_format=layout)  # type: ignore[call-overload]
            for i in range(TRIED):
                if i == 1:
                    start = self.clock()
                self._step(0, progress=1.0)
            found[layout] = (self.clock() - start) / (TRIED - 1)
        say("a step: " + ", ".join(f"{seconds:.4f} s {layout}" for layout, seconds in found.items()))
        self.layout = min(found, key=lambda layout: found[layout])
        self.head.to(memory_format=self.layout)  # type: ignore[call-overload]
        self.mean = [p.detach().clone() for p in self.head.parameters()]
        self.adam.state.clear()

    def _step(self, i: int, progress: float) -> Tensor:
        for group in self.adam.param_groups:
            group["lr"] = self.how.lr * min(1.0, (i + 1) / 100) * 0.5 * (1 + math.cos(math.pi * progress))
        device = self.truth.device
        which = torch.randint(self.held, len(self.truth), (self.how.batch,), generator=self.picks, device=device)
        x, ws = self._seen(which) if self.kept is None else self.kept[which], self._rows(which)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            x = self.head(x.contiguous(memory_format=self.layout), ws[:, self.made.features.rows :])
        loss = mobile_head.difference(x.float() * 0.5 + 0.5, self.truth[which].float() / 255)
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        self.adam.step()
        keep = 0.5 ** (1 / min(EMA_HALFLIFE, 1 + i / 10))
        torch._foreach_lerp_(self.mean, [p.detach() for p in self.head.parameters()], 1 - keep)
        return loss.detach()

    def _rows(self, which: Tensor) -> Tensor:
        return self.styles.rows(which, self.made.num_ws)

    @torch.no_grad()
    def _seen(self, which: Tensor) -> Tensor:
        """What the head is given, ``(len(which), C, n, n)``."""
        x = self.made.features(self._rows(which))
        return self.made.window.sample(x, self.made.size >> self.head.doublings)

    def _seen_by_all(self) -> Tensor:
        """That of all pictures, half a megabyte each: the network before the head does not learn."""
        parts = torch.arange(len(self.truth), device=self.truth.device).split(1024)
        shape = self._seen(parts[0][:1]).shape[1:]
        kept = torch.empty((len(self.truth), *shape), device=self.truth.device, memory_format=torch.channels_last)
        for which in parts:
            kept[which] = self._seen(which)
        return kept

    @torch.no_grad()
    def _end(self, steps: int) -> int:
        for parameter, mean in zip(self.head.parameters(), self.mean, strict=True):
            parameter.copy_(mean.half())  # as the file will have it
        self.head.eval().requires_grad_(False)
        return steps

    @torch.no_grad()
    def held_out(self) -> float:
        """Mean peak signal-to-noise ratio in dB of the pictures that were held out, in float32."""
        precise(whole=True)
        found = []
        for which in torch.arange(self.held, device=self.truth.device).split(self.how.batch):
            error = (
                (self.made.drawn(self._rows(which)).clamp(0, 1) - self.truth[which].float() / 255)
                .square()
                .mean((1, 2, 3))
            )
            found.append(-10 * error.clamp_min(1e-10).log10())
        return torch.cat(found).mean().item()

    @torch.no_grad()
    def shown(self) -> bytes:
        """PNG: held-out pictures, and below what the head draws instead."""
        which = torch.arange(min(SHOWN, self.held), device=self.truth.device)
        lines = [self.truth[which].float() / 255, self.made.drawn(self._rows(which)).clamp(0, 1)]
        return grid([list(line.cpu()) for line in lines])


@torch.no_grad()
def seconds_per_picture(made: MobileGenerator) -> float:
    """Of a batch of 16 on the CPU, after one that does not count."""
    z = torch.randn(16, made.latent, generator=torch.Generator().manual_seed(0))
    made.cpu().synthesize(z)
    start = time.perf_counter()
    made.synthesize(z)
    return (time.perf_counter() - start) / len(z)


def distil(how: Asked, size: int, truth: Tensor, of: Styles, seconds: float) -> None:
    """Learns one head and writes it."""
    clock = Clock(how.device)
    made = student(how, size)
    teacher = Teacher(how, made, truth, of, clock)
    steps = teacher.learn(max(1.0, seconds - clock()))
    told = {
        "network": "mobilestylegan",
        "pictures": len(truth),
        "mixed": how.mixed,
        "batch": how.batch,
        "steps": steps,
        "lr": how.lr,
        "seed": how.seed,
        "loss": "mean absolute difference at 1, 1/2 and 1/4 of the size",
        "held-out PSNR": round(teacher.held_out(), 2),
        "held-out pictures": teacher.held,
        "parameters of the head": sum(p.numel() for p in teacher.head.parameters()),
        "learnt in seconds": round(clock(), 1),
        "learnt on": torch.cuda.get_device_name() if how.device.startswith("cuda") else how.device,
    }
    how.out.mkdir(parents=True, exist_ok=True)
    path = how.out / f"mobile_style_{size}_{how.framing}.safetensors"
    path.with_suffix(".png").write_bytes(teacher.shown())
    terms = {"terms": LEARNT.format(apart=MobileStyle().apart), "learnt": json.dumps(told)}
    mobile_head_file.write(path, teacher.head, how.framing, size, terms)
    told["seconds a picture, batch of 16, CPU"] = round(seconds_per_picture(made), 4)
    say(json.dumps({"file": str(path), "bytes": path.stat().st_size, **told}, indent=1))


def main() -> None:
    """Draws the pictures, then learns a head for each size."""
    how = asked()
    clock = Clock(how.device)
    truth, of = draw(how, clock)
    for k, size in enumerate(how.sizes):
        distil(how, size, truth[size], of, (60 * how.minutes - clock()) / (len(how.sizes) - k))


if __name__ == "__main__":
    main()
