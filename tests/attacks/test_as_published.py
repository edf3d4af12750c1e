"""Switches that repeat what was published: against loops written out by hand, over twenty steps."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.attacks import augment
from unveil.attacks.losses import poincare
from unveil.attacks.mirror import Mirror
from unveil.attacks.mirror_white_box import MirrorWhiteBox, ramp
from unveil.attacks.numbers import uniform
from unveil.attacks.plgmi import PLGMI
from unveil.attacks.ppa import PPA
from unveil.attacks.pspace import Box
from unveil.attacks.search import Key
from unveil.attacks.selection import best
from unveil.attacks.wspace import WSpace
from unveil.harness.types import Access, ConditionalGenerator, Generator, Images, Ingredients, View, draw_normal
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.crops import NUMBERS, RandomCrop
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.run import Run

SHAPE, LABELS = (1, 8, 8), torch.tensor([0, 2])
MEAN = 0.3
NUDGE = 1e-7
PUBLISHED = PPA(pool=12, candidates=3, keep=3, steps=20, batch=6, crop_scale=(0.4, 1.0), lr=0.02)


class Wide(Generator):
    """Ten rows of leaky latents; pixels are .5 + .4 times their mean row, mostly beyond black and white."""

    latent, num_ws = 64, 10

    def __init__(self) -> None:
        super().__init__()
        self.w_avg = torch.full((64,), MEAN)
        self.rounded: list[bool] = []

    def map(self, z: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        w = F.leaky_relu(z, 0.2)[:, None].repeat(1, self.num_ws, 1)
        w[:, :cutoff] = self.w_avg.lerp(w[:, :cutoff], psi)
        return w

    def drawn(self, w: Tensor) -> Tensor:
        self.rounded.append(torch.is_autocast_enabled("cpu"))
        return 0.5 + 0.4 * w.mean(1).view(-1, *SHAPE)

    def synthesize_w(self, w: Tensor) -> Tensor:
        return self.drawn(w).clamp(0, 1)


class Large(Wide):
    resolution = 1024


def target() -> Classifier:
    head = nn.utils.skip_init(nn.Linear, 64, 3)
    with torch.no_grad():
        head.weight.copy_(torch.randn(3, 64, generator=torch.Generator().manual_seed(5)))
        head.bias.zero_()
    return Classifier({"flat": nn.Flatten()}, head, classes=3, mean=(0.5,), std=(1.0,))


def given(prior: Generator) -> Ingredients:
    return Ingredients(prior, Images(torch.zeros(1, *SHAPE), torch.tensor([-1])))


def reconstructed(attack: PPA | MirrorWhiteBox, run: Run, prior: Generator | None = None) -> Tensor:
    view = View(target(), attack.access, SHAPE)
    return attack.reconstruct(view, given(prior or Wide()), LABELS, run).pixels


def agrees(found: Tensor, by_hand: Callable[[float], Tensor]) -> None:
    """As well as a computation agrees with itself from a start that is 1e-7 away."""
    expected = by_hand(0.0)
    spread = (by_hand(NUDGE) - expected).abs().max()
    assert 0 < spread < 1e-3
    assert (found - expected).abs().max() <= 10 * spread


def ppa_by_hand(nudge: float) -> Tensor:
    """Released PPA: one crop a batch, nothing clipped, the mean loss."""
    run, prior, net = Run("x"), Wide(), target()
    z = prior.sample(run.generators("pool", [(i,) for i in range(12)]))
    rows = prior.map(z, 0.5, 8)
    x = prior.synthesize_w(rows)
    scores = (net.logits(x).softmax(1) + net.logits(x.flip(-1)).softmax(1)) / 2
    chosen = best(scores[:, LABELS].T, 3)
    keys: list[Key] = [(y, i) for y, row in zip(LABELS.tolist(), chosen.tolist(), strict=True) for i in row]
    w = nn.Parameter(rows[chosen.flatten(), 0] + nudge)
    optimiser, numbers = torch.optim.Adam([w], lr=0.02, betas=(0.1, 0.1)), uniform(run, "crops", NUMBERS)
    for t in range(20):
        top, left, h, wide = (
            int(one) for one in RandomCrop((0.4, 1.0)).boxes(numbers.at(keys[:1], t), 8, 8)[0].tolist()
        )
        cut = prior.drawn(w[:, None].expand(-1, 10, -1))[..., top : top + h, left : left + wide]
        seen = F.interpolate(cut, (8, 8), mode="bilinear", align_corners=False)
        optimiser.zero_grad()
        poincare(net.logits(seen), torch.tensor([y for y, _ in keys])).mean().backward()
        optimiser.step()
    return prior.synthesize_w(w.detach()[:, None].expand(-1, 10, -1))


def test_ppa_crops_a_batch_alike_and_shows_what_is_not_clipped() -> None:
    released = dataclasses.replace(PUBLISHED, shared_crop=True, unclipped=True)
    found = reconstructed(released, Run("x"))
    agrees(found, ppa_by_hand)
    for other in ({"shared_crop": True}, {"unclipped": True}, {}):
        assert (reconstructed(dataclasses.replace(PUBLISHED, **other), Run("x")) - found).abs().max() > 1e-2


def test_final_views_are_not_clipped_either() -> None:
    attack = dataclasses.replace(PUBLISHED, keep=2, views=4, unclipped=True)
    prior = Wide()
    clipped = [
        WSpace(prior, SHAPE, unclipped=kind).pictures(torch.full((1, 64), 3.0)).max().item() for kind in (True, False)
    ]
    assert clipped == pytest.approx([0.5 + 0.4 * 3, 1.0])
    found = reconstructed(attack, Run("x"))
    assert found.shape == (4, *SHAPE)
    assert found.min() >= 0
    assert found.max() <= 1


class Coloured(ConditionalGenerator):
    """Pixels are .5 + .2 z, a little brighter for each class."""

    latent = 3 * 8 * 8

    def synthesize_as(self, z: Tensor, y: Tensor) -> Tensor:
        return 0.5 + 0.2 * z.view(-1, 3, 8, 8) + 0.02 * y.view(-1, 1, 1, 1)


def coloured_target() -> Classifier:
    head = nn.utils.skip_init(nn.Linear, 192, 3)
    with torch.no_grad():
        head.weight.copy_(torch.randn(3, 192, generator=torch.Generator().manual_seed(7)))
        head.bias.zero_()
    return Classifier({"flat": nn.Flatten()}, head, classes=3, std=(1.0,) * 3)


def view_by_hand(x: Tensor, u: Tensor, turned: float) -> Tensor:
    """One released view of one picture ``(3, 8, 8)``: cut, mirrored, coloured, and turned in half of the cases."""
    crop, (_, light, contrast, turn) = u[:NUMBERS], u[NUMBERS:].tolist()
    top, left, h, w = (int(one) for one in RandomCrop((0.8, 1.0)).boxes(crop[None], 8, 8)[0].tolist())
    x = F.interpolate(x[None, :, top : top + h, left : left + w], (8, 8), mode="bilinear", align_corners=False)
    x = x.flip(-1) if crop[-1] < 0.5 else x
    x = ((0.8 + 0.4 * light) * x).clamp(0, 1)
    grey = (x * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1).mean()
    x = (grey + (0.8 + 0.4 * contrast) * (x - grey)).clamp(0, 1)
    if turn >= turned:
        return x
    angle = math.radians(5 * (2 * turn / turned - 1))
    theta = torch.tensor([[[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]]])
    return F.grid_sample(x, F.affine_grid(theta, [1, 3, 8, 8], align_corners=False), align_corners=False)


def plgmi_by_hand(nudge: float) -> Tensor:
    run, prior, net, keys = Run("x"), Coloured(), coloured_target(), [(0, 0), (2, 0)]
    z = nn.Parameter(draw_normal(run.generators("z", keys), (192,)) + nudge)
    optimiser, numbers = torch.optim.Adam([z], lr=0.01), uniform(run, "augment", 2 * augment.NUMBERS)
    for t in range(20):
        u = numbers.at(keys, t).view(2, 2, -1)
        x = prior.synthesize_as(z, LABELS)
        losses = []
        for i, y in enumerate(LABELS.tolist()):
            for k in range(2):
                o = net.logits(view_by_hand(x[i], u[i, k], 0.5))[0]
                losses.append(max(o[other] for other in range(3) if other != y) - o[y])
        optimiser.zero_grad()
        torch.stack(losses).sum().backward()
        optimiser.step()
    return prior.synthesize_as(z.detach(), LABELS).clamp(0, 1)


def test_plgmi_turns_half_of_its_views() -> None:
    def found(turned: float) -> Tensor:
        view = View(coloured_target(), Access.WHITE_BOX, (3, 8, 8))
        had = Ingredients(Coloured(), Images(torch.zeros(1, 3, 8, 8), torch.tensor([-1])))
        return PLGMI(restarts=1, steps=20, lr=0.01, turned=turned).reconstruct(view, had, LABELS, Run("x")).pixels

    agrees(found(0.5), plgmi_by_hand)
    assert (found(1.0) - found(0.5)).abs().max() > 1e-3


def mirror_by_hand(nudge: float) -> Tensor:
    """Released MIRROR: the box of untruncated styles, pictures of truncated ones, the lowest loss kept."""
    run, prior, net = Run("x"), Wide(), target()
    z = prior.sample(run.generators("pool", [(i,) for i in range(30)]))
    low, high = z.mean(0) - z.std(0, unbiased=False), z.mean(0) + z.std(0, unbiased=False)

    def picture(w: Tensor) -> Tensor:
        rows = w[:, None].repeat(1, 10, 1)
        rows[:, :8] = MEAN + 0.7 * (rows[:, :8] - MEAN)
        return prior.synthesize_w(rows)

    p = z.maximum(low).minimum(high)
    chosen = best(net.logits(picture(F.leaky_relu(p, 0.2))).softmax(1)[:, LABELS].T, 2)
    keys: list[Key] = [(y, i) for y, row in zip(LABELS.tolist(), chosen.tolist(), strict=True) for i in row]
    y = torch.tensor([label for label, _ in keys])
    w = nn.Parameter(F.leaky_relu(p[chosen.flatten()] + nudge, 0.2))
    kept, lowest, flips = w.detach().clone(), torch.full((4,), torch.inf), uniform(run, "mirrored", 1)
    optimiser = torch.optim.Adam([w], lr=1.0)
    for t in range(20):
        optimiser.param_groups[0]["lr"] = 0.25 * ramp(t / 20)
        flip = (flips.at(keys, t) < 0.5)[:, :, None, None]
        x = picture(w)
        loss = F.cross_entropy(net.logits(torch.where(flip, x.flip(-1), x)), y, reduction="none")
        lower = loss.detach() < lowest
        kept, lowest = torch.where(lower[:, None], w.detach(), kept), loss.detach().minimum(lowest)
        optimiser.zero_grad()
        (10 * loss).sum().backward()
        optimiser.step()
        with torch.no_grad():
            w.copy_(F.leaky_relu(F.leaky_relu(w, 5.0).maximum(low).minimum(high), 0.2))
    return picture(kept)


def test_mirror_truncates_when_it_makes_a_picture() -> None:
    attack = MirrorWhiteBox(presamples=30, restarts=2, samples=2, steps=20, psi_in_synthesis=True)
    found = reconstructed(attack, Run("x"))
    agrees(found, mirror_by_hand)
    assert (reconstructed(dataclasses.replace(attack, psi_in_synthesis=False), Run("x")) - found).abs().max() > 1e-2
    bred = Mirror(presamples=30, samples=1, population=4, generations=1, queries=1, psi_in_synthesis=True)
    view = View(target(), Access.SCORES, SHAPE)
    shown = bred.reconstruct(view, given(Wide()), LABELS, Run("x")).pixels
    late = dataclasses.replace(bred, psi_in_synthesis=False).reconstruct(view, given(Wide()), LABELS, Run("x")).pixels
    assert not torch.allclose(shown, late)


@pytest.mark.parametrize(("crossover", "share"), [("scores", 0.972), ("log_scores", 0.818)])
def test_log_scores_favour_the_worse_parent(crossover: str, share: float) -> None:
    """Scores .9 and .1: a gene is the fitter one's with .9² + 2 · .9 · .1 · s, where s is .9 or ln .9 / ln .09."""
    attack = Mirror(population=2, mutation=0.0, crossover=crossover)  # type: ignore[arg-type]
    p, f = torch.stack([torch.zeros(50), torch.ones(50)]), torch.tensor([0.9, 0.1]).log()
    box = Box(torch.full((50,), -9.0), torch.full((50,), 9.0), torch.ones(50))
    children = [attack.breed(p, f, Run("a").generator(i), box) for i in range(500)]
    assert 1 - torch.cat(children).mean().item() == pytest.approx(share, abs=0.012)
    assert attack.share(torch.zeros(1), torch.zeros(1)).item() == 0.5  # two parents that are certain


