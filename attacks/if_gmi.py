"""IF-GMI: descends a style, then the features between a prior's blocks, one after the other (Qiu et al., ECCV 2024)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Self

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks import afford
from unveil.attacks.adam import adam
from unveil.attacks.afford import Staged
from unveil.attacks.drawing import whom
from unveil.attacks.layers import LayeredSpace, nothing, within_ball
from unveil.attacks.losses import IDENTITY_LOSSES, IdentityLoss
from unveil.attacks.numbers import uniform
from unveil.attacks.search import Descent, Identity, Key, State, at, labels_of, search, seen_by
from unveil.attacks.selection import best
from unveil.attacks.shelf import Shelf
from unveil.attacks.wspace import first_styles, scored
from unveil.harness.types import Budget, Generator, Images, Ingredients, Run, Spec, View
from unveil.harness.words.crops import NUMBERS, RandomCrop
from unveil.harness.words.errors import BudgetSpentError, PluginError
from unveil.harness.words.gathering import gathered

BETAS = (0.1, 0.1)
Side = Annotated[float, Field(gt=0, le=1)]


@dataclass(frozen=True)
class IFGMI(Staged):
    """IF-GMI: PPA's descent of styles, and then of the features behind each of a prior's blocks.

    Features that no style leads to draw pictures that the prior would not: the search leaves its range, further with
    each stage. Stage 0 descends the style. Stage i descends it together with what block i takes in, from where the
    stages before have left both, and with the colours that the blocks before have drawn. After each step both are
    moved back into an L1 ball about where the stage began. The pictures of the last stage are returned, after its last
    step; none is selected.

    Departures: each sample draws its own crops and is shown in [0, 1], as in PPA here. The released code drops the
    colours of the blocks before when a stage begins (``fresh_colours = true``), and reports the stage that its judge
    likes best.

    Attributes:
        prior: The generator, which must draw block by block.
        pool: Styles that are scored for all classes at once; 2000 or 5000 as published.
        candidates: Styles per identity that are descended, and pictures that are returned.
        stages: Steps of each stage; (50, then 10 seven times) or (70, 25, 25, 25, 25) as published, for nine blocks.
            Stages beyond the prior's blocks are left out, and a note says so. A stage of none is passed over.
        radii: Radius of the ball of each stage, for the style and for all features of a picture together; none is no
            ball. With these steps the published radii do not bind before stage 3, and never where features are few.
        lr: Learning rate of Adam with betas (.1, .1), which begins anew in each stage; .01 for dogs.
        psi: Truncation of the pool's styles: 1 is none, 0 their mean.
        cutoff: How many style vectors, from the coarsest on, are truncated.
        crop: Side of the square that the target sees in the centre of the pictures that the prior gives; see ``ppa``.
        crop_scale: Least and greatest share of the picture that a random crop during descent shows.
        identity: Identity loss; the Poincaré distance in the paper.
        batch: Images in memory at once; changes no result beyond rounding.
        fresh_colours: Whether a stage begins without the colours of the blocks before, so that its first picture is not
            the last of the stage before. Of a prior that draws colours only in its last block, it changes nothing.
    """

    prior: Spec = field(default=Spec("style_gan"))
    pool: Annotated[int, Field(ge=1)] = 2000
    candidates: Annotated[int, Field(ge=1)] = 50
    stages: tuple[Annotated[int, Field(ge=0)], ...] = (50, 10, 10, 10, 10, 10, 10, 10)
    radii: tuple[Annotated[float, Field(gt=0)], ...] = (1000, 2000, 3000, 4000, 5000, 6000, 8000, 8000)
    lr: Annotated[float, Field(gt=0)] = 0.005
    psi: Annotated[float, Field(ge=0, le=1)] = 0.5
    cutoff: Annotated[int, Field(ge=0)] = 8
    crop: Annotated[int, Field(ge=1)] | None = None
    crop_scale: tuple[Side, Side] = (0.9, 1.0)
    identity: IdentityLoss = "poincare"
    batch: Annotated[int, Field(ge=1)] = 50
    fresh_colours: bool = False

    paper: ClassVar[str] = (
        "Qiu et al., A Closer Look at GAN Priors: Exploiting Intermediate Features for Enhanced Model Inversion "
        "Attacks, ECCV 2024"
    )
    draws_in_full: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.candidates > self.pool:
            raise PluginError(
                f"if_gmi with pool = {self.pool} and candidates = {self.candidates}",
                "no more candidates than styles in the pool",
                "raise pool, or lower candidates",
            )
        if not any(self.stages[:1]) or (self.radii and len(self.radii) < len(self.stages)):
            raise PluginError(
                f"if_gmi with stages = {[*self.stages]} and radii = {[*self.radii]}",
                "a step or more in the first stage, and a radius for each stage, or none at all",
                "correct them",
            )

    def within(self, budget: Budget, identities: int) -> Self:
        """The same with pool and stages cut, the stages all by one factor, where the budget does not reach."""
        samples, total = identities * self.candidates, sum(self.stages)
        share = afford.share(budget, 2 * self.pool + samples * total)
        allowed = afford.steps(budget, samples, max(1, int(total * share)))
        fewer = [n * allowed // total for n in self.stages[1:]]
        first = self.stages[0] if allowed == total else max(1, allowed - sum(fewer))
        pool = max(self.candidates, int(self.pool * share))
        return replace(self, pool=pool, stages=(min(first, self.stages[0]), *fewer))

    @property
    def steps(self) -> int:
        """Steps of all stages together."""
        return sum(self.stages)

    def require_prior(self, prior: Generator, shape: tuple[int, int, int]) -> None:
        """Refuses a prior that does not draw block by block; see `harness.types.Demanding`."""
        LayeredSpace(prior, shape)

    def attack(self, view: View, prior: Generator, labels: Tensor, run: Run) -> Images:
        """Scores, and descends stage by stage."""
        return self.descend(view, prior, seen_by(view, self.identity), labels, run)

    def seen(self, view: View, ingredients: Ingredients, run: Run) -> Identity:  # noqa: ARG002
        """What it descends by itself."""
        return seen_by(view, self.identity)

    def descend(self, view: View, prior: Generator, identity: Identity, labels: Tensor, run: Run) -> Images:
        """Scores, and descends that identity loss stage by stage.

        Raises:
            UnveilError: If the prior does not draw block by block.
        """
        space = LayeredSpace(prior, view.shape, self.crop)
        stages = self.stages[: space.blocks]
        if len(stages) < len(self.stages):
            run.note(f"its prior draws in {space.blocks} blocks, so that it had stages = {[*stages]}")
        batch = space.at_once(self.batch)
        pool = first_styles(space, prior, run, self.pool, self.psi, self.cutoff, single=False)
        score = scored(view, run, "if_gmi pool", space, pool, labels, batch, mirror=True)
        chosen = best(score.T, self.candidates)
        keys = [(y, i) for y, row in zip(labels.tolist(), chosen.tolist(), strict=True) for i in row]
        staged, shelf = StagedDescent(self, stages, space, identity, run), Shelf(run, "if_gmi pictures", len(keys))
        last = search(view, run, "if_gmi", keys, sum(stages), batch, on_shelf(staged.descent(pool[:, 0]), shelf))
        run.keep("latents", last["w"])
        few = last["x"].clamp(0, 1).float()
        parts = [few] if few.dim() > 2 else shelf.parts(math.ceil(len(keys) / batch))
        return gathered(parts, whom(keys), run.scratch)

    def identity_loss(self, o: Tensor, y: Tensor) -> Tensor:
        """What it descends; see `harness.types.Guided`."""
        return IDENTITY_LOSSES[self.identity](o, y)


def on_shelf(descent: Descent, shelf: Shelf) -> Descent:
    """The same, whose finished pictures ``x`` are laid by, if they are many."""

    def finished(part: int, state: State) -> None:
        if shelf.takes(part, state["x"]):
            state["x"] = nothing(state["w"])

    def there(part: int, state: State) -> bool:
        return state["x"].numel() > 0 or shelf.has(part)

    return replace(descent, finished=finished, there=there)


class StagedDescent:
    """What IF-GMI does to some samples at a time.

    A state has the style ``w`` and, from stage 1 on, the features ``h`` and the colours ``rgb`` that the stage's block
    takes in. Of ``w`` and ``h`` it has where the stage began and Adam's moments, too. ``x`` are the finished pictures;
    they take the place of all features, which are too many to be kept of all samples.

    Args:
        attack: The settings.
        stages: Steps of each stage.
        space: What styles and features look like.
        identity: The identity loss.
        run: Randomness and precision.
    """

    def __init__(self, attack: IFGMI, stages: Sequence[int], space: LayeredSpace, identity: Identity, run: Run) -> None:
        self._attack, self._space, self._identity, self._run = attack, space, identity, run
        self._plan = [(stage, k) for stage, count in enumerate(stages) for k in range(count)]
        self._crop, self._crops = RandomCrop(attack.crop_scale), uniform(run, "crops", NUMBERS)

    def descent(self, first: Tensor) -> Descent:
        """From single styles ``first`` ``(pool, w_dim)``, of which a key's second number names the row."""
        return Descent(lambda keys: self._start(first, keys), self._step, self._pictures)

    def _start(self, first: Tensor, keys: Sequence[Key]) -> State:
        w = first[[i for _, i in keys]]
        none = nothing(w)
        state = {"w": w, "h": none, "rgb": none, "x": none, "y": labels_of(keys, self._run)}
        state["stage"] = torch.zeros_like(state["y"])
        return _begun(state)

    def _step(self, keys: Sequence[Key], state: State, t: int) -> Tensor:
        stage, k = self._plan[t]
        searched = ("w", "h") if stage else ("w",)
        try:
            loss, slopes = self._slopes(keys, state, t, searched)
        except BudgetSpentError:
            self._finish(state)
            raise
        for name, g in zip(searched, slopes, strict=True):
            moments = (state[f"{name} m"], state[f"{name} s"])
            moved, state[f"{name} m"], state[f"{name} s"] = adam(state[name], g, *moments, k, self._attack.lr, BETAS)
            state[name] = self._held(moved, state[f"{name} 0"], stage)
        if t + 1 == len(self._plan):
            self._finish(state)
        elif self._plan[t + 1][0] != stage:
            self._enter(state, self._plan[t + 1][0])
        return loss

    def _slopes(
        self, keys: Sequence[Key], state: State, t: int, searched: Sequence[str]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        now = {**state, **{name: state[name].detach().requires_grad_(True) for name in searched}}
        x = self._pictures(now)  # in full precision, as in PPA
        with self._run.autocast():
            loss = at(self._identity, keys, t)(self._crop(x, self._crops.at(keys, t)), state["y"])
        return loss.detach(), torch.autograd.grad(loss.sum(), [now[name] for name in searched])

    def _held(self, v: Tensor, centre: Tensor, stage: int) -> Tensor:
        return within_ball(v, centre, self._attack.radii[stage]) if self._attack.radii else v

    def _pictures(self, state: State) -> Tensor:
        return self._space.onward(int(state["stage"][0]), state["w"], state["h"], state["rgb"])

    @torch.no_grad()
    def _enter(self, state: State, stage: int) -> None:
        before = int(state["stage"][0])
        state["h"], rgb = self._space.between(before, stage, state["w"], state["h"], state["rgb"])
        state["rgb"] = nothing(rgb) if self._attack.fresh_colours else rgb
        state["stage"] = torch.full_like(state["stage"], stage)
        _begun(state)

    @torch.no_grad()
    def _finish(self, state: State) -> None:
        state["x"] = self._pictures(state)
        state["h"] = state["rgb"] = nothing(state["w"])
        _begun(state)


def _begun(state: State) -> State:
    """The same at the beginning of a stage."""
    for name in ("w", "h"):
        state[f"{name} 0"] = state[name]
        state[f"{name} m"] = state[f"{name} s"] = torch.zeros_like(state[name])
    return state
