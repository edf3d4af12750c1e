from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.attacks.gmi import GMI
from unveil.attacks.kedmi import KEDMI
from unveil.attacks.lomma import LOMMA, mean_feature
from unveil.attacks.plgmi import PLGMI
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.types import Access, Budget, Images, Ingredients, Spec, Spent, Surrogate, View, draw_normal
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AccessError, PluginError, UnveilError
from unveil.harness.words.run import Run

LABELS = torch.tensor([0, 2])
SHAPE = (1, 2, 3)
STUDENTS = (Spec("plain_cnn", {"width": 4}), Spec("small_resnet", {"width": 4}))
BASES = pytest.mark.parametrize("base", ["gmi", "kedmi"])


@pytest.fixture
def helped(ingredients: Ingredients, student: Callable[[int], Classifier]) -> Ingredients:
    public = torch.rand(300, *SHAPE, generator=torch.Generator().manual_seed(1))
    return Ingredients(ingredients.prior, Images(public, torch.full((300,), -1)), (student(1), student(2)))


def planned(**settings: Any) -> LOMMA:
    """As a plan makes it, with the settings of the base beside LOMMA's own or within the base."""
    made: LOMMA = plugin_settings.make("attacks", Spec("lomma", settings), Path())
    return made


def lomma(base: Any, **settings: Any) -> LOMMA:
    students = [{"use": one.use, "settings": one.settings} for one in STUDENTS]
    return planned(base=base, students=students, samples=2, **settings)


def students(attack: LOMMA) -> int:
    return sum(isinstance(need, Surrogate) for need in attack.needs().values())


def weights(target: Classifier, helped: Ingredients) -> list[Any]:
    return [model.head.weight.detach().numpy().astype(np.float64) for model in (target, *helped.surrogates)]


def test_the_baseline_is_the_base_bit_for_bit(view: View, ingredients: Ingredients, run: Run) -> None:
    settings = {"steps": 70, "identity_weight": 7.0, "batch": 3}
    pairs = (
        (lomma("gmi", variant="baseline", lr=0.1, **settings), GMI(restarts=2, lr=0.1, **settings)),
        (lomma("kedmi", variant="baseline", **settings), KEDMI(draws=2, clamp=True, **settings)),
    )
    for ours, theirs in pairs:
        assert ours.needs() == theirs.needs()
        found = [attack.reconstruct(view, ingredients, LABELS, run).pixels for attack in (ours, theirs)]
        assert torch.equal(*found)


@pytest.mark.parametrize("variant", ["baseline", "aug", "logit", "both"])
def test_around_plgmi_it_keeps_what_that_descends(
    variant: Any, painted: Classifier, canvas: Ingredients, worlds: ModuleType
) -> None:
    """PLG-MI's margin where the loss is the base's; two views of a picture in each step; latents unclamped."""
    taught = tuple(worlds.linear(worlds.drawn(seed, 192), (3, 8, 8)) for seed in (1, 2))
    attack = lomma("plgmi", variant=variant, steps=6, reference=1)
    given = replace(canvas, surrogates=taught if students(attack) else ())
    views = [View(painted, Access.WHITE_BOX, (3, 8, 8)) for _ in range(2)]
    found = attack.reconstruct(views[0], given, LABELS, Run("test"))
    plain = PLGMI(restarts=2, steps=6).reconstruct(views[1], canvas, LABELS, Run("test"))
    assert attack.criterion == ("max_margin" if variant in ("baseline", "aug") else "logit")
    assert torch.equal(found.pixels, plain.pixels) == (variant == "baseline")
    asked = views[1].spent.queries + (variant in ("logit", "both"))
    assert views[0].spent == Spent(asked, views[1].spent.gradients)
    assert plugin_settings.make("attacks", Spec("lomma", {"base": "plgmi", "samples": 3}), Path()).attack() == PLGMI(
        restarts=3
    )


def test_the_bases_own_loss_is_heeded_where_it_is_descended() -> None:
    assert [lomma("gmi", variant=v, identity="poincare").criterion for v in ("baseline", "aug", "logit", "both")] == [
        "poincare", "poincare", "logit", "logit",
    ]  # fmt: skip


def test_defaults_are_those_of_the_bases() -> None:
    assert LOMMA().attack() == LOMMA(Spec("gmi")).attack() == GMI()
    assert LOMMA(Spec("kedmi")).attack() == KEDMI(clamp=True)
    assert LOMMA(Spec("kedmi", {"clamp": False})).attack() == KEDMI()


def test_the_mean_feature_is_numpys_and_asked_for_once(view: View, helped: Ingredients, run: Run) -> None:
    f = (helped.public.pixels.numpy().reshape(300, 6) - 0.5).astype(np.float64)
    np.testing.assert_allclose(mean_feature(view, helped.public, 5050, run), f.mean(0), atol=1e-6)
    assert (view.spent.queries, view.spent.gradients) == (300, 0)
    some = mean_feature(view, helped.public, 40, run)
    drawn = torch.randperm(300, generator=run.generator("reference"))[:40]
    np.testing.assert_allclose(some, f[drawn.numpy()].mean(0), atol=1e-6)
    assert view.spent.queries == 340


