"""LoFt's rank, and the confidence that CALoR aims at."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from unveil.defenses.confidence_adaptation import Adapting, adaptation
from unveil.defenses.dp_sgd import DPSGD
from unveil.defenses.loft import LoFt
from unveil.defenses.mid import MID
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.training.fit import fit
from unveil.harness.types import Classifier, Images
from unveil.harness.words.errors import PluginError
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Progress, Run

RUN, CLASSES = Run("loft"), 8
IMAGES = Images(torch.rand(32, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(32) % CLASSES)
RECIPE = Recipe(epochs=5, batch=16, select="last", lr=0.01, schedule="constant", warmup=0, weight_decay=0)


def net(defense: LoFt) -> Classifier:
    return defense.prepare(SmallResNet(width=8, blocks=(1, 1)).build(CLASSES, IMAGES.shape, RUN), RUN)


@pytest.mark.parametrize("rank", [1, 3])
def test_the_answer_moves_in_as_many_directions_as_the_rank(rank: int) -> None:
    target = net(LoFt(rank=rank)).double().eval()
    x = IMAGES.pixels[:1].double()
    jacobian = torch.autograd.functional.jacobian(lambda x: target.logits(x)[0], x).flatten(1)
    assert torch.linalg.matrix_rank(jacobian) == rank
    plain = net(LoFt().at_zero()).double().eval()
    free = torch.autograd.functional.jacobian(lambda x: plain.logits(x)[0], x).flatten(1)
    assert torch.linalg.matrix_rank(free) == CLASSES


def test_half_the_classes_unless_that_is_more_than_published() -> None:
    assert net(LoFt()).head.linear.in_features == CLASSES // 2
    many = LoFt().prepare(SmallResNet(width=4).build(300, IMAGES.shape, RUN), RUN)
    assert many.head.linear.in_features == 50
    assert [rung.rank for rung in LoFt().ladder(many)] == [200, 100, 50, 25, 12, 6]
    assert [rung.rank for rung in LoFt().ladder(net(LoFt(rank=0)))] == [7]


@pytest.mark.parametrize(("p", "value"), [(0.8825, -0.011496), (0.5, -0.000677), (0.99, -0.002318)])
def test_adaptation_by_hand(p: float, value: float) -> None:
    assert float(adaptation(torch.tensor(p, dtype=torch.double).log(), 0.25, 8.0)) == pytest.approx(value, abs=5e-7)


def test_adaptation_aims_at_one_confidence() -> None:
    p = torch.tensor([0.5, math.exp(-1 / 8), 0.95], dtype=torch.double, requires_grad=True)
    (slope,) = torch.autograd.grad(adaptation(p.log(), 0.25, 8.0).sum(), p)
    torch.testing.assert_close(slope[[0, 2]], slope.new_tensor([-0.008877, 0.102943]), atol=2e-6, rtol=0)
    assert abs(float(slope[1])) < 1e-12


def test_the_last_epochs_are_sgd_on_the_adaptation_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[type, float]] = []
    learn = Adapting.learn

    def spy(self: Adapting, loss: torch.Tensor | None) -> None:
        seen.append((type(self.optimiser), self.optimiser.param_groups[0]["lr"]))
        learn(self, loss)

    monkeypatch.setattr(Adapting, "learn", spy)
    defense = LoFt(adapt_epochs=2, adapt_lr=0.5)
    history = fit(net(defense), [defense], IMAGES, IMAGES, RECIPE, RUN)
    usual, own = (torch.optim.AdamW, 0.01), torch.optim.SGD
    assert seen[:6] == [usual] * 6
    assert [kind for kind, _ in seen[6:]] == [own] * 4
    assert [rate for _, rate in seen[6:]] == pytest.approx([0.5, 0.5, 0.5, 0.5])
    assert history.curves["loss/adaptation"][-1] <= 0
    assert history.chosen == 4


def test_five_epochs_fall_at_the_third_and_fourth() -> None:
    from unveil.harness.words.learner import Learner  # noqa: PLC0415

    target = net(LoFt())
    adapting = Adapting(Learner(target, IMAGES.labels, Recipe(epochs=6), RUN), 5, 1.0)
    rates = []
    for epoch in range(1, 6):
        adapting.batches(epoch)
        adapting.rate(9.0)
        rates.append(adapting.optimiser.param_groups[0]["lr"])
    assert rates == pytest.approx([1, 1, 1, 0.1, 0.01])


def test_an_interrupted_adaptation_goes_on_where_it_was(tmp_path, interrupted: Callable[[int], Progress]) -> None:  # type: ignore[no-untyped-def]
    defense = LoFt(adapt_epochs=3, adapt_lr=0.05)
    whole, halves = net(defense), net(defense)
    fit(whole, [defense], IMAGES, IMAGES, RECIPE, RUN)
    with pytest.raises(KeyboardInterrupt):
        fit(halves, [defense], IMAGES, IMAGES, RECIPE, Run("loft", scratch=tmp_path, shown=interrupted(7)))
    again = net(defense)
    fit(again, [defense], IMAGES, IMAGES, RECIPE, Run("loft", scratch=tmp_path))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name


def test_nonsense_is_refused() -> None:
    with pytest.raises(PluginError, match="rank = 8 on 8 classes keeps nothing back"):
        net(LoFt(rank=8))
    with pytest.raises(PluginError, match="and rank = 0"):
        LoFt(rank=0, adapt_epochs=1)
    with pytest.raises(PluginError, match="adapt_epochs = 5 of 5"):
        fit(net(LoFt()), [LoFt(adapt_epochs=5)], IMAGES, IMAGES, RECIPE, RUN)
    with pytest.raises(PluginError, match="cannot replace a head of type Sequential"):
        LoFt().prepare(MID().prepare(net(LoFt(rank=0)), RUN), RUN)
    stack = [DPSGD(epsilon=100.0), LoFt(adapt_epochs=1)]
    with pytest.raises(PluginError):  # gradients of single pictures and a batch norm, or two ways to learn
        fit(net(LoFt()), stack, IMAGES, IMAGES, RECIPE, RUN)
