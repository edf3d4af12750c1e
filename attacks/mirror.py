"""MIRROR with scores only: breeds styles that the target scores highly (An et al., NDSS 2022)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, ClassVar, Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks import afford
from unveil.attacks.afford import Staged
from unveil.attacks.drawing import draw
from unveil.attacks.pspace import Box, presampled, truncating
from unveil.attacks.search import Descent, Key, State, labels_of, search
from unveil.attacks.selection import best
from unveil.attacks.wspace import WSpace, scored
from unveil.harness.types import Access, Budget, Generator, Images, Run, Spec, View
from unveil.harness.words.errors import PluginError
from unveil.harness.words.spec import LATER

FLOOR = 1e-30  # scores count as no less, so that their logarithm is finite


@dataclass(frozen=True)
class Mirror(Staged):
    """MIRROR, black box: breeds populations of a prior's styles by the target's scores, within a budget of queries.

    ``samples`` populations of each identity evolve apart, and the best individual of each is returned, so that samples
    are as independent as another attack's restarts; the best presamples of the identity are dealt to them in turns.
    Presamples are scored as they are bred: one style for all layers, moved into the box. A prior without styles (any
    GAN) is searched in its latents, without truncation, and P-space is the latent space then.

    Departure: a child's genes come from either parent in proportion to their scores. The released code takes
    log-scores, which are negative, so that the worse parent passes on more: ``crossover = "log_scores"``. It keeps one
    elite individual (``elite = 0``) and returns one picture (``samples = 1``).

    Attributes:
        prior: The generator whose styles are searched.
        presamples: Random styles that are scored first, once for all identities; 100000 as published.
        samples: Pictures per identity, each from a population of its own; 1 as published.
        population: Individuals in a population; 1000 in the paper, 100 in the released code.
        generations: Most generations of a population.
        queries: Most score queries per identity, shared evenly by its populations; presamples are not counted.
        elite: Share of a population that lives on unchanged: its best, one at least.
        mutation: Probability that a gene mutates.
        mutation_size: Most that a gene mutates by, in standard deviations.
        confidence: A population whose best score is this high stops.
        psi: Truncation of presamples: 1 is none, 0 their mean.
        radius: Half the side of the box that styles stay in, in standard deviations of P-space.
        batch: Images in memory at once; changes no result beyond rounding. Of large pictures fewer are made at a time.
        psi_in_synthesis: Whether presamples and their box are of untruncated styles, and a picture is made of
            truncated ones, on the first 8 layers, as released. Without styles there is no truncation.
        crossover: What parents pass their genes on in proportion to: ``"scores"``, or ``"log_scores"`` as released.
    """

    prior: Spec = field(default=Spec("style_gan"))
    presamples: Annotated[int, Field(ge=2)] = 100_000
    samples: Annotated[int, Field(ge=1)] = 5
    population: Annotated[int, Field(ge=2)] = 100
    generations: Annotated[int, Field(ge=1)] = 100
    queries: Annotated[int, Field(ge=1)] = 50_000
    elite: Annotated[float, Field(ge=0, lt=1)] = 0.1
    mutation: Annotated[float, Field(ge=0, le=1)] = 0.1
    mutation_size: Annotated[float, Field(ge=0)] = 0.1
    confidence: Annotated[float, Field(gt=0, le=1)] = 0.95
    psi: Annotated[float, Field(ge=0, le=1)] = 0.7
    radius: Annotated[float, Field(gt=0)] = 1.0
    batch: Annotated[int, Field(ge=1)] = 200
    psi_in_synthesis: Annotated[bool, LATER] = False
    crossover: Annotated[Literal["scores", "log_scores"], LATER] = "scores"

    paper: ClassVar[str] = "An et al., MIRROR: Model Inversion for Deep Learning Network with High Fidelity, NDSS 2022"
    access: ClassVar[Access] = Access.SCORES

    def __post_init__(self) -> None:
        if self.population * self.samples > self.presamples:
            raise PluginError(
                f"mirror with {self.samples} populations of {self.population} from {self.presamples} presamples",
                "population times samples no more than presamples",
                "raise presamples, or lower the others",
            )

    def within(self, budget: Budget, identities: int) -> Self:
        """The same with presamples and queries cut by one factor, where the budget does not reach."""
        children = self.population - self.survivors
        queries = min(self.queries, self.samples * self.generations * children)
        share = afford.share(budget, self.presamples + identities * queries)
        if share == 1:
            return self
        fewest = self.population * self.samples
        return replace(self, presamples=max(fewest, int(self.presamples * share)), queries=max(1, int(queries * share)))

    @property
    def survivors(self) -> int:
        """Individuals of a population that live on."""
        return min(max(1, round(self.elite * self.population)), self.population - 1)

    def require_prior(self, prior: Generator, shape: tuple[int, int, int]) -> None:
        """Refuses a prior without a mean style where synthesis truncates; see `harness.types.Demanding`."""
        truncating(prior, shape, self.psi, late=self.psi_in_synthesis)

    def attack(self, view: View, prior: Generator, labels: Tensor, run: Run) -> Images:
        """Scores and breeds, whatever that costs."""
        space, psi = truncating(prior, view.shape, self.psi, late=self.psi_in_synthesis)
        batch = space.at_once(self.batch)
        p, box = presampled(space, prior, run, self.presamples, psi, self.radius)
        score = scored(view, run, "mirror presamples", space, space.from_p(p), labels, batch, mirror=False)
        founders = {y: (column, self.founders(column)) for y, column in zip(labels.tolist(), score.T, strict=True)}

        def start(keys: Sequence[Key]) -> State:
            chosen = [founders[y][1][r] for y, r in keys]
            f = torch.stack([log(founders[y][0][rows]) for (y, _), rows in zip(keys, chosen, strict=True)])
            spent = torch.zeros(len(keys), dtype=torch.long, device=run.device)
            return {"p": p[torch.stack(chosen)], "f": f.to(run.device), "spent": spent}

        def step(keys: Sequence[Key], state: State, t: int) -> Tensor:
            self.generation(view, run, space, box, keys, state, t)
            return -state["f"][:, 0]

        def pictures(state: State) -> Tensor:
            return torch.cat([space.pictures(space.from_p(p)) for p in state["p"][:, 0].split(batch)])

        keys = [(y, r) for y in labels.tolist() for r in range(self.samples)]
        # All populations at once, so that batches stay full while populations end; pictures are made by the batch.
        bred = search(view, run, "mirror", keys, self.generations, len(keys), Descent(start, step, pictures))
        return draw(space.pictures, space.from_p(bred["p"][:, 0]), keys, run, batch)

    def founders(self, score: Tensor) -> Tensor:
        """First populations ``(samples, population)``: rows of the best presamples by score, best first."""
        return best(score[None], self.population * self.samples).view(self.population, self.samples).T

    @torch.no_grad()
    def generation(
        self, view: View, run: Run, space: WSpace, box: Box, keys: Sequence[Key], state: State, t: int
    ) -> None:
        """Replaces all but the elite of each population that is not confident yet and has queries left.

        ``state`` holds individuals ``p`` ``(K, population, w_dim)``, the fittest first, the logarithms ``f`` of their
        scores ``(K, population)``, and the queries ``spent`` ``(K,)``. Children past the budget are never asked about.
        """
        left = torch.tensor([self.allowance(r) for _, r in keys]) - state["spent"].cpu()
        going = ((state["f"][:, 0].cpu() < math.log(self.confidence)) & (left > 0)).nonzero()[:, 0]
        if len(going) == 0:
            return
        p, f, mine = state["p"][going], state["f"][going], [keys[i] for i in going]
        generators = run.generators("breed", [(*key, t) for key in mine])
        children = torch.stack([self.breed(*one, box) for one in zip(p, f, generators, strict=True)])
        asked = torch.arange(children.shape[1]) < left[going][:, None]
        fitness = torch.full(asked.shape, -torch.inf, device=run.device)
        fitness[asked] = self.fitness(view, space, children[asked], labels_of(mine, run)[asked.nonzero()[:, 0]])
        p = torch.cat([p[:, : self.survivors], children], 1)
        f = torch.cat([f[:, : self.survivors], fitness], 1)
        order = best(f, self.population)
        state["p"][going] = p.gather(1, order[:, :, None].expand_as(p))
        state["f"][going] = f.gather(1, order)
        state["spent"][going] += asked.sum(1).to(run.device)

    def allowance(self, r: int) -> int:
        """Queries that population r of an identity may spend."""
        return self.queries // self.samples + (r < self.queries % self.samples)

    def breed(self, p: Tensor, f: Tensor, generator: torch.Generator, box: Box) -> Tensor:
        """Children of one population.

        Args:
            p: Individuals ``(population, w_dim)``.
            f: Logarithms of their scores ``(population,)``.
            generator: Random numbers.
            box: Where children are moved into.

        Returns:
            Children in the place of all but the elite ``(population - elite, w_dim)``.
        """
        n, d = p.shape
        count = n - self.survivors
        u = torch.rand(count, 2 + 3 * d, generator=generator).to(p.device)
        ladder = f.softmax(0).cumsum(0)
        a, b = (torch.searchsorted(ladder, u[:, k].contiguous(), right=True).clamp(max=n - 1) for k in (0, 1))
        cross, mutates, size = u[:, 2:].split(d, 1)
        share = self.share(f[a], f[b])
        child = torch.where(cross < share[:, None], p[a], p[b])
        mutant = child + (2 * size - 1) * self.mutation_size * box.std
        return box.clip(torch.where(mutates < self.mutation, mutant, child))

    def share(self, a: Tensor, b: Tensor) -> Tensor:
        """Which share of its genes a child has from parents with log-scores a rather than b ``(N,)``."""
        if self.crossover == "scores":
            return (a - b).sigmoid()  # = s_a / (s_a + s_b) with scores s = exp f
        return torch.where(a + b == 0, 0.5, a / (a + b))

    def fitness(self, view: View, space: WSpace, p: Tensor, y: Tensor) -> Tensor:
        """Logarithms of the scores of individuals ``(N, w_dim)`` for labels ``(N,)``; one query each."""
        batch = space.at_once(self.batch)
        parts = zip(p.split(batch), y.split(batch), strict=True)
        scores = [view.scores(space.pictures(space.from_p(q))).gather(1, c[:, None])[:, 0] for q, c in parts]
        return log(torch.cat(scores).float())


def log(score: Tensor) -> Tensor:
    """The logarithm, of zero too."""
    return score.clamp(min=FLOOR).log()