def test_an_elite_of_one() -> None:
    assert Mirror(elite=0).survivors == 1
    assert Mirror().survivors == 10


def test_large_pictures_are_made_a_few_at_a_time() -> None:
    assert WSpace(Wide(), SHAPE).at_once(200) == 200
    assert WSpace(Large(), SHAPE).at_once(200) == 16
    assert WSpace(Large(), SHAPE).at_once(4) == 4
    few = dataclasses.replace(PUBLISHED, batch=200)
    torch.testing.assert_close(reconstructed(few, Run("x"), Large()), reconstructed(few, Run("x")))


def test_pictures_come_straight_from_synthesis_where_they_have_the_resolution_of_its_crop() -> None:
    class Twice(Wide):
        def synthesize_w(self, w: Tensor) -> Tensor:
            return super().synthesize_w(w).repeat_interleave(2, 2).repeat_interleave(2, 3)

    w = torch.randn(3, 64, generator=torch.Generator().manual_seed(2))
    whole = WSpace(Twice(), (1, 16, 16)).pictures(w)
    assert torch.equal(WSpace(Twice(), (1, 12, 12), crop=12).pictures(w), whole[..., 2:14, 2:14])
    assert WSpace(Twice(), SHAPE, crop=12).pictures(w).shape == (3, 1, 8, 8)


