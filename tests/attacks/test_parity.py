"""Twenty steps of the 64-pixel attacks, and of IF-GMI's stages, against loops written out from their descriptions.

They agree as well as such a loop agrees with itself from a start that is 1e-7 away. PPA, PLG-MI and MIRROR are in
`test_as_published`, BiDO and MID in `tests/defenses/test_parity_in_training`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.attacks.gmi import GMI
from unveil.attacks.if_gmi import IFGMI
from unveil.attacks.kedmi import KEDMI
from unveil.attacks.lomma import LOMMA
from unveil.attacks.numbers import normal
from unveil.harness.types import Access, Generator, Images, Ingredients, Spec, View, draw_normal
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.run import Run

SHAPE, LATENT, CLASSES = (1, 4, 4), 6, 3
LABELS = torch.tensor([0, 2])
STEPS, NUDGE = 20, 1e-7


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


class Painter(Generator):
    """A generator of two layers, and a critic that is no function of single pixels."""

    latent = LATENT

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = (nn.Parameter(drawn(*size)) for size in ((1, LATENT, 12), (2, 12, 16), (3, 16, 5)))

    def synthesize(self, z: Tensor) -> Tensor:
        return torch.sigmoid(torch.tanh(z @ self.a / 2) @ self.b / 2).view(-1, *SHAPE)

    def realism(self, x: Tensor) -> Tensor:
        return torch.tanh(x.flatten(1) @ self.c).sum(1)


def network(seed: int) -> Classifier:
    """Features ``tanh(W (x - .5))``, then a linear head."""
    body, head = (nn.utils.skip_init(nn.Linear, a, b) for a, b in ((16, 8), (8, CLASSES)))
    with torch.no_grad():
        for layer, at in ((body, seed), (head, seed + 50)):
            layer.weight.copy_(drawn(at, *layer.weight.shape))
            layer.bias.copy_(drawn(at + 100, len(layer.bias)) / 4)
    stages = {"flat": nn.Flatten(), "body": nn.Sequential(body, nn.Tanh())}
    return Classifier(stages, head, classes=CLASSES, mean=(0.5,), std=(1.0,))


PUBLIC = Images(torch.rand(40, *SHAPE, generator=torch.Generator().manual_seed(8)), torch.full((40,), -1))


def found(attack: Any, prior: Generator, students: Sequence[Classifier] = ()) -> Tensor:
    view = View(network(11), Access.WHITE_BOX, SHAPE)
    given = Ingredients(prior, PUBLIC, tuple(students))
    pixels: Tensor = attack.reconstruct(view, given, LABELS, Run("x")).pixels
    return pixels


def agrees(found: Tensor, by_hand: Callable[[float], Tensor]) -> None:
    expected = by_hand(0.0)
    spread = (by_hand(NUDGE) - expected).abs().max()
    assert 0 < spread < 1e-3
    assert (found - expected).abs().max() <= 10 * spread


Loss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(x: Tensor, y: Tensor) -> Tensor:
    o = network(11).logits(x)
    return torch.stack([row.exp().sum().log() - row[k] for row, k in zip(o, y.tolist(), strict=True)])


def logits_and_features(x: Tensor, y: Tensor) -> Tensor:
    """LOMMA's: minus the logit, mean over target and students, and the distance to the public mean feature."""
    models = [network(11), network(12), network(13)]
    own = -torch.stack([model.logits(x)[torch.arange(len(y)), y] for model in models]).mean(0)
    p_reg = models[0].features(PUBLIC.pixels).mean(0)
    return own + ((models[0].features(x) - p_reg) ** 2).mean(1)


def gmi_by_hand(loss: Loss, nudge: float) -> Tensor:
    """``v' = .9 v - .02 g``, ``z' = z - .9 v + 1.9 v'``, clipped; g of the mean over a batch of 60."""
    prior, keys = Painter(), [(y, r) for y in LABELS.tolist() for r in range(2)]
    z = prior.sample(Run("x").generators("z", keys)) + nudge
    v, y = torch.zeros_like(z), torch.tensor([label for label, _ in keys])
    for _ in range(STEPS):
        z.requires_grad_(True)
        x = prior.synthesize(z)
        (g,) = torch.autograd.grad((100 * loss(x, y).sum() - prior.realism(x).sum()) / 60, z)
        new = 0.9 * v - 0.02 * g
        z = (z.detach() - 0.9 * v + 1.9 * new).clamp(-1, 1)
        v = new
    return prior.synthesize(z).detach()


def kedmi_by_hand(loss: Loss, nudge: float, *, clamp: bool) -> Tensor:
    """Adam on mean and log-variance, with fresh noise in each step, then two draws of each person."""
    run, prior, keys = Run("x"), Painter(), [(y,) for y in LABELS.tolist()]
    mean, log_variance = (nn.Parameter(torch.full((2, LATENT), value)) for value in (nudge, 1.0))
    optimiser = torch.optim.Adam([mean, log_variance], lr=0.02)

    def draw(e: Tensor, times: int = 1) -> Tensor:
        z = mean.repeat_interleave(times, 0) + (log_variance / 2).exp().repeat_interleave(times, 0) * e
        return z.clamp(-1, 1) if clamp else z

    for t in range(STEPS):
        x = prior.synthesize(draw(normal(run, "noise", LATENT).at(keys, t)))
        optimiser.zero_grad()
        (100 * loss(x, LABELS) - prior.realism(x)).sum().backward()
        optimiser.step()
    shown = [(y, s) for (y,) in keys for s in range(2)]
    return prior.synthesize(draw(draw_normal(run.generators("draw", shown), (LATENT,)), 2)).detach()


