"""Conformance of models."""

from __future__ import annotations

import torch
from torch import Tensor

from unveil.harness.conformance import watch
from unveil.harness.conformance.folding import require_the_same, stirred
from unveil.harness.conformance.report import BreachError
from unveil.harness.conformance.watch import Tensors, Trial, require_finite
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.folding import folded
from unveil.harness.words.run import Run

SIDES = (32, 64, 224)  # tried in turn: not every architecture takes small pictures
CLASSES = 5
COUNT = 3


class ModelTrial(Trial):
    """A model, built for the smallest pictures it takes."""

    classifier: Classifier
    x: Tensor

    def act(self, run: Run) -> Tensors:
        """Builds; gives the weights and the answer to a few pictures."""
        self.classifier, self.x = self.built(run)
        state = {name: tensor.clone() for name, tensor in self.classifier.state_dict().items()}
        with torch.no_grad():
            return {**state, "logits": self.classifier.eval().logits(self.x)}

    def built(self, run: Run) -> tuple[Classifier, Tensor]:
        """A classifier for the smallest pictures it takes, and a few such pictures."""
        for side in SIDES:
            try:
                built = self.plugin.build(CLASSES, (3, side, side), run)
            except UnveilError:
                if side == SIDES[-1]:
                    raise
                continue
            if not isinstance(built, Classifier):
                raise BreachError(f"build returned {type(built).__name__}", "unveil.harness.types.Classifier")
            return built, torch.rand(COUNT, 3, side, side, generator=run.generator("pictures"))
        raise AssertionError  # the last side returns or raises


def builds_and_answers(trial: ModelTrial) -> None:
    """Logits are (N, C), features (N, F), both finite."""
    assert trial.first
    net, x = trial.classifier, trial.x
    with torch.no_grad():
        logits, features = net.logits(x), net.features(x)
    require_finite(logits, (COUNT, CLASSES), "logits")
    if features.ndim != 2:
        raise BreachError(
            f"features are of shape {tuple(features.shape)}", "(N, F)", "end the stages with a pooling one"
        )
    require_finite(features, (COUNT, features.shape[1]), "features")
    if net.classes != CLASSES:
        raise BreachError(f"classes is {net.classes}", f"{CLASSES}, as asked for", "pass classes=classes to Classifier")


def every_stage_can_be_entered(trial: ModelTrial) -> None:
    """Running the rest of the chain from any stage gives what running all of it gives."""
    net, x = trial.classifier, trial.x
    with torch.no_grad():
        whole = net.run(x)
        if tuple(whole.stages) != net.stage_names:
            raise BreachError(f"run gives the stages {tuple(whole.stages)}", f"{net.stage_names}, as stage_names says")
        for depth in range(len(net.stage_names) + 1):
            rest = net.run_from(net.prefix(x, depth), depth).logits
            if not torch.allclose(rest, whole.logits, atol=1e-5):
                raise BreachError(
                    f"run_from after {depth} stages differs by {(rest - whole.logits).abs().max():.2g}",
                    "what run gives: defenses freeze and tap stages by name",
                    "make each stage a function of nothing but the one before",
                )


def pictures_do_not_see_each_other(trial: ModelTrial) -> None:
    """In evaluation mode an answer does not depend on the batch."""
    net, x = trial.classifier.eval(), trial.x
    with torch.no_grad():
        alone, together = net.logits(x[:1]), net.logits(x)[:1]
    if not torch.allclose(alone, together, atol=1e-4):
        raise BreachError(
            f"in evaluation mode the logits of a picture change by {(alone - together).abs().max():.2g} with its batch",
            "an answer that depends on the picture alone",
            "honour self.training in layers that mix a batch, such as normalisation and dropout",
        )


def batch_norms_can_be_folded(trial: ModelTrial) -> None:
    """What attacks are shown in place of it in bfloat16 answers the same up to rounding."""
    net = stirred(trial.classifier)
    fast = folded(net)
    with torch.no_grad():
        require_the_same(net.logits(trial.x), fast.logits(trial.x), "logits")
        require_the_same(net.features(trial.x), fast.features(trial.x), "features")


def weights_can_be_stored(trial: ModelTrial) -> None:
    """A state dict loaded into a model of another seed makes the same model."""
    other, _ = trial.built(Run("conformance another"))
    other.load_state_dict(trial.classifier.state_dict())
    with torch.no_grad():
        found, wanted = other.eval().logits(trial.x), trial.classifier.eval().logits(trial.x)
    if not watch.same(found, wanted):
        raise BreachError(
            "a model filled with the state dict of another answers differently",
            "everything that is learnt or drawn in the state dict",
            "make it a parameter or a persistent buffer",
        )


def gradients_flow(trial: ModelTrial) -> None:
    """From the logits to the pixels and to the first and last trainable parameters; not in a model that only judges."""
    net, x = trial.classifier.train(), trial.x.clone().requires_grad_(True)
    if getattr(trial.plugin, "judges_only", False):
        _refuses_gradients(net, x)
        return
    net.requires_grad_(True).logits(x).square().sum().backward()
    weights = list(net.named_parameters())
    for name, tensor in (("pixels", x), weights[0], weights[-1]):
        if tensor.grad is None or not torch.isfinite(tensor.grad).all() or not tensor.grad.any():
            raise BreachError(
                f"no finite gradient reaches {name}",
                "gradients for training and for white-box attacks",
                "leave out detach, no_grad and rounding",
            )


def _refuses_gradients(net: Classifier, x: Tensor) -> None:
    try:
        net.logits(x)
    except UnveilError:
        return
    raise BreachError(
        "it only judges, and answered where a gradient was asked for", "an UnveilError", "raise it if x.requires_grad"
    )


CHECKS = (
    builds_and_answers,
    every_stage_can_be_entered,
    pictures_do_not_see_each_other,
    batch_norms_can_be_folded,
    weights_can_be_stored,
    *watch.COMMON[:3],
    gradients_flow,
)


def trial(plugin: object) -> ModelTrial:
    """A model on trial."""
    return ModelTrial(plugin)
