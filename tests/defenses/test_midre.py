"""Random erasing: how much, where, with what, and of which pictures."""

from __future__ import annotations

import pytest
import torch

from unveil.defenses.midre import MIDRE
from unveil.harness.types import Images
from unveil.harness.words.erasing import squares
from unveil.harness.words.errors import PluginError
from unveil.harness.words.run import Run

RUN = Run("midre")


def batch(n: int = 400, channels: int = 3, size: int = 32) -> Images:
    pixels = torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(0)) * 0.5
    return Images(pixels, torch.arange(n) % 3)


def test_share_place_and_fill_of_each_square() -> None:
    images = batch()
    found = MIDRE().augment(images, RUN)
    changed = (found.pixels != images.pixels).any(1)
    share = changed.flatten(1).double().mean(1)
    assert share.min() > 0.1 - 1 / 16  # to a pixel's rounding of the side
    assert share.max() < 0.4 + 1 / 16
    assert share.mean() == pytest.approx(0.25, abs=0.01)
    rows, columns = changed.any(2).sum(1), changed.any(1).sum(1)
    assert torch.equal(rows, columns)  # squares
    assert torch.equal(rows * columns, changed.flatten(1).sum(1))  # without holes
    torch.testing.assert_close(found.pixels[0][:, changed[0]].T[0], torch.tensor([0.7425, 0.728, 0.703]))
    assert changed.any(0)[4:-4, 4:-4].all()  # every place is hit by some; corners seldom
    assert changed.any(0).any(0).all()
    assert changed.any(0).any(1).all()
    assert torch.equal(found.labels, images.labels)


def test_grey_pictures_get_the_mean() -> None:
    found = MIDRE(largest=1.0, smallest=1.0, fill=(0.0, 0.3, 0.9)).augment(batch(4, 1), RUN)
    torch.testing.assert_close(found.pixels, torch.full_like(found.pixels, 0.4))


def test_pictures_that_are_not_square() -> None:
    u = torch.rand(200, 3, generator=torch.Generator().manual_seed(1))
    hidden = squares(u, (8, 32), 0.1, 0.9)
    assert hidden.any(2).sum(1).max() == 8  # no longer than the short side
    assert (hidden.any(2).sum(1) == hidden.any(1).sum(1)).all()


def test_another_seed_another_place_and_at_zero_nothing_is_drawn() -> None:
    images = batch(8)
    first, same, other = (MIDRE().augment(images, Run(name)).pixels for name in ("a", "a", "b"))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert MIDRE().at_zero().augment(images, RUN) is images


def test_nonsense_is_refused() -> None:
    with pytest.raises(PluginError, match=r"erases from 0.5 to 0.2"):
        MIDRE(largest=0.2, smallest=0.5)
    assert [rung.largest for rung in MIDRE().ladder(None)] == [0.2, 0.4, 0.6, 0.8]  # type: ignore[arg-type]
