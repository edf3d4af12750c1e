"""The latent searches against formulas written here, in double precision: first loss, first update, known optimum.

The targets are linear and the priors invertible, ``x = .5 + .1 z``, so that every loss is a convex function of z, whose
one minimum scipy finds as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from unveil.attacks.brep_mi import BREPMI
from unveil.attacks.gmi import GMI
from unveil.attacks.kedmi import KEDMI
from unveil.attacks.lomma import LOMMA
from unveil.attacks.mirror import Mirror
from unveil.attacks.mirror_white_box import MirrorWhiteBox
from unveil.attacks.plgmi import PLGMI
from unveil.attacks.ppa import PPA
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.types import Images, Spec
from unveil.harness.words.run import Run

LABELS = torch.tensor([0, 2])
VARIANTS = ("baseline", "logit", "aug", "both")
SEARCHES = ["gmi", "kedmi", *(f"lomma {base} {variant}" for base in ("gmi", "kedmi") for variant in VARIANTS)]
SEARCH = pytest.mark.parametrize("name", SEARCHES)


def identity(case: Any, variant: str) -> Callable[[Tensor, Tensor], Tensor]:
    """``mean_m L(W_m f, y) + mean_j (f - p)_j²``: the features ``f = x - .5 = .1 z`` of latents; section 2.3."""
    weights = case.world.weights()[: None if variant in ("aug", "both") else 1]
    centre = case.world.public().pixels.flatten(1).double().mean(0) - 0.5

    def loss(z: Tensor, y: Tensor) -> Tensor:
        f, rows = 0.1 * z, torch.arange(len(z))
        parts = []
        for w in weights:
            o = f @ w.T
            ce = o.exp().sum(1).log() - o[rows, y]
            parts.append(-o[rows, y] if variant in ("logit", "both") else ce)
        total = torch.stack(parts).mean(0)
        return total + (f - centre).square().mean(1) if variant in ("logit", "both") else total

    return loss


def normal(run: Run, name: str, *key: int, count: int = 0) -> Tensor:
    shape = (count, 6) if count else (6,)
    return torch.randn(shape, generator=run.generator(name, *key)).double()


def latents(images: Images) -> Tensor:
    return (images.pixels.flatten(1).double() - 0.5) / 0.1


def is_gmi(name: str) -> bool:
    return name == "gmi" or name.startswith("lomma gmi")


@SEARCH
def test_first_loss_and_first_update_are_the_written_ones(name: str, worlds: ModuleType) -> None:
    """GMI: ``z ← clip(z - 1.9 · .02 g / 60)``. KEDMI: Adam's first step on mean and log-variance is ``-η g / |g|``."""
    case, run, heard = worlds.CASES[name], Run("test"), worlds.Moves()
    settings = {"steps": 1, "lr": 0.02, "batch": 100}
    found = latents(case.attacked(LABELS, Run("test", shown=heard), **settings))
    written = identity(case, name.rsplit(maxsplit=1)[-1])
    keys = [(y, r) for y in (0, 2) for r in range(2)]
    if is_gmi(name):
        y = torch.tensor([y for y, _ in keys])
        z = torch.stack([normal(run, "z", *key) for key in keys]).requires_grad_(True)
        part = written(z, y)
        (g,) = torch.autograd.grad((100 * part + z.square().sum(1)).sum(), z)
        expected = (z.detach() - 1.9 * 0.02 * g / 60).clamp(-1, 1)
    else:
        clamped = name.startswith("lomma")  # Q-KED-2
        e = torch.stack([normal(run, "noise", y, 0, count=64)[0] for y in (0, 2)])
        p = torch.stack([torch.zeros(2, 6), torch.ones(2, 6)]).double().requires_grad_(True)
        z = p[0] + (p[1] / 2).exp() * e
        part = written(z.clamp(-1, 1) if clamped else z, LABELS)
        shown = z.clamp(-1, 1) if clamped else z
        (g,) = torch.autograd.grad((100 * part + shown.square().sum(1)).sum(), p)
        p = p.detach() - 0.02 * g / (g.abs() + 1e-8)
        fresh = torch.stack([normal(run, "draw", *key) for key in keys])
        expected = p[0].repeat_interleave(2, 0) + (p[1] / 2).exp().repeat_interleave(2, 0) * fresh
        expected = expected.clamp(-1, 1) if clamped else expected
    assert worlds.identity_of(heard.told) == pytest.approx(part.mean().item(), rel=1e-5)
    shows = expected.clamp(-5, 5)  # pixels end at 0 and 1
    torch.testing.assert_close(found, shows, atol=2e-5, rtol=0)


