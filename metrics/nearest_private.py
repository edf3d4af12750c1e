"""How alike a reconstruction and the most similar private picture of the same person are, as pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.assets import fetch as assets
from unveil.harness.types import Direction, Evidence, Images, Measurement, Metric
from unveil.harness.words.resolution import at_size
from unveil.harness.words.run import Run
from unveil.metrics.judging import apply, coloured, per_person, reconstructions, rounded
from unveil.metrics.neighbours import nearest
from unveil.metrics.perceptual import LPIPS, SMALLEST

WINDOW, SIGMA, C1, C2 = 11, 1.5, 0.01**2, 0.03**2  # Wang et al. 2004, section III.C, for pixels in [0, 1]
FINEST = 1 / (12 * 255**2)  # mean squared error of rounding to 8 bits: no two pictures are known to be nearer
PSNR_MOST = float(-10 * np.log10(FINEST))  # 58.9 dB
PAIRS = 128  # pairs of pictures at a time, and pictures in the network
BACKBONE = "alexnet"
SSIM_COLUMN = "SSIM", "similarity", Direction.LEAKS, -1.0, 1.0
PSNR_COLUMN = "PSNR", "dB", Direction.LEAKS, 0.0, PSNR_MOST
LPIPS_COLUMN = "LPIPS (AlexNet)", "perceptual distance", Direction.PROTECTS, 0.0, np.inf

Array = NDArray[np.float64]


@dataclass(frozen=True)
class NearestPrivate(Metric):
    """SSIM, PSNR and LPIPS between each reconstruction and the nearest private training picture of the same person.

    Nearest by the very measure that is given, so the three may mean three pictures. SSIM and PSNR compare pixels at the
    same place, and say little unless the pictures are aligned. SSIM has the Gaussian window of 11 pixels, inside the
    picture only, and is averaged over colours. PSNR ends at 58.9 dB, where the error is that of rounding to 8 bits.
    LPIPS (version 0.1, AlexNet) needs ImageNet weights that no package carries, and is not scored without them.

    Private pictures are brought to the size of the reconstructions. All of these count, rounded to 8 bits. If people
    have unequal numbers of them, each person's are averaged first.
    """

    paper: ClassVar[str] = "Wang et al., Image Quality Assessment (SSIM), TIP 2004; Zhang et al., LPIPS, CVPR 2018"
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = False

    def content(self) -> Mapping[str, str]:
        """Whether there are weights for LPIPS: placing them makes another measurement."""
        absent = assets.path_if_present(BACKBONE) is None
        return {"lpips": f"{BACKBONE} {'absent' if absent else assets.checksum(BACKBONE)}"}

    def measure(self, evidence: Evidence) -> Sequence[Measurement]:
        """Columns: SSIM, PSNR and LPIPS.

        Raises:
            WeightsError: If the weights of LPIPS are there but do not fit.
        """
        fakes, train = reconstructions(evidence), evidence.data.train
        reals = at_size(rounded(train[torch.isin(train.labels, fakes.labels)]), fakes.shape[1:])
        run, side = evidence.run, min(fakes.shape[1:])
        reason = _incomparable(fakes, reals)
        small = f"pictures of {side} pixels a side, of which SSIM needs {WINDOW}" if side < WINDOW else None
        return [
            _measured(SSIM_COLUMN, reason or small, lambda: _best(ssim, fakes, reals, run), fakes),
            _measured(PSNR_COLUMN, reason, lambda: _best(psnr, fakes, reals, run), fakes),
            _measured(LPIPS_COLUMN, reason or _no_lpips(side), lambda: _perceptual(fakes, reals, run), fakes),
        ]


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity (eq. 13) of pictures ``(N, C, H, W)`` in [0, 1] and of 11 pixels a side or more: ``(N,)``.

    Example:
        >>> x = torch.linspace(0, 1, 2 * 3 * 12 * 12).view(2, 3, 12, 12)
        >>> ssim(x, x)
        tensor([1., 1.])
    """
    mu_a, mu_b = _windowed(a), _windowed(b)
    var_a, var_b = _windowed(a * a) - mu_a**2, _windowed(b * b) - mu_b**2
    both = _windowed(a * b) - mu_a * mu_b
    likeness = (2 * mu_a * mu_b + C1) * (2 * both + C2) / ((mu_a**2 + mu_b**2 + C1) * (var_a + var_b + C2))
    return likeness.mean((1, 2, 3)).clamp(-1, 1)


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of pictures ``(N, C, H, W)`` in [0, 1]: ``(N,)``, from 0 to 58.9.

    Example:
        >>> psnr(torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.1))
        tensor([20.])
    """
    return -10 * (a - b).square().mean((1, 2, 3)).clamp(min=FINEST).log10()


def _windowed(x: Tensor) -> Tensor:
    """Means in the Gaussian window, where it lies inside the picture."""
    offsets = torch.arange(WINDOW, dtype=x.dtype, device=x.device) - WINDOW // 2
    g = torch.exp(-(offsets**2) / (2 * SIGMA**2))
    g = g / g.sum()
    n, c, h, w = x.shape
    rows = F.conv2d(x.reshape(n * c, 1, h, w), g.view(1, 1, -1, 1))
    return F.conv2d(rows, g.view(1, 1, 1, -1)).view(n, c, h - WINDOW + 1, w - WINDOW + 1)


def _best(measure: Callable[[Tensor, Tensor], Tensor], fakes: Images, reals: Images, run: Run) -> Array:
    """Highest value of each reconstruction with any private picture of the person ``(N,)``."""
    out = np.empty(len(fakes))
    with run.progress("likeness with private pictures", len(fakes)) as bar:
        for i in range(len(fakes)):
            own = reals[reals.labels == fakes.labels[i]].batches(PAIRS)
            # double precision: local variances are small differences
            fake = fakes.at(slice(i, i + 1)).to(run.device, torch.float64)
            out[i] = max(float(measure(fake, part.to(run.device, torch.float64)).max()) for part in own)
            bar.advance()
    return out


def _perceptual(fakes: Images, reals: Images, run: Run) -> Array:
    """Smallest LPIPS of each reconstruction with a private picture of the person ``(N,)``; one person at a time."""
    network, out = LPIPS(assets.path(BACKBONE)).to(run.device), np.empty(len(fakes))
    for label in fakes.labels.unique().tolist():
        mine, theirs = fakes.labels == label, reals.labels == label
        x, y = (
            apply(lambda part: network(coloured(part)), images, run, "LPIPS", PAIRS).double().numpy()
            for images in (fakes[mine], reals[theirs])
        )
        out[mine.numpy()] = nearest(x, y)[:, 0]
    return out


def _incomparable(fakes: Images, reals: Images) -> str | None:
    alone = sorted(set(fakes.labels.tolist()) - set(reals.labels.tolist()))
    if alone:
        return f"no private training picture of class {', '.join(map(str, alone[:5]))}"
    if fakes.shape[0] != reals.shape[0]:
        return f"reconstructions of shape {fakes.shape} beside private pictures of shape {reals.shape}"
    return None


def _no_lpips(side: int) -> str | None:
    if side < SMALLEST:
        return f"pictures of {side} pixels a side, of which LPIPS needs {SMALLEST}"
    if assets.path_if_present(BACKBONE) is None:
        return f"no AlexNet weights: {assets.by_hand(BACKBONE)}"
    return None


def _measured(
    column: tuple[str, str, Direction, float, float], reason: str | None, values: Callable[[], Array], fakes: Images
) -> Measurement:
    if reason is not None:
        return Measurement(*column, reason=reason)
    mean, who = per_person(values(), fakes.labels.cpu().numpy())
    return Measurement(*column, values=mean, identities=who, samples=len(fakes))
