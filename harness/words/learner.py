"""How a batch changes the weights: one step of the recipe's optimiser, unless a defense has another way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unveil.harness.words.classifier import Classifier
from unveil.harness.words.images import Images
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run


class Learner:
    """Plain training. A defense that learns otherwise subclasses this and gives it out of its ``learner`` hook.

    Attributes:
        classifier: What learns.
        labels: Of all training pictures ``(N,)``.
        recipe: The settings of the training.
        run: Randomness and device.
        optimiser: Of everything in the classifier that trains; its learning rate is set before every step.

    Args:
        classifier: Prepared by all defenses and on the run's device.
        labels: Of all training pictures.
        recipe: The settings of the training.
        run: Randomness and device.
    """

    def __init__(self, classifier: Classifier, labels: Tensor, recipe: Recipe, run: Run) -> None:
        self.classifier, self.labels, self.recipe, self.run = classifier, labels, recipe, run
        self.optimiser = recipe.make_optimiser(list(classifier.trainable()))

    def batches(self, epoch: int) -> list[Tensor]:
        """Indices of the pictures in each batch of an epoch. As many batches in every epoch; some may be empty."""
        return self.recipe.batches(self.labels, epoch, self.run)

    def learn(self, loss: Tensor | None) -> None:
        """Changes the weights once.

        Args:
            loss: Of a batch, with its graph; None for an empty batch.
        """
        if loss is None:
            return
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        if self.recipe.grad_clip is not None:
            torch.nn.utils.clip_grad_norm_(list(self.classifier.trainable()), self.recipe.grad_clip)
        self.optimiser.step()

    def rate(self, lr: float) -> None:
        """Sets the learning rate of the next step."""
        for group in self.optimiser.param_groups:
            group["lr"] = lr

    def state(self) -> dict[str, Any]:
        """What a resumed training needs besides the classifier's weights."""
        return self.optimiser.state_dict()

    def restore(self, state: dict[str, Any]) -> None:
        """Puts it back."""
        self.optimiser.load_state_dict(state)

    def keep(self) -> None:
        """Called at the end of an epoch whose weights are the ones to keep so far: keep what belongs to them."""

    def facts(self, validation: Images) -> Mapping[str, str]:  # noqa: ARG002
        """What a reader of the row must know of this training, by name; asked for once, after it.

        Args:
            validation: Pictures that were not learnt from; there may be none. The classifier has the weights that are
                kept, and is in evaluation mode.
        """
        return {}

    def close(self) -> None:
        """Takes whatever was attached to the classifier off again."""
