"""Twenty steps of training under BiDO and MID, against loops that are written out from their descriptions.

They agree as well as such a loop agrees with itself from weights that are 1e-7 away.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

from unveil.defenses.bido import BiDO
from unveil.defenses.mid import MID
from unveil.harness.training.fit import fit
from unveil.harness.types import Classifier, Defense, Images, Recipe
from unveil.harness.words.run import Run

STEPS, NUDGE, PEOPLE, PICTURES = 20, 1e-7, 3, 9
LABELS = torch.arange(PEOPLE).repeat(PICTURES // PEOPLE)
PIXELS = torch.randint(0, 256, (PICTURES, 3, 2, 2), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
PLAIN = Recipe(
    epochs=STEPS, batch=PICTURES, schedule="constant", warmup=0.0, flip=False, shift=0, brightness=0.0, views=0,
    select="last", optimiser="sgd", lr=0.05, momentum=0.9, weight_decay=1e-4,
)  # fmt: skip
Parameters = Sequence[Tensor]


def network(defense: Defense) -> Classifier:
    """Two hidden stages and a head."""
    layers = [nn.utils.skip_init(nn.Linear, *sizes) for sizes in ((12, 8), (8, 6), (6, PEOPLE))]
    for seed, layer in enumerate(layers):
        for value in (layer.weight.data, layer.bias.data):
            value.copy_(torch.randn(value.shape, generator=torch.Generator().manual_seed(seed)) / 2)
    stages = {
        "one": nn.Sequential(nn.Flatten(), layers[0], nn.Tanh()),
        "two": nn.Sequential(layers[1], nn.Tanh()),
    }
    made = Classifier(stages, layers[2], classes=PEOPLE, mean=(0.0,) * 3, std=(1.0,) * 3)
    return defense.prepare(made, Run("x"))


def trained(defense: Defense, recipe: Recipe) -> Tensor:
    classifier, images = network(defense), Images(PIXELS, LABELS)
    fit(classifier, [defense], images, images[:0], recipe, Run("x"))
    return torch.cat([value.detach().flatten() for value in classifier.parameters()])


def by_hand(
    defense: Defense, loss: Callable[[Parameters], Tensor], optimise: Callable[[Parameters], torch.optim.Optimizer]
) -> Callable[[float], Tensor]:
    def descended(nudge: float) -> Tensor:
        own = [nn.Parameter(value.detach().clone() + nudge) for value in network(defense).parameters()]
        optimiser = optimise(own)
        for _ in range(STEPS):
            optimiser.zero_grad()
            loss(own).backward()
            optimiser.step()
        return torch.cat([value.detach().flatten() for value in own])

    return descended


def agrees(found: Tensor, reference: Callable[[float], Tensor]) -> None:
    expected = reference(0.0)
    spread = (reference(NUDGE) - expected).abs().max()
    assert 0 < spread < 1e-3
    assert (found - expected).abs().max() <= 10 * spread


def hidden(own: Parameters) -> tuple[Tensor, Tensor, Tensor]:
    x = PIXELS.flatten(1) / 255
    one = torch.tanh(x @ own[0].T + own[1])
    return x, one, torch.tanh(one @ own[2].T + own[3])


def cross_entropy(o: Tensor) -> Tensor:
    return torch.stack([row.exp().sum().log() - row[y] for row, y in zip(o, LABELS.tolist(), strict=True)]).mean()


def kernel(v: Tensor) -> Tensor:
    """``exp(-|a - b|^2 / (2 · 5^2 · dim))``."""
    v = v.double()
    return torch.stack([torch.exp(-((a - v) ** 2).sum(1) / (50 * v.shape[1])) for a in v])


def shared(a: Tensor, b: Tensor) -> Tensor:
    """Normalised HSIC: ``R = KH (KH + 1e-5 m I)^-1``, then the sum of ``(R_A)_ij (R_B)_ji``."""
    m, eye = len(a), torch.eye(len(a), dtype=torch.float64)
    h = eye - torch.full((m, m), 1 / m, dtype=torch.float64)
    r, s = (k @ h @ torch.inverse(k @ h + 1e-5 * m * eye) for k in (a, b))
    return (r * s.T).sum()


def bido_loss(own: Parameters) -> Tensor:
    x, *stages = hidden(own)
    y = torch.eye(PEOPLE, dtype=torch.float64)[LABELS]
    terms = [0.05 * shared(kernel(x), kernel(z)) - 0.5 * shared(kernel(z), y @ y.T) for z in stages]
    return cross_entropy(stages[-1] @ own[4].T + own[5]) + torch.stack(terms).sum().float()


def test_bido() -> None:
    recipe = dataclasses.replace(PLAIN, optimiser="adam", lr=1e-2, weight_decay=0.0)
    adam = by_hand(BiDO(), bido_loss, lambda own: torch.optim.Adam(own, 1e-2))
    agrees(trained(BiDO(), recipe), adam)


def noise(features: Tensor, key: Tensor, size: int) -> Tensor:
    """In place of noise by the bits of features, which no other computation has alike to the last."""
    return 1.4 * torch.sin(9 * features.detach()[:, :size])


def mid_loss(own: Parameters) -> Tensor:
    """Parameters of the two stages, of the code (means first, then what the deviations are made of), and the head."""
    features = hidden(own)[2]
    m, s = (features @ own[4].T + own[5]).split(3, dim=1)
    sigma = (1 + (s - 5).exp()).log()
    divergence = (-0.5 * (1 + 2 * sigma.log() - m**2 - sigma**2)).sum(1).mean()
    code = m + sigma * noise(features, torch.tensor(0), 3)
    return cross_entropy(code @ own[6].T + own[7]) + 0.003 * divergence


def test_mid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unveil.defenses.mid.normal", noise)
    published = MID(beta=0.003)
    sgd = by_hand(published, mid_loss, lambda own: torch.optim.SGD(own, 0.05, 0.9, weight_decay=1e-4))
    agrees(trained(published, PLAIN), sgd)
