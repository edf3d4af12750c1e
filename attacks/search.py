"""Searching a prior's latents for what a target remembers: what white-box latent attacks share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from unveil.attacks.frozen import prior_of
from unveil.attacks.loop import resumable_steps
from unveil.attacks.losses import IDENTITY_LOSSES, IdentityLoss
from unveil.attacks.shelf import gone
from unveil.harness.types import (
    Access,
    Generator,
    Images,
    Ingredients,
    Need,
    Run,
    Spec,
    Spent,
    TrainedPrior,
    View,
)
from unveil.harness.words.errors import BudgetSpentError

WAYPOINTS = 6  # steps of a search at which its pictures are kept
CHUNK = 256  # finished pictures that are made at once, at most
State = dict[str, Tensor]
Key = tuple[int, ...]
Identity: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Pixels ``(N, C, H, W)`` in [0, 1] and labels ``(N,)`` to how far each picture is from showing its class ``(N,)``."""


def at(identity: Identity, keys: Sequence[Key], t: int) -> Identity:
    """The identity loss of samples at a step: one that draws random numbers has a method ``at`` that says which."""
    drawing = getattr(identity, "at", None)
    return identity if drawing is None else drawing(keys, t)


def seen_by(view: View, loss: IdentityLoss) -> Identity:
    """The identity loss of what the target alone makes of a picture."""
    return lambda x, y: IDENTITY_LOSSES[loss](view.logits(x).float(), y)


class OverPrior:
    """What all attacks share that search one prior: its name is a setting, and it is what they need."""

    prior: Spec

    def needs(self) -> Mapping[str, Need]:
        """The prior."""
        return {"prior": TrainedPrior(self.prior)}


@runtime_checkable
class Descends(Protocol):
    """An attack that can be made to descend another identity loss than its own, such as LOMMA's.

    Where its samples step, it asks for the loss of that step with `at`.

    Attributes:
        steps: Steps of descent.
        passes: For how many pictures of one person each step evaluates the loss.
    """

    steps: int

    @property
    def passes(self) -> int: ...  # noqa: D102

    def needs(self) -> Mapping[str, Need]:
        """As of any attack; the generator is the prior among it."""
        ...

    def descend(self, view: View, prior: Generator, identity: Identity, labels: Tensor, run: Run) -> Images:
        """Pictures of each label, found by descending that identity loss."""
        ...


class ByLatents(OverPrior, ABC):
    """What GMI, KEDMI and PLG-MI share: they descend an identity loss of the target's logits in a prior's latents."""

    identity: IdentityLoss

    access: ClassVar[Access] = Access.WHITE_BOX

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Gives so many pictures of each label as its settings say; see `harness.types.Attack.reconstruct`."""
        seen = self.seen(view, ingredients, run)
        return self.descend(view, prior_of(ingredients, run), seen, labels, run)

    def seen(self, view: View, ingredients: Ingredients, run: Run) -> Identity:  # noqa: ARG002
        """What it descends by itself."""
        return seen_by(view, self.identity)

    def identity_loss(self, o: Tensor, y: Tensor) -> Tensor:
        """What it descends; see `harness.types.Guided`."""
        return IDENTITY_LOSSES[self.identity](o, y)

    @property
    @abstractmethod
    def passes(self) -> int:
        """For how many pictures of one person each step evaluates the identity loss."""

    @abstractmethod
    def descend(self, view: View, prior: Generator, identity: Identity, labels: Tensor, run: Run) -> Images:
        """Pictures of each label, found by descending that identity loss."""


@dataclass(frozen=True)
class Objective:
    """What is descended: ``L = -realism(G(z)) + λ · identity(G(z), y)``, for each sample alone.

    Attributes:
        prior: G and its critic.
        identity: The identity loss, which knows whom to ask.
        weight: λ.
        run: Precision.
    """

    prior: Generator
    identity: Identity
    weight: float
    run: Run

    def at(self, keys: Sequence[Key], t: int) -> Objective:
        """The objective of samples at a step."""
        return replace(self, identity=at(self.identity, keys, t))

    def __call__(self, z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Latents ``(N, latent)`` and labels ``(N,)`` to the loss and its identity part, each ``(N,)``."""
        with self.run.autocast():
            x = self.prior.synthesize(z)
            identity, realism = self.identity(x, y), self.prior.realism(x)
        return self.weight * identity - realism.float(), identity.detach()


@dataclass(frozen=True)
class Descent:
    """What an attack does to some samples at a time.

    Attributes:
        start: Their first state: tensors whose first axis is the sample.
        step: Changes their state by step t; gives their identity losses ``(N,)``.
        pictures: What a state looks like: pixels ``(N, C, H, W)`` in [0, 1]; None where there is no path to show.
        finished: Told the number of a part and its last state, before that is kept with those of all other parts; it
            may lay by what is too large for that.
        there: Told the number of a part and the last state that was kept of it, whether what was laid by of it can be
            read, if anything was; asked when a search that was interrupted goes on.
    """

    start: Callable[[Sequence[Key]], State]
    step: Callable[[Sequence[Key], State, int], Tensor]
    pictures: Callable[[State], Tensor] | None = None
    finished: Callable[[int, State], None] = lambda part, state: None  # noqa: ARG005
    there: Callable[[int, State], bool] = lambda part, state: True  # noqa: ARG005


