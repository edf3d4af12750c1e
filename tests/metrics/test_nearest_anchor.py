"""The exact judge of people whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from unveil.harness.data.people import People
from unveil.harness.figures.intervals import to_figure
from unveil.harness.types import Direction, Images
from unveil.harness.words.errors import AssetError
from unveil.harness.words.run import Run
from unveil.metrics.nearest_anchor import NearestAnchor, blurred


def faces(count, seed=0):
    x = torch.rand(count, 3, 24, 24, generator=torch.Generator().manual_seed(seed))
    return blurred(x, 2.0) * 4 - 1.5


def knowing(evidence, anchors):
    return replace(evidence, data=replace(evidence.data, anchors=anchors))


def test_blur_is_scipys():
    x = torch.rand(2, 3, 17, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = gaussian_filter(x.numpy(), (0, 0, 1.3, 1.3), mode="nearest", radius=(0, 0, 4, 4))
    np.testing.assert_allclose(blurred(x, 1.3), expected, atol=1e-12)
    assert blurred(x, 0) is x


@pytest.mark.parametrize("blur", [0.0, 1.0])
def test_nearest_is_the_highest_correlation(build, blur):
    anchors = faces(6).clamp(0, 1)
    labels = torch.arange(6).repeat(3)
    noise = torch.randn(18, 3, 24, 24, generator=torch.Generator().manual_seed(1))
    fakes = Images((0.7 * anchors[labels] + 0.2 + 0.5 * noise).clamp(0, 1), labels)
    top, held = NearestAnchor(blur).measure(knowing(build(fakes=fakes, test=fakes, people=6), anchors))
    sigma = blur * 24 / 64
    seen, true = (
        [
            gaussian_filter(p, (0, sigma, sigma), mode="nearest", truncate=3) if blur else p
            for p in (x * 255).round().numpy()
        ]
        for x in (fakes.pixels, anchors)
    )
    expected = [np.argmax([np.corrcoef(s.ravel(), t.ravel())[0, 1] for t in true]) for s in seen]
    assert top.values.tolist() == (np.array(expected) == labels.numpy()).tolist()
    assert (top.direction, held.direction) == (Direction.LEAKS, Direction.DESCRIBES)
    assert held.values.tolist() == top.values.tolist()
    assert to_figure("nearest_anchor", None, top).identities == 6


def test_light_does_not_matter_and_a_blank_picture_is_nobody(build):
    anchors = faces(5).clamp(0, 1)
    dark = Images(torch.cat([anchors * 0.4, torch.full_like(anchors, 0.5)]), torch.arange(5).repeat(2))
    top, _ = NearestAnchor().measure(knowing(build(fakes=dark, test=dark, people=5), anchors))
    assert top.values.tolist() == [1.0] * 5 + [0.0] * 5


def test_without_the_truth_it_is_not_scored(build):
    fakes = Images(faces(3).clamp(0, 1), torch.arange(3))
    for m in NearestAnchor().measure(build(fakes=fakes, test=fakes)):
        assert m.values is None
        assert "does not know" in m.reason


def test_synthetic_people_know_the_truth(build):
    try:
        data = People(private=8, pictures=6, public=1, public_pictures=1).load(Run("x"))
    except AssetError as error:
        pytest.skip(str(error))
    evidence = replace(build(fakes=data.train, people=8), data=data)
    top, held = NearestAnchor().measure(evidence)
    assert top.values.mean() > 0.9
    assert held.values.mean() > 0.9
    swapped = replace(evidence, reconstructions=Images(data.train.pixels, (data.train.labels + 1) % 8))
    assert NearestAnchor().measure(swapped)[0].values.mean() < 0.1
