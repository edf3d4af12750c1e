"""What holds for all attacks: batches bound memory and change nothing, nor do others that are attacked beside one."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from unveil.attacks.align_mi import AlignMI
from unveil.attacks.brep_mi import BREPMI
from unveil.attacks.c2f_mi import C2FMI
from unveil.attacks.frozen import PASSES, prior_of
from unveil.attacks.gmi import GMI
from unveil.attacks.if_gmi import IFGMI
from unveil.attacks.kedmi import KEDMI
from unveil.attacks.lokt import LOKT
from unveil.attacks.lomma import LOMMA
from unveil.attacks.losses import logit
from unveil.attacks.mirror import Mirror
from unveil.attacks.mirror_white_box import MirrorWhiteBox
from unveil.attacks.pixel_adversarial import PixelAdversarial
from unveil.attacks.plgmi import COPIES, PLGMI
from unveil.attacks.ppa import PPA
from unveil.attacks.ppdg_mi import PPDGMI
from unveil.attacks.priors.conditional_gan import ConditionalGAN
from unveil.attacks.priors.inversion_gan import InversionGAN
from unveil.attacks.priors.style_gan import StyleGAN
from unveil.attacks.priors.wgan_gp import WGANGP
from unveil.attacks.public_lookalikes import PublicLookalikes
from unveil.attacks.query_averaging import QueryAveraging
from unveil.attacks.random_latents import RandomLatents
from unveil.attacks.rlb_mi import RLBMI
from unveil.attacks.smile import SMILE
from unveil.attacks.vmi import VMI
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.plan import plugins
from unveil.harness.training import probe
from unveil.harness.types import (
    Access,
    Attack,
    ConditionalGenerator,
    Generator,
    Given,
    Images,
    Ingredients,
    Spec,
    Surrogate,
    View,
)
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.needs import needs_of
from unveil.harness.words.run import Run

LABELS = torch.tensor([0, 2])
STUDENTS = (Spec("plain_cnn", {"width": 4}), Spec("small_resnet", {"width": 4}))
AGAIN: dict[str, Any] = {"restarts": 3, "steps": 20, "lr": 0.1}
SMALL = 3  # a batch that none of the numbers of samples below is a multiple of
ATTACKS: dict[str, tuple[Any, str]] = {
    "gmi": (GMI(restarts=2, steps=30, lr=0.1), "latents"),
    "kedmi": (KEDMI(draws=2, steps=70), "latents"),
    "lomma": (LOMMA(Spec("gmi", {"restarts": 2, "steps": 30}), students=STUDENTS), "latents"),
    "lomma on kedmi": (LOMMA(Spec("kedmi", {"draws": 2, "steps": 30}), students=STUDENTS), "latents"),
    "lomma on plgmi": (LOMMA(Spec("plgmi", {"restarts": 2, "steps": 20}), "logit"), "classes"),
    "lomma both on plgmi": (
        LOMMA(Spec("plgmi", {"restarts": 2, "steps": 20}), students=STUDENTS, reference=1),
        "taught",
    ),
    "plgmi": (PLGMI(restarts=2, steps=20), "classes"),
    "lokt": (LOKT(models=STUDENTS, restarts=2, steps=20), "taught"),
    "ppa": (PPA(pool=20, candidates=4, keep=2, steps=20, views=3, crop_scale=(0.5, 1.0)), "styles"),
    "if_gmi": (IFGMI(pool=20, candidates=2, stages=(4, 3, 3), crop_scale=(0.5, 1.0)), "blocks"),
    "mirror": (Mirror(presamples=40, samples=2, population=10, generations=4, confidence=1.0), "styles"),
    "mirror_white_box": (MirrorWhiteBox(presamples=40, restarts=4, samples=2, steps=12, views=3), "styles"),
    "align_mi": (
        AlignMI(Spec("gmi", {"restarts": 2, "steps": 20, "lr": 0.1}), neighbours=2, variant="erase"),
        "latents",
    ),
    "ppdg_mi": (
        PPDGMI(Spec("gmi", AGAIN), "ct", pseudo_private=2, views=2, tune_steps=3, tune_lr=0.1, pivot_steps=4),
        "again",
    ),
    "query_averaging": (QueryAveraging(Spec("brep_mi", {"queries": 2000}), 3), "latents"),
    "smile": (SMILE(samples=40, pretrained=False, epochs=2, student_batch=16, steps=8, queries=10), "styles"),
    "c2f_mi": (C2FMI(inverse_width=8, starts=4, steps=8, founders=2, population=5, generations=6), "styles"),
    "rlb_mi": (RLBMI(samples=2, episodes=20, replay_batch=6, hidden=16), "latents"),
    "vmi": (VMI(samples=2, steps=10, step_batch=4, lr=0.1, flow_steps=2, flow_width=4), "styles"),
    "brep_mi": (BREPMI(queries=2000), "latents"),
    "public_lookalikes": (PublicLookalikes(samples=2), "latents"),
    "pixel_adversarial": (PixelAdversarial(samples=2, steps=5), "latents"),
}
WITHOUT_BATCHES = {"random_latents", "held_out_private"}  # these ask nothing
ASKED_BEFORE = {"lokt"}  # so does this, once it has begun
EVERY = pytest.mark.parametrize("name", ATTACKS)
Toys = dict[str, tuple[Classifier, Ingredients]]


@pytest.fixture
def toys(
    target: Classifier,
    ingredients: Ingredients,
    style_target: Classifier,
    styled: Ingredients,
    painted: Classifier,
    canvas: Ingredients,
    student: Callable[[int], Classifier],
    worlds: ModuleType,
) -> Toys:
    x = torch.rand(41, *ingredients.public.shape, generator=torch.Generator().manual_seed(1))
    helped = Ingredients(ingredients.prior, Images(x, torch.full((41,), -1)), (student(1), student(2)))
    foreign = {role: copy.deepcopy(style_target) for role in ("trunk", "embedder")}
    guided = dataclasses.replace(styled, given=Given(models=foreign))
    blocks = Ingredients(worlds.Blocks((1, 4, 4)), styled.public)
    return {
        "latents": (target, helped),
        "styles": (style_target, guided),
        "classes": (painted, canvas),
        "blocks": (style_target, blocks),
        "again": (target, wrapping(helped, target, worlds)),
        "taught": (painted, dataclasses.replace(canvas, surrogates=(copy.deepcopy(painted),) * 2)),
    }


def wrapping(helped: Ingredients, target: Classifier, worlds: ModuleType) -> Ingredients:
    """As a wrapper is given it, whose base has been run, and searches three samples at a time from then on."""
    attempt = worlds.attempted(GMI(**AGAIN, batch=SMALL), target, helped, LABELS)
    return dataclasses.replace(helped, surrogates=(), given=Given(attacks={"base": attempt}))


def found(attack: Attack, toy: tuple[Classifier, Ingredients], labels: Tensor = LABELS, **how: bool) -> Images:
    target, ingredients = toy
    if not any(isinstance(need, Surrogate) for need in needs_of(attack).values()):
        ingredients = dataclasses.replace(ingredients, surrogates=())
    run = Run("test", **how)  # type: ignore[arg-type]
    view = View(target, attack.access, ingredients.public.shape, compiler=run.compile)
    return attack.reconstruct(view, ingredients, labels, run)


def test_none_is_left_out() -> None:
    again = {"lomma on kedmi", "lomma on plgmi", "lomma both on plgmi"}
    assert {*ATTACKS} - again | WITHOUT_BATCHES == {*plugins.registered("attacks")}


def in_small_batches(attack: Any) -> Attack:
    if isinstance(attack, LOMMA | AlignMI | QueryAveraging):
        return dataclasses.replace(attack, base=Spec(attack.base.use, {**attack.base.settings, "batch": SMALL}))
    made: Attack = dataclasses.replace(attack, batch=SMALL)
    return made


WHITE_BOX = [name for name, (attack, _) in ATTACKS.items() if attack.access is Access.WHITE_BOX]
DRAWING = ("finished", "synthesize_w", "synthesize_as", "synthesize")


@pytest.mark.parametrize("name", [name for name in WHITE_BOX if name != "pixel_adversarial"])
def test_an_attack_descends_what_it_says(name: str, toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--precision probe` times: in which arithmetic pictures are drawn, and how many are shown of each."""
    attack, kind = ATTACKS[name]
    target, given = toys[kind]
    prior: Any = given.prior
    if isinstance(attack, PPDGMI):
        attack = dataclasses.replace(attack, tune_steps=0)  # pivots are searched without the target
    way = next(way for way in DRAWING if hasattr(prior, way))
    drawn, whole = [], getattr(type(prior), way)

    def noted(self: Any, x: Tensor, *rest: Any) -> Tensor:
        if torch.is_grad_enabled() and x.requires_grad:
            drawn.append((len(x), torch.is_autocast_enabled("cpu")))
        made: Tensor = whole(self, x, *rest)
        return made

    monkeypatch.setattr(type(prior), way, noted)  # of copies, too
    view, run = View(target, attack.access, given.public.shape), Run("test", mixed_precision=True)
    attack.reconstruct(view, given, LABELS, run)
    said = probe.Descended.by(attack, [target], prior, given.public.shape)
    assert {mixed for _, mixed in drawn} == {not said.draws_in_full}
    assert view.spent.gradients == said.shown_each * sum(count for count, _ in drawn)


