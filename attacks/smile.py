"""SMILE: a surrogate of few scores, a descent in it, and a short search on the target (Li et al., CVPR 2025)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks import afford
from unveil.attacks.adam import adam
from unveil.attacks.drawing import draw
from unveil.attacks.evolution import OnePlusOne, told
from unveil.attacks.experts import Experts, teach
from unveil.attacks.frozen import prior_of
from unveil.attacks.losses import cross_entropy
from unveil.attacks.mirror import log
from unveil.attacks.mirror_white_box import ramp
from unveil.attacks.numbers import normal
from unveil.attacks.pspace import Box, presampled
from unveil.attacks.search import Descent, Key, State, labels_of, search
from unveil.attacks.selection import best
from unveil.attacks.wspace import WSpace, scored
from unveil.harness.types import (
    Access,
    Budget,
    Generator,
    GivenModel,
    Images,
    Ingredients,
    Need,
    Run,
    Spec,
    TrainedPrior,
    View,
)
from unveil.harness.words.errors import PluginError
from unveil.harness.words.pixel_file import exactly


@dataclass(frozen=True)
class SMILE:
    """SMILE: some five per cent of the queries of other attacks that see scores only.

    The target is asked for its scores of ``samples`` pictures of a public prior, once for all identities. Experts on a
    trunk that was trained on other data learn to answer alike. For each identity the best sample is descended in the
    experts, which costs no query, and then moved by a (1+1) evolution strategy on the target itself.

    All in P-space (MIRROR's), in boxes about the mean of the samples. A prior without styles (any GAN) is searched in
    its latents.

    Departures: samples of rare classes count more in the experts' loss, as the paper has it; the released code's
    weights cancel. A step of the evolution is a share of each coordinate's spread, and begins at 1; as published the
    first answer doubles it to 2, so that most coordinates lie on the faces of the box (``scaled = false``).

    Attributes:
        prior: The generator whose styles are searched.
        trunk: A network trained on other people, which the experts begin with.
        pretrained: Whether the trunk must bring trained weights, which then stay as they are but for the last block.
            False trains all of it on the samples alone: another, weaker attack, and the row says so.
        samples: Pictures whose scores are asked, once for all identities.
        experts: How many.
        epochs: Passes over the samples.
        student_batch: Samples in a batch.
        student_lr: Learning rate of the experts.
        steps: Steps of descent in the experts; 201 as published.
        lr: Highest learning rate of that descent; it rises over 5 % of the steps and falls over the last 25 %.
        radius: Half the side of the box of the descent, in standard deviations.
        queries: Queries of each picture of an identity on the target.
        evolution_radius: Half the side of the box of the evolution.
        scaled: Whether a step of the evolution is a share of each coordinate's spread.
        pictures: Pictures per identity, each from its own sample, the best first; 1 as published.
        psi: Truncation of the samples: 1 is none, 0 their mean.
        batch: Images in memory at once; changes no result beyond rounding.
    """

    prior: Spec = field(default=Spec("style_gan"))
    trunk: Spec = field(default=Spec("facenet", {"weights": "asset"}))
    pretrained: bool = True
    samples: Annotated[int, Field(ge=2)] = 2500
    experts: Annotated[int, Field(ge=2)] = 3
    epochs: Annotated[int, Field(ge=1)] = 200
    student_batch: Annotated[int, Field(ge=2)] = 128
    student_lr: Annotated[float, Field(gt=0)] = 1e-3
    steps: Annotated[int, Field(ge=1)] = 201
    lr: Annotated[float, Field(gt=0)] = 0.2
    radius: Annotated[float, Field(gt=0)] = 1.0
    queries: Annotated[int, Field(ge=1)] = 1000
    evolution_radius: Annotated[float, Field(gt=0)] = 1.7
    scaled: bool = True
    pictures: Annotated[int, Field(ge=1)] = 1
    psi: Annotated[float, Field(ge=0, le=1)] = 0.7
    batch: Annotated[int, Field(ge=1)] = 200

    paper: ClassVar[str] = (
        "Li et al., From Head to Tail: Efficient Black-box Model Inversion Attack via Long-tailed Learning, CVPR 2025, "
        "arXiv:2503.16266"
    )
    access: ClassVar[Access] = Access.SCORES

    def __post_init__(self) -> None:
        if not max(self.pictures, self.student_batch) <= self.samples:
            raise PluginError(
                f"smile with {self.samples} samples, {self.pictures} pictures and batches of {self.student_batch}",
                "at least as many samples",
                "raise samples, or lower the others",
            )

    def needs(self) -> Mapping[str, Need]:
        """The prior and the trunk."""
        return {"prior": TrainedPrior(self.prior), "trunk": GivenModel(self.trunk, trained=self.pretrained)}

    def within(self, budget: Budget, identities: int) -> Self:
        """The same with samples and queries cut by one factor, where the budget does not reach."""
        share = afford.share(budget, self.samples + identities * self.pictures * (self.queries + 1))
        if share == 1:
            return self
        fewest = max(2, self.pictures)
        samples = max(fewest, int(self.samples * share))
        fewer = max(1, int((self.queries + 1) * share) - 1)
        return replace(self, samples=samples, queries=fewer, student_batch=min(self.student_batch, samples))

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Gives ``pictures`` of each label; see `harness.types.Attack.reconstruct`."""
        prior, attack = prior_of(ingredients, run), self.within(view.budget, len(labels))
        afford.tell(self, attack, run)
        if not self.pretrained:
            run.note("its experts begin with no network that was trained on other people: a weaker attack than SMILE")
        trunk = ingredients.given.models["trunk"]
        return attack.attack(view, prior, Experts(trunk, self.experts, run, frozen=self.pretrained), labels, run)

    def attack(self, view: View, prior: Generator, experts: Experts, labels: Tensor, run: Run) -> Images:
        """Asks, teaches, descends and evolves."""
        space, everybody = WSpace(prior, view.shape), torch.arange(view.classes)
        p, box = presampled(space, prior, run, self.samples, self.psi, self.radius)
        w = space.from_p(p)
        score = scored(view, run, "smile samples", space, w, everybody, self.batch, mirror=False)
        with torch.no_grad():
            parts = (space.pictures(part).float().cpu() for part in w.split(self.batch))
            x = exactly(parts, (len(w), *view.shape), run.scratch)
        teach(experts.to(run.device), x, score, self.epochs, self.student_batch, self.student_lr, run)
        chosen = best(score.T[labels.cpu()], self.pictures).tolist()
        keys = [(y, i) for y, row in zip(labels.tolist(), chosen, strict=True) for i in row]
        descent = self.descent(run, space, box, p, experts)
        local = search(view, run, "smile descent", keys, self.steps, self.batch, descent)["p"]

        mean, reach = (box.low + box.high) / 2, self.evolution_radius * box.std
        scale = box.std / self.evolution_radius if self.scaled else torch.ones_like(box.std)
        strategy = OnePlusOne(mean - reach, mean + reach, scale)
        evolution = self.evolution(view, run, space, strategy, dict(zip(keys, local, strict=True)))
        found = search(view, run, "smile evolution", keys, self.queries + 1, self.batch, evolution)["best"]
        return draw(lambda q: space.pictures(space.from_p(q)), found, keys, run, self.batch)

    def descent(self, run: Run, space: WSpace, box: Box, p: Tensor, experts: Experts) -> Descent:
        """Descends the samples that keys name second in the experts, inside the box."""

        def start(keys: Sequence[Key]) -> State:
            q = p[[i for _, i in keys]]
            return {"p": q, "m": torch.zeros_like(q), "s": torch.zeros_like(q), "y": labels_of(keys, run)}

        def step(keys: Sequence[Key], state: State, t: int) -> Tensor:  # noqa: ARG001
            q = state["p"].requires_grad_(True)
            loss = cross_entropy(experts.logits(space.pictures(space.from_p(q))).float(), state["y"])
            (g,) = torch.autograd.grad(loss.sum(), q)
            rate = self.lr * ramp(t / self.steps)
            q, state["m"], state["s"] = adam(q.detach(), g, state["m"], state["s"], t, rate)
            state["p"] = box.clip(q)
            return loss.detach()

        return Descent(start, step)

    def evolution(
        self, view: View, run: Run, space: WSpace, strategy: OnePlusOne, first: Mapping[Key, Tensor]
    ) -> Descent:
        """Evolves points on the target; the first question is about where they start."""
        numbers = normal(run, "evolution", len(strategy.scale))

        def start(keys: Sequence[Key]) -> State:
            q = torch.stack([first[key] for key in keys]).to(run.device)
            lowest = torch.full((len(keys),), torch.inf, device=run.device)
            return {"best": q, "lowest": lowest, "sigma": torch.ones_like(lowest), "y": labels_of(keys, run)}

        @torch.no_grad()
        def step(keys: Sequence[Key], state: State, t: int) -> Tensor:
            parent, sigma = state["best"], state["sigma"]
            child = parent if t == 0 else strategy.child(parent, sigma, numbers.at(keys, t))
            scores = view.scores(space.pictures(space.from_p(child)))
            loss = -log(scores.gather(1, state["y"][:, None])[:, 0].float())
            state["best"], state["lowest"], grown = told(parent, state["lowest"], sigma, child, loss)
            state["sigma"] = sigma if t == 0 and self.scaled else grown
            return state["lowest"]

        return Descent(start, step, lambda state: space.pictures(space.from_p(state["best"])))
