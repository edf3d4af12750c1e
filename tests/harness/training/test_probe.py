"""Trying out bfloat16: it leaves nothing behind, and what was chosen stays chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.training import probe
from unveil.harness.training.fit import fit
from unveil.harness.types import Classifier, Images, Run
from unveil.harness.words.recipe import Recipe

SHAPE = (3, 16, 16)
RECIPE = Recipe(epochs=3, batch=16, views=2, shift=1)
PIXELS = torch.rand(40, *SHAPE, generator=torch.Generator().manual_seed(0))
PICTURES = Images(PIXELS, torch.arange(40) % 4)


def trained(run: Run, freeze: str | None = None) -> dict[str, Tensor]:
    net: Classifier = SmallResNet(width=4).build(4, SHAPE, Run("probe"))
    defenses = [] if freeze is None else [TLDMI(freeze=freeze)]
    for defense in defenses:
        net = defense.prepare(net, run)
    fit(net, defenses, PICTURES[:32], PICTURES[32:], RECIPE, run)
    return net.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], list[float]]:
    """Makes the clock say that; gives the list of what it said so far. The passes are made all the same."""
    timed = probe.gain
    monkeypatch.setattr(probe, "units", lambda: True)
    monkeypatch.setattr(probe, "SECONDS", 0.0)

    def say(value: float) -> list[float]:
        said: list[float] = []

        def gain(trial: probe.Trial) -> float:
            assert timed(trial) > 0
            said.append(value)
            return value

        monkeypatch.setattr(probe, "gain", gain)
        return said

    return say


@pytest.mark.parametrize("freeze", [None, "stage2"])
def test_a_training_that_was_tried_out_is_as_one_that_was_not(
    freeze: str | None, answers: Callable[[float], list[float]]
) -> None:
    for value, mixed in ((1.1, False), (1.2, True)):
        said, run = answers(value), Run("r", probing=True)
        before = torch.get_rng_state()
        found = trained(run, freeze)
        assert torch.equal(torch.get_rng_state(), before)
        assert (said, run.mixed_precision) == ([value], mixed)
        assert same(found, trained(Run("r", mixed_precision=mixed), freeze))


def test_nothing_is_tried_where_there_are_no_units(
    answers: Callable[[float], list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    said, run = answers(2.0), Run("r", probing=True)
    monkeypatch.setattr(probe, "units", lambda: False)
    trained(run)
    assert not said
    assert not run.mixed_precision


@pytest.mark.parametrize("probing", [True, False])
def test_what_was_chosen_is_kept_by_whoever_goes_on(
    probing: bool, tmp_path: Path, answers: Callable[[float], list[float]]
) -> None:
    whole = trained(Run("r", mixed_precision=True))
    first = Run("r", scratch=tmp_path, probing=True)
    first.interrupted = (tmp_path / "training.pt").exists  # once it has saved an epoch
    answers(2.0)
    with pytest.raises(KeyboardInterrupt):
        trained(first)
    said, second = answers(0.5), Run("r", scratch=tmp_path, probing=probing)
    assert same(trained(second), whole)
    assert second.mixed_precision
    assert not said


def test_a_checkpoint_of_a_run_that_chose_nothing_is_gone_on_with_as_it_was(
    tmp_path: Path, answers: Callable[[float], list[float]]
) -> None:
    first = Run("r", scratch=tmp_path, interrupted=(tmp_path / "training.pt").exists)
    with pytest.raises(KeyboardInterrupt):
        trained(first)
    said = answers(2.0)
    assert same(trained(dataclasses.replace(first, probing=True, interrupted=lambda: False)), trained(Run("r")))
    assert not said


def test_what_cannot_be_computed_in_bfloat16_has_nothing_to_gain() -> None:
    x = torch.eye(4, requires_grad=True)

    def trial() -> tuple[Tensor, list[Tensor]]:
        return torch.dot(x[0], torch.mm(x, x)[0]), [x]

    assert trial()[0].isfinite()
    assert probe.gain(trial) == 0  # a plugin of one's own may mix kinds of numbers


def test_an_attack_is_tried_with_all_that_it_descends(answers: Callable[[float], list[float]]) -> None:
    asked: list[int] = []

    class Counting(torch.nn.Module):
        def logits(self, x: Tensor) -> Tensor:
            asked.append(len(x))
            return x.flatten(1)

    said, run = answers(2.0), Run("r", probing=True)
    probe.choose_for_attack(run, [Counting(), Counting()], None, SHAPE, 5)  # type: ignore[list-item]
    assert (said, run.mixed_precision) == ([2.0], True)
    assert len(asked) % 4 == 0  # both networks, in both ways
    assert set(asked) == {5}