@EVERY
def test_results_depend_on_neither_batch_nor_company(name: str, toys: Toys) -> None:
    """To 1e-4, not to the bit: matrix kernels sum in an order that depends on the size of the batch."""
    attack, kind = ATTACKS[name]
    both = found(attack, toys[kind])
    small = found(in_small_batches(attack), toys[kind])
    alone = found(attack, toys[kind], LABELS[1:])
    torch.testing.assert_close(small.pixels, both.pixels, atol=1e-4, rtol=0)
    torch.testing.assert_close(alone.pixels, both.pixels[both.labels == 2], atol=1e-4, rtol=0)
    assert small.labels.tolist() == both.labels.tolist()
    assert torch.equal(found(attack, toys[kind]).pixels, both.pixels)


def test_random_samples_depend_on_no_company(toys: Toys) -> None:
    both = found(RandomLatents(samples=2), toys["latents"])
    alone = found(RandomLatents(samples=2), toys["latents"], LABELS[1:])
    torch.testing.assert_close(alone.pixels, both.pixels[2:], atol=1e-6, rtol=0)


@EVERY
def test_a_batch_is_all_that_is_in_memory_at_once(name: str, toys: Toys, monkeypatch: pytest.MonkeyPatch) -> None:
    attack, kind = ATTACKS[name]
    target, ingredients = toys[kind]
    seen: list[int] = []
    target.stages["flat"].register_forward_pre_hook(lambda _, x: seen.append(len(x[0])))
    prior = type(ingredients.prior)  # of which an attack may make copies
    for one in PASSES:
        if hasattr(prior, one):
            monkeypatch.setattr(prior, one, watched(getattr(prior, one), seen))
    attack = in_small_batches(attack)
    if isinstance(attack, LOMMA):
        attack = dataclasses.replace(attack, reference=1)
    found(attack, (target, ingredients))
    assert max(seen) <= SMALL * (COPIES if name.endswith(("plgmi", "lokt")) else 1)