def search(
    view: View,
    run: Run,
    name: str,
    keys: Sequence[Key],
    steps: int,
    batch: int,
    descent: Descent,
) -> State:
    """Takes all samples through their steps, so many at a time, with progress and checkpoints.

    Args:
        view: The target; what was asked of it before a kill is counted after it, too.
        run: Progress and checkpoints.
        name: Beside the bar.
        keys: One per sample, the first number its label.
        steps: Steps for each sample; fewer where the view's budget is spent, and equally many for all.
        batch: Samples searched at the same time; bounds memory.
        descent: How a sample starts and steps. Pictures of the first sample of each label are kept at ``WAYPOINTS``
            evenly spaced steps, as the run's ``path pixels`` and ``path labels``.

    Returns:
        The last state of all samples, on the CPU.
    """
    parts = [keys[i : i + batch] for i in range(0, len(keys), batch)]
    found = _Found(view, run, descent.there)
    firsts = set({key[0]: key for key in reversed(keys)}.values())
    marks = {round(k * (steps - 1) / (WAYPOINTS - 1)) for k in range(WAYPOINTS)}
    for i, bar in resumable_steps(run, name, steps * len(parts), found.state, found.restore):
        part, t = divmod(i, steps)
        if len(found.done) > part:  # stopped at its budget
            bar.advance(1)
            continue
        found.since = view.spent if t == 0 else found.since
        view.ration(len(parts[part]), len(keys), found.since, found.before)
        if t == 0:
            found.now.update(descent.start(parts[part]))
        if descent.pictures is not None and t in marks and firsts.intersection(parts[part]):
            found.path.append(_waypoint(descent.pictures, found.now, parts[part], firsts))
        identity = _within_budget(descent.step, parts[part], found.now, t)
        bar.advance(1, **({} if identity is None else {"identity_loss": identity.mean().item()}))
        if identity is None or t == steps - 1:
            descent.finished(part, found.now)
            found.done.append({key: value.detach().cpu() for key, value in found.now.items()})
    view.ration(1, 1, Spent())
    if found.path:
        for kept in ("pixels", "labels"):
            run.keep(f"path {kept}", torch.cat([one[kept] for one in found.path]))
    return {key: torch.cat([one[key] for one in found.done]) for key in found.done[0]}


class _Found:
    """Everything that one step of a search leaves to the next.

    Attributes:
        done: The last states of the parts that are through.
        now: The state of the part that is searched; on the device.
        path: The waypoints.
        before: What had been spent when the search began.
        since: What had been spent when the part began.
    """

    def __init__(self, view: View, run: Run, there: Callable[[int, State], bool]) -> None:
        self._view, self._run, self._there = view, run, there
        self.done: list[State] = []
        self.now: State = {}
        self.path: list[State] = []
        self.before, self.since = view.spent, Spent()

    def state(self) -> dict[str, Any]:
        spent = {"spent": asdict(self._view.spent), "since": asdict(self.since), "before": asdict(self.before)}
        return {"done": self.done, "now": self.now, "path": self.path, **spent}

    def restore(self, saved: Mapping[str, Any]) -> None:
        for part, state in enumerate(saved["done"]):
            if not self._there(part, state):
                raise gone(part)
        self.done.extend(saved["done"])
        self.path.extend(saved["path"])
        self.now.update({key: value.to(self._run.device) for key, value in saved["now"].items()})
        self._view.resume(Spent(**saved["spent"]))
        self.before, self.since = Spent(**saved["before"]), Spent(**saved["since"])


def _within_budget(
    step: Callable[[Sequence[Key], State, int], Tensor], keys: Sequence[Key], now: State, t: int
) -> Tensor | None:
    """The identity losses of a step; None if the budget does not reach for it."""
    try:
        return step(keys, now, t)
    except BudgetSpentError:
        return None


@torch.no_grad()
def _waypoint(pictures: Callable[[State], Tensor], now: State, keys: Sequence[Key], firsts: set[Key]) -> State:
    index = [i for i, key in enumerate(keys) if key in firsts]
    x = pictures({key: value[index] for key, value in now.items()})
    return {"pixels": (x.clamp(0, 1) * 255).round().byte().cpu(), "labels": torch.tensor([keys[i][0] for i in index])}


def labels_of(keys: Sequence[Key], run: Run) -> Tensor:
    """The label of each sample ``(N,)``, on the device."""
    return torch.tensor([key[0] for key in keys], device=run.device)
