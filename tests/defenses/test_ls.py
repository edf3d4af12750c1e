from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.defenses.ls import LS, smoothed
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.training.fit import fit
from unveil.harness.types import Images, Step, Terms
from unveil.harness.words.classifier import Forward
from unveil.harness.words.errors import PluginError, TrainingError, UnveilError
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec

RUN = Run("ls")
GENERATOR = torch.Generator().manual_seed(0)
IMAGES = Images(torch.rand(24, 3, 16, 16, generator=GENERATOR), torch.arange(24) % 3)
MODEL = SmallResNet(width=4)


def _step(logits: Tensor, y: Tensor, epoch: int, epochs: int) -> tuple[Terms, Step]:
    net = MODEL.build(3, IMAGES.shape, RUN)
    step = Step(torch.zeros(len(y), 3, 4, 4), y, Forward({}, torch.zeros(len(y), 2), logits), net, epoch, epochs, RUN)
    return {"ce": F.cross_entropy(logits, y), "other": torch.ones(())}, step


def test_the_published_value_and_the_definition() -> None:
    logits, y = torch.tensor([[10.0, 1.0, -1.0, 2.0]]), torch.tensor([0])
    terms, step = _step(logits, y, 99, 100)
    assert float(LS(-0.05).loss(terms, step)["ce"]) == pytest.approx(-0.349525, abs=1e-6)
    logits, y = torch.randn(6, 5, generator=GENERATOR), torch.arange(6) % 5
    for alpha in (-0.5, -0.05, 0.0, 0.3):
        target = (1 - alpha) * F.one_hot(y, 5) + alpha / 5
        torch.testing.assert_close(smoothed(logits, y, alpha), -(target * logits.log_softmax(1)).sum(1).mean())
    for alpha in (0.1, 0.3):
        torch.testing.assert_close(smoothed(logits, y, alpha), F.cross_entropy(logits, y, label_smoothing=alpha))


def test_schedule_at_its_corners() -> None:
    alpha = -0.05
    found = {epoch: LS(alpha).alpha_in(epoch, 100) for epoch in (0, 49, 50, 74, 75, 99)}
    assert found == pytest.approx({0: 0, 49: 0, 50: alpha / 50, 74: alpha / 2, 75: alpha, 99: alpha})
    assert [LS(alpha).alpha_in(e, 8) / alpha for e in range(8)] == pytest.approx([0, 0, 0, 0, 0.25, 0.5, 1, 1])
    assert [LS(alpha).alpha_in(e, 5) / alpha for e in range(5)] == pytest.approx([0, 0, 0, 0.6, 1])
    assert [LS(alpha).alpha_in(e, 2) for e in range(2)] == [0, alpha]
    assert {LS(0.1).alpha_in(e, 100) for e in range(100)} == {0.1}
    assert {LS(alpha, schedule="constant").alpha_in(e, 1) for e in range(1)} == {alpha}
    assert LS(alpha).alpha_in(0, 1) == alpha, "where there is one epoch it sets in all the same"


def test_every_epochs_alpha_is_a_training_curve() -> None:
    recipe = Recipe(epochs=4, batch=10, select="last", schedule="constant")
    history = fit(MODEL.build(3, IMAGES.shape, RUN), (LS(-0.2),), IMAGES, IMAGES, recipe, RUN)
    assert history.curves["LS/alpha"] == pytest.approx([0, 0, -0.1, -0.2])
    assert history.curves["loss"] == pytest.approx(history.curves["loss/ce"])
    bare = fit(MODEL.build(3, IMAGES.shape, RUN), (LS(-0.2).at_zero(),), IMAGES, IMAGES, recipe, RUN)
    none = fit(MODEL.build(3, IMAGES.shape, RUN), (), IMAGES, IMAGES, recipe, RUN)
    assert bare == none
    assert history.curves["loss"][:2] == none.curves["loss"][:2]
    assert history.curves["loss"][2] != none.curves["loss"][2]


def test_it_leaves_other_terms_and_its_input_alone() -> None:
    terms, step = _step(torch.randn(6, 3, generator=GENERATOR), torch.arange(6) % 3, 1, 2)
    before = dict(terms)
    found = LS(-0.05).loss(terms, step)
    assert found["other"] is terms["other"]
    assert terms == before
    assert LS(0.0).loss(terms, step) is terms
    assert LS(0.0).watch(step) == {}


def test_a_loss_without_bound_is_explained() -> None:
    runaway = torch.tensor([[3e38, -3e38, 0.0]])
    terms, step = _step(runaway, torch.tensor([0]), 1, 2)
    with pytest.raises(TrainingError, match=r"alpha = -0.05 gives a loss of (nan|-?inf) in epoch 1\n.*no lower bound"):
        LS(-0.05).loss(terms, step)


def test_nonsense_is_refused_by_name() -> None:
    terms, step = _step(torch.randn(6, 3, generator=GENERATOR), torch.arange(6) % 3, 1, 2)
    with pytest.raises(PluginError, match="second label smoothing"):
        LS(-0.05).loss(LS(-0.05).loss(terms, step), step)
    with pytest.raises(PluginError, match="changed the cross-entropy"):
        LS(-0.05).loss({"mine": terms["ce"]}, step)
    for settings in ({"alpha": 1.0}, {"alpha": float("nan")}, {"schedule": "linear"}):
        with pytest.raises(UnveilError, match=next(iter(settings))):
            plugin_settings.make("defenses", Spec("ls", settings), Path.cwd())
