"""The w-space of a style-based prior; of any other prior, its latents take its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from unveil.attacks.search import Descent, Key, State, search
from unveil.harness.types import Generator, Run, View
from unveil.harness.words.errors import UnveilError

SLOPE = 0.2  # of the leaky ReLU that a mapping network ends with
AT_ONCE = 2**24  # pixels that a prior draws at once, with gradients: of 1024 pixels 16, about 21 GB by PPA's figures


@runtime_checkable
class Styled(Protocol):
    """A generator in two halves: a mapping network, and a synthesis network with one style vector per layer.

    Attributes:
        num_ws: How many style vectors a picture takes.
    """

    num_ws: int

    def map(self, z: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
        """Latents ``(N, latent)`` to styles ``(N, num_ws, w_dim)``, the first ``cutoff`` truncated by ``psi``."""
        ...

    def synthesize_w(self, w: Tensor) -> Tensor:
        """Styles ``(N, num_ws, w_dim)`` to pixels ``(N, C, H, W)`` in [0, 1]."""
        ...


@runtime_checkable
class Averaged(Styled, Protocol):
    """A styled generator that knows its mean style, and its pictures before they are clipped.

    Attributes:
        w_avg: Mean style ``(w_dim,)``.
    """

    @property
    def w_avg(self) -> Tensor: ...  # noqa: D102

    def drawn(self, w: Tensor) -> Tensor:
        """As ``synthesize_w``, around [0, 1]."""
        ...


class WSpace:
    """Styles of a prior and the pictures of them that a target is shown.

    A prior without styles has one "style", its latent z, which ``map`` leaves as it is, truncation and all.

    Args:
        prior: The generator.
        shape: Shape ``(C, H, W)`` of the pictures that the target takes; others are resized to it.
        crop: Side of the square in the centre that is cut out first, in the pixels that the prior gives; None for all.
        unclipped: Whether pictures are shown as they are drawn, around [0, 1].
        truncation: Share of their distance from the mean that styles keep when a picture is made of them, and how many
            of its style vectors that is done to; None keeps styles.

    Raises:
        UnveilError: If the prior has styles, but neither their mean nor unclipped pictures, and is asked for them.
    """

    def __init__(
        self,
        prior: Generator,
        shape: tuple[int, int, int],
        crop: int | None = None,
        *,
        unclipped: bool = False,
        truncation: tuple[float, int] | None = None,
    ) -> None:
        self._prior, self._size, self._crop = prior, shape[-2:], crop
        self._styled = prior if isinstance(prior, Styled) else None  # asked once: such a protocol is slow to check
        self._averaged = _averaged(prior) if unclipped or (truncation and self._styled is not None) else None
        self._unclipped, self._truncation = unclipped, truncation

    def map(self, z: Tensor, psi: float, cutoff: int | None) -> Tensor:
        """Latents ``(N, latent)`` to styles ``(N, num_ws, w_dim)``."""
        return z[:, None] if self._styled is None else self._styled.map(z, psi, cutoff)

    def pictures(self, w: Tensor) -> Tensor:
        """Styles ``(N, num_ws, w_dim)``, or one for all layers ``(N, w_dim)``, to pixels as the target takes them."""
        w = w[:, None] if w.dim() == 2 else w
        if self._styled is None:
            return self._frame(self._prior.synthesize(w[:, 0]))
        w = w.expand(-1, self._styled.num_ws, -1)
        if self._averaged is not None and self._truncation is not None:
            psi, cutoff = self._truncation
            w = torch.cat([self._averaged.w_avg.lerp(w[:, :cutoff], psi), w[:, cutoff:]], 1)
        if self._averaged is not None and self._unclipped:
            return self._frame(self._averaged.drawn(w))
        return self._frame(self._styled.synthesize_w(w))

    def at_once(self, most: int) -> int:
        """How many pictures to make at a time: ``most``, or as many large ones as a GPU holds."""
        side = getattr(self._prior, "resolution", max(self._size))
        return max(1, min(most, AT_ONCE // side**2))

    def _frame(self, x: Tensor) -> Tensor:
        if self._crop is not None:
            x = _centre(x, self._crop)
        if x.shape[-2:] == self._size:
            return x
        return F.interpolate(x, self._size, mode="bilinear", align_corners=False, antialias=True)

    def to_p(self, w: Tensor) -> Tensor:
        """Undoes the mapping network's last activation, so that each coordinate is about normal (MIRROR)."""
        return w if self._styled is None else F.leaky_relu(w, 1 / SLOPE)

    def from_p(self, p: Tensor) -> Tensor:
        """The inverse of ``to_p``."""
        return p if self._styled is None else F.leaky_relu(p, SLOPE)


