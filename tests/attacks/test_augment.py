from __future__ import annotations

import pytest
import torch
from torch import Tensor

from unveil.attacks import augment
from unveil.harness.assets import torchvision_ops
from unveil.harness.words import crops

torchvision_ops.ensure()
from torchvision.transforms import InterpolationMode  # noqa: E402
from torchvision.transforms.v2 import functional as tv  # noqa: E402


def numbers(count: int) -> Tensor:
    return torch.rand(count, augment.NUMBERS, generator=torch.Generator().manual_seed(1))


def smooth(*shape: int) -> Tensor:
    """Pictures with some of their pixels at either end of the range, so that clipping counts."""
    coarse = torch.rand(shape[0], shape[1], 5, 5, generator=torch.Generator().manual_seed(0))
    fine = torch.nn.functional.interpolate(1.6 * coarse - 0.3, shape[2:], mode="bilinear", align_corners=False)
    return fine.clamp(0, 1)


def one_by_one(view: augment.Augmentation, x: Tensor, u: Tensor) -> Tensor:
    """The same views by torchvision's functions, a picture and an operation at a time."""
    side = list(x.shape[-2:])
    crop, (on, light, contrast, turn) = u[: crops.NUMBERS], u[crops.NUMBERS :].tolist()
    box = view.crop.boxes(crop[None], *side)[0].long().tolist()
    x = tv.resized_crop(x, *box, size=side, antialias=False)
    if on < view.coloured:
        x = tv.adjust_brightness(x, 1 - view.brightness + 2 * view.brightness * light)
        x = tv.adjust_contrast(x, 1 - view.contrast + 2 * view.contrast * contrast)
    if crop[-1] < view.crop.flip:
        x = tv.hflip(x)
    if turn >= view.turned:
        return x
    return tv.rotate(x, view.degrees * (2 * turn / view.turned - 1), interpolation=InterpolationMode.BILINEAR)


@pytest.mark.parametrize("view", [augment.published(0.5), augment.published(0.5, 0.5, signed=True)])
def test_views_are_those_of_torchvision_one_operation_after_the_other(view: augment.Augmentation) -> None:
    x, u = smooth(24, 3, 20, 20), numbers(24)
    x = 2 * x - 1 if view.signed else x
    expected = torch.stack([one_by_one(view, *pair) for pair in zip(x, u, strict=True)])
    torch.testing.assert_close(view(x, u), expected, atol=5e-4, rtol=0)  # grey weights differ in the fourth digit
    assert 6 < (u[:, crops.NUMBERS] < 0.5).sum() < 18
    assert (expected[:, :, 0, 0] == 0).any()
    assert (expected < 0).any() == view.signed  # what is not coloured is not clipped
    still = (u[:, -1] >= view.turned).sum()
    assert (still > 6) == (view.turned < 1)


def test_each_picture_is_seen_by_its_own_numbers_alone() -> None:
    view, x, u = augment.published(1.0), smooth(5, 1, 16, 16), numbers(5)
    alone = torch.cat([view(x[i : i + 1], u[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(view(x, u), alone, atol=1e-6, rtol=0)
    same = view(x[:1].expand(5, -1, -1, -1), u)
    assert len(same.flatten(1).unique(dim=0)) == 5
    assert same.min() >= 0
    assert same.max() <= 1


def test_gradients_reach_every_picture() -> None:
    x = (0.4 + 0.2 * smooth(2, 3, 5, 5).double()).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda x: augment.published(1.0)(x, numbers(2).double()), x)
