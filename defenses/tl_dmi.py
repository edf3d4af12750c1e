"""TL-DMI: fine-tune only the last layers of a publicly pre-trained model, so that the first learn nothing private."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from unveil.harness.types import Defense, Spec
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError
from unveil.harness.words.run import Run
from unveil.harness.words.spec import LATER


@dataclass(frozen=True)
class TLDMI(Defense):
    """Freezes the first stages of a pre-trained model; only the rest, theta_C, learns from private data.

    It protects only if the frozen stages were trained on other people's pictures: frozen random weights protect
    nothing that a classifier could use.

    The released code freezes up to a layer by its number, 26 of VGG16's, 46 of IR-152's and 5 of FaceNet64's, which may
    lie within a stage, lets the statistics of frozen layers drift, and forgets the stem of the IR networks:
    ``layer = 46, stem = false, statistics = false``.

    Attributes:
        freeze: Name of the last frozen stage: it and all before it are frozen. A list freezes exactly the stages
            it names. ``"auto"`` trains with every depth and picks the deepest that validation utility allows (the
            paper sweeps; how it selects is not stated). Empty freezes nothing, which is strength zero.
        share: Instead of a name: the longest row of first stages with at most this share of the stages' parameters.
        statistics: Also keep batch-norm statistics of frozen stages; False lets them drift towards the private data,
            as the published code does.
        layer: Instead of a name: number, from 0, of the last frozen layer. ``vgg16`` numbers its convolutions,
            normalisations, rectifiers and pools; the IR networks their units; others what their stages are rows of.
        stem: With ``layer``: whether what comes before the first numbered layer is frozen, too; False leaves it
            trainable, as the published code does.
    """

    paper: ClassVar[str] = (
        "Ho et al., Model Inversion Robustness: Can Transfer Learning Help?, CVPR 2024, arXiv:2405.05588"
    )

    freeze: str | tuple[str, ...] = "auto"
    share: Annotated[float, Field(ge=0, le=1)] | None = None
    statistics: bool = True
    layer: Annotated[Annotated[int, Field(ge=0)] | None, LATER] = None
    stem: Annotated[bool, LATER] = True

    def __post_init__(self) -> None:
        depths = {
            "freeze": self.freeze if self.freeze not in ("", "auto") else None,
            "share": self.share,
            "layer": self.layer,
        }
        said = [f"{name} = {value!r}" for name, value in depths.items() if value is not None]
        if len(said) > 1:
            raise PluginError(f"tl_dmi with both {' and '.join(said)}", "one of them", "drop the other")
        if not self.stem and self.layer is None:
            raise PluginError(
                "tl_dmi with stem = false, and no layer", "stem only beside layer", "or list the stages in freeze"
            )

    def prepare(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Freezes.

        Raises:
            PluginError: If a stage does not exist, or nothing would be left to train.
        """
        frozen = self._stages(classifier)
        unknown = [name for name in frozen if name not in (*classifier.stage_names, *classifier.layers)]
        if unknown:
            raise PluginError(
                f"tl_dmi cannot freeze {', '.join(map(repr, unknown))}: the model has no such stage",
                f"one of {', '.join(classifier.stage_names)}",
                "correct freeze",
            )
        classifier.freeze(frozen, statistics=self.statistics)
        if not any(True for _ in classifier.trainable()):
            raise PluginError("tl_dmi leaves nothing to train", "at least a head that trains", "freeze fewer stages")
        return classifier

    @property
    def open(self) -> bool:
        """Whether the depth is to be picked by a sweep."""
        return self.freeze == "auto" and self.share is None and self.layer is None

    def ladder(self, classifier: Classifier) -> Sequence[TLDMI]:
        """One stage with parameters more at a time; never all of them, which would leave only the head."""
        stages = classifier.stages.items()
        names = [name for name, stage in stages if any(True for _ in stage.parameters())]
        return [dataclasses.replace(self, freeze=name, share=None, layer=None, stem=True) for name in names[:-1]]

    def counter(self, attack: Spec, settings: frozenset[str]) -> Spec | None:  # noqa: ARG002
        """Transfer: a student with weights that are all its own learns the answers, and is descended, too."""
        if self == self.at_zero():
            return None
        return Spec("lomma", {"base": attack.table(), "variant": "aug", "students": [{"use": "small_resnet"}]})

    def at_zero(self) -> TLDMI:
        """The same with nothing frozen."""
        return dataclasses.replace(self, freeze="", share=None, layer=None, stem=True)

    def _stages(self, classifier: Classifier) -> tuple[str, ...]:
        names = classifier.stage_names
        if self.layer is not None:
            return _up_to(classifier, self.layer, stem=self.stem)
        if self.share is not None:
            return names[: _depth(classifier, self.share)]
        if not isinstance(self.freeze, str):
            return self.freeze
        if self.open:
            raise PluginError("tl_dmi with freeze = 'auto' before the depth was picked", "a depth", "name a stage")
        if self.freeze not in names:
            return (self.freeze,) if self.freeze else ()
        return names[: names.index(self.freeze) + 1]


def _depth(classifier: Classifier, share: float) -> int:
    """How many leading stages hold at most this share of the parameters of all stages; none for a share of zero."""
    sizes = [sum(p.numel() for p in stage.parameters()) for stage in classifier.stages.values()]
    limit = share * sum(sizes)
    return sum(sum(sizes[: i + 1]) <= limit for i in range(len(sizes))) if share > 0 else 0


def _up_to(classifier: Classifier, last: int, *, stem: bool) -> tuple[str, ...]:
    """Whole stages, and layers of the one that is cut, up to a numbered layer; without the stem, if so wished.

    Raises:
        PluginError: If there is no such layer, or no stem.
    """
    layers = classifier.layers
    if last >= len(layers):
        raise PluginError(
            f"tl_dmi with layer = {last}: the model numbers its layers from 0 to {len(layers) - 1}",
            f"{layers[0]} is 0, {layers[-1]} is {len(layers) - 1}",
            "lower layer",
        )
    before = classifier.stage_names[: classifier.stage_names.index(classifier.numbered[0])]
    if not stem and not before:
        raise PluginError(
            "tl_dmi with stem = false: all of the model's stages are numbered", "a model with a stem", "leave stem out"
        )
    frozen = set(layers[: last + 1])
    rows = {stage: [name for name in layers if name.split(".")[0] == stage] for stage in classifier.numbered}
    whole = [stage for stage, row in rows.items() if frozen.issuperset(row)]
    cut = [name for stage, row in rows.items() if stage not in whole for name in row if name in frozen]
    return (*(before if stem else ()), *whole, *cut)
