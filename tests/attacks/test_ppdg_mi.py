"""PPDG-MI: its distances, whose copy is tuned and to what, what is asked, and that nobody else notices."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from unveil.attacks.allowance import allowed, of_person
from unveil.attacks.brep_mi import BREPMI
from unveil.attacks.gmi import GMI
from unveil.attacks.kedmi import KEDMI
from unveil.attacks.pivots import Pull, PullLessons
from unveil.attacks.plgmi import PLGMI
from unveil.attacks.ppdg_mi import PPDGMI, TOO_LITTLE, share_of
from unveil.attacks.priors.mixture import Mixture
from unveil.attacks.priors.retuning import Asked
from unveil.attacks.set_distances import conditional_transport, maximum_mean_discrepancy, pointwise
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.plan import plugins
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.types import Access, Budget, Generator, Given, Images, Ingredients, Spec, Spent, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import BudgetSpentError, PluginError
from unveil.harness.words.run import Run

LABELS, SHAPE, CLASSES = torch.tensor([0, 2]), (1, 16, 16), 3
E1, E2 = torch.eye(2)


def test_conditional_transport_is_the_worked_one() -> None:
    both, one = torch.stack([E1, E2]), E1[None]
    assert conditional_transport(both, both).item() == pytest.approx(0.268941, abs=1e-6)
    assert conditional_transport(one, both).item() == pytest.approx(0.384471, abs=1e-6)
    assert conditional_transport(one, one).item() == pytest.approx(0, abs=1e-6)


def test_mmd_is_the_worked_one() -> None:
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    assert maximum_mean_discrepancy(zero, one).item() == pytest.approx(6.186276, abs=1e-5)
    assert maximum_mean_discrepancy(zero.repeat(2, 1), one.repeat(2, 1)).item() == pytest.approx(7.129896, abs=1e-5)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    for same in (x, zero, zero.repeat(3, 1)):
        s = same.clone().requires_grad_(True)
        found = maximum_mean_discrepancy(s, same)
        assert found.item() == pytest.approx(0, abs=1e-5)
        assert torch.autograd.grad(found, s)[0].isfinite().all()


def test_the_pointwise_distance_pairs_rows() -> None:
    assert pointwise(torch.stack([E1, E2]), torch.stack([E1, 3 * E2])).item() == 2.0


def digest(network: torch.nn.Module) -> str:
    parts = [value.detach().numpy().tobytes() for value in network.state_dict().values()]
    flags = [p.requires_grad for p in network.parameters()]
    return hashlib.sha256(b"".join(parts) + repr((flags, network.training)).encode()).hexdigest()


SMALL = {"width": 4, "batch": 8, "critic_steps": 2}
PRIORS: dict[str, tuple[dict[str, Any], Any, str]] = {
    "wgan_gp": ({**SMALL, "flip": True}, GMI(restarts=3, steps=4, lr=0.1), "gmi"),
    "inversion_gan": (
        {"width": 4, "batch": 8, "generator_every": 2, "flip": True},
        KEDMI(draws=3, steps=4, lr=0.1),
        "kedmi",
    ),
    "conditional_gan": ({**SMALL, "top": 4}, PLGMI(restarts=3, steps=4), "plgmi"),
}


class World:
    """A small network as target, a prior that nobody has trained, and a base that has been run."""

    def __init__(self, worlds: ModuleType, name: str, attack: Any = None) -> None:
        settings, base, use = PRIORS[name]
        self.base = Spec(use, {"prior": {"use": name, "settings": settings}})
        self.target = SmallResNet(width=4).build(CLASSES, SHAPE, Run("target"))
        prior = plugin_settings.make("priors", Spec(name, settings), Path())
        self.prior: Generator = prior.build(CLASSES, SHAPE).eval().requires_grad_(False)
        public = Images(torch.rand(20, *SHAPE, generator=torch.Generator().manual_seed(1)), torch.full((20,), -1))
        given = Ingredients(self.prior, public)
        self.attempt = worlds.attempted(attack or base, self.target, given, torch.arange(CLASSES))
        self.ingredients = replace(given, given=Given(attacks={"base": self.attempt}))

    def attack(self, **settings: Any) -> PPDGMI:
        small = {"pseudo_private": 2, "views": 2, "tune_steps": 2, "batch": 4, "pivot_steps": 3, **settings}
        return PPDGMI(self.base, **small)

    def view(self, access: Access = Access.WHITE_BOX, budget: Budget | None = None) -> View:
        return View(self.target, access, SHAPE, *([] if budget is None else [budget]))


@pytest.fixture(params=list(PRIORS))
def world(request: pytest.FixtureRequest, worlds: ModuleType) -> World:
    return World(worlds, request.param)


def test_each_prior_is_tuned_in_a_copy(world: World) -> None:
    before = digest(world.prior)
    view, run = world.view(), Run("test")
    found = world.attack().reconstruct(view, world.ingredients, LABELS, run)
    plain = world.attempt.attack.reconstruct(world.view(), world.ingredients, LABELS, Run("test"))
    assert digest(world.prior) == before
    assert found.labels.tolist() == plain.labels.tolist()
    assert (found.pixels - plain.pixels).abs().max() > 1e-3
    assert len(run.kept["latents"]) == len(found)


def test_without_tuning_it_is_the_base_run_again(world: World) -> None:
    asked, plain = world.view(), world.view()
    found = world.attack(tune_steps=0).reconstruct(asked, world.ingredients, LABELS, Run("test"))
    wanted = world.attempt.attack.reconstruct(plain, world.ingredients, LABELS, Run("test"))
    torch.testing.assert_close(found.pixels, wanted.pixels, atol=1e-6, rtol=0)
    assert asked.spent == plain.spent


def test_all_that_is_asked_is_counted(world: World) -> None:
    """Three candidates twice, what the prior's training asks, and the base: for each of two people."""
    asked, plain = world.view(), world.view()
    world.attack().reconstruct(asked, world.ingredients, LABELS, Run("test"))
    world.attempt.attack.reconstruct(plain, world.ingredients, LABELS, Run("test"))
    once, person, step = {"gmi": (0, 0, 0), "kedmi": (40, 4, 0), "plgmi": (20, 0, 8)}[world.base.use]
    queries = plain.spent.queries + once + 2 * (3 * 2 + person + 2 * step)
    assert asked.spent == Spent(queries, plain.spent.gradients + 2 * 2 * step)