@SEARCH
def test_finds_the_optimum_that_scipy_finds(name: str, worlds: ModuleType) -> None:
    """``|z|² + λ identity(z)``, convex; KEDMI's variance starts next to nothing, so that its mean must be there."""
    case, weight = worlds.CASES[name], 2.0
    settings: dict[str, Any] = {"steps": 300, "lr": 0.05, "batch": 100, "identity_weight": weight}
    settings |= {"batch_equivalent": 1} if is_gmi(name) else {"log_variance_init": -20.0}
    found = latents(case.attacked(LABELS, Run("test"), **settings))
    written = identity(case, name.rsplit(maxsplit=1)[-1])

    def objective(z: Any, y: int) -> tuple[float, Any]:
        at = torch.from_numpy(z)[None].requires_grad_(True)
        value = (at.square().sum(1) + weight * written(at, torch.tensor([y]))).sum()
        return value.item(), torch.autograd.grad(value, at)[0][0].numpy()

    best = {y: minimize(objective, np.zeros(6), args=(y,), jac=True, tol=1e-10).x for y in (0, 2)}
    expected = torch.from_numpy(np.stack([best[y] for y in (0, 0, 2, 2)]))
    assert 0.1 < expected.abs().max() < 0.9, "inside the clip, and not where an attack starts"
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=0)


def test_mirror_breeds_as_written(worlds: ModuleType) -> None:
    """One generation in numpy; parents by the softmax of log-scores, genes by the parents' scores (section 2.7)."""
    case, run, heard = worlds.CASES["mirror"], Run("test"), worlds.Moves()
    images = case.attacked(LABELS, Run("test", shown=heard), generations=1, mutation_size=0.3, mutation=0.5)
    w = case.world.weights()[0].numpy()

    def score(p: Any, y: int) -> Any:
        o = 0.1 * np.where(p < 0, 0.2 * p, p) @ w.T
        e = np.exp(o - o.max(1, keepdims=True))
        return e[:, y] / e.sum(1)

    z = np.stack([torch.randn(16, generator=run.generator("pool", i)).double().numpy() for i in range(30)])
    presamples = 0.7 * z  # truncated; the mean style of this prior is zero
    mean, std = presamples.mean(0), presamples.std(0)
    inside = presamples.clip(mean - std, mean + std)
    expected, fittest = [], []
    for y in (0, 2):
        ranked = inside[np.argsort(-score(inside, y), kind="stable")]
        for r in range(2):
            p = ranked[r:16:2]  # dealt in turns to two populations of eight
            f = score(p, y)
            u = torch.rand(7, 2 + 3 * 16, generator=run.generator("breed", y, r, 0)).double().numpy()
            ladder = np.cumsum(f / f.sum())
            a, b = (np.searchsorted(ladder, u[:, k], side="right").clip(max=7) for k in (0, 1))
            cross, mutates, size = u[:, 2:18], u[:, 18:34], u[:, 34:]
            child = np.where(cross < (f[a] / (f[a] + f[b]))[:, None], p[a], p[b])
            child = np.where(mutates < 0.5, child + (2 * size - 1) * 0.3 * std, child).clip(mean - std, mean + std)
            bred = np.concatenate([p[:1], child])  # the elite is one of eight
            best = bred[score(bred, y).argmax()]
            expected.append(0.5 + 0.1 * np.where(best < 0, 0.2 * best, best))
            fittest.append(-np.log(score(best[None], y)[0]))
    np.testing.assert_allclose(images.pixels.flatten(1).numpy(), np.stack(expected), atol=1e-5)
    assert heard.told[-1]["identity_loss"] == pytest.approx(np.mean(fittest), rel=1e-5)


