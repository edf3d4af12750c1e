"""RoLSS: without the shortcuts of the last stage, an attack's gradient has a harder way back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor, nn

from unveil.harness.types import Defense, Step, Terms
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError
from unveil.harness.words.run import Run

# Where each kind of residual block keeps its shortcut; identity shortcuts are an Identity or None there.
SHORTCUTS = {
    "unveil.harness.models.small_resnet.Residual": "shortcut",
    "timm.models.resnet.BasicBlock": "downsample",
    "timm.models.resnet.Bottleneck": "downsample",
}


class Scaled(nn.Sequential):
    """A shortcut times a factor; its parameters keep their names.

    Attributes:
        keeping: Whether the shortcut is for now as it was; False until somebody sets it.

    Args:
        shortcut: What to scale: the modules of a shortcut, none for the identity.
        scale: The factor.
    """

    def __init__(self, shortcut: nn.Module | None, scale: float) -> None:
        super().__init__(*(shortcut if isinstance(shortcut, nn.Sequential) else ()))
        self.scale, self.keeping = scale, False

    def forward(self, x: Tensor) -> Tensor:
        """Like the shortcut's; a zero without axes if nothing is left of it."""
        if not (self.keeping or self.scale):
            return x.new_zeros(())
        out: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return out if self.keeping else self.scale * out


class Removed(nn.Module):
    """No shortcut: a zero to add, whatever the shape."""

    def forward(self, x: Tensor) -> Tensor:
        """A zero without axes."""
        return x.new_zeros(())


@dataclass(frozen=True)
class RoLSS(Defense):
    """Removes the residual shortcuts of the last stage, or scales them down (SSF), at once or after some epochs (TTS).

    Identity shortcuts and those with a convolution alike, of the small residual network and of timm's ResNets (with
    ResNeXt, SE-ResNet and their like). A removed shortcut takes its parameters along; in two-stage training they stay
    in the checkpoint, and nothing asks for them after the first stage. A block whose last batch norm starts at zero,
    which is timm's way of starting as the identity, would never learn without its shortcut: it starts at one, unless
    the shortcut is there in the first epochs.

    A recipe that keeps the best epoch on validation chooses among those after ``keep_epochs``.

    Attributes:
        scale: What the shortcuts are multiplied with: 0 removes them (RoLSS), 0.2 is the published factor of SSF, 1
            leaves them as they are, which is strength zero.
        keep_epochs: Epochs, from the first, in which the shortcuts are as they were, fewer than the recipe's. The
            published two-stage training (TTS) has 5 of 100.
    """

    paper: ClassVar[str] = (
        "Koh et al., On the Vulnerability of Skip Connections to Model Inversion Attacks, ECCV 2024, arXiv:2409.01696"
    )

    per_sample: ClassVar[bool] = True

    scale: Annotated[float, Field(ge=0, le=1)] = 0.0
    keep_epochs: Annotated[int, Field(ge=0)] = 0

    def prepare(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Replaces the shortcuts.

        Raises:
            PluginError: If no residual block is known here, or those of the last stage are frozen or changed already.
        """
        if self.scale == 1:
            return classifier
        for block, attribute in _residual(classifier.stages[_trainable(classifier)]):
            shortcut = getattr(block, attribute)
            if isinstance(shortcut, Scaled | Removed):
                raise PluginError("rolss twice in one stack", "once", "keep the one with the scale you want")
            gone = self.scale == 0 and not self.keep_epochs
            setattr(block, attribute, Removed() if gone else Scaled(shortcut, self.scale))
            if gone:
                _wake(block)
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
            if isinstance(module, Scaled):
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
            _trainable(step.classifier)
        return terms

    def ladder(self, classifier: Classifier) -> Sequence[RoLSS]:  # noqa: ARG002
        """Shortcuts scaled by a half, by the published 0.2, and removed."""
        return [dataclasses.replace(self, scale=scale) for scale in (0.5, 0.2, 0.0)]

    def at_zero(self) -> RoLSS:
        """The same with all shortcuts as they are."""
        return dataclasses.replace(self, scale=1.0)


def _trainable(classifier: Classifier) -> str:
    """The last stage with residual blocks, all of which train."""
    for name in reversed(classifier.stage_names):
        stage = classifier.stages[name]
        if any(True for _ in _residual(stage)):
            if all(p.requires_grad for p in stage.parameters()):
                return name
            raise PluginError(
                f"rolss changes the stage {name!r}, which is frozen: its weights cannot adapt to missing shortcuts",
                "a last residual stage that trains",
                "freeze fewer stages, or drop rolss",
            )
    kinds = {_kind(block) for stage in classifier.stages.values() for block in _blocks(stage)}
    raise PluginError(
        f"rolss finds no residual block that it knows; the model's stages are made of {', '.join(sorted(kinds))}",
        f"one of {', '.join(SHORTCUTS)}",
        "choose small_resnet or a ResNet of timm, or another defense",
    )


def _residual(stage: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Residual blocks of a stage, and the attribute that holds the shortcut of each."""
    for module in list(stage.modules()):
        attribute = SHORTCUTS.get(_kind(module))
        if attribute is not None:
            yield module, attribute


def _kind(module: nn.Module) -> str:
    return f"{type(module).__module__}.{type(module).__qualname__}"


def _blocks(stage: nn.Module) -> Sequence[nn.Module]:
    """What a stage is made of, for the error."""
    return list(stage) if isinstance(stage, nn.Sequential) else [stage]


def _wake(block: nn.Module) -> None:
    """Sets norms that multiply with zero to one: without a shortcut nothing, not even a gradient, passes them."""
    for module in block.modules():
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm) and module.affine and not bool(module.weight.any()):
            nn.init.ones_(module.weight)
