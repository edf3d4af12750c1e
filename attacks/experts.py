"""SMILE's surrogate: experts on one trunk, taught by the scores of few pictures, in which some classes are rare."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from unveil.attacks.loop import resumable_steps
from unveil.harness.types import Classifier, Run, seeded
from unveil.harness.words.pixels import Stored

TEMPERATURE = 0.5
HARD, APART = 0.15, 10.0 / 128  # weights of the cross-entropy and of the diversity, whose 10 is for batches of 128
BETA = 0.9  # of the class weights
TOP = 10  # classes of a sample that count as present
LEAST_APART = 1e-4  # nats: experts that agree altogether are pushed apart no harder than this says


class Experts(nn.Module):
    """A trunk whose last block exists several times, each with a head; the answer is the mean of their logits.

    Args:
        trunk: A network of other data. It is copied.
        count: Experts.
        frozen: Whether what they share stays as it is.
        run: Randomness of the heads.
    """

    def __init__(self, trunk: Classifier, count: int, run: Run, *, frozen: bool) -> None:
        super().__init__()
        self.trunk = copy.deepcopy(trunk).requires_grad_(not frozen)
        self.depth, self.frozen = _last_block(trunk), frozen
        last = [trunk.stages[name] for name in trunk.stage_names[self.depth :]]
        width = _width(trunk.head)
        with seeded(run, "experts"):
            self.tails = nn.ModuleList(nn.Sequential(*copy.deepcopy(last)) for _ in range(count)).requires_grad_(True)
            self.heads = nn.ModuleList(nn.Linear(width, trunk.classes) for _ in range(count))

    def shared(self, x: Tensor) -> Tensor:
        """What all experts see of pixels ``(N, C, H, W)``."""
        return self.trunk.prefix(x, self.depth)

    def each(self, h: Tensor) -> list[Tensor]:
        """Logits ``(N, classes)`` of each expert."""
        return [head(tail(h)) for tail, head in zip(self.tails, self.heads, strict=True)]

    def logits(self, x: Tensor) -> Tensor:
        """Their mean, ``(N, classes)``."""
        return torch.stack(self.each(self.shared(x))).mean(0)

    def train(self, mode: bool = True) -> Experts:
        """A frozen trunk stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.trunk.eval()
        return self


def _last_block(trunk: Classifier) -> int:
    """How many stages come before the last one that has weights; before the last one where none has."""
    weighty = [i for i, stage in enumerate(trunk.stages.values()) if any(True for _ in stage.parameters())]
    return weighty[-1] if weighty else len(trunk.stages) - 1


def _width(head: nn.Module) -> int:
    return next(layer.in_features for layer in head.modules() if isinstance(layer, nn.Linear))


def class_weights(scores: Tensor) -> Tensor:
    """Weight of each class ``(C,)``: less for those that are often among the ten most likely of a sample.

    ``(1 - beta) / (1 - beta^(n + 1))`` for a class that n of the samples have there.

    Args:
        scores: Of all samples ``(N, C)``.
    """
    top = scores.topk(min(TOP, scores.shape[1]), dim=1).indices
    n = torch.bincount(top.flatten(), minlength=scores.shape[1])
    return (1 - BETA) / (1 - BETA ** (n + 1))


def objective(outputs: Sequence[Tensor], scores: Tensor, weight: Tensor) -> Tensor:
    """What the experts descend on a batch; each sample counts by the weight of its class.

    ``sum_i w_i sum_k KL(T_i || S_ki) + .15 sum_i w_i sum_k CE(S_ki, argmax T_i) + N 10 / 128 sum_k 1 / KL(S_k || S)``
    at temperature .5, with S the mean of all. For batches of 128 the last weight is the published one. The released
    code multiplies batch means by the sum of weights, so that no sample counts more than another there.

    Args:
        outputs: Logits of each expert ``(N, C)``.
        scores: The target's ``(N, C)``.
        weight: Of classes ``(C,)``.
    """
    w = weight[scores.argmax(1)]
    target = (scores.clamp_min(1e-12).log() / TEMPERATURE).log_softmax(1)
    middle = (torch.stack(list(outputs)).mean(0) / TEMPERATURE).log_softmax(1)
    soft, hard, apart = (outputs[0].new_zeros(()) for _ in range(3))
    for o in outputs:
        own = (o / TEMPERATURE).log_softmax(1)
        soft = soft + (w * F.kl_div(own, target, reduction="none", log_target=True).sum(1)).sum()
        hard = hard + (w * F.cross_entropy(o, scores.argmax(1), reduction="none")).sum()
        apart = apart + 1 / F.kl_div(middle, own, reduction="batchmean", log_target=True).clamp_min(LEAST_APART)
    return soft + HARD * hard + APART * len(scores) * apart


def teach(experts: Experts, x: Stored, scores: Tensor, epochs: int, batch: int, lr: float, run: Run) -> None:
    """Teaches the experts in place, with Adam; ends in evaluation mode, frozen.

    Args:
        experts: On the run's device.
        x: The samples ``(N, C, H, W)``, float32; of many, those are read that a batch looks at.
        scores: What the target says of them ``(N, C)``.
        epochs: Passes over them.
        batch: Samples in a batch.
        lr: Learning rate.
        run: Randomness, progress, checkpoints.
    """
    weight = class_weights(scores).to(run.device)
    optimiser = torch.optim.Adam([p for p in experts.parameters() if p.requires_grad], lr)
    count = max(1, len(x) // batch)

    def state() -> Mapping[str, Any]:
        return {"experts": experts.state_dict(), "optimiser": optimiser.state_dict()}

    def restore(saved: Mapping[str, Any]) -> None:
        experts.load_state_dict(saved["experts"])
        optimiser.load_state_dict(saved["optimiser"])

    experts.train()
    order = torch.empty(0)
    for i, bar in resumable_steps(run, "experts", epochs * count, state, restore):
        epoch, number = divmod(i, count)
        if number == 0 or not len(order):
            order = torch.randperm(len(x), generator=run.generator("experts", "order", epoch))
        index = order[number * batch : (number + 1) * batch]
        loss = _step(experts, optimiser, x[index].to(run.device), scores[index].to(run.device), weight)
        bar.advance(1, loss=loss)
    experts.eval().requires_grad_(False)


def _step(experts: Experts, optimiser: torch.optim.Optimizer, x: Tensor, scores: Tensor, weight: Tensor) -> float:
    with torch.set_grad_enabled(not experts.frozen):
        h = experts.shared(x)
    with torch.enable_grad():
        loss = objective(experts.each(h), scores, weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
    optimiser.step()
    return float(loss.detach())