def test_mirror_with_gradients_descends_as_written(worlds: ModuleType) -> None:
    """Three steps of torch's Adam on ten times the cross-entropy, rate 0 at first, clipped in P-space (section 2.7)."""
    case, run, heard = worlds.CASES["mirror_white_box"], Run("test"), worlds.Moves()
    images = case.attacked(LABELS, Run("test", shown=heard), steps=4, samples=3, lr=0.2)
    w = case.world.weights()[0]
    p = 0.7 * torch.stack([torch.randn(16, generator=run.generator("pool", i)).double() for i in range(30)])
    low, high = p.mean(0) - p.std(0, unbiased=False), p.mean(0) + p.std(0, unbiased=False)
    styles = torch.nn.functional.leaky_relu(p.clamp(low, high), 0.2)
    first, expected = [], []
    for y in (0, 2):
        score = (0.1 * styles @ w.T).softmax(1)[:, y]
        for i in score.argsort(descending=True)[:3].tolist():
            coins = torch.rand(64, 1, generator=run.generator("mirrored", y, i, 0))[:, 0]
            style = styles[i].clone().requires_grad_(True)
            adam, seen = torch.optim.Adam([style]), []
            for t, rate in enumerate((0.0, 1.0, 1.0, 1.0)):  # up for 5 % of the steps; down in the last quarter
                adam.param_groups[0]["lr"] = 0.2 * rate
                f = (0.1 * style).view(4, 4)
                o = (f.flip(-1) if coins[t] < 0.5 else f).flatten() @ w.T
                loss = 10 * (o.logsumexp(0) - o[y])
                seen.append((loss.item(), style.detach().clone()))
                adam.zero_grad()
                loss.backward()
                adam.step()
                with torch.no_grad():
                    unactivated = torch.nn.functional.leaky_relu(style, 5.0).clamp(low, high)
                    style.copy_(torch.nn.functional.leaky_relu(unactivated, 0.2))
            first.append(seen[0][0] / 10)
            expected.append(0.5 + 0.1 * min(seen, key=lambda one: one[0])[1])
    torch.testing.assert_close(images.pixels.flatten(1).double(), torch.stack(expected), atol=1e-5, rtol=0)
    told = [values["identity_loss"] for values in heard.told[-8:]]  # two batches of four steps
    assert (4 * told[0] + 2 * told[4]) / 6 == pytest.approx(np.mean(first), rel=1e-5)


def test_the_adversary_finds_the_corner_by_the_written_steps(worlds: ModuleType) -> None:
    """Cross-entropy's slope is ``Wᵀ (softmax(o) - onehot)``; where it keeps its sign, the ball's corner is reached."""
    case, run, heard = worlds.CASES["pixel_adversarial"], Run("test"), worlds.Moves()
    w, public = case.world.weights()[0].numpy(), case.world.public().pixels.flatten(1).double().numpy()
    keys = [(y, s) for y in (0, 2) for s in range(2)]
    at = [int(torch.randint(60, (), generator=run.generator("start", *key))) for key in keys]
    x, y = public[at], np.array([y for y, _ in keys])

    def softmax(x: Any) -> Any:
        e = np.exp((x - 0.5) @ w.T)
        return e / e.sum(1, keepdims=True)

    p = softmax(x)
    slope = (p - np.eye(3)[y]) @ w
    once = case.attacked(LABELS, Run("test", shown=heard), steps=1, batch=100).pixels.flatten(1).numpy()
    np.testing.assert_allclose(once, (x - 2 / 255 * np.sign(slope)).clip(0, 1), atol=1e-6)
    assert worlds.identity_of(heard.told) == pytest.approx(-np.log(p[np.arange(4), y]).mean(), rel=1e-5)
    last = case.attacked(LABELS, run, steps=40, eps=4 / 255).pixels.flatten(1).double().numpy()
    still = np.sign((softmax(last) - np.eye(3)[y]) @ w) == np.sign(slope)
    assert still.mean() > 0.8
    np.testing.assert_allclose(last[still], (x - 4 / 255 * np.sign(slope)).clip(0, 1)[still], atol=1e-6)


