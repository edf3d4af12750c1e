from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from unveil.defenses.rounded_scores import Rounded, RoundedScores
from unveil.defenses.telling import LEAST
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.types import Access, Classifier, View
from unveil.harness.words.errors import PluginError, UnveilError
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec

RUN = Run("rounded")
GENERATOR = torch.Generator().manual_seed(0)
PIXELS = torch.rand(8, 3, 16, 16, generator=GENERATOR)
LOGITS = 3 * torch.randn(200, 6, generator=GENERATOR)


def _net() -> Classifier:
    return SmallResNet(width=4).build(6, (3, 16, 16), RUN).eval()


def _slow(logits: torch.Tensor, temperature: float, decimals: int | None, top: int | None) -> np.ndarray:
    told = []
    for row in logits.double().numpy() / temperature:
        p = np.exp(row - row.max())
        p /= p.sum()
        if top is not None:
            p[np.argsort(p)[:-top]] = 0
        best = p.argmax()
        if decimals is not None:
            p = np.array([round(float(value), decimals) for value in p])
            p[best] = max(p[best], 10.0**-decimals)
        told.append(p / p.sum())
    return np.stack(told)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 20.0])
@pytest.mark.parametrize("decimals", [None, 0, 1, 3])
@pytest.mark.parametrize("top", [None, 1, 3])
def test_scores_against_a_slow_implementation(temperature: float, decimals: int | None, top: int | None) -> None:
    out = Rounded(temperature, decimals, top)(LOGITS)
    assert torch.isfinite(out).all()
    np.testing.assert_allclose(out.softmax(1).numpy(), _slow(LOGITS, temperature, decimals, top), atol=1e-6)


def test_by_hand() -> None:
    scores = torch.tensor([[0.624, 0.364, 0.008, 0.004]])
    torch.testing.assert_close(Rounded(1, 2, None).tell(scores), torch.tensor([[0.62, 0.36, 0.01, 0.0]]) / 0.99)
    torch.testing.assert_close(Rounded(1, 1, 1).tell(scores), torch.tensor([[1.0, 0, 0, 0]]))
    flat = torch.tensor([[0.24, 0.26, 0.25, 0.25]])
    assert torch.equal(Rounded(1, 0, None).tell(flat), torch.tensor([[0.0, 1, 0, 0]]))  # the label survives
    tied = Rounded(1, 1, None)(flat.log())
    assert (tied[0, 2] == tied[0, 3]).all()
    assert float(Rounded(1, 0, None)(flat.log()).min()) == pytest.approx(np.log(LEAST))


def test_scores_are_all_that_changes_for_a_viewer() -> None:
    bare, told = _net(), RoundedScores(decimals=2).finish(_net(), RUN)
    scores = View(told, Access.SCORES, (3, 16, 16)).scores(PIXELS)
    exact = View(bare, Access.SCORES, (3, 16, 16)).scores(PIXELS)
    assert 0 < (scores - exact).abs().max() < 0.03
    assert torch.equal(told.features(PIXELS), bare.features(PIXELS))
    one = RoundedScores(decimals=None, temperature=3.0, top=1).finish(_net(), RUN)
    labels = View(one, Access.LABELS, (3, 16, 16)).labels(PIXELS)
    assert torch.equal(labels, View(bare, Access.LABELS, (3, 16, 16)).labels(PIXELS))


def test_the_gradient_is_not_hidden() -> None:
    x, y = LOGITS[:5].clone().requires_grad_(True), torch.arange(5)
    told = Rounded(2.0, 1, 2)(x).gather(1, y[:, None]).sum()
    exact = (x / 2.0).log_softmax(1).gather(1, y[:, None]).sum()
    (found,), (wanted,) = torch.autograd.grad(told, x), torch.autograd.grad(exact, x)
    assert torch.equal(found, wanted)
    grads = torch.func.vmap(torch.func.grad(lambda row: Rounded(2.0, 1, 2)(row[None])[0, 0]))(LOGITS[:5])
    assert grads.abs().sum() > 0


def test_zero_changes_nothing_and_other_wrappers_stay() -> None:
    net = _net()
    assert RoundedScores().at_zero().finish(net, RUN) is net
    assert isinstance(net.outputs, nn.Identity)
    net.outputs = nn.Softplus()
    out = RoundedScores(decimals=1).finish(net, RUN).logits(PIXELS)
    plain = nn.functional.softplus(_net().logits(PIXELS))
    torch.testing.assert_close(out, Rounded(1.0, 1, None)(plain))


def test_nonsense_is_refused_by_name() -> None:
    with pytest.raises(PluginError, match="twice in one stack"):
        RoundedScores().finish(RoundedScores().finish(_net(), RUN), RUN)
    with pytest.raises(PluginError, match=r"top = 7: the classifier has 6 classes"):
        RoundedScores(top=7).prepare(_net(), RUN)
    for settings in ({"temperature": 0.0}, {"decimals": -1}, {"top": 0}):
        with pytest.raises(UnveilError, match=next(iter(settings))):
            plugin_settings.make("defenses", Spec("rounded_scores", settings), Path.cwd())