def watched(make: Callable[..., Tensor], seen: list[int]) -> Callable[..., Tensor]:
    def made(prior: Generator, x: Tensor, *rest: Tensor) -> Tensor:
        seen.append(len(x))
        return make(prior, x, *rest)

    return made


def test_a_coupled_prior_is_the_exception() -> None:
    """KEDMI's published realism looks at the whole batch; ours does not unless it is asked to."""
    target = SmallResNet(width=4).build(3, (1, 16, 16), Run("target"))
    public = Images(torch.zeros(1, 1, 16, 16), torch.tensor([-1]))
    attack = KEDMI(draws=1, steps=10, identity_weight=0, log_variance_init=-4.0)
    changes = []
    for coupled in (False, True):
        prior = InversionGAN(width=4, coupled=coupled).build(3, (1, 16, 16))
        with torch.no_grad():  # so that its features are close enough for minibatch discrimination to feel them
            prior.critic.closeness.theta.mul_(1e-3)  # type: ignore[union-attr]
        both, alone = (found(attack, (target, Ingredients(prior, public)), labels) for labels in (LABELS, LABELS[1:]))
        changes.append((both.pixels[1:] - alone.pixels).abs().max().item())
    assert changes[0] < 1e-6
    assert changes[1] > 1e-3


@EVERY
def test_mixed_precision_rounds_what_gradients_go_through(name: str, toys: Toys) -> None:
    """On the CPU, too. Scores and labels are what the target answers in full precision, whoever asks."""
    attack, kind = ATTACKS[name]
    target = toys[kind][0]
    seen: set[torch.dtype] = set()
    target.head.register_forward_hook(lambda _, x, out: seen.add(out.dtype))
    full = found(attack, toys[kind]).pixels
    assert seen == (set() if name in ASKED_BEFORE else {torch.float32})
    mixed = found(attack, toys[kind], mixed_precision=True).pixels
    assert (torch.bfloat16 in seen) == (attack.access is Access.WHITE_BOX)
    assert (full - mixed).abs().mean() < 0.02