def lomma(base: str, samples: str) -> LOMMA:
    students = (Spec("plain_cnn", {"width": 4}), Spec("plain_cnn", {"width": 5}))
    return LOMMA(Spec(base, {"steps": STEPS, samples: 2}), students=students)


def test_gmi() -> None:
    agrees(found(GMI(restarts=2, steps=STEPS), Painter()), lambda nudge: gmi_by_hand(cross_entropy, nudge))


@pytest.mark.parametrize("clamp", [False, True])
def test_kedmi(clamp: bool) -> None:
    attack = KEDMI(draws=2, steps=STEPS, clamp=clamp)
    agrees(found(attack, Painter()), lambda nudge: kedmi_by_hand(cross_entropy, nudge, clamp=clamp))


def test_lomma_on_gmi() -> None:
    pictures = found(lomma("gmi", "restarts"), Painter(), [network(12), network(13)])
    agrees(pictures, lambda nudge: gmi_by_hand(logits_and_features, nudge))


def test_lomma_on_kedmi() -> None:
    pictures = found(lomma("kedmi", "draws"), Painter(), [network(12), network(13)])
    agrees(pictures, lambda nudge: kedmi_by_hand(logits_and_features, nudge, clamp=True))


class Blocks(Generator):
    """Three blocks: features are a third of those before and the block's own style; colours add up."""

    latent, num_ws, blocks = 16, 3, 3

    def map(self, z: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        w = F.leaky_relu(z, 0.2)[:, None].repeat(1, 3, 1)
        w[:, :cutoff] *= psi
        return w

    def block(self, i: int, h: Tensor | None, rgb: Tensor | None, w: Tensor) -> tuple[Tensor, Tensor]:
        own = torch.tanh(w[:, i]).view(-1, *SHAPE)
        h = own if h is None else h / 3 + own
        return h, h if rgb is None else rgb + h

    def finished(self, rgb: Tensor) -> Tensor:
        return 0.5 + 0.1 * rgb

    def synthesize_w(self, w: Tensor) -> Tensor:
        h, rgb = self.block(0, None, None, w)
        for i in (1, 2):
            h, rgb = self.block(i, h, rgb, w)
        return self.finished(rgb)


def poincare(o: Tensor, y: int) -> Tensor:
    u, v = o / o.abs().sum(), torch.zeros(CLASSES)
    v[y] = 0.9999
    return torch.acosh(1 + 2 * ((u - v) ** 2).sum() / ((1 - (u**2).sum()) * (1 - (v**2).sum())))


def if_gmi_by_hand(stages: Sequence[int], nudge: float) -> Tensor:
    """The best candidates' first style; then, block by block, the style together with the features before it."""
    run, prior, net = Run("x"), Blocks(), network(11)
    pool = prior.map(prior.sample(run.generators("pool", [(i,) for i in range(12)])), 0.5, 8)
    x = prior.synthesize_w(pool)
    scores = (net.logits(x).softmax(1) + net.logits(x.flip(-1)).softmax(1)) / 2
    best = scores[:, LABELS].T.sort(dim=1, descending=True, stable=True).indices[:, :2].flatten()
    w, y = (pool[best, 0] + nudge).detach(), [label for label in LABELS.tolist() for _ in range(2)]
    h, rgb = None, None
    for stage, steps in enumerate(stages):
        leaves = [nn.Parameter(one.clone()) for one in (w, h) if one is not None]
        optimiser = torch.optim.Adam(leaves, lr=0.005, betas=(0.1, 0.1))

        def onward(until: int, stage: int = stage, leaves: list[nn.Parameter] = leaves, rgb: Any = rgb) -> Any:
            features: Any = leaves[1] if stage else None
            for i in range(stage, until):
                features, rgb = prior.block(i, features, rgb, leaves[0][:, None].expand(-1, 3, -1))
            return features, rgb

        for _ in range(steps):
            o = net.logits(prior.finished(onward(3)[1]))
            optimiser.zero_grad()
            torch.stack([poincare(row, k) for row, k in zip(o, y, strict=True)]).sum().backward()
            optimiser.step()
        picture = prior.finished(onward(3)[1]).detach()
        w = leaves[0].detach()
        h, rgb = (one.detach() for one in onward(stage + 1))
    return picture.clamp(0, 1)


def test_if_gmi() -> None:
    """A crop of nine tenths is the whole of so few pixels."""
    attack = IFGMI(pool=12, candidates=2, stages=(8, 7, 5), radii=())
    agrees(found(attack, Blocks()), lambda nudge: if_gmi_by_hand((8, 7, 5), nudge))
