"""RoLSS: without the shortcuts of the last stage, an attack's gradient has a harder way back."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import nn

from unveil.defenses.shortcuts import KINDS, SWITCHED, blocks, changed, kind, rescale
from unveil.harness.types import Defense, Spec, Step, Terms
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError
from unveil.harness.words.run import Run
from unveil.harness.words.spec import LATER


@dataclass(frozen=True)
class RoLSS(Defense):
    """Removes the residual shortcuts of the last stage, or scales them down (SSF), at once or after some epochs (TTS).

    Identity shortcuts and those with a convolution alike, of the small residual network, the IR networks, and timm's
    ResNets (with ResNeXt, SE-ResNet and their like), MaxViTs and ViTs, whose last stage is their last block. In the
    last block of a DenseNet each layer, and what follows the block, is left with the newest features: those that skip
    a layer are zero, or scaled. A removed shortcut takes its parameters along; in two-stage training they stay in the
    checkpoint, and nothing asks for them after the first stage. A block whose last batch norm starts at zero, which is
    timm's way of starting as the identity, would never learn without its shortcut: it starts at one, unless the
    shortcut is there in the first epochs.

    A recipe that keeps the best epoch on validation chooses among those after ``keep_epochs``.

    Attributes:
        scale: What the shortcuts are multiplied with: 0 removes them (RoLSS), 0.2 is the published factor of SSF, 0.01
            that for DenseNets, 1 leaves them as they are, which is strength zero.
        keep_epochs: Epochs, from the first, in which the shortcuts are as they were, fewer than the recipe's. The
            published two-stage training (TTS) has 5 of 100.
        before: Share of the blocks of the stage before the last, from its end on, that lose their shortcuts, too, as
            some networks' ``layer3`` does in the released code; rounded up to whole blocks.
    """

    paper: ClassVar[str] = (
        "Koh et al., On the Vulnerability of Skip Connections to Model Inversion Attacks, ECCV 2024, arXiv:2409.01696"
    )

    per_sample: ClassVar[bool] = True

    scale: Annotated[float, Field(ge=0, le=1)] = 0.0
    keep_epochs: Annotated[int, Field(ge=0)] = 0
    before: Annotated[Annotated[float, Field(ge=0, le=1)], LATER] = 0.0

    def prepare(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Replaces the shortcuts.

        Raises:
            PluginError: If no residual block is known here, or those of the last stage are frozen or changed already.
        """
        if self.scale == 1:
            return classifier
        paths = _trainable(classifier, self.before)
        if any(changed(classifier.stages.get_submodule(path)) for path in paths):
            raise PluginError("rolss twice in one stack", "once", "keep the one with the scale you want")
        for path in paths:
            rescale(classifier.stages, path, self.scale, gone=self.scale == 0 and not self.keep_epochs)
        classifier.train(classifier.training)
        return classifier

    def begin(self, classifier: Classifier, epoch: int, epochs: int) -> None:
        """Switches the shortcuts on in the first stage of training, and off after it.

        Raises:
            PluginError: If there is no epoch after the first stage.
        """
        if self.scale == 1 or not self.keep_epochs:
            return
        if self.keep_epochs >= epochs:
            raise PluginError(
                f"rolss with keep_epochs = {self.keep_epochs} in {epochs} epochs: the shortcuts would never go",
                f"fewer than {epochs}",
                "lower keep_epochs, or train longer",
            )
        for module in classifier.modules():
            if isinstance(module, SWITCHED):
                module.keeping = epoch < self.keep_epochs

    def selectable(self, epoch: int, epochs: int) -> bool:  # noqa: ARG002
        """Once the shortcuts are what they are to be."""
        return self.scale == 1 or epoch >= self.keep_epochs

    def loss(self, terms: Terms, step: Step) -> Terms:
        """Adds nothing.

        Raises:
            PluginError: If another defense froze the last stage after this one had changed it.
        """
        if self.scale < 1 and step.epoch == 0:
            _trainable(step.classifier, self.before)
        return terms

    def ladder(self, classifier: Classifier) -> Sequence[RoLSS]:  # noqa: ARG002
        """Shortcuts scaled by a half, by the published 0.2, and removed."""
        return [dataclasses.replace(self, scale=scale) for scale in (0.5, 0.2, 0.0)]

    def counter(self, attack: Spec, settings: frozenset[str]) -> Spec | None:  # noqa: ARG002
        """Transfer: a student that has its shortcuts is descended beside the target."""
        if self.scale == 1:
            return None
        return Spec("lomma", {"base": attack.table(), "variant": "aug", "students": [{"use": "small_resnet"}]})

    def at_zero(self) -> RoLSS:
        """The same with all shortcuts as they are."""
        return dataclasses.replace(self, scale=1.0)


def _trainable(classifier: Classifier, before: float) -> list[str]:
    """Paths of the blocks of the last stage with shortcuts and of a share of the stage before; all of both train."""
    found = {name: list(blocks(classifier.stages, name)) for name in classifier.stage_names}
    rows = [name for name, paths in found.items() if paths]
    if not rows:
        raise _unknown(classifier)
    earlier = found[rows[-2]] if before and len(rows) > 1 else []
    paths = [*earlier[len(earlier) - math.ceil(before * len(earlier)) :], *found[rows[-1]]]
    for name in dict.fromkeys(path.partition(".")[0] for path in paths):
        if not all(p.requires_grad for p in classifier.stages[name].parameters()):
            raise PluginError(
                f"rolss changes the stage {name!r}, which is frozen: its weights cannot adapt to missing shortcuts",
                "a last residual stage that trains",
                "freeze fewer stages, or drop rolss",
            )
    return paths


def _unknown(classifier: Classifier) -> PluginError:
    parts = [part for stage in classifier.stages.values() for part in _parts(stage)]
    return PluginError(
        "rolss finds no block with shortcuts that it knows; the model's stages are made of "
        + ", ".join(sorted({kind(part) for part in parts})),
        f"one of {', '.join(KINDS)}",
        "choose small_resnet, an IR network, or a ResNet, DenseNet, MaxViT or ViT of timm; or another defense",
    )


def _parts(stage: nn.Module) -> Sequence[nn.Module]:
    """What a stage is made of, for the error."""
    return list(stage) if isinstance(stage, nn.Sequential) else [stage]
