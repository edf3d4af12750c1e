"""C2FMI: from an embedding that the target's scores imply to a population bred on them (Ye et al., TDSC)."""

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
from unveil.attacks.evolution import Differential
from unveil.attacks.frozen import prior_of
from unveil.attacks.inverse import Inverse, code, pairs, teach
from unveil.attacks.search import Descent, Key, State, labels_of, search
from unveil.attacks.selection import best
from unveil.attacks.wspace import WSpace, scored
from unveil.harness.types import (
    Access,
    Budget,
    Classifier,
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

EVERY, DECAY = 20, 0.95  # steps after which the learning rate of the coarse stage falls, and to which share
FRESH = 0.3  # share of a newcomer that is the mean of three fresh styles
PARENTS = 3  # of a newcomer, and fresh styles in it


@dataclass(frozen=True)
class C2FMI:
    """C2FMI: an embedding that an identity's scores imply is drawn coarsely, and refined by differential evolution.

    The target is asked for its scores of public pictures, once for all identities. An inverse network learns from them
    which embedding goes with which scores. For each identity, styles of a prior descend towards the embedding that goes
    with a certain answer, which costs no query. The best of them, with newcomers bred from them, are then evolved on
    the target's scores, without gradients. A prior without styles (any GAN) is searched in its latents.

    Departures: the embedder tells its features; as published, scores of the people whom it was trained on. Parents keep
    the scores that they were born with, where the released code asks again in every generation, so that a population of
    32 costs 16048 queries in 500 generations and not 32048.

    Attributes:
        prior: The generator whose styles are searched.
        embedder: A network that knows faces of other people.
        pretrained: Whether the embedder must bring trained weights. Without it is another, weaker attack, and the row
            says so.
        pictures: Public pictures that the inverse network learns from; fewer where there are fewer.
        inverse_width: Width of its two hidden layers.
        inverse_epochs: Passes over the pictures.
        inverse_batch: Pictures in a batch.
        inverse_lr: Its first learning rate.
        top: How many scores of an answer are looked at, the greatest first; all if None. A label that is not among them
            is worth minus the sum of those that are, in the fine stage.
        samples: Pictures of each identity, each from styles of its own; 1 as published.
        starts: Styles that descend in the coarse stage.
        steps: Steps of that descent; 20 as published, 50 against defenses.
        lr: Its learning rate.
        founders: Best of these styles, which evolve; 10 as published, and against defenses all.
        population: Styles that evolve, newcomers among them.
        generations: Of the evolution.
        attraction: Share of the way to the best style that a child goes.
        differences: Weight of the differences between others that a child is moved by.
        batch: Images in memory at once; changes no result beyond rounding.
    """

    prior: Spec = field(default=Spec("style_gan"))
    embedder: Spec = field(default=Spec("facenet", {"weights": "asset"}))
    pretrained: bool = True
    pictures: Annotated[int, Field(ge=1)] = 150_000
    inverse_width: Annotated[int, Field(ge=1)] = 4096
    inverse_epochs: Annotated[int, Field(ge=1)] = 20
    inverse_batch: Annotated[int, Field(ge=1)] = 128
    inverse_lr: Annotated[float, Field(gt=0)] = 1e-3
    top: Annotated[int, Field(ge=1)] | None = None
    samples: Annotated[int, Field(ge=1)] = 1
    starts: Annotated[int, Field(ge=1)] = 16
    steps: Annotated[int, Field(ge=1)] = 20
    lr: Annotated[float, Field(gt=0)] = 0.02
    founders: Annotated[int, Field(ge=1)] = 10
    population: Annotated[int, Field(ge=1)] = 32
    generations: Annotated[int, Field(ge=1)] = 500
    attraction: Annotated[float, Field(ge=0)] = 0.02
    differences: Annotated[float, Field(ge=0)] = 0.1
    batch: Annotated[int, Field(ge=1)] = 200

    paper: ClassVar[str] = "Ye et al., C2FMI: Corse-to-Fine Black-Box Model Inversion Attack, IEEE TDSC"
    access: ClassVar[Access] = Access.SCORES

    def __post_init__(self) -> None:
        if self.founders > min(self.starts, self.population):
            raise PluginError(
                f"c2f_mi with {self.founders} founders of {self.starts} starts in a population of {self.population}",
                "no more founders than either",
                "lower founders, or raise the others",
            )

    def needs(self) -> Mapping[str, Need]:
        """The prior and the embedder."""
        return {"prior": TrainedPrior(self.prior), "embedder": GivenModel(self.embedder, trained=self.pretrained)}

    def within(self, budget: Budget, identities: int, public: int) -> Self:
        """The same with public pictures and generations cut by one factor, where the budget does not reach."""
        pictures = min(self.pictures, public)
        each = self.starts + self.population * (self.generations + 1)
        share = afford.share(budget, pictures + identities * self.samples * each)
        if share == 1:
            return self
        generations = (int(each * share) - self.starts) // self.population - 1
        return replace(self, pictures=max(1, int(pictures * share)), generations=max(1, generations))

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Gives ``samples`` pictures of each label; see `harness.types.Attack.reconstruct`."""
        public, attack = ingredients.public, self.within(view.budget, len(labels), len(ingredients.public))
        afford.tell(self, attack, run)
        if not self.pretrained:
            run.note("its embedder was not trained on faces of other people: a weaker attack than C2FMI")
        embedder = ingredients.given.models["embedder"].to(run.device)
        drawn = torch.randperm(len(public), generator=run.generator("pictures"))[: attack.pictures].sort().values
        wanted = attack.implied(view, embedder, public, drawn, run)
        fine = Fine(attack, view, prior_of(ingredients, run), run)
        keys = [(y, r, i) for y in labels.tolist() for r in range(self.samples) for i in range(self.starts)]
        batch = fine.space.at_once(self.batch)
        coarse = search(view, run, "c2f coarse", keys, self.steps, batch, attack.coarse(fine, embedder, wanted))["w"]
        return fine.refined(coarse, keys)

    def implied(self, view: View, embedder: Classifier, public: Images, drawn: Tensor, run: Run) -> Tensor:
        """The embedding that goes with a certain answer, of each class ``(C, F)``."""
        scores, seen = pairs(view, embedder, public, drawn, self.batch, run)
        inverse = Inverse(view.classes, seen.shape[1], self.inverse_width, run).to(run.device)
        teach(inverse, code(scores, self.top), seen, self.inverse_epochs, self.inverse_batch, self.inverse_lr, run)
        with torch.no_grad():
            embedding: Tensor = inverse(code(torch.eye(view.classes, device=run.device)))
        return embedding

    def coarse(self, fine: Fine, embedder: Classifier, wanted: Tensor) -> Descent:
        """Descends styles until the embedder sees in their pictures what is wanted ``(C, F)``."""

        def start(keys: Sequence[Key]) -> State:
            w = fine.fresh("start", keys, 2)
            return {"w": w, "m": torch.zeros_like(w), "s": torch.zeros_like(w), "y": labels_of(keys, fine.run)}

        def step(keys: Sequence[Key], state: State, t: int) -> Tensor:  # noqa: ARG001
            w = state["w"].requires_grad_(True)
            loss = (embedder.features(fine.space.pictures(w)).float() - wanted[state["y"]]).square().sum(1)
            (g,) = torch.autograd.grad(loss.sum(), w)
            lr = self.lr * DECAY ** (t // EVERY)
            state["w"], state["m"], state["s"] = adam(w.detach(), g, state["m"], state["s"], t, lr)
            return loss.detach()

        return Descent(start, step)

    def fitness(self, scores: Tensor, y: Tensor) -> Tensor:
        """How good pictures with scores ``(N, C)`` are for labels ``(N,)``; see ``top``."""
        own = scores.gather(1, y[:, None])[:, 0]
        if self.top is None or self.top >= scores.shape[1]:
            return own
        told = scores.topk(self.top, dim=1)
        return torch.where((told.indices == y[:, None]).any(1), own, -told.values.sum(1))


class Fine:
    """Styles of a prior, and their evolution on the target's scores.

    Args:
        attack: Settings.
        view: The target.
        prior: Whose styles.
        run: Randomness, progress, checkpoints.

    Attributes:
        space: Where styles lie.
    """

    def __init__(self, attack: C2FMI, view: View, prior: Generator, run: Run) -> None:
        self.attack, self.view, self.prior, self.run = attack, view, prior, run
        self.space = WSpace(prior, view.shape)
        self.rule = Differential(attack.generations, attack.attraction, attack.differences)

    @torch.no_grad()
    def fresh(self, name: str, keys: Sequence[Key], count: int) -> Tensor:
        """For each key the mean of so many of the prior's styles ``(len(keys), w_dim)``."""
        z = self.prior.sample(self.run.generators(name, [(*key, j) for key in keys for j in range(count)]))
        w = self.space.map(z.to(self.run.device), 1.0, None)[:, 0]
        mean: Tensor = w.unflatten(0, (len(keys), count)).mean(1)
        return mean

    def refined(self, coarse: Tensor, keys: Sequence[Key]) -> Images:
        """Pictures of the best that comes of styles ``(N, w_dim)``, whose keys say of which label and sample."""
        a, batch, everybody = self.attack, self.space.at_once(self.attack.batch), torch.arange(self.view.classes)
        w = coarse.to(self.run.device)
        scores = scored(self.view, self.run, "c2f founders", self.space, w, everybody, batch, mirror=False)
        good = a.fitness(scores, torch.tensor([y for y, *_ in keys])).view(-1, a.starts)
        chosen = best(good, a.founders).to(w.device)
        founders = w.view(-1, a.starts, w.shape[1])[torch.arange(len(good))[:, None], chosen]
        populations: list[Key] = [(y, r) for y, r, i in keys if i == 0]
        rows = {key: row for row, key in enumerate(populations)}

        def start(part: Sequence[Key]) -> State:
            x = torch.stack([self.widened(founders[rows[key]], key) for key in part])
            return {"x": x, "f": torch.full(x.shape[:2], -torch.inf, device=x.device), "y": labels_of(part, self.run)}

        descent = Descent(start, self.generation, lambda state: self.space.pictures(fittest(state)))
        together, steps = max(1, batch // a.population), a.generations + 1
        bred = search(self.view, self.run, "c2f fine", populations, steps, together, descent)
        return draw(self.space.pictures, fittest(bred), populations, self.run, batch)

    def widened(self, founders: Tensor, key: Key) -> Tensor:
        """Founders ``(founders, w_dim)`` and newcomers, ``.7 (x1/4 + x2/4 + x3/2)`` of three of them and fresh ones."""
        count = self.attack.population - len(founders)
        if count == 0:
            return founders
        picked = torch.randint(len(founders), (count, PARENTS), generator=self.run.generator("parents", *key))
        x1, x2, x3 = founders[picked.to(founders.device)].unbind(1)
        fresh = self.fresh("newcomers", [(*key, i) for i in range(count)], PARENTS)
        return torch.cat([founders, (1 - FRESH) * ((x1 + x2) / 2 + x3) / 2 + FRESH * fresh])

    @torch.no_grad()
    def generation(self, keys: Sequence[Key], state: State, t: int) -> Tensor:
        """Scores the first populations (t = 0), or breeds generation t - 1: children that are better take over."""
        x = state["x"]
        if t == 0:
            state["f"] = self.worth(x, state["y"])
            return 1 - state["f"].amax(1)
        generators, (_, n, d) = self.run.generators("breed", [(*key, t) for key in keys]), x.shape
        others = torch.stack([torch.randint(n, (n, 8), generator=g) for g in generators]).to(x.device)
        inherits = torch.stack([torch.rand(n, d, generator=g) < 0.5 for g in generators]).to(x.device)
        children = self.rule.children(x, fittest(state), others, inherits, t - 1)
        f = self.worth(children, state["y"])
        better = f > state["f"]
        state["x"] = torch.where(better[:, :, None], children, x)
        state["f"] = f.maximum(state["f"])
        return 1 - state["f"].amax(1)

    def worth(self, x: Tensor, y: Tensor) -> Tensor:
        """Fitness of populations ``(K, n, w_dim)`` for labels ``(K,)``: ``(K, n)``, one query an individual."""
        parts = x.flatten(0, 1).split(self.space.at_once(self.attack.batch))
        scores = torch.cat([self.view.scores(self.space.pictures(part)).float() for part in parts])
        return self.attack.fitness(scores, y.repeat_interleave(x.shape[1])).view(x.shape[:2])


def fittest(state: State) -> Tensor:
    """The best of each population ``(K, w_dim)``, of equal ones the first."""
    rows = torch.arange(len(state["x"]), device=state["x"].device)
    return state["x"][rows, best(state["f"], 1)[:, 0]]