def test_each_variants_loss_is_the_one_worked_in_numpy(
    target: Classifier, view: View, helped: Ingredients, run: Run
) -> None:
    x = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(3))
    f = x.numpy().reshape(2, 6).astype(np.float64) - 0.5
    outputs = [f @ w.T for w in weights(target, helped)]
    p_reg = helped.public.pixels.numpy().reshape(300, 6).astype(np.float64).mean(0) - 0.5

    def logit(o: Any) -> Any:
        return -o[[0, 1], [0, 2]]

    def ce(o: Any) -> Any:
        return np.log(np.exp(o).sum(1)) + logit(o)

    regulariser = ((f - p_reg) ** 2).mean(1)
    expected = {
        "baseline": ce(outputs[0]),
        "logit": logit(outputs[0]) + 0.5 * regulariser,
        "aug": np.mean([ce(o) for o in outputs], axis=0),
        "both": np.mean([logit(o) for o in outputs], axis=0) + 0.5 * regulariser,
    }
    for variant, value in expected.items():
        attack = lomma("gmi", variant=variant, feature_weight=0.5)
        given = helped if students(attack) else replace(helped, surrogates=())
        np.testing.assert_allclose(attack.seen(view, given, run)(x, LABELS), value, rtol=1e-5)


def test_the_first_update_is_the_one_worked_in_numpy(
    target: Classifier, view: View, helped: Ingredients, run: Run
) -> None:
    """``g = 2 z + 100 · .1 (-mean_m W_m[y] + 2/6 (f - p_reg))``; z moves by -1.9 · .02 g / 60, then is clipped."""
    keys = [(y, r) for y in (0, 2) for r in range(2)]
    z = draw_normal(run.generators("z", keys), (6,)).numpy().astype(np.float64)
    slope = np.mean(weights(target, helped), axis=0)[[0, 0, 2, 2]]
    p_reg = helped.public.pixels.numpy().reshape(300, 6).astype(np.float64).mean(0) - 0.5
    g = 2 * z + 10 * (-slope + 2 / 6 * (0.1 * z - p_reg))
    expected = np.clip(z - 1.9 * 0.02 * g / 60, -1, 1)
    images = lomma("gmi", steps=1).reconstruct(view, helped, LABELS, run)
    np.testing.assert_allclose((images.pixels.flatten(1) - 0.5) / 0.1, expected, atol=1e-5)
    assert images.labels.tolist() == [0, 0, 2, 2]
    assert (view.spent.queries, view.spent.gradients) == (304, 4)  # students are the attacker's own
    assert all(p.grad is None for model in helped.surrogates for p in model.parameters())


@BASES
def test_finds_the_known_optimum(base: str, target: Classifier, view: View, helped: Ingredients, run: Run) -> None:
    """All terms are quadratic: ``2 z + .1 λ (-mean_m W_m[y] + 2/6 (.1 z - p_reg)) = 0``."""
    weight = 2.0
    slope = np.mean(weights(target, helped), axis=0)[[0, 0, 2, 2]]
    p_reg = helped.public.pixels.numpy().reshape(300, 6).astype(np.float64).mean(0) - 0.5
    z = 0.1 * weight * (slope + p_reg / 3) / (2 + 0.1 * weight * 0.1 / 3)
    assert np.abs(z).max() < 0.9
    own = {"log_variance_init": -4.0} if base == "kedmi" else {"batch_equivalent": 1}
    attack = lomma(base, steps=600, lr=0.05, identity_weight=weight, **own)
    found = attack.reconstruct(view, helped, LABELS, run).pixels
    np.testing.assert_allclose((found.flatten(1) - 0.5) / 0.1, z, atol=0.05 if base == "kedmi" else 1e-3)


@BASES
def test_goes_on_after_a_kill_as_if_nothing_had_been(
    base: str, view: View, target: Classifier, helped: Ingredients, interrupted: tuple[Run, Run]
) -> None:
    attack = lomma(base, steps=4, batch=1)
    whole = attack.reconstruct(view, helped, LABELS, Run("test"))
    killed, heir = interrupted
    with pytest.raises(KeyboardInterrupt):
        attack.reconstruct(View(target, Access.WHITE_BOX, SHAPE), helped, LABELS, killed)
    assert killed.load(base) is not None
    taken_up = View(target, Access.WHITE_BOX, SHAPE)
    assert torch.equal(attack.reconstruct(taken_up, helped, LABELS, heir).pixels, whole.pixels)
    assert taken_up.spent == view.spent