def test_company_changes_nothing(world: World) -> None:
    both = world.attack().reconstruct(world.view(), world.ingredients, LABELS, Run("test"))
    alone = world.attack().reconstruct(world.view(), world.ingredients, LABELS[1:], Run("test"))
    assert torch.equal(alone.pixels, both.pixels[both.labels == 2])


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_a_limit_is_kept_to_and_told(world: World, share: float) -> None:
    free = world.view()
    world.attack().reconstruct(free, world.ingredients, LABELS, Run("test"))
    for name in ("queries", "gradients"):
        most = max(1, int(getattr(free.spent, name) * share) // 2)
        view, run = world.view(budget=Budget(**{name: most}, identities=2)), Run("test")
        images = world.attack().reconstruct(view, world.ingredients, LABELS, run)
        assert getattr(view.spent, name) <= 2 * most
        assert sorted(set(images.labels.tolist())) == [0, 2]
        assert view.spent.refused or run.notes


def test_nothing_left_gives_back_the_first_round(worlds: ModuleType) -> None:
    world = World(worlds, "wgan_gp")
    for budget in (Budget(queries=0, identities=2), Budget(queries=99, gradients=0, identities=2)):
        view, run = world.view(budget=budget), Run("test")
        images = world.attack().reconstruct(view, world.ingredients, torch.tensor([2, 0]), run)
        assert images.labels.tolist() == [2] * 3 + [0] * 3
        first = world.attempt.images
        assert torch.equal(images.pixels[:3], first.pixels[first.labels == 2])
        assert (run.notes, view.spent) == ([TOO_LITTLE], Spent())


def test_a_kill_at_any_move_changes_no_bit_and_no_count(
    world: World, worlds: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In selection, tuning and second round, of the first person and of the next."""
    monkeypatch.setattr("unveil.attacks.loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    attack, whole, counted = world.attack(), world.view(), worlds.Moves()
    expected = attack.reconstruct(whole, world.ingredients, LABELS, Run("test", shown=counted))
    for moves in range(1, counted.made, 7):
        scratch = tmp_path / str(moves)
        killed = Run("test", scratch=scratch, shown=worlds.Moves(moves))
        with pytest.raises(KeyboardInterrupt):
            attack.reconstruct(world.view(), world.ingredients, LABELS, killed)
        view = world.view()
        resumed = attack.reconstruct(view, world.ingredients, LABELS, Run("test", scratch=scratch))
        assert torch.equal(resumed.pixels, expected.pixels), f"killed at move {moves} of {counted.made}"
        assert view.spent == whole.spent


@pytest.mark.parametrize("variant", ["pw", "ct", "mmd"])
def test_distances_pull_a_copy_to_the_pictures(variant: Any, worlds: ModuleType) -> None:
    """The prior draws ``.5 + .1 (z + c)``: c must grow where the pictures are bright, and fall where they are dark."""
    prior = worlds.Tunable((1, 4, 4))
    side = torch.tensor([1.0, -1.0]).repeat(8)
    noise = 0.01 * torch.randn(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    x = 0.5 + 0.4 * side.view(1, 4, 4) + noise
    lessons = PullLessons(Pull(variant, 1, 0.02, 0.0))
    target = worlds.linear(worlds.drawn(5, 16), (1, 4, 4))
    lessons.tune(prior, x, 0, View(target, Access.WHITE_BOX, (1, 4, 4)), Run("pull"), 30)
    assert (prior.centre * side > 0.1).all()
    assert not prior.centre.requires_grad


def test_the_first_pivot_is_the_mean_and_steps_are_adams(worlds: ModuleType) -> None:
    """At step 0 the learning rate is zero; at step 1 of 40 half of .01, and Adam moves each number by that."""
    prior = worlds.Tunable((1, 2, 2))
    seen: list[Tensor] = []
    draw = prior.synthesize
    prior.synthesize = lambda z: seen.append(z.detach().clone()) or draw(z)
    target = worlds.linear(worlds.drawn(5, 4), (1, 2, 2))
    lessons, run = PullLessons(Pull("pw", 40, 0.1, 0.0)), Run("pivots")
    lessons.tune(prior, torch.full((1, 1, 2, 2), 2.0), 0, View(target, Access.WHITE_BOX, (1, 2, 2)), run, 0)
    z = prior.sample(run.generators("pool", [(i,) for i in range(600)])).numpy().astype(np.float64)
    mean, spread = z.mean(0), np.sqrt(((z - z.mean(0)) ** 2).sum(1).mean())
    noise = torch.randn(64, 4, generator=run.generator("pivot noise", 0, 0)).numpy()
    for t, moved in ((0, 0.0), (1, 0.0), (2, 0.005)):
        loose = 0.05 * spread * (1 - t / 40 / 0.75) ** 2
        np.testing.assert_allclose(seen[t][0], mean + moved + loose * noise[t], atol=1e-4)


def test_what_the_target_knows_is_taken_for_private(worlds: ModuleType) -> None:
    world = World(worlds, "wgan_gp")
    taken: list[Tensor] = []

    class Watching(PullLessons):
        def tune(self, prior: Generator, x: Tensor, *rest: Any) -> None:
            taken.append(x)

    lessons = Watching(Pull("pw", 1, 0.1, 0.0))
    attack = world.attack(pseudo_private=1, views=40)
    object.__setattr__(attack, "lessons", lambda _: lessons)
    bright, dark = torch.ones(1, *SHAPE), torch.zeros(1, *SHAPE)
    p = world.view().scores(torch.cat([bright, dark]))
    images = Images(torch.cat([bright, dark] * 3), torch.tensor([0, 0, 1, 1, 2, 2]))
    found = replace(world.ingredients, given=Given(attacks={"base": replace(world.attempt, images=images)}))
    attack.reconstruct(world.view(), found, LABELS, Run("test"))
    assert [float(x.mean()) for x in taken] == [float(p[0, y] > p[1, y]) for y in (0, 2)]


def test_access_is_the_bases(worlds: ModuleType) -> None:
    accesses = {use: PPDGMI(Spec(use), "mmd").access for use in ("gmi", "lomma", "ppa", "rlb_mi", "brep_mi")}
    assert [*accesses.values()] == [Access.WHITE_BOX] * 3 + [Access.SCORES, Access.LABELS]
    world = World(worlds, "wgan_gp", BREPMI(queries=60, first_queries=20))
    world.base = Spec("brep_mi", world.base.settings)
    view = world.view(Access.LABELS)
    images = world.attack().reconstruct(view, world.ingredients, LABELS, Run("test"))
    assert images.labels.tolist() == [0, 2]
    assert view.spent.gradients == 0


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base": "ppa"}, 'ppdg_mi with variant = "gan" on style_gan, the prior of ppa'),
        ({"base": "lokt"}, "on t_acgan"),
        ({"base": "random_latents"}, "random_latents cannot be the base"),
        ({"base": "pixel_adversarial"}, "pixel_adversarial cannot be the base"),
        ({"base": "ppdg_mi"}, "ppdg_mi cannot be the base"),
        ({"base": {"use": "gmi", "steps": 0}}, "gmi: steps = 0"),
    ],
)
def test_what_cannot_be_is_refused_in_the_plan(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        plugin_settings.make("attacks", Spec("ppdg_mi", settings), Path())


def test_own_pictures_have_their_share_of_a_batch() -> None:
    public = Images(torch.zeros(30, *SHAPE), torch.full((30,), -1))
    own = torch.ones(2, *SHAPE)
    mixed = Mixture(public, own, 8, 0.25, flip=True, run=Run("mixture"))
    for i in range(12):
        x = mixed.pixels(mixed.indices("real", i))
        assert (len(x), int(x.flatten(1).amax(1).sum())) == (8, 2)
    plain = Mixture(public, own, 8, 0.0, flip=False, run=Run("mixture"))
    epoch = torch.cat([plain.indices("real", i) for i in range(4)])
    assert sorted(epoch.tolist()) == [*range(32)]
    whole = torch.cat([plain.pixels(part) for part in epoch.split(8)])
    assert int(whole.flatten(1).amax(1).sum()) == 2
    ramp = torch.linspace(0, 1, 16).expand(1, *SHAPE)
    turned = Mixture(public, ramp, 8, 0.25, flip=True, run=Run("mixture"))
    torch.testing.assert_close(turned.pixels(torch.tensor([30, 61])), torch.cat([ramp, ramp.flip(-1)]))


def test_a_part_of_a_budget_counts_for_the_whole(target: Classifier) -> None:
    whole = View(target, Access.WHITE_BOX, (1, 2, 3), Budget(queries=10, gradients=10, identities=2))
    x = torch.zeros(4, 1, 2, 3)
    whole.scores(x)
    part = allowed(whole, Budget(6, 3))
    x = x[:3].requires_grad_(True)
    f, o = part.features_and_logits(x)
    (f.sum() + o.sum()).backward()
    assert (part.spent, whole.spent) == (Spent(3, 3), Spent(7, 3))
    part.ration(1, 3, Spent(3, 3))
    with pytest.raises(BudgetSpentError):
        part.scores(x)
    part.ration(1, 1, Spent())
    part.scores(x)
    with pytest.raises(BudgetSpentError):
        part.scores(x[:1])
    assert whole.spent.refused
    part.resume(Spent(8, 3))
    assert whole.spent.queries == 12


def test_checkpoints_are_a_persons_own(tmp_path: Path) -> None:
    run = Run("test", scratch=tmp_path)
    first, second = of_person(run, 0), of_person(run, 1)
    first.save("search", {"step": 3})
    assert first.load("search") == {"step": 3}
    assert second.load("search") is None
    second.save("search", {"step": 1})
    assert first.load("search") is None
    assert len([*tmp_path.iterdir()]) == 1
    assert first.seed("z", 1) == run.seed("z", 1)
    assert replace(first, names=("tuning", 0)).seed("z", 1) == run.seed("tuning", 0, "z", 1)


def test_the_limit_is_divided_as_said() -> None:
    assert share_of(Budget(100, 50, 4), 40, 4) == Budget(90, 50)
    attack = PPDGMI(views=10, tune_steps=100)
    assert attack.within(Budget(), 5, Asked(step=8)) == attack
    cut = attack.within(Budget(queries=1000), 5, Asked(person=20, step=8))
    assert cut is not None
    assert (cut.views, cut.tune_steps) == (5, 56)  # 480 of the 850 that it would take
    assert 5 * cut.views + 8 * cut.tune_steps + 20 <= 500
    assert attack.within(Budget(queries=9), 5, Asked()) is None


def test_it_is_registered() -> None:
    assert plugins.load("attacks", "ppdg_mi", Path()) is PPDGMI
