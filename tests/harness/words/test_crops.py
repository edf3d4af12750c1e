from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unveil.attacks.numbers import uniform
from unveil.attacks.selection import VIEWS
from unveil.harness.words.crops import NUMBERS, RandomCrop
from unveil.harness.words.run import Run


def numbers(count: int, size: int = NUMBERS) -> torch.Tensor:
    return torch.rand(count, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 12, 20)])
def test_it_cuts_and_resizes_as_interpolate_does(shape: tuple[int, int, int]) -> None:
    x, u = torch.rand(40, *shape, generator=torch.Generator().manual_seed(0)), numbers(40)
    boxes = VIEWS.boxes(u, *shape[1:]).long().tolist()
    ours = VIEWS(x, u)
    for i, (top, left, h, w) in enumerate(boxes):
        cut = x[i : i + 1, :, top : top + h, left : left + w]
        one = F.interpolate(cut, shape[1:], mode="bilinear", align_corners=False)[0]
        one = one.flip(-1) if u[i, -1] < 0.5 else one
        torch.testing.assert_close(ours[i], one, atol=1e-5, rtol=0)


def test_boxes_have_the_area_and_aspect_asked_for_and_lie_anywhere() -> None:
    top, left, h, w = VIEWS.boxes(numbers(4000), 100, 100).unbind(1)
    area, ratio = h * w / 100**2, w / h
    assert 0.49 < area.min() < 0.52
    assert 0.86 < area.max() < 0.91
    assert 0.78 < ratio.min() < 0.82
    assert 1.18 < ratio.max() < 1.22
    assert (top + h).max() == 100
    assert (left + w).max() == 100
    assert (top.min(), left.min()) == (0, 0)
    assert h.frac().eq(0).all()


def test_a_crop_that_never_fits_is_the_whole_picture() -> None:
    wide = RandomCrop((1.0, 1.0), (2.0, 2.0))
    assert wide.boxes(numbers(5), 8, 8).tolist() == [[0, 0, 8, 8]] * 5
    x = torch.rand(5, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(wide(x, numbers(5)), x)


def test_a_sample_has_its_own_numbers_fresh_at_each_step() -> None:
    together, alone = uniform(Run("a"), "u", 3), uniform(Run("a"), "u", 3)
    steps = [together.at([(0, 1), (2, 1)], t) for t in (0, 1, 63, 64, 65)]
    assert len(torch.cat(steps).unique(dim=0)) == 10
    assert torch.equal(alone.at([(2, 1)], 64)[0], steps[3][1])
