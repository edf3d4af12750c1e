"""Exact copies of private pictures, and what is not one."""

from __future__ import annotations

import numpy as np
import torch

from unveil.harness.types import Data, Evidence, Images, Run
from unveil.harness.words.pixels import brought_to
from unveil.metrics.copies import Copies, copied, shrunk


def brute_force(fakes: torch.Tensor, reals: torch.Tensor) -> np.ndarray:
    """As the definition has it, pair by pair in whole numbers."""
    a, b = (x.to(torch.int64).flatten(1).numpy() for x in (fakes, reals))
    return ((a[:, None] - b[None]) ** 2).mean(2).min(1) <= 1


def test_thumbnails_rule_out_no_copy() -> None:
    draw = torch.Generator().manual_seed(0)
    for shape in ((1, 16, 16), (3, 34, 40), (3, 64, 64)):
        reals = torch.randint(0, 256, (20, *shape), generator=draw).float()
        one_off = torch.randint(-1, 2, (10, *shape), generator=draw)
        two_off = 2 * torch.randint(-1, 2, (10, *shape), generator=draw)
        fakes = torch.cat([reals[:10] + one_off, reals[10:] + two_off, reals[:3] + 1, reals[:3].flip(3)]).clamp(0, 255)
        found = copied(fakes, shrunk(fakes), reals)
        assert found.tolist() == brute_force(fakes, reals).tolist()
        assert found.tolist() == [1.0] * 10 + [0.0] * 10 + [1.0] * 3 + [0.0] * 3


def evidence(fakes: torch.Tensor, labels: list[int]) -> Evidence:
    train, validation, test = (
        Images(torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(i)), torch.tensor([0, 0, 1, 1]))
        for i in range(3)
    )
    train.pixels[0] = 0.5  # a plain picture
    data = Data(train, validation, test, train, ("a", "b"), "sum", "by construction")
    return Evidence(data, None, None, Images(fakes, torch.tensor(labels)), Run("copies"))  # type: ignore[arg-type]


def test_all_private_pictures_of_anybody_count_but_plain_ones() -> None:
    data = evidence(torch.zeros(1, 3, 16, 16), [0]).data
    fakes = [
        data.train.pixels[3],  # of somebody else than is claimed
        data.validation.pixels[1],
        data.test.pixels[2] + 0.4 / 255,
        data.train.pixels[0],  # plain grey
        data.test.pixels[0].flip(2),
        torch.rand(3, 16, 16, generator=torch.Generator().manual_seed(9)),
    ]
    (found,) = Copies().measure(evidence(torch.stack(fakes), [0, 0, 0, 1, 1, 1]))
    assert found.values is not None
    assert found.values.tolist() == [1, 1, 1, 0, 0, 0]
    assert found.samples == 6
    assert str(found.direction) == "neither better nor worse"


def test_a_private_picture_at_another_size_is_one() -> None:
    small = brought_to(evidence(torch.zeros(1, 3, 16, 16), [0]).data.train.pixels[3:4], (8, 8))
    (found,) = Copies().measure(evidence(torch.cat([small, small.flip(3)]), [0, 1]))
    assert found.values is not None
    assert found.values.tolist() == [1, 0]


def test_other_colours_have_a_reason() -> None:
    (found,) = Copies().measure(evidence(torch.zeros(2, 1, 16, 16), [0, 1]))
    assert found.values is None
    assert found.reason == "reconstructions of shape (1, 16, 16) beside private pictures of shape (3, 16, 16)"
