"""TL-DMI: fine-tune only the last layers of a publicly pre-trained model, so that the first learn nothing private."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from unveil.harness.types import Defense
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError
from unveil.harness.words.run import Run


@dataclass(frozen=True)
class TLDMI(Defense):
    """Freezes the first stages of a pre-trained model; only the rest, theta_C, learns from private data.

    It protects only if the frozen stages were trained on other people's pictures: frozen random weights protect
    nothing that a classifier could use.

    Attributes:
        freeze: Name of the last frozen stage: it and all before it are frozen. A list freezes exactly the stages
            it names. ``"auto"`` trains with every depth and picks the deepest that validation utility allows (the
            paper sweeps; how it selects is not stated). Empty freezes nothing, which is strength zero.
        share: Instead of a name: the longest row of first stages with at most this share of the stages' parameters.
        statistics: Also keep batch-norm statistics of frozen stages; False lets them drift towards the private data,
            as the published code does.
    """

    paper: ClassVar[str] = (
        "Ho et al., Model Inversion Robustness: Can Transfer Learning Help?, CVPR 2024, arXiv:2405.05588"
    )

    freeze: str | tuple[str, ...] = "auto"
    share: Annotated[float, Field(ge=0, le=1)] | None = None
    statistics: bool = True

    def __post_init__(self) -> None:
        if self.freeze not in ("", "auto") and self.share is not None:
            raise PluginError(
                f"tl_dmi with both freeze = {self.freeze!r} and share = {self.share}", "one of them", "drop the other"
            )

    def prepare(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Freezes.

        Raises:
            PluginError: If a stage does not exist, or nothing would be left to train.
        """
        frozen = self._stages(classifier)
        unknown = [name for name in frozen if name not in classifier.stage_names]
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
        return self.freeze == "auto" and self.share is None

    def ladder(self, classifier: Classifier) -> Sequence[TLDMI]:
        """One stage with parameters more at a time; never all of them, which would leave only the head."""
        stages = classifier.stages.items()
        names = [name for name, stage in stages if any(True for _ in stage.parameters())]
        return [dataclasses.replace(self, freeze=name, share=None) for name in names[:-1]]

    def at_zero(self) -> TLDMI:
        """The same with nothing frozen."""
        return dataclasses.replace(self, freeze="", share=None)

    def _stages(self, classifier: Classifier) -> tuple[str, ...]:
        names = classifier.stage_names
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
