"""One face for every classifier: pixels in [0, 1] in, named stages, features and logits out."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.harness.words.errors import UnveilError
from unveil.harness.words.window import Window, place


@dataclass(frozen=True)
class Forward:
    """One pass through a classifier.

    Attributes:
        stages: Output of each stage that was run, by name, in order.
        features: Penultimate activations ``(N, F)``.
        logits: ``(N, C)``.
    """

    stages: Mapping[str, Tensor]
    features: Tensor
    logits: Tensor


class Classifier(nn.Module):
    """A chain of named stages followed by a head; owns its input normalisation and size.

    The chain is explicit so that a defense can freeze or tap any stage by name, and so that a frozen
    prefix is computed once per image instead of once per epoch.

    Args:
        stages: Modules in the order they are applied; the last one must give features ``(N, F)``.
        head: Features to logits ``(N, C)``.
        classes: Number of classes C.
        mean: Per-channel mean that pixels are normalised with.
        std: Per-channel standard deviation.
        size: Side length, or height and width, that inputs are resized to; None to take them as they are.
        numbered: Stages whose layers a publication counts, in order; all, if None.

    Attributes:
        window: Left, top, width and height, as shares of a picture's, of the part that it looks at; None for all of it.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        stages: Mapping[str, nn.Module],
        head: nn.Module,
        *,
        classes: int,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        size: int | tuple[int, int] | None = None,
        numbered: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleDict(stages)
        self.head = head
        self.outputs: nn.Module = nn.Identity()  # post-hoc defenses act here, on the logits
        self.classes, self.size = classes, size
        self.numbered = tuple(stages if numbered is None else numbered)
        self.window: Window | None = None
        self.register_buffer("mean", torch.tensor(list(mean)).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(list(std)).view(1, -1, 1, 1), persistent=False)
        self._still: set[str] = set()  # stages, and layers, whose batch-norm statistics must not move

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages, in order."""
        return tuple(self.stages.keys())

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, as they are counted: a numbered stage's modules, or itself where it is not a row.

        A layer of a row is named ``stage.module``; each name can be frozen.
        """
        found: list[str] = []
        for stage in self.numbered:
            row = self.stages[stage]
            inside = [name for name, _ in row.named_children()] if isinstance(row, nn.Sequential) else []
            found += [f"{stage}.{name}" for name in inside] or [stage]
        return tuple(found)

    def normalise(self, x: Tensor) -> Tensor:
        """Pixels ``(N, C, H, W)`` in [0, 1] to the input of the first stage."""
        if self.window is not None:
            x = x[..., *place(self.window, x.shape[-2:])]
        sides = (self.size, self.size) if isinstance(self.size, int) else self.size
        if sides is not None and x.shape[-2:] != sides:
            shrink = x.shape[-2] > sides[0] or x.shape[-1] > sides[1]
            x = F.interpolate(x, sides, mode="bilinear", align_corners=False, antialias=shrink)
        return (x - self.mean) / self.std

    def prefix(self, x: Tensor, depth: int) -> Tensor:
        """Runs the normalisation and the first ``depth`` stages."""
        h = self.normalise(x)
        for name in self.stage_names[:depth]:
            h = self.stages[name](h)
        return h

    def run_from(self, h: Tensor, depth: int = 0) -> Forward:
        """Runs the rest of the chain from the output of the first ``depth`` stages."""
        seen: dict[str, Tensor] = {}
        for name in self.stage_names[depth:]:
            h = seen[name] = self.stages[name](h)
        return Forward(seen, h, self.outputs(self.head(h)))

    def run(self, x: Tensor) -> Forward:
        """Runs everything: pixels ``(N, C, H, W)`` in [0, 1] to stages, features and logits."""
        return self.run_from(self.normalise(x))

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features ``(N, F)`` of pixels in [0, 1]."""
        return self.prefix(x, len(self.stages))

    def logits(self, x: Tensor) -> Tensor:
        """Logits ``(N, C)`` of pixels in [0, 1]."""
        out: Tensor = self.outputs(self.head(self.features(x)))
        return out

    @property
    def guarded(self) -> bool:
        """Whether a post-hoc defense stands between the head and whoever asks."""
        return not isinstance(self.outputs, nn.Identity)

    def bare(self) -> Classifier:
        """The same weights without what post-hoc defenses put around the outputs, as whoever holds them can have it."""
        if not self.guarded:
            return self
        taken = copy.copy(self)
        taken._modules = {**self._modules, "outputs": nn.Identity()}
        return taken

    def forward(self, x: Tensor) -> Tensor:
        """Logits, so that a classifier can be used wherever a module is expected."""
        return self.logits(x)

    def freeze(self, names: Sequence[str], *, statistics: bool = True) -> None:
        """Stops the named stages, or layers, from training.

        Args:
            names: Stages to freeze; or some of the ``layers``.
            statistics: Also keep their batch-norm running statistics as they are (dropout is off there, too).

        Raises:
            UnveilError: If one does not exist.
        """
        known = {*self.stages, *self.layers}
        for name in names:
            if name not in known:
                raise UnveilError(
                    f"no stage named {name!r} to freeze",
                    f"one of {', '.join(self.stage_names)}",
                    "correct the name",
                )
            self.stages.get_submodule(name).requires_grad_(False)
            if statistics:
                self._still.add(name)
        self.train(self.training)

    @property
    def frozen_depth(self) -> int:
        """How many leading stages are a fixed function: no trainable parameter, no moving statistics."""
        depth = 0
        for name in self.stage_names:
            trains = any(p.requires_grad for p in self.stages[name].parameters())
            if trains or name not in self._still:
                break
            depth += 1
        return depth

    def train(self, mode: bool = True) -> Classifier:
        """Training mode for everything that trains; still stages stay in evaluation mode."""
        super().train(mode)
        for name in self._still:
            self.stages.get_submodule(name).eval()
        return self

    def trainable(self) -> Iterator[nn.Parameter]:
        """Parameters that train."""
        return (p for p in self.parameters() if p.requires_grad)

    @property
    def frozen_layers(self) -> int:
        """How many modules have parameters of their own, none of which trains."""
        own = ([p.requires_grad for p in module.parameters(recurse=False)] for module in self.modules())
        return sum(bool(trains) and not any(trains) for trains in own)

    def count(self) -> tuple[int, int]:
        """Numbers of (frozen, trainable) parameters."""
        trainable = sum(p.numel() for p in self.trainable())
        return sum(p.numel() for p in self.parameters()) - trainable, trainable
