"""BREP-MI: move away from the boundary of a class, seeing labels only (Kahla et al., CVPR 2022)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unveil.attacks.drawing import show
from unveil.attacks.frozen import prior_of
from unveil.attacks.loop import resumable_steps
from unveil.attacks.search import OverPrior, State
from unveil.harness.types import Access, Generator, Images, Ingredients, Run, Spec, Spent, View, draw_normal

FIRST = 256  # samples that are labelled at once until every class has one; part of what a class is charged


@dataclass(frozen=True)
class BREPMI(OverPrior):
    """BREP-MI: walks latents away from the target's class boundary, which it only knows from predicted labels.

    Every asked-for class is attacked, not those that come up first. A class that no sample is labelled as within
    ``first_queries`` keeps a random sample of its own, which is judged like the rest; how many did is noted. A rejected
    move costs queries, and no class spends more than ``queries``, its share of a budget in the plan if that is less.
    The first samples are shared by all classes, yet each class is charged as if it had drawn them alone.

    Returned, and judged, is the point whose sphere last passed the expansion test; without one, the last point reached.

    Attributes:
        prior: The generator whose latents are searched.
        queries: Most queries per identity.
        first_queries: Most samples that are labelled until each class has one.
        directions: Points on the sphere that are labelled in each step.
        radius: First radius of the sphere.
        growth: Factor of the radius when the sphere lies inside the class.
        inside: The sphere lies inside if the labels' sum, +1 inside and -1 outside, exceeds this share of
            ``directions``: with 0.75, from 29 of 32 on.
        largest_step: Largest step size; the step size is a third of the radius.
        patience: Counted steps without growth after which a class is done; a rejected move is not counted.
        clip: Latents are kept within this of zero, coordinate by coordinate.
        batch: Images in memory at once; changes no result beyond rounding.
    """

    prior: Spec = field(default=Spec("wgan_gp"))
    queries: Annotated[int, Field(ge=1)] = 50_000
    first_queries: Annotated[int, Field(ge=1)] = 25_600
    directions: Annotated[int, Field(ge=1)] = 32
    radius: Annotated[float, Field(gt=0)] = 2.0
    growth: Annotated[float, Field(gt=1)] = 1.3
    inside: Annotated[float, Field(ge=0, lt=1)] = 0.75
    largest_step: Annotated[float, Field(gt=0)] = 3.0
    patience: Annotated[int, Field(ge=1)] = 1000
    clip: Annotated[float, Field(gt=0)] = 1.5
    batch: Annotated[int, Field(ge=1)] = 1024

    paper: ClassVar[str] = (
        "Kahla et al., Label-Only Model Inversion Attacks via Boundary Repulsion, CVPR 2022, arXiv:2203.01925"
    )
    access: ClassVar[Access] = Access.LABELS

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Gives one picture of each label; see `harness.types.Attack.reconstruct`."""
        walk = Walk(self, view, prior_of(ingredients, run), labels, run)
        samplings = -(-walk.first // FIRST)
        rounds = walk.most // (self.directions + 1)
        for i, bar in resumable_steps(run, "brep_mi", samplings + rounds, walk.saved, walk.restore):
            if i < samplings:
                walk.sample(i)
            elif not walk.advance(i - samplings):
                break
            bar.advance(1, radius=walk.state["radius"].mean().item())
        walk.tell()
        return show(walk.prior, walk.state["best"], [(int(y),) for y in labels], run, self.batch)

    def surrounded(self, inside: Tensor) -> Tensor:
        """Which spheres lie inside their class: whether each direction does ``(K, directions)`` to ``(K,)``."""
        phi = 2 * inside.int() - 1
        return phi.sum(1) > self.inside * self.directions

    def move(self, z: Tensor, delta: Tensor, inside: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """One repulsion.

        Args:
            z: Points ``(K, latent)``.
            delta: Directions, of length ``radius`` ``(K, directions, latent)``.
            inside: Whether ``z + delta`` is labelled as the class ``(K, directions)``.
            radius: R ``(K,)``.

        Returns:
            The points moved to, and the radii, larger where the sphere lies inside.
        """
        alpha = (radius / 3).clamp(max=self.largest_step)  # of R before it grows
        radius = torch.where(self.surrounded(inside), self.growth * radius, radius)
        # g = 1/32 Σ (Φ_i - 1)/2 · δ_i / R: only points outside push, away from themselves; R after it grew
        g = -(~inside).float()[:, :, None].mul(delta).mean(1) / radius[:, None]
        return (z + alpha[:, None] * g).clamp(-self.clip, self.clip), radius


class Walk:
    """All classes on their way, together in one batch. Each has its own random numbers, budget and end.

    Args:
        attack: Settings.
        view: The target.
        prior: Where they walk.
        labels: Classes ``(K,)``.
        run: Randomness.

    Attributes:
        most: Queries that each class may spend.
        first: Those of them that may go into finding a first point.
        state: One row per class: ``z``, ``best``, ``radius``, ``used`` (queries charged), ``still`` (counted steps
            since the radius grew), ``found`` (whether there is a first point) and ``grown`` (how often the radius did).
    """

    def __init__(self, attack: BREPMI, view: View, prior: Generator, labels: Tensor, run: Run) -> None:
        self.attack, self.view, self.prior, self.run = attack, view, prior, run
        self.labels = labels.cpu()
        self.most = min(attack.queries, view.budget.queries or attack.queries)
        self.first = min(attack.first_queries, self.most)
        z = prior.sample(run.generators("never found", [(int(y),) for y in self.labels]))
        none = torch.zeros(len(labels), dtype=torch.long)
        self.state: State = {
            "z": z, "best": z.clone(), "radius": torch.full((len(labels),), attack.radius), "used": none,
            "still": none.clone(), "found": none.bool(), "grown": none.clone(),
        }  # fmt: skip

    def saved(self) -> Mapping[str, Any]:
        """Everything that one step leaves to the next."""
        return {"state": self.state, "spent": asdict(self.view.spent)}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Puts such a state back."""
        self.state.update(saved["state"])
        self.view.resume(Spent(**saved["spent"]))

    def sample(self, number: int) -> None:
        """Labels a batch of random points, the same for whoever is attacked, for classes that have none yet."""
        new = ~self.state["found"]
        if not new.any():
            return
        begin, end = number * FIRST, min((number + 1) * FIRST, self.first)
        z = self.prior.sample(self.run.generators("first", [(i,) for i in range(begin, end)]))
        z = z.clamp(-self.attack.clip, self.attack.clip)
        hits = self.ask(z)[None] == self.labels[:, None]
        here = new & hits.any(1)
        self.state["z"][here] = z[hits[here].int().argmax(1)]  # the first of several
        self.state["best"][here] = self.state["z"][here]
        self.state["found"] |= here
        self.state["used"][new] = end

    def advance(self, number: int) -> bool:
        """Takes a step with every class that is not done; False if all are."""
        a, state = self.attack, self.state
        left = state["used"] + a.directions + 1 <= self.most
        (who,) = (state["found"] & left & (state["still"] < a.patience)).nonzero(as_tuple=True)
        if not len(who):
            return False
        z, y, before = state["z"][who], self.labels[who], state["radius"][who]
        delta = self.directions(y, number) * before[:, None, None]
        around = self.ask((z[:, None] + delta).flatten(0, 1)).view(len(who), -1)
        inside = around == y[:, None]
        moved, radius = a.move(z, delta, inside, before)
        accepted = self.ask(moved) == y
        grown = radius > before
        state["best"][who] = torch.where(grown[:, None], z, state["best"][who])
        state["z"][who] = torch.where(accepted[:, None], moved, z)
        state["radius"][who], state["used"][who] = radius, state["used"][who] + a.directions + 1
        state["still"][who] = torch.where(grown, 0, state["still"][who] + accepted)
        state["grown"][who] += grown
        return True

    def directions(self, y: Tensor, number: int) -> Tensor:
        """Uniform points on the unit sphere, fresh for each class and step: ``(K, directions, latent)``."""
        generators = self.run.generators("directions", [(int(label), number) for label in y])
        e = draw_normal(generators, (self.attack.directions, self.prior.latent))
        return F.normalize(e, dim=-1)

    @torch.no_grad()
    def ask(self, z: Tensor) -> Tensor:
        """What latents ``(N, latent)`` are labelled as ``(N,)``, on the CPU."""
        parts = [part.to(self.run.device) for part in z.split(self.attack.batch)]
        return torch.cat([self.view.labels(self.prior.synthesize(part)).cpu() for part in parts])

    def tell(self) -> None:
        """Settles what is returned, and says how it went."""
        state, of = self.state, f"of {len(self.labels)} identities"
        never = state["grown"] == 0
        state["best"][never] = state["z"][never]
        lost, stayed = int((~state["found"]).sum()), int((never & state["found"]).sum())
        if lost:
            self.run.note(f"no sample was labelled as {lost} {of} in {self.first:,} queries: random pictures stand in")
        if stayed:
            self.run.note(f"the sphere of {stayed} {of} never grew")
        ended = state["found"] & (state["still"] < self.attack.patience)
        if self.most < self.attack.queries and bool(ended.any()):
            self.run.note(f"{int(ended.sum())} {of} stopped at the budget of {self.most:,} queries per identity")
        for name in ("radius", "used", "grown"):
            self.run.keep(name, state[name])
