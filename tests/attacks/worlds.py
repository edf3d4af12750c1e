"""Every registered attack in a world so small that everything about it is known: linear targets, invertible priors."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from unveil.attacks.align_mi import AlignMI
from unveil.attacks.brep_mi import BREPMI
from unveil.attacks.c2f_mi import C2FMI
from unveil.attacks.gmi import GMI
from unveil.attacks.if_gmi import IFGMI
from unveil.attacks.kedmi import KEDMI
from unveil.attacks.lokt import LOKT
from unveil.attacks.lomma import LOMMA
from unveil.attacks.mirror import Mirror
from unveil.attacks.mirror_white_box import MirrorWhiteBox
from unveil.attacks.pixel_adversarial import PixelAdversarial
from unveil.attacks.plgmi import PLGMI
from unveil.attacks.ppa import PPA
from unveil.attacks.ppdg_mi import PPDGMI
from unveil.attacks.public_lookalikes import PublicLookalikes
from unveil.attacks.query_averaging import QueryAveraging
from unveil.attacks.random_latents import RandomLatents
from unveil.attacks.rlb_mi import RLBMI
from unveil.attacks.smile import SMILE
from unveil.attacks.vmi import VMI
from unveil.harness.types import (
    Attack,
    Attempt,
    Budget,
    ConditionalGenerator,
    Generator,
    Given,
    Images,
    Ingredients,
    Run,
    Spec,
    View,
)
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.pixels import to_uint8

CLASSES = 3
PUBLIC = 60
STUDENTS = (Spec("plain_cnn", {"width": 4}), Spec("small_resnet", {"width": 4}))
NO_LIMIT = Budget()


class Flat(Generator):
    """Pixels are .5 + .1 z; realism is -|z|²."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.shape, self.latent = shape, shape[0] * shape[1] * shape[2]

    def synthesize(self, z: Tensor) -> Tensor:
        return 0.5 + 0.1 * z.view(-1, *self.shape)

    def realism(self, x: Tensor) -> Tensor:
        return -((x - 0.5) / 0.1).square().flatten(1).sum(1)


class Tunable(Flat):
    """As `Flat`, with weights: pixels are .5 + .1 (z + c), and c is zero at first."""

    def __init__(self, shape: tuple[int, int, int]) -> None:
        super().__init__(shape)
        self.centre = nn.Parameter(torch.zeros(self.latent))

    def synthesize(self, z: Tensor) -> Tensor:
        return super().synthesize(z + self.centre)


class Styled(Flat):
    """Styles are the leaky latents, in three equal rows; pixels are .5 + .1 times the mean row."""

    num_ws = 3

    def map(self, z: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        w = nn.functional.leaky_relu(z, 0.2)[:, None].repeat(1, self.num_ws, 1)
        w[:, :cutoff] *= psi
        return w

    def synthesize_w(self, w: Tensor) -> Tensor:
        return super().synthesize(w.mean(1))

    def synthesize(self, z: Tensor) -> Tensor:
        return self.synthesize_w(self.map(z))


class Blocks(Styled):
    """Three blocks: features are a third of those before and the block's own style; colours add up."""

    blocks = 3

    def block(self, i: int, h: Tensor | None, rgb: Tensor | None, w: Tensor) -> tuple[Tensor, Tensor]:
        own = w[:, i].view(-1, *self.shape)
        h = own if h is None else h / 3 + own
        return h, h if rgb is None else rgb + h

    def finished(self, rgb: Tensor) -> Tensor:
        return 0.5 + 0.03 * rgb

    def synthesize_w(self, w: Tensor) -> Tensor:
        h, rgb = self.block(0, None, None, w)
        for i in range(1, self.blocks):
            h, rgb = self.block(i, h, rgb, w)
        return self.finished(rgb)


class Told(Flat, ConditionalGenerator):
    """As `Flat`, a little brighter for each class."""

    def synthesize_as(self, z: Tensor, y: Tensor) -> Tensor:
        return self.synthesize(z) + 0.02 * y.view(-1, 1, 1, 1)


def linear(weight: Tensor, shape: tuple[int, int, int]) -> Classifier:
    """Logits ``W (x - .5)``, with ``x - .5`` for features."""
    head = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0])
    with torch.no_grad():
        head.weight.copy_(weight)
        head.bias.zero_()
    plain = {"mean": (0.5,) * shape[0], "std": (1.0,) * shape[0]}
    return Classifier({"flat": nn.Flatten()}, head, classes=len(weight), **plain)


