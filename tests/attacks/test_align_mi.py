"""AlignMI: what a neighbourhood's gradient is, for which bases, and what it asks."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from unveil.attacks.align_mi import AlignMI, Neighbourhood
from unveil.attacks.search import at
from unveil.harness.types import Budget, Images, Spec
from unveil.harness.words.errors import PluginError
from unveil.harness.words.run import Run

LABELS, KEYS = torch.tensor([0, 2]), [(0, 0), (0, 1), (2, 0)]
X, Y = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 0, 2])
A = torch.randn(5, 192, generator=torch.Generator().manual_seed(1))


def linear(x: Tensor, y: Tensor) -> Tensor:
    return x.flatten(1) @ A[0]


def square(x: Tensor, y: Tensor) -> Tensor:
    return 0.5 * (x.flatten(1) @ A.T).square().sum(1)


def gradient(attack: AlignMI, loss: Any, x: Tensor = X, keys: Any = KEYS, t: int = 0) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_(True)
    value = at(Neighbourhood(loss, attack, Run("neighbours")), keys, t)(x, Y)
    return value.detach(), torch.autograd.grad(value.sum(), x)[0]


@pytest.mark.parametrize("loss", [linear, square])
def test_without_noise_it_is_the_base_gradient(loss: Any) -> None:
    value, g = gradient(AlignMI(variant="paa", alpha=0.0, neighbours=4), loss)
    x = X.clone().requires_grad_(True)
    wanted = loss(x, Y)
    torch.testing.assert_close(value, wanted.detach())
    torch.testing.assert_close(g, torch.autograd.grad(wanted.sum(), x)[0])
    one = gradient(AlignMI(variant="erase", erased=(0.0, 0.0), neighbours=1), loss)[1]
    assert torch.equal(one, torch.autograd.grad(loss(x, Y).sum(), x)[0])


def test_noise_changes_no_linear_gradient_and_averages_out_of_a_quadratic_one() -> None:
    exact = gradient(AlignMI(variant="paa", alpha=0.0, neighbours=1), square)[1]
    assert torch.allclose(gradient(AlignMI(variant="paa", alpha=0.5, neighbours=2), linear)[1].flatten(1)[0], A[0])

    def spread(k: int) -> float:
        attack = AlignMI(variant="paa", alpha=0.2, neighbours=k)
        off = torch.stack([gradient(attack, square, t=t)[1] - exact for t in range(30)])
        return off.square().mean().sqrt().item()

    assert spread(4) / spread(64) == pytest.approx(4, rel=0.2)  # one over the root of K


def test_the_noise_has_each_pictures_own_range() -> None:
    seen: list[Tensor] = []

    def spy(x: Tensor, y: Tensor) -> Tensor:
        seen.append(x.detach())
        return linear(x, y)

    x = X * torch.tensor([1.0, 0.1, 0.5]).view(-1, 1, 1, 1)
    gradient(AlignMI(variant="paa", alpha=0.3, neighbours=40), spy, x)
    noise = (torch.stack(seen) - x).flatten(2).std(dim=(0, 2))
    ranges = x.flatten(1).amax(1) - x.flatten(1).amin(1)
    torch.testing.assert_close(noise, 0.3 * ranges, rtol=0.05, atol=0)


@pytest.mark.parametrize("variant", ["taa", "paa", "erase"])
def test_neighbours_are_the_samples_own(variant: Any) -> None:
    attack = AlignMI(variant=variant, neighbours=3)
    both = gradient(attack, square)[1]
    x = X[1:2].clone().requires_grad_(True)
    value = at(Neighbourhood(square, attack, Run("neighbours")), KEYS[1:2], 0)(x, Y[1:2])
    torch.testing.assert_close(torch.autograd.grad(value.sum(), x)[0], both[1:2])
    assert not torch.allclose(gradient(attack, square, t=1)[1], both)
    doubled = X.repeat_interleave(2, 0).requires_grad_(True)  # two views of each sample, as PLG-MI shows
    value = at(Neighbourhood(square, attack, Run("neighbours")), KEYS, 0)(doubled, Y.repeat_interleave(2))
    found = torch.autograd.grad(value.sum(), doubled)[0]
    torch.testing.assert_close(found[::2], both)
    torch.testing.assert_close(found[1::2], both)


BASES = {
    "gmi": Spec("gmi", {"restarts": 2, "steps": 8, "lr": 0.1, "batch": 3}),
    "kedmi": Spec("kedmi", {"draws": 2, "steps": 8, "lr": 0.1}),
    "plgmi": Spec("plgmi", {"restarts": 2, "steps": 5}),
    "ppa": Spec("ppa", {"pool": 20, "candidates": 3, "keep": 2, "steps": 5, "views": 4, "crop_scale": [0.5, 1.0]}),
    "if_gmi": Spec("if_gmi", {"pool": 20, "candidates": 2, "stages": [3, 0, 2], "crop_scale": [0.5, 1.0]}),
    "mirror_white_box": Spec(
        "mirror_white_box", {"presamples": 30, "restarts": 3, "samples": 2, "steps": 6, "lr": 0.1, "views": 3}
    ),
    "lomma": Spec("lomma", {"base": {"use": "gmi", "restarts": 2, "steps": 8, "lr": 0.1}, "variant": "logit"}),
}
WORLDS = {"lomma": "lomma gmi logit"}


def attacked(
    worlds: ModuleType, name: str, budget: Budget | None = None, **settings: Any
) -> tuple[Any, Images, Images]:
    case = worlds.CASES[WORLDS.get(name, name)]
    attack = AlignMI(BASES[name], **settings)
    view = case.view() if budget is None else case.view(budget)
    plain = attack.attack().reconstruct(case.view(), case.world.ingredients(), LABELS, Run("test"))
    return view, attack.reconstruct(view, case.world.ingredients(), LABELS, Run("test")), plain


@pytest.mark.parametrize("name", BASES)
def test_around_every_base(worlds: ModuleType, name: str) -> None:
    none = {"variant": "paa", "alpha": 0.0, "neighbours": 2}
    _, same, plain = attacked(worlds, name, **none)
    torch.testing.assert_close(same.pixels, plain.pixels, atol=1e-5, rtol=0)
    view, moved, _ = attacked(worlds, name, variant="erase", erased=(0.3, 0.3), neighbours=2)
    assert moved.labels.tolist() == plain.labels.tolist()
    assert not torch.allclose(moved.pixels, plain.pixels)
    assert view.spent.gradients > 0


@pytest.mark.parametrize("name", BASES)
def test_a_budget_is_kept(worlds: ModuleType, name: str) -> None:
    budget = Budget(queries=80, gradients=30, identities=2)
    view, images, _ = attacked(worlds, name, budget, variant="erase", neighbours=3)
    assert view.spent.queries <= 160
    assert view.spent.gradients <= 60
    assert sorted(set(images.labels.tolist())) == [0, 2]


def test_every_neighbour_is_a_question(worlds: ModuleType) -> None:
    one = attacked(worlds, "gmi", variant="erase", neighbours=1)[0].spent
    five = attacked(worlds, "gmi", variant="erase", neighbours=5)[0].spent
    assert (five.queries, five.gradients) == (5 * one.queries, 5 * one.gradients)


def test_nonsense_is_refused() -> None:
    with pytest.raises(PluginError, match="random_latents cannot be the base"):
        AlignMI(Spec("random_latents"))
    with pytest.raises(PluginError, match="the least share first"):
        AlignMI(crop=(1.0, 0.5))
    with pytest.raises(PluginError, match="at which step"):
        Neighbourhood(linear, AlignMI(), Run("x"))(X, Y)
    assert dataclasses.replace(AlignMI(), neighbours=3).neighbours == 3