@BASES
def test_a_budget_below_the_reference_is_kept(base: str, target: Classifier, helped: Ingredients, run: Run) -> None:
    """300 pictures of reference and 40 steps of two or four samples, cut by one factor."""
    view = View(target, Access.WHITE_BOX, SHAPE, Budget(queries=60, identities=2))
    images = lomma(base, steps=40).reconstruct(view, helped, LABELS, run)
    reference, steps = (int(whole * 120 / (300 + 40 * (4 if base == "gmi" else 2))) for whole in (300, 40))
    assert images.labels.tolist() == [0, 0, 2, 2]
    assert view.spent.queries == reference + steps * (4 if base == "gmi" else 2)
    assert not view.spent.refused
    assert run.notes == [f"kept to its budget with reference = {reference}, steps = {steps}"]


@pytest.mark.parametrize("variant", ["baseline", "logit", "aug", "both"])
@pytest.mark.parametrize("access", [Access.SCORES, Access.LABELS])
def test_less_access_is_refused(
    variant: Any, access: Access, target: Classifier, helped: Ingredients, run: Run
) -> None:
    attack = lomma("gmi", variant=variant)
    given = helped if students(attack) else replace(helped, surrogates=())
    with pytest.raises(AccessError):
        attack.reconstruct(View(target, access, SHAPE), given, LABELS, run)


def test_the_right_students_or_none(view: View, ingredients: Ingredients, helped: Ingredients, run: Run) -> None:
    with pytest.raises(UnveilError, match="given 0 students"):
        lomma("gmi").reconstruct(view, ingredients, LABELS, run)
    with pytest.raises(UnveilError, match="given 2 students"):
        lomma("gmi", variant="logit").reconstruct(view, helped, LABELS, run)
    with pytest.raises(ValueError, match="students repeat"):
        LOMMA(students=(STUDENTS[0], STUDENTS[0]))


def test_says_what_it_descends() -> None:
    o = torch.tensor([[1.0, 2.0, 0.0]])
    y: Tensor = torch.tensor([1])
    assert LOMMA().identity_loss(o, y).item() == -2.0
    torch.testing.assert_close(LOMMA(variant="aug").identity_loss(o, y), F.cross_entropy(o, y, reduction="none"))


@pytest.mark.parametrize(
    ("flat", "nested"),
    [
        ({"base": "gmi", "samples": 3, "momentum": 0.5}, {"use": "gmi", "restarts": 3, "momentum": 0.5}),
        (
            {"base": "kedmi", "samples": 3, "lr": 0.1, "prior": {"use": "inversion_gan", "steps": 5}},
            {"use": "kedmi", "draws": 3, "lr": 0.1, "prior": {"use": "inversion_gan", "steps": 5}},
        ),
        ({"samples": 3}, {"use": "gmi", "restarts": 3}),
    ],
)
def test_settings_of_the_base_stand_beside_or_within(flat: dict[str, Any], nested: dict[str, Any]) -> None:
    ours, theirs = planned(**flat), planned(base=nested)
    assert ours == theirs
    asked = [plugin_settings.question(Spec("lomma"), one) for one in (ours, theirs)]
    assert asked[0] == asked[1]
    assert asked[0]["settings"]["samples"] == 3
    assert plugin_settings.make("attacks", Spec("lomma", plugin_settings.dump(ours)), Path("/")) == ours


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base": "kedmi", "momentum": 0.5}, "lomma on kedmi has no setting 'momentum'"),
        ({"base": "gmi", "log_variance_init": 0.0}, "lomma on gmi has no setting 'log_variance_init'"),
        ({"base": {"use": "kedmi", "momentum": 0.5}}, "kedmi has no setting 'momentum'"),
        ({"studnets": []}, "did you mean 'students'"),
        ({"base": {"use": "gmi", "lr": 0.1}, "steps": 5}, "both in base and beside it"),
        ({"base": "gmi", "steps": 0}, "gmi: steps = 0"),
        ({"base": "brep_mi"}, "brep_mi cannot be the base of lomma"),
        ({"base": "gmj"}, "did you mean 'gmi'"),
    ],
)
def test_what_the_base_cannot_do_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(PluginError, match=words):
        planned(**settings)


def test_what_only_a_base_of_its_own_can_say_is_another_question() -> None:
    plain, clipped, other = (planned(base={"use": "gmi", **more}) for more in ({}, {"clip": 2.0}, {"lr": 0.1}))
    asked = [plugin_settings.question(Spec("lomma"), one)["settings"] for one in (plain, clipped, other)]
    assert len({str(one) for one in asked}) == 3
    assert "clip" not in asked[0]
    assert asked[1]["clip"] == 2.0
    on_plgmi = plugin_settings.question(Spec("lomma"), planned(base={"use": "plgmi", "steps": 7}))["settings"]["base"]
    assert (on_plgmi["use"], on_plgmi["settings"]["steps"]) == ("plgmi", 7)