def drawn(seed: int, length: int) -> Tensor:
    """The weights of a target, or of a student of it: rows of length 8."""
    g = torch.Generator().manual_seed(seed)
    return torch.randn(CLASSES, length, generator=g) * (8 / length**0.5)


@dataclass(frozen=True)
class World:
    """What an attack meets.

    Attributes:
        prior: Of which kind the prior is; None for none.
        shape: Of the pictures.
        students: How many students of the target there are.
        wrapped: An attack that has been run on everybody before.
    """

    prior: type[Flat] | None = Flat
    shape: tuple[int, int, int] = (1, 2, 3)
    students: int = 0
    wrapped: Attack | None = None

    @property
    def length(self) -> int:
        return self.shape[0] * self.shape[1] * self.shape[2]

    def target(self) -> Classifier:
        return linear(drawn(5, self.length), self.shape)

    def public(self) -> Images:
        pixels = torch.rand(PUBLIC, *self.shape, generator=torch.Generator().manual_seed(1))
        return Images(pixels, torch.full((PUBLIC,), -1))

    def weights(self) -> list[Tensor]:
        """Of the target and of each student ``(C, F)``, in double precision."""
        return [drawn(seed, self.length).double() for seed in (5, *range(1, self.students + 1))]

    def ingredients(self) -> Ingredients:
        prior = None if self.prior is None else self.prior(self.shape)
        students = [linear(drawn(seed, self.length), self.shape) for seed in range(1, self.students + 1)]
        foreign = linear(drawn(9, self.length), self.shape)
        given = Given(models={"trunk": foreign, "embedder": foreign})
        found = Ingredients(prior, self.public(), tuple(students), given)
        if self.wrapped is None:
            return found
        return replace(found, given=replace(given, attacks={"base": before(self)}))


def attempted(attack: Attack, target: Classifier, ingredients: Ingredients, labels: Tensor) -> Attempt:
    """An attack that has been run for another one that wraps it."""
    run, view = Run("before"), View(target, attack.access, ingredients.public.shape)
    images = attack.reconstruct(view, ingredients, labels, run)
    return Attempt(attack, Images(to_uint8(images.pixels), images.labels), run.kept, ingredients)


@cache
def before(world: World) -> Attempt:
    """What a world's wrapped attack has found of everybody: once, whatever is tried out with it."""
    assert world.wrapped is not None
    alone = replace(world, wrapped=None)
    return attempted(world.wrapped, world.target(), alone.ingredients(), torch.arange(CLASSES))


def changed_in(attack: Any, settings: dict[str, Any]) -> Any:
    """An attack with some settings changed, in the attack that runs inside it where they are that one's."""
    own = {field.name for field in fields(attack)}
    inner = {name: value for name, value in settings.items() if name not in own}
    if inner:
        attack = replace(attack, base=Spec(attack.base.use, {**attack.base.settings, **inner}))
    return replace(attack, **{name: value for name, value in settings.items() if name in own})


@dataclass(frozen=True)
class Case:
    """An attack and its world.

    Attributes:
        attack: The attack.
        world: What it meets.
        draws: Whether it uses random numbers.
    """

    attack: Attack
    world: World = World()
    draws: bool = True

    def view(self, budget: Budget = NO_LIMIT) -> View:
        return View(self.world.target(), self.attack.access, self.world.shape, budget)

    def attacked(self, labels: Tensor, run: Run, view: View | None = None, **changed: Any) -> Images:
        """Reconstructions, with some settings changed."""
        attack = changed_in(self.attack, changed)
        return attack.reconstruct(view or self.view(), self.world.ingredients(), labels, run)


def lomma(base: Any, variant: Any) -> Case:
    with_students = variant in ("aug", "both")
    samples = "draws" if base == "kedmi" else "restarts"
    attack = LOMMA(Spec(base, {samples: 2, "steps": 8, "lr": 0.1, "batch": 3}), variant, students=STUDENTS)
    world = World(Told, (3, 8, 8)) if base == "plgmi" else World()
    return Case(attack, replace(world, students=2 if with_students else 0))