@pytest.mark.parametrize(("radius", "all_inside"), [(0.2, True), (3.0, False)])
def test_the_first_walk_from_the_boundary_is_the_written_one(
    worlds: ModuleType, radius: float, all_inside: bool
) -> None:
    """BREP-MI by loops (section 2.8): 256 samples, a sphere of 32 directions, a move kept if it stays inside."""
    case, run = worlds.CASES["brep_mi"], Run("test")
    images = case.attacked(LABELS, run, queries=256 + 33, radius=radius)
    w = case.world.weights()[0].float()

    def label(z: Tensor) -> int:
        return int((0.1 * z @ w.T).argmax())

    samples = [torch.randn(6, generator=run.generator("first", i)).clamp(-1.5, 1.5) for i in range(256)]
    expected = []
    for y in (0, 2):
        z = next(z for z in samples if label(z) == y)
        e = torch.randn(32, 6, generator=run.generator("directions", y, 0))
        delta = [radius * one / one.norm() for one in e]
        phi = [1 if label(z + d) == y else -1 for d in delta]
        grows = sum(phi) > 24
        push = torch.stack([(f - 1) / 2 * d for f, d in zip(phi, delta, strict=True)]).mean(0)
        moved = (z + min(radius / 3, 3) * push / (1.3 * radius if grows else radius)).clamp(-1.5, 1.5)
        kept = label(moved) == y and not grows  # what a sphere that grows was drawn around is what is shown
        expected.append(moved if kept else z)
        assert (-1 not in phi) == all_inside
    torch.testing.assert_close(latents(images).float(), torch.stack(expected), atol=1e-5, rtol=0)


def test_luck_is_the_priors_own_draws(worlds: ModuleType) -> None:
    images = worlds.CASES["random_latents"].attacked(LABELS, Run("test"))
    z = torch.stack([normal(Run("test"), "z", y, s) for y in (0, 2) for s in range(2)])
    torch.testing.assert_close(images.pixels.flatten(1).double(), (0.5 + 0.1 * z).clamp(0, 1), atol=1e-6, rtol=0)


def test_defaults_are_the_published_protocols() -> None:
    """Section 2 and the table of 2.13: gradients of the target per identity, and what they are spent on."""
    gmi, kedmi, plgmi, ppa = GMI(), KEDMI(), PLGMI(), PPA()
    assert (gmi.restarts * gmi.steps, gmi.lr, gmi.momentum, gmi.identity_weight) == (12_000, 0.02, 0.9, 100)
    assert (gmi.batch_equivalent, gmi.clip, gmi.identity) == (60, 1, "cross_entropy")
    assert (kedmi.steps, kedmi.draws, kedmi.lr, kedmi.log_variance_init) == (2400, 5, 0.02, 1)
    for base, own in (("gmi", gmi), ("kedmi", kedmi)):
        lomma = LOMMA(Spec(base))
        assert lomma.attack() == (replace(own, clamp=True) if own is kedmi else own)
        assert (lomma.reference, lomma.feature_weight, len(lomma.students)) == (5050, 1, 3)
        assert (lomma.student_epochs, lomma.student_batch, lomma.student_lr) == (20, 64, 0.01)
    assert (plgmi.restarts * plgmi.steps, plgmi.lr, plgmi.identity) == (3000, 0.1, "max_margin")
    assert (ppa.pool, ppa.candidates * ppa.steps, ppa.candidates * ppa.views, ppa.keep) == (2000, 10_000, 20_000, 50)
    assert (ppa.lr, ppa.crop_scale, ppa.psi, ppa.cutoff, ppa.milestones) == (0.005, (0.9, 1.0), 0.5, 8, ())
    brep = BREPMI()
    assert (brep.directions, brep.radius, brep.growth, brep.patience, brep.clip) == (32, 2, 1.3, 1000, 1.5)
    white = MirrorWhiteBox()
    assert (white.presamples, white.restarts, white.steps, white.lr) == (100_000, 8, 20_000, 0.25)
    black = Mirror()
    assert (black.generations, black.mutation, black.mutation_size, black.confidence) == (100, 0.1, 0.1, 0.95)


def test_the_cheap_protocol_of_ppa_is_another_question() -> None:
    """16 candidates of which 8 are kept are not comparable with 200 and 50: another identity, and a cheaper one."""
    full, cheap = (PPA(**settings) for settings in ({}, {"candidates": 16, "keep": 8, "milestones": (30, 40)}))
    asked = [plugin_settings.question(Spec("ppa"), attack) for attack in (full, cheap)]
    assert asked[0] != asked[1]
    assert cheap.candidates * cheap.steps == 800