def test_synthesis_is_in_full_precision_whatever_the_rest_is_in() -> None:
    for attack in (PUBLISHED, MirrorWhiteBox(presamples=30, restarts=2, samples=2, steps=2)):
        prior = Wide()
        reconstructed(attack, Run("x", mixed_precision=True), prior)
        assert prior.rounded
        assert not any(prior.rounded)


def test_what_a_prior_cannot_do_is_said() -> None:
    class Plain(Generator):
        latent = 64

        def synthesize(self, z: Tensor) -> Tensor:
            return z.view(-1, *SHAPE)

    with pytest.raises(UnveilError, match=r"Plain has no mean style(.|\n)*unclipped, psi_in_synthesis"):
        reconstructed(dataclasses.replace(PUBLISHED, unclipped=True), Run("x"), Plain())
    with pytest.raises(UnveilError, match=r"crop = 800 (.|\n)*set the prior's own crop"):
        reconstructed(dataclasses.replace(PUBLISHED, crop=800), Run("x"))


def test_what_pictures_are_made_of_is_kept_and_many_large_ones_have_8_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    run, view = Run("x"), View(target(), Access.WHITE_BOX, SHAPE)
    images = PUBLISHED.reconstruct(view, given(Wide()), LABELS, run)
    assert run.kept["latents"].shape == (6, 64)
    assert torch.equal(WSpace(Wide(), SHAPE).pictures(run.kept["latents"]), images.pixels)
    monkeypatch.setattr("unveil.harness.words.pixels.HELD", 4 * 6 * 64 - 1)
    large = PUBLISHED.reconstruct(View(target(), Access.WHITE_BOX, SHAPE), given(Wide()), LABELS, Run("x"))
    assert (images.stored.dtype, large.stored.dtype) == (torch.float32, torch.uint8)
    assert torch.equal(large.levels(slice(None)), images.levels(slice(None)))