COARSE = {"inverse_width": 8, "inverse_epochs": 2, "inverse_batch": 16, "starts": 4, "steps": 5, "founders": 3}
STYLE = World(Styled, (1, 4, 4))
AGAIN = {"restarts": 4, "steps": 8, "lr": 0.1, "batch": 3}
CASES: dict[str, Case] = {
    "gmi": Case(GMI(restarts=2, steps=8, lr=0.1, batch=3)),
    "kedmi": Case(KEDMI(draws=2, steps=8, lr=0.1, batch=1)),
    **{
        f"lomma {base} {variant}": lomma(base, variant)
        for base in ("gmi", "kedmi")
        for variant in ("baseline", "logit", "aug", "both")
    },
    **{f"lomma plgmi {variant}": lomma("plgmi", variant) for variant in ("logit", "aug", "both")},
    "plgmi": Case(PLGMI(restarts=2, steps=5, batch=3), World(Told, (3, 8, 8))),
    "lokt": Case(LOKT(models=STUDENTS, restarts=2, steps=5, batch=3), World(Told, (3, 8, 8), students=2)),
    "ppa": Case(PPA(pool=20, candidates=3, keep=2, steps=5, views=4, crop_scale=(0.5, 1.0), batch=4), STYLE),
    "if_gmi": Case(
        IFGMI(pool=20, candidates=2, stages=(3, 0, 2), radii=(1, 1, 0.05), crop_scale=(0.5, 1.0), batch=3),
        World(Blocks, (1, 4, 4)),
    ),
    "mirror_white_box": Case(
        MirrorWhiteBox(presamples=30, restarts=3, samples=2, steps=6, lr=0.1, views=3, batch=4), STYLE
    ),
    "mirror": Case(
        Mirror(presamples=30, samples=2, population=8, generations=4, queries=1000, confidence=1.0, batch=7), STYLE
    ),
    "align_mi": Case(AlignMI(Spec("gmi", {"restarts": 2, "steps": 8, "lr": 0.1, "batch": 3}), "erase", 2)),
    "ppdg_mi": Case(
        PPDGMI(Spec("gmi", AGAIN), "mmd", pseudo_private=2, views=2, tune_steps=3, tune_lr=0.1, pivot_steps=4, batch=3),
        World(Tunable, wrapped=GMI(**AGAIN)),  # type: ignore[arg-type]
    ),
    "query_averaging": Case(
        QueryAveraging(Spec("rlb_mi", {"samples": 2, "episodes": 12, "replay_batch": 4, "hidden": 8, "batch": 3}), 3)
    ),
    "smile": Case(
        SMILE(samples=20, pretrained=False, epochs=2, student_batch=8, steps=4, queries=6, pictures=2, batch=7), STYLE
    ),
    "c2f_mi": Case(C2FMI(**COARSE, samples=2, population=6, generations=20, batch=7), STYLE),  # type: ignore[arg-type]
    "rlb_mi": Case(RLBMI(samples=2, episodes=12, replay_batch=4, hidden=8, batch=3)),
    "vmi": Case(VMI(samples=2, steps=8, step_batch=3, lr=0.1, flow_steps=2, flow_width=4, batch=4), STYLE),
    "brep_mi": Case(BREPMI(queries=700, patience=10_000)),
    "random_latents": Case(RandomLatents(samples=2)),
    "public_lookalikes": Case(PublicLookalikes(samples=2, batch=16), World(None), draws=False),
    "pixel_adversarial": Case(PixelAdversarial(samples=2, steps=6, batch=3), World(None)),
}


class Moves:
    """A progress bar that counts its moves, hears what is told beside them, and kills the run at one of them.

    Attributes:
        made: Moves so far.
        told: The values told at each of them.
    """

    def __init__(self, kill_at: int | None = None) -> None:
        self.made, self.told, self.kill_at = 0, [], kill_at

    def start(self, label: str, total: int) -> Moves:
        return self

    def stop(self, bar: object) -> None:
        """Nothing to close."""

    def advance(self, steps: int = 1, **values: float) -> None:
        self.made += 1
        self.told.append(values)
        if self.made == self.kill_at:
            raise KeyboardInterrupt


def identity_of(told: list[dict[str, float]]) -> float:
    """The first loss that was told beside a bar."""
    return next(values["identity_loss"] for values in told if "identity_loss" in values)
