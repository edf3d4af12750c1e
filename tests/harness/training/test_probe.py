"""Trying out bfloat16: it leaves nothing behind, and what was chosen stays chosen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unveil.attacks.gmi import GMI
from unveil.attacks.plgmi import PLGMI
from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.plan import plugins
from unveil.harness.plan.settings import validated
from unveil.harness.training import probe
from unveil.harness.training.fit import fit
from unveil.harness.types import Classifier, Images, Run, Spec
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


class Seen(torch.nn.Module):
    """A network and a prior that keep how they were asked: how many pictures at once, and in which arithmetic."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, torch.dtype]] = []

    def logits(self, x: Tensor) -> Tensor:
        o = x.flatten(1) @ torch.eye(x[0].numel())
        self.asked.append((len(x), o.dtype))
        return o

    def sample(self, generators: list[torch.Generator]) -> Tensor:
        return torch.rand(len(generators), 3 * 16 * 16)

    def synthesize(self, z: Tensor) -> Tensor:
        return self.logits(z).float().view(-1, *SHAPE)


def test_an_attack_is_tried_with_all_that_it_descends(answers: Callable[[float], list[float]]) -> None:
    networks, said, run = [Seen(), Seen()], answers(2.0), Run("r", probing=True)
    probe.choose_for_attack(run, probe.Descended(networks, None, SHAPE), 5)  # type: ignore[arg-type]
    assert (said, run.mixed_precision) == ([2.0], True)
    for net in networks:
        assert len(net.asked) % 2 == 0
        assert set(net.asked) == {(5, torch.float32), (5, torch.bfloat16)}


BASES = [Spec("ppa"), Spec("if_gmi"), Spec("vmi"), Spec("mirror_white_box"), Spec("gmi"), Spec("plgmi")]


@pytest.mark.parametrize(
    "spec", [*BASES, *(Spec("align_mi", {"base": base.use, "neighbours": 3}) for base in BASES[3:])]
)
def test_an_attack_is_tried_as_it_descends(spec: Spec, answers: Callable[[float], list[float]]) -> None:
    """Styles are drawn in full precision, and PLG-MI and AlignMI show each picture several times."""
    attack = validated(plugins.load("attacks", spec.use, Path()), spec.use, spec.settings, Path())
    net, prior, run = Seen(), Seen(), Run("r", probing=True)
    answers(2.0)
    probe.choose_for_attack(run, probe.Descended.by(attack, [net], prior, SHAPE), 12)  # type: ignore[list-item, arg-type]
    base = attack.attack() if spec.use == "align_mi" else attack
    each = 3 ** (base is not attack) * 2 ** isinstance(base, PLGMI)
    both, full = {torch.float32, torch.bfloat16}, {torch.float32}
    assert set(net.asked) == {(12, dtype) for dtype in both}
    assert set(prior.asked) == {(12 // each, dtype) for dtype in (both if isinstance(base, GMI | PLGMI) else full)}