COMPILED = {
    "gmi": WGANGP(width=4),
    "kedmi": InversionGAN(width=4),
    "plgmi": ConditionalGAN(width=4),
    "ppa": StyleGAN(width=4, width_max=8, latent=8, mapping_layers=1),
}


def passed(prior: Generator, target: Classifier, run: Run) -> tuple[Tensor, Tensor]:
    """Pictures, and the slope at their latents of something that all networks have a part in."""
    shape, y = (3, 16, 16), torch.arange(4) % 3
    prior = prior_of(Ingredients(prior, Images(torch.zeros(1, *shape), torch.tensor([-1]))), run)
    view = View(target, Access.WHITE_BOX, shape, compiler=run.compile)
    z = torch.randn(4, prior.latent, generator=torch.Generator().manual_seed(0)).requires_grad_(True)
    told = isinstance(prior, ConditionalGenerator)
    x = prior.synthesize_as(z, y) if told else prior.synthesize(z)  # type: ignore[operator]
    loss = logit(view.logits(x), y) + view.features(x).square().sum(1) - prior.realism(x)
    return x.detach(), torch.autograd.grad(loss.sum(), z)[0]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch warns of itself while it compiles
@pytest.mark.parametrize("name", COMPILED)
def test_compiled_networks_give_the_same_up_to_rounding(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        torch.compile(lambda x: (x * 2).sin())(torch.zeros(8))
    except Exception as error:
        pytest.skip(f"torch.compile does not work here: {type(error).__name__}")
    compiled: list[Any] = []
    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda fn: compiled.append(fn) or compiler(fn))
    torch.compiler.reset()
    target = SmallResNet(width=4).build(3, (3, 16, 16), Run("target"))
    prior = COMPILED[name].build(3, (3, 16, 16))
    plain, fast = (passed(prior, target, Run("test", compiled=how)) for how in (False, True))
    assert len(compiled) >= 4
    for ours, theirs in zip(fast, plain, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-3 * theirs.abs().max().item(), rtol=0)
