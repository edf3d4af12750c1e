"""Controls: what they show, what they ask, and what sets them apart from attacks."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from unveil.attacks.held_out_private import HeldOutPrivate
from unveil.attacks.pixel_adversarial import PixelAdversarial
from unveil.attacks.public_lookalikes import PublicLookalikes
from unveil.attacks.random_latents import RandomLatents
from unveil.harness.conformance import tiny
from unveil.harness.plan import plugins
from unveil.harness.types import Access, Budget, Ceiling, Control, Images, Ingredients, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError
from unveil.harness.words.run import Run

SHAPE = (1, 2, 3)
LABELS = torch.tensor([0, 2])


@pytest.fixture
def public() -> Ingredients:
    pixels = torch.rand(40, *SHAPE, generator=torch.Generator().manual_seed(0))
    return Ingredients(None, Images(pixels, torch.full((40,), -1)))


def test_lookalikes_are_what_the_target_is_surest_of(target: Classifier, public: Ingredients, run: Run) -> None:
    view = View(target, Access.SCORES, SHAPE)
    shown = PublicLookalikes(samples=3, batch=7).reconstruct(view, public, LABELS, run)
    p = target.logits(public.public.pixels).softmax(1)
    for k, y in enumerate(LABELS.tolist()):
        best = p[:, y].topk(3).indices
        assert torch.equal(shown.pixels[3 * k : 3 * k + 3], public.public.pixels[best])
    assert shown.labels.tolist() == [0, 0, 0, 2, 2, 2]
    assert view.spent.queries == 40
    assert not run.notes


def test_lookalikes_keep_to_their_budget(target: Classifier, public: Ingredients, run: Run) -> None:
    view = View(target, Access.SCORES, SHAPE, Budget(queries=5, identities=2))
    shown = PublicLookalikes(samples=20, batch=7).reconstruct(view, public, LABELS, run)
    assert len(shown) == 20
    assert view.spent.queries == 10
    assert run.notes == ["stopped at its budget: 10 of 40 public pictures were looked at"]


def test_lookalikes_go_on_after_a_kill(target: Classifier, public: Ingredients, interrupted: tuple[Run, Run]) -> None:
    attack = PublicLookalikes(batch=4)
    whole = attack.reconstruct(View(target, Access.SCORES, SHAPE), public, LABELS, Run("test"))
    killed, heir = interrupted
    with pytest.raises(KeyboardInterrupt):
        attack.reconstruct(View(target, Access.SCORES, SHAPE), public, LABELS, killed)
    view = View(target, Access.SCORES, SHAPE)
    assert torch.equal(attack.reconstruct(view, public, LABELS, heir).pixels, whole.pixels)
    assert view.spent.queries == 40


def test_the_adversary_steps_by_the_sign_and_stays_in_its_ball() -> None:
    attack = PixelAdversarial(lr=0.1, eps=0.15)
    start = torch.tensor([0.5, 0.5, 0.05, 0.5])
    g = torch.tensor([3.0, -0.1, 5.0, 0.0])
    once = attack.move(start, g, start)
    torch.testing.assert_close(once, torch.tensor([0.4, 0.6, 0.0, 0.5]))
    twice = attack.move(once, g, start)
    torch.testing.assert_close(twice, torch.tensor([0.35, 0.65, 0.0, 0.5]))
    free = PixelAdversarial(lr=0.1, eps=None).move(once, g, start)
    torch.testing.assert_close(free, torch.tensor([0.3, 0.7, 0.0, 0.5]))


def test_the_adversary_fools_the_target_by_a_change_within_eps(
    target: Classifier, public: Ingredients, run: Run
) -> None:
    """A linear target: the loss falls fastest by the sign of its slope, so that the ball's corner is reached."""
    view = View(target, Access.WHITE_BOX, SHAPE)
    fooled = PixelAdversarial(samples=4, steps=30, lr=0.05, eps=None).reconstruct(view, public, LABELS, run)
    assert target.logits(fooled.pixels).argmax(1).tolist() == [0] * 4 + [2] * 4
    small = PixelAdversarial(samples=4, steps=30, lr=0.01, eps=0.05).reconstruct(view, public, LABELS, run)
    nearest = (small.pixels[:, None] - public.public.pixels).abs().flatten(2).amax(2).amin(1)
    assert nearest.max() <= 0.05 + 1e-6
    assert nearest.min() > 0.04


def test_the_ceiling_is_held_out_pictures_of_the_person() -> None:
    data = tiny.data()
    shown = HeldOutPrivate(samples=1).show(data, torch.tensor([2, 0]), Run("test"))
    assert shown.labels.tolist() == [2, 0]
    alone = HeldOutPrivate(samples=1).show(data, torch.tensor([0]), Run("test"))
    assert torch.equal(shown.pixels[1:], alone.pixels)
    assert any(torch.equal(shown.pixels[0], x) for x in data.test.pixels[data.test.labels == 2])
    assert not any(torch.equal(shown.pixels[0], x) for x in data.train.pixels)


def test_controls_say_what_they_are_for() -> None:
    roles = {cls.__name__: cls.role for cls in (RandomLatents, PublicLookalikes, PixelAdversarial, HeldOutPrivate)}
    assert list(roles.values()) == ["floor", "gullibility", "gullibility", "ceiling"]
    assert isinstance(RandomLatents(), Control)
    assert isinstance(HeldOutPrivate(), Ceiling)
    assert plugins.role(plugins.load("attacks", "gmi", Path())) == ""


def test_a_role_that_there_is_not_is_refused(tmp_path: Path) -> None:
    source = "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Winner:\n    role = 'winner'\n"
    (tmp_path / "winner.py").write_text(source)
    with pytest.raises(PluginError, match="role 'winner'"):
        plugins.load("attacks", "winner.py:Winner", tmp_path)