def _averaged(prior: Generator) -> Averaged:
    if not isinstance(prior, Averaged):
        raise UnveilError(
            f"{type(prior).__name__} has no mean style, or no pictures that are not clipped",
            "a prior with both, such as style_gan, stylegan2_ada or mobile_style",
            "choose such a prior, or leave out what asks for them: unclipped, psi_in_synthesis",
        )
    return prior


def _centre(x: Tensor, crop: int) -> Tensor:
    if crop > min(x.shape[-2:]):
        raise UnveilError(
            f"crop = {crop} pixels of pictures {tuple(x.shape[-2:])}",
            "no more than the prior's pictures have",
            "lower it, or, where the prior has cut and resized them, leave it out and set the prior's own crop",
        )
    top, left = ((side - crop) // 2 for side in x.shape[-2:])
    return x[..., top : top + crop, left : left + crop]


@torch.no_grad()
def first_styles(
    space: WSpace, prior: Generator, run: Run, count: int, psi: float, cutoff: int, *, single: bool
) -> Tensor:
    """Styles ``(count, num_ws, w_dim)`` of latents that are the same for every class and every target.

    Args:
        space: Where they lie.
        prior: Whose latents are drawn.
        run: Randomness.
        count: How many.
        psi: Truncation: how far from their mean styles are, as a share of how far they were.
        cutoff: How many style vectors are truncated.
        single: Whether to give only the first style vector ``(count, w_dim)``.
    """
    found: list[Tensor] = []
    for part in torch.arange(count).split(1024):
        z = prior.sample(run.generators("pool", [(i,) for i in part.tolist()]))
        w = space.map(z.to(run.device), psi, cutoff)
        found.append(w[:, 0].contiguous() if single else w)
    return torch.cat(found)


def scored(
    view: View, run: Run, name: str, space: WSpace, w: Tensor, labels: Tensor, batch: int, *, mirror: bool
) -> Tensor:
    """The target's softmax scores of the attacked labels, on the CPU.

    Args:
        view: The target; one query a style, two with ``mirror``.
        run: Progress and checkpoints.
        name: Beside the bar.
        space: What styles look like.
        w: Styles ``(N, num_ws, w_dim)`` or ``(N, w_dim)``.
        labels: Which scores ``(K,)``.
        batch: Pictures in memory at once.
        mirror: Whether to give the mean score of the picture and its mirror image.

    Returns:
        ``(N, K)``.
    """

    def start(keys: Sequence[Key]) -> State:
        return {"score": torch.zeros(len(keys), len(labels), device=run.device)}

    @torch.no_grad()
    def step(keys: Sequence[Key], state: State, t: int) -> Tensor:  # noqa: ARG001
        x = space.pictures(w[keys[0][0] : keys[-1][0] + 1])
        p = view.scores(x)
        if mirror:
            p = (p + view.scores(x.flip(-1))) / 2
        state["score"] = p[:, labels.to(p.device)].float()
        return 1 - state["score"].amax(1)

    return search(view, run, name, [(i,) for i in range(len(w))], 1, batch, Descent(start, step))["score"]
