"""The pictures that stand beside each other on a page."""

import io

import numpy as np
import torch
from PIL import Image

from unveil.harness.steps.picture import GAP, REAL, grid
from unveil.harness.words.images import Images


def flat(*levels: float) -> torch.Tensor:
    return torch.tensor(levels)[:, None, None, None].expand(-1, 3, 4, 4).contiguous()


def test_the_nearest_real_pictures_stand_beside_reconstructions_the_nearest_first():
    real = Images(flat(0.0, 0.2, 0.9, 0.52, 0.4, 0.1), torch.tensor([0, 0, 0, 0, 0, 1]))
    made = Images(flat(0.45, 1.0, 0.7), torch.tensor([0, 0, 1]))
    shown = np.asarray(Image.open(io.BytesIO(grid(real, made, [0, 1]))))[:, :, 0]
    assert shown.shape == (8, 4 * REAL + GAP + 4 * 2)
    first, second = (shown[row, [0, 4, 8, 4 * REAL + GAP, 4 * REAL + GAP + 4]] for row in (0, 4))
    np.testing.assert_array_equal(first, [102, 133, 230, 115, 255])  # 0.4 and 0.52 of 0.45, 0.9 of 1.0
    np.testing.assert_array_equal(second, [26, 255, 255, 178, 255])  # nobody else's: white where there are none
