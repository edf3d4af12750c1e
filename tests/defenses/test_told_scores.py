"""Defenses of answers alone: what SSD, noise and truncation tell, and that asking again tells no more."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.stats import kstest

from unveil.defenses.noisy_scores import Noisy, NoisyScores, laplace
from unveil.defenses.settled_noise import symmetric
from unveil.defenses.ssd import SSD, Shield, mean_scores, nearest_to
from unveil.defenses.truncated_scores import TruncatedScores
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.training.fit import fit
from unveil.harness.types import Access, Classifier, DataError, Defense, Images, View
from unveil.harness.words.errors import PluginError
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run

RUN, CLASSES = Run("told"), 5
GENERATOR = torch.Generator().manual_seed(0)
IMAGES = Images(torch.rand(40, 3, 16, 16, generator=GENERATOR), torch.arange(40) % CLASSES)
EACH = [SSD(epsilon=1.0), NoisyScores(sigma=2.0), NoisyScores(noise="laplace"), TruncatedScores(top=2)]


def drawn(n: int, c: int) -> torch.Tensor:
    some = torch.distributions.Dirichlet(torch.full((c,), 0.3)).sample([n]).double().clamp_min(1e-6)
    return some / some.sum(1, keepdim=True)


def half_apart(p: np.ndarray, q: np.ndarray, w: float) -> float:
    """How much of w * q is above p."""
    return float(np.maximum(0, w * q - p).sum())


def target(defense: Defense, epochs: int = 1) -> Classifier:
    net = defense.prepare(SmallResNet(width=4, blocks=(1, 1)).build(CLASSES, IMAGES.shape, RUN), RUN)
    fit(net, [defense], IMAGES, IMAGES, Recipe(epochs=epochs, batch=20, select="last"), RUN)
    return defense.finish(net, RUN).eval()


@pytest.mark.parametrize(
    ("f", "q", "far", "wanted"),
    [
        ((0.7, 0.2, 0.1), (0.9, 0.06, 0.04), 0.2, (0.8, 0.12, 0.08)),
        ((0.7, 0.2, 0.1), (0.2, 0.7, 0.1), 0.5 * 0.801819, (0.499545, 0.400455, 0.1)),
        ((0.7, 0.2, 0.1), (0.6, 0.3, 0.1), 0.2, (0.6, 0.3, 0.1)),  # near enough: it is what is told
        ((0.7, 0.2, 0.1), (0.2, 0.7, 0.1), 0.0, (0.7, 0.2, 0.1)),
    ],
)
def test_the_nearest_by_hand(f: tuple[float, ...], q: tuple[float, ...], far: float, wanted: tuple[float, ...]) -> None:
    found = nearest_to(*(torch.tensor([t], dtype=torch.double) for t in (f, q)), torch.tensor([far]))
    torch.testing.assert_close(found, torch.tensor([wanted], dtype=torch.double), atol=1e-6, rtol=0)


def test_the_nearest_against_roots_found_one_by_one() -> None:
    torch.manual_seed(0)
    f, q = drawn(60, 7), drawn(60, 7)
    far = torch.rand(60).double()
    found = nearest_to(f, q, far).numpy()
    for p, g, r, most in zip(found, f.numpy(), q.numpy(), far.numpy(), strict=True):
        assert p.sum() == pytest.approx(1)
        assert abs(p - g).sum() <= most + 1e-9
        if abs(g - r).sum() <= most:
            assert p == pytest.approx(r)
            continue
        a = brentq(lambda w, g=g, r=r, m=most: half_apart(g, r, w) - m / 2, 0, 1)
        b = brentq(lambda w, g=g, r=r, m=most: half_apart(w * r, g, 1) - m / 2, 1, (g / r).max())
        assert p == pytest.approx(np.clip(g, a * r, b * r), abs=1e-8)


def test_mean_scores_and_classes_without_pictures() -> None:
    scores = torch.tensor([[0.8, 0.1, 0.1], [0.6, 0.3, 0.1], [0.2, 0.7, 0.1]])
    found = mean_scores(scores, torch.tensor([0, 0, 0]), scores.argmax(1))
    torch.testing.assert_close(found, torch.tensor([[1.6 / 3, 1.1 / 3, 0.1], [0.2, 0.7, 0.1], [0.0, 0.0, 1.0]]))


def test_the_class_is_drawn_by_the_scores() -> None:
    f = torch.tensor([[0.5, 0.3, 0.2]]).repeat(4000, 1)
    shield = Shield(torch.eye(3), 50.0, 0.1, 7)  # so far that the mean of the drawn class is what is told
    assert len(shield.tell(f).argmax(1).unique()) == 1  # equal rows, equal draws
    draws = torch.stack([Shield(torch.eye(3), 50.0, 0.1, seed).tell(f[:1])[0].argmax() for seed in range(3000)])
    shares = torch.bincount(draws, minlength=3) / len(draws)
    torch.testing.assert_close(shares, torch.tensor([0.8438, 0.1142, 0.0420]), atol=0.02, rtol=0)


def test_its_means_are_stored_with_the_weights() -> None:
    defense = SSD(epsilon=1.0)
    net = target(defense)
    state = net.state_dict()
    assert state["ssd_means"].sum(1).tolist() == pytest.approx([1.0] * CLASSES, abs=1e-5)
    fresh = defense.prepare(SmallResNet(width=4, blocks=(1, 1)).build(CLASSES, IMAGES.shape, RUN), RUN)
    fresh.load_state_dict(state)
    assert torch.equal(defense.finish(fresh, RUN).eval().logits(IMAGES.pixels), net.logits(IMAGES.pixels))
    with pytest.raises(DataError, match="without validation pictures"):
        fit(fresh, [defense], IMAGES, IMAGES[:0], Recipe(epochs=1, select="last"), RUN)


@pytest.mark.parametrize("defense", EACH, ids=str)
def test_answers_are_scores_asking_again_and_in_other_company_tells_no_more(defense: Defense) -> None:
    net = target(defense)
    view = View(net, Access.SCORES, IMAGES.shape)
    found = view.scores(IMAGES.pixels)
    torch.testing.assert_close(found.sum(1), torch.ones(40))
    alone = torch.cat([view.scores(x[None]) for x in IMAGES.pixels])
    same = (found - alone).abs().amax(1) < 1e-4  # rounding in other company may cross a step of the grid, seldom
    assert same.double().mean() > 0.9
    assert (found - net.bare().logits(IMAGES.pixels).softmax(1)).abs().max() > 1e-3
    with pytest.raises(PluginError, match="twice in one stack"):
        defense.finish(net, RUN)


def test_noise_has_its_distribution_and_in_the_end_labels_are_chance() -> None:
    given = torch.rand(4000, 3, generator=GENERATOR)
    unit = laplace(symmetric(given, torch.tensor(3), 2)).flatten().double()
    assert kstest(unit.numpy(), "laplace", args=(0, 2**-0.5)).pvalue > 0.01
    assert float(unit.std()) == pytest.approx(1, abs=0.05)
    sure = torch.rand(4000, 4, generator=GENERATOR) + torch.tensor([2.0, 0, 0, 0])
    labels = Noisy(1e4, "normal", 5)(sure).argmax(1)
    assert torch.bincount(labels, minlength=4).double().div(4000).tolist() == pytest.approx([0.25] * 4, abs=0.03)
    assert (Noisy(1e-3, "normal", 5)(sure).argmax(1) == 0).all()


def test_truncation_by_hand() -> None:
    net = target(TruncatedScores(top=0))
    told = TruncatedScores(top=2).finish(net, RUN).outputs.tell(torch.tensor([[0.5, 0.1, 0.3, 0.06, 0.04]]))
    torch.testing.assert_close(told, torch.tensor([[0.5, 0.2 / 3, 0.3, 0.2 / 3, 0.2 / 3]]))
    assert TruncatedScores(top=CLASSES).finish(target(TruncatedScores(top=0)), RUN).guarded is False
    assert [rung.top for rung in TruncatedScores().ladder(net)] == [2, 1]
