"""BiDO: hidden stages are to depend little on the picture and much on the label."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unveil.defenses.kernels import coco, directions, gaussian, hsic, linear
from unveil.harness.types import Defense, Step, Terms
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError
from unveil.harness.words.run import Run

MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"hsic": hsic, "coco": coco}
FIRST = ("stem", "embed")  # stages that only prepare the picture
MOST = 5  # stages by default; the publication uses five of VGG16


@dataclass(frozen=True)
class BiDO(Defense):
    """Penalises what hidden stages know of the picture and rewards what they know of the label.

    ``L = CE + sum_j (lambda_x d(X, Z_j) - lambda_y d(Z_j, Y))`` over the outputs Z_j of some stages, with the
    pixels X in [0, 1], the one-hot labels Y, and a dependence measure d between kernels on the batch: Gaussian for X
    and Z, linear for Y. The two sums are recorded as the loss terms ``bido x`` and ``bido y``, with their weights.

    Only stages that receive a gradient count: under a defense that freezes the first stages, those after them.

    With the published ``sigma = 5`` and the division by the length of a vector, every entry of the Gaussian kernel on
    pixels in [0, 1] is within 2 % of 1. COCO, which is not normalised, is then small, hence the large weights published
    with it. HSIC is normalised: it counts the directions in which pictures differ by more than its ridge of 1e-5 m, and
    the curve ``directions of x`` says how many of a batch's m - 1 they are. Where all of them count, in X or in Z_j, it
    says that everything depends on everything and has next to no gradient: ``bido y`` then sits at its lowest value,
    -lambda_y (people in the batch - 1) a stage. A larger ``sigma`` helps, a smaller one makes it worse.

    The label term lives on pairs of one person's pictures: of many people, batches drawn at random have next to none.
    The released code draws 16 people with 4 pictures each, for which a recipe has ``people`` and ``each``.

    Attributes:
        lambda_x: Weight of d(X, Z_j), from 0. Published with HSIC: 0.05 or 0.1; with COCO: 1 or 2.
        lambda_y: Weight of d(Z_j, Y), from 0. Published with HSIC: 0.5, 1, 2 or 2.5; with COCO: 20 or 50.
        measure: ``"hsic"`` (normalised) or ``"coco"``.
        stages: Names of the stages whose outputs are the Z_j. Empty takes, of the stages that receive a gradient and
            are not the stem, the last (the features) and up to four before it, evenly spread: all of a ResNet's.
        sigma: Width of the Gaussian kernels, above 0.
    """

    paper: ClassVar[str] = (
        "Peng et al., Bilateral Dependency Optimization: Defending Against Model-inversion Attacks, KDD 2022, "
        "arXiv:2206.05483"
    )

    lambda_x: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.05
    lambda_y: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    measure: Literal["hsic", "coco"] = "hsic"
    stages: tuple[str, ...] = ()
    sigma: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 5.0

    def prepare(self, classifier: Classifier, run: Run) -> Classifier:  # noqa: ARG002
        """Changes nothing.

        Raises:
            PluginError: If a stage does not exist, or is frozen already.
        """
        if self._acts:
            self._chosen(classifier)
        return classifier

    def loss(self, terms: Terms, step: Step) -> Terms:
        """Adds ``bido x`` and ``bido y``.

        Raises:
            PluginError: If a chosen stage is frozen, or the stack has BiDO twice.
        """
        if not self._acts:
            return terms
        if "bido x" in terms:
            raise PluginError("bido twice in one stack", "once", "keep the one with the settings you want")
        hidden = [step.forward.stages[name] for name in self._chosen(step.classifier)]
        x, y = gaussian(step.x, self.sigma), linear(F.one_hot(step.y, step.classifier.classes))
        z = torch.stack([gaussian(h, self.sigma) for h in hidden])
        d = MEASURES[self.measure]
        return {
            **terms,
            "bido x": self.lambda_x * d(x, z).sum().float(),
            "bido y": -self.lambda_y * d(z, y).sum().float(),
        }

    def watch(self, step: Step) -> Mapping[str, float]:
        """``directions of x``: how many of a batch's m - 1 directions HSIC sees in the pixels' kernel."""
        if not self._acts or self.measure != "hsic":
            return {}
        return {"directions of x": float(directions(gaussian(step.x, self.sigma)))}

    def ladder(self, classifier: Classifier) -> Sequence[BiDO]:  # noqa: ARG002
        """Both weights times a half to eight."""
        return [
            dataclasses.replace(self, lambda_x=k * self.lambda_x, lambda_y=k * self.lambda_y) for k in (0.5, 1, 2, 4, 8)
        ]

    def at_zero(self) -> BiDO:
        """The same with both weights zero, which computes nothing."""
        return dataclasses.replace(self, lambda_x=0.0, lambda_y=0.0)

    @property
    def _acts(self) -> bool:
        return self.lambda_x > 0 or self.lambda_y > 0

    def _chosen(self, classifier: Classifier) -> Sequence[str]:
        names, reached = classifier.stage_names, _reached(classifier)
        for name in self.stages:
            if name not in names:
                raise PluginError(
                    f"bido cannot regularise {name!r}: the model has no such stage",
                    f"any of {', '.join(names)}",
                    "correct stages",
                )
        still = [name for name in self.stages or names[-1:] if name not in reached]
        if still:
            raise PluginError(
                f"bido cannot regularise {', '.join(still)}: frozen, as are all stages before, so no gradient arrives",
                f"any of {', '.join(reached)}" if reached else "a stage that trains, or has one that trains before it",
                "correct stages, or freeze fewer",
            )
        return self.stages or _spread([name for name in reached if name not in FIRST] or reached)


def _reached(classifier: Classifier) -> tuple[str, ...]:
    """Stages whose output depends on something that trains: the first that trains and all after it."""
    for i, stage in enumerate(classifier.stages.values()):
        if any(p.requires_grad for p in stage.parameters()):
            return classifier.stage_names[i:]
    return ()


def _spread(names: Sequence[str]) -> Sequence[str]:
    """At most ``MOST`` of the names, evenly spread, the first and the last among them."""
    if len(names) <= MOST:
        return names
    return [names[i * (len(names) - 1) // (MOST - 1)] for i in range(MOST)]
