from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.defenses.none import NoDefense
from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.conformance import tiny
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.training.fit import History, accuracy, fit, predict
from unveil.harness.training.prefix import Source
from unveil.harness.types import Classifier, Defense, Images, Step, Terms
from unveil.harness.words.augmentation import Changes
from unveil.harness.words.errors import DataError, PlanError, TrainingError
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Bar, Run, Silent

CLASSES, SIDE = 4, 16
MODEL = SmallResNet(width=4)
RECIPE = Recipe(epochs=3, batch=16, lr=1e-2, views=2, shift=1)


def _images(n: int, seed: int) -> Images:
    """Noisy pictures with one bright corner, which is the class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % CLASSES
    pixels = 0.6 * torch.rand(n, 3, SIDE, SIDE, generator=generator)
    for i, label in enumerate(labels.tolist()):
        row, column = SIDE // 2 * (label // 2), SIDE // 2 * (label % 2)
        pixels[i, :, row : row + SIDE // 2, column : column + SIDE // 2] += 0.4
    return Images(pixels, labels)


TRAIN, VALIDATION = _images(48, 0), _images(16, 1)


def _train(
    *defenses: Defense, recipe: Recipe = RECIPE, run: Run | None = None, net: Classifier | None = None
) -> tuple[Classifier, History]:
    run = run or Run("training")
    net = net or MODEL.build(CLASSES, TRAIN.shape, run)
    for defense in defenses:
        net = defense.prepare(net, run)
    return net, fit(net, defenses, TRAIN, VALIDATION, recipe, run)


def _same(a: Classifier, b: Classifier) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_it_learns_and_the_history_is_plain() -> None:
    recipe = dataclasses.replace(RECIPE, epochs=8, flip=False)
    net, history = _train(recipe=recipe)
    assert history.curves["loss"][-1] < history.curves["loss"][0]
    assert not net.training
    test = _images(40, 2)
    assert accuracy(predict(net, test, batch=7), test.labels) > 0.9
    names = {"loss", "loss/ce", "lr", "validation accuracy", "validation loss"}
    assert history.curves.keys() == names
    assert all(len(v) == 8 and all(type(x) is float for x in v) for v in history.curves.values())


def test_the_best_epoch_is_kept_and_ties_go_to_the_lower_loss() -> None:
    net, history = _train()
    curves = history.curves
    merits = list(zip(curves["validation accuracy"], [-v for v in curves["validation loss"]], strict=True))
    assert merits[history.chosen] == max(merits)
    logits = predict(net, VALIDATION)
    assert accuracy(logits, VALIDATION.labels) == curves["validation accuracy"][history.chosen]
    assert float(F.cross_entropy(logits, VALIDATION.labels)) == pytest.approx(-merits[history.chosen][1], rel=1e-4)
    _, last = _train(recipe=dataclasses.replace(RECIPE, select="last"))
    assert last.chosen == RECIPE.epochs - 1


def test_same_run_same_bits_and_the_global_generator_plays_no_part() -> None:
    def once(seed: int) -> Classifier:
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        net = MODEL.build(CLASSES, TRAIN.shape, Run("training"))
        net.stages["pool"] = nn.Sequential(net.stages["pool"], nn.Dropout(0.3))
        _train(net=net)
        assert torch.equal(before, torch.get_rng_state())
        return net

    assert _same(once(1), once(2))


class _InterruptedError(Exception):
    pass


@dataclass
class _StopAfter(Silent):
    steps: int

    def start(self, label: str, total: int) -> Bar:
        outer = self

        class Counting:
            def advance(self, steps: int = 1, **values: float) -> None:
                outer.steps -= steps if label == "train" else 0
                if outer.steps < 0:
                    raise _InterruptedError

        return Counting()


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
@pytest.mark.parametrize("freeze", ["", "stage1"])
@pytest.mark.parametrize("steps", [2, 3, 7])  # three batches an epoch: in the first, at its end, in the third
def test_interrupted_training_continues_bit_for_bit(tmp_path: Path, optimiser: Any, freeze: str, steps: int) -> None:
    recipe = dataclasses.replace(RECIPE, optimiser=optimiser, lr=1e-2)
    whole, history = _train(TLDMI(freeze), recipe=recipe)
    with pytest.raises(_InterruptedError):
        _train(TLDMI(freeze), recipe=recipe, run=Run("training", scratch=tmp_path, shown=_StopAfter(steps)))
    resumed, again = _train(TLDMI(freeze), recipe=recipe, run=Run("training", scratch=tmp_path))
    assert again == history
    assert _same(whole, resumed)
    finished, third = _train(TLDMI(freeze), recipe=recipe, run=Run("training", scratch=tmp_path, shown=_StopAfter(9)))
    assert third == history
    assert _same(whole, finished)


def test_cached_prefix_trains_like_the_uncached_one(monkeypatch: pytest.MonkeyPatch) -> None:
    cached, one = _train(TLDMI("stage2"))
    monkeypatch.setattr("unveil.harness.training.prefix.BUDGET", 0)
    assert Source(cached, (), TRAIN, RECIPE, Run("r"))._kept is None
    uncached, two = _train(TLDMI("stage2"))
    assert one.chosen == two.chosen
    for name, value in cached.state_dict().items():  # convolutions of other batch sizes may round differently
        torch.testing.assert_close(value, uncached.state_dict()[name], rtol=1e-3, atol=1e-5)


def test_prefix_is_computed_once_per_picture_and_version() -> None:
    net = TLDMI("stage2").prepare(MODEL.build(CLASSES, TRAIN.shape, Run("r")), Run("r"))
    seen: list[int] = []
    net.stages["stem"].register_forward_hook(lambda _m, _i, out: seen.append(len(out)))
    fit(net, (), TRAIN, VALIDATION, RECIPE, Run("r"))
    assert sum(seen) == 2 * len(TRAIN) + len(VALIDATION) + 2  # and one of each to measure its size


@dataclass(frozen=True)
class _Darken(Defense):
    def augment(self, images: Images, run: Run) -> Images:
        share = torch.rand(len(images), 1, 1, 1, generator=run.generator("darken"))
        return Images(images.pixels * share, images.labels)


def test_an_augmenting_defense_sees_every_batch_even_behind_a_frozen_prefix() -> None:
    net = MODEL.build(CLASSES, TRAIN.shape, Run("r"))
    net.freeze(("stem",))
    source = Source(
        net, (_Darken(),), TRAIN, dataclasses.replace(RECIPE, flip=False, shift=0, brightness=0.0), Run("r")
    )
    source.epoch(0)
    index = RECIPE.batches(TRAIN.labels, 0, Run("r"))[0]
    x, _, h = source.batch(index, Run("step"))
    share = torch.rand(len(index), 1, 1, 1, generator=Run("step").generator("darken"))
    torch.testing.assert_close(x, TRAIN.pixels[index] * share)
    torch.testing.assert_close(h, net.train().prefix(x, 1))


@dataclass(frozen=True)
class _Extra(Defense):
    value: float = 0.5

    def loss(self, terms: Terms, step: Step) -> Mapping[str, Tensor]:
        assert "stem" not in step.forward.stages or step.classifier.frozen_depth == 0
        return {**terms, "extra": step.forward.features.pow(2).mean() * self.value}


def test_defenses_add_loss_terms() -> None:
    _, history = _train(TLDMI("stem"), _Extra())
    curves = history.curves
    for whole, ce, extra in zip(curves["loss"], curves["loss/ce"], curves["loss/extra"], strict=True):
        assert whole == pytest.approx(ce + extra, rel=1e-5)


def test_divergence_names_epoch_batch_and_term() -> None:
    with pytest.raises(TrainingError, match=r"epoch 0, batch 0: loss term 'extra' is (nan|inf)"):
        _train(_Extra(math.inf))
    with pytest.raises(TrainingError, match=r"'ce' is nan(.|\n)*lower lr"):
        _train(recipe=dataclasses.replace(RECIPE, optimiser="sgd", lr=1e30, warmup=0.0))


def test_a_last_step_that_ruins_the_weights_is_divergence_though_every_loss_was_finite() -> None:
    one = dataclasses.replace(RECIPE, epochs=1, batch=48, optimiser="sgd", warmup=0.0, select="last")
    net = MODEL.build(CLASSES, TRAIN.shape, Run("r"))
    with pytest.raises(TrainingError, match=r"diverged in epoch 0: weights are not finite: .*weight"):
        fit(net, (), TRAIN, TRAIN[:0], dataclasses.replace(one, lr=math.inf), Run("r"))
    with pytest.raises(TrainingError, match="diverged in epoch 0: validation loss is"):
        _train(recipe=dataclasses.replace(one, lr=1e30))


def test_answers_of_a_network_full_of_nan_are_no_answers() -> None:
    net = MODEL.build(CLASSES, TRAIN.shape, Run("r"))
    with torch.no_grad():
        net.head.weight[1, 0] = math.nan
    with pytest.raises(TrainingError, match="16 of 16 pictures with NaN"):
        predict(net, VALIDATION)


def test_what_cannot_be_trained_is_said() -> None:
    run, net = Run("r"), MODEL.build(CLASSES, TRAIN.shape, Run("r"))
    nobody = TRAIN[:0]
    with pytest.raises(DataError, match="no training"):
        fit(net, (), nobody, VALIDATION, RECIPE, run)
    with pytest.raises(DataError, match="select = 'last'"):
        fit(net, (), TRAIN, nobody, RECIPE, run)
    assert "validation loss" not in fit(net, (), TRAIN, nobody, dataclasses.replace(RECIPE, select="last"), run).curves
    for label in (-1, CLASSES):
        with pytest.raises(DataError, match=f"such as {label}"):
            fit(net, (), Images(TRAIN.pixels, TRAIN.labels.clone().fill_(label)), VALIDATION, RECIPE, run)
    with pytest.raises(TrainingError, match="every parameter is frozen"):
        fit(net.requires_grad_(False), (), TRAIN, VALIDATION, RECIPE, run)


def test_gradients_are_clipped() -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1, batch=48, optimiser="sgd", momentum=0.0, weight_decay=0.0, lr=1.0)
    recipe = dataclasses.replace(recipe, grad_clip=1e-3, warmup=0.0)
    before = MODEL.build(CLASSES, TRAIN.shape, Run("training"))
    after, _ = _train(recipe=recipe)
    moved = sum(
        float((a - b).detach().double().pow(2).sum())
        for a, b in zip(after.parameters(), before.parameters(), strict=True)
    )
    assert math.sqrt(moved) == pytest.approx(1e-3, rel=1e-2)


def test_rates_at_the_corners() -> None:
    batches = 4
    constant = Recipe(epochs=10, lr=0.1, schedule="constant", warmup=0.0)
    assert constant.rate(0.0, batches) == constant.rate(9.75, batches) == 0.1
    cosine = dataclasses.replace(constant, schedule="cosine", warmup=2.0)
    assert cosine.rate(0.0, batches) == pytest.approx(0.1 / 8)  # the first of eight warm-up steps
    assert cosine.rate(1.75, batches) == pytest.approx(0.1)
    assert cosine.rate(2.0, batches) == pytest.approx(0.1)
    assert cosine.rate(6.0, batches) == pytest.approx(0.05)
    assert 0 < cosine.rate(9.75, batches) < 1e-3
    step = dataclasses.replace(constant, schedule="step", milestones=(3, 6), gamma=0.5)
    found = [step.rate(e, batches) for e in (2.75, 3.0, 5.75, 6.0, 9.75)]
    assert found == pytest.approx([0.1, 0.05, 0.05, 0.025, 0.025])
    assert dataclasses.replace(constant, warmup=0.1).rate(0.0, batches) == 0.1  # less than a step of warm-up
    assert dataclasses.replace(cosine, warmup=20.0).rate(9.75, batches) == pytest.approx(0.05)  # never ends
    with pytest.raises(PlanError, match="milestones"):
        Recipe(milestones=(3,))


def test_augmentation_by_hand() -> None:
    x = torch.arange(9.0).view(1, 1, 3, 3).expand(3, 1, 3, 3) / 10
    changes = Changes(
        torch.tensor([False, True, False]), torch.tensor([[1, 0], [0, 1], [0, 0]]), torch.tensor([1, 1, 2.0])
    )
    down, mirrored, bright = changes.apply(x)
    torch.testing.assert_close(down[0] * 10, torch.tensor([[0.0, 1, 2], [0, 1, 2], [3, 4, 5]]))
    torch.testing.assert_close(mirrored[0] * 10, torch.tensor([[2.0, 2, 1], [5, 5, 4], [8, 8, 7]]))
    torch.testing.assert_close(bright[0] * 10, torch.tensor([[0.0, 2, 4], [6, 8, 10], [10, 10, 10]]))
    drawn = Recipe(shift=2, brightness=0.3).draw(4000, torch.Generator().manual_seed(0))
    assert set(drawn.shift.flatten().tolist()) == {-2, -1, 0, 1, 2}
    assert 0.45 < float(drawn.flip.float().mean()) < 0.55
    assert 0.7 <= float(drawn.gain.min()) < 0.71
    assert 1.29 < float(drawn.gain.max()) <= 1.3
    still = Recipe(flip=False, shift=0, brightness=0.0).draw(3, torch.Generator().manual_seed(0))
    assert torch.equal(still.apply(x), x)


def test_batches_are_equal_and_complete() -> None:
    labels = torch.arange(67) % 5
    batches = Recipe(batch=16).batches(labels, 0, Run("r"))
    assert sorted(torch.cat(batches).tolist()) == list(range(67))
    assert sorted(map(len, batches)) == [13, 13, 13, 14, 14]
    assert not torch.equal(batches[0], Recipe(batch=16).batches(labels, 1, Run("r"))[0])


def test_balanced_batches_show_every_class_equally_often() -> None:
    labels = torch.cat([torch.zeros(200, dtype=torch.long), torch.arange(1, 6).repeat_interleave(8)])
    batches = Recipe(batch=24, balance=True).batches(labels, 0, Run("r"))
    assert [labels[b].bincount().tolist() for b in batches] == [[4] * 6] * 10
    shown = torch.cat(batches)
    assert len(shown[labels[shown] == 0].unique()) == 40  # no repetition in a large class
    assert all((shown == i).sum() == 5 for i in range(200, 240))  # 40 turns through 8 pictures


def test_fresh_augmentation_differs_between_epochs_and_views_repeat() -> None:
    net, run, index = MODEL.build(CLASSES, TRAIN.shape, Run("r")), Run("r"), torch.arange(48)

    def epochs(views: int) -> list[Tensor]:
        source = Source(net, (), TRAIN, dataclasses.replace(RECIPE, views=views), run)
        found = []
        for epoch in range(6):
            source.epoch(epoch)
            found.append(source.batch(index, run)[0])
        return found

    assert all((a != b).any() for i, a in enumerate(epochs(0)) for b in epochs(0)[i + 1 :])
    versions = {x.numpy().tobytes() for epoch in epochs(2) for x in epoch[:1]}
    assert len(versions) == 2


def test_strength_zero_and_none_are_bit_for_bit_the_bare_model() -> None:
    bare, history = _train()
    for defense in (NoDefense(), TLDMI("stage3").at_zero(), TLDMI(share=0.7).at_zero()):
        net, other = _train(defense)
        assert other == history
        assert _same(bare, net)


def test_a_frozen_prefix_in_mixed_precision_can_be_validated():
    data, net = tiny.data(), tiny.untrained("frozen")
    net.freeze(["stem", "stage1"])
    history = fit(net, (), data.train, data.validation, tiny.RECIPE, Run("frozen", mixed_precision=True))
    assert len(history.curves["validation loss"]) == tiny.RECIPE.epochs
