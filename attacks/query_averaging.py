"""Query averaging: where an attack asks about a picture, it hears the mean of what is said about its neighbours."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from unveil.attacks.around import AroundBase
from unveil.harness.plan import plugins
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.types import Access, Attack, Budget, Images, Ingredients, Run, Spec, Spent, View, draw_normal
from unveil.harness.words.desk import allow
from unveil.harness.words.errors import PluginError
from unveil.harness.words.needs import access_of
from unveil.harness.words.spec import HeldAttack

Mean: TypeAlias = Literal["arithmetic", "geometric"]
LEAST = 1e-30  # a score of exactly 0 has no logarithm
OWN = 0.5  # votes that the picture's own label has beside its one, so that ties are its own


@dataclass(frozen=True)
class QueryAveraging(AroundBase):
    """Query averaging: an attack that is told scores or labels, made to ask about each picture's neighbourhood.

    The standard answer to a defense that adds noise to answers or rounds them. Noise that is settled by the answer
    cannot be averaged away by asking again, but a picture that is moved a little meets other noise; and what is rounded
    away of one answer stays in the mean of many that differ a little, as in dithering. Labels are put to the vote.

    The neighbours are the picture and ``neighbours - 1`` copies with Gaussian noise, in pairs whose noise is opposite,
    so that slopes cancel in the mean. The noise is drawn once and is the same for every question: two answers differ by
    what was asked, and not by what was drawn.

    Each question costs as many queries as there are neighbours, and a budget is kept in queries: the base is told that
    it has so many times fewer. What a prior or a surrogate asks before the attack begins is not averaged.

    Attributes:
        base: The attack, with its settings: one that is told scores or labels, such as ``mirror``, ``rlb_mi``,
            ``smile``, ``c2f_mi`` or ``brep_mi``.
        neighbours: K, pictures that are asked about for each question; 1 is the base as it is.
        sigma: Standard deviation of the noise on each pixel, whose range is 1; .004 is one step of 8 bits. Too little
            meets the same noise and the same rounding again, too much blurs what the target knows.
        mean: Of scores: ``"arithmetic"``, which is right where they are rounded, or ``"geometric"``, the mean of
            logits, which is right where noise is on these.
    """

    base: HeldAttack = field(default=Spec("mirror"))
    neighbours: Annotated[int, Field(ge=1, le=1024)] = 16
    sigma: Annotated[float, Field(gt=0, le=1)] = 0.02
    mean: Mean = "arithmetic"

    paper: ClassVar[str] = (
        "Expectation over transformations: Athalye et al., Synthesizing Robust Adversarial Examples, ICML 2018; "
        "dithering: Schuchman, Dither Signals and Their Effect on Quantization Noise, 1964"
    )

    def __post_init__(self) -> None:
        self.attack()

    @property
    def access(self) -> Access:
        """The base's."""
        return Access(str(access_of(self.attack())))

    def attack(self) -> Any:
        """The base.

        Raises:
            PluginError: If it cannot be made, has the weights, or is a control.
        """
        cls = plugins.load("attacks", self.base.use, Path())
        made: Any = plugin_settings.validated(cls, self.base.use, self.base.settings, Path())
        if plugins.role(cls) or access_of(made) not in (Access.SCORES, Access.LABELS):
            why = "is a control" if plugins.role(cls) else "has the weights, and so meets no defense of answers"
            raise PluginError(
                f"{self.base.use} cannot be the base of query_averaging: it {why}",
                "an attack that is told scores or labels, such as mirror or brep_mi",
                "choose another base; for an attack with gradients there is align_mi",
            )
        return made

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Gives as many pictures of each label as the base; see `harness.types.Attack.reconstruct`."""
        base: Attack = self.attack()
        before = view.spent.queries
        found = base.reconstruct(View.at(Neighbours(self, view, run)), ingredients, labels, run)
        if view.spent.queries == before:
            run.note(f"{self.base.use} asked nothing itself, so nothing was averaged")
        return found


class Neighbours:
    """Answers for a target with the mean over neighbours; see `harness.words.desk.Desk`.

    Args:
        attack: How many neighbours, how far, and which mean.
        view: The target.
        run: Random numbers of the noise.
    """

    def __init__(self, attack: QueryAveraging, view: View, run: Run) -> None:
        self.access, self.shape, self.classes = view.access, view.shape, view.classes
        self.budget = shared(view.budget, attack.neighbours)
        keys = [(pair,) for pair in range(attack.neighbours // 2)]
        drawn = [attack.sigma * e for e in draw_normal(run.generators("neighbours", keys), view.shape)] if keys else []
        self._noise = [sign * e for e in drawn for sign in (1, -1)][: attack.neighbours - 1]
        self._view, self._mean = view, attack.mean

    def ask(self, part: str, x: Tensor) -> tuple[Tensor, ...]:
        """The mean of the scores of pixels ``(N, C, H, W)``, or the label that most neighbours have.

        Neighbours are asked about one after the other, so that no more is in memory than without them.

        Raises:
            AccessError: If the declared access does not allow it.
            BudgetSpentError: If it would be over the budget.
        """
        allow(self.access, part)
        if part == "labels":
            return (self._voted(x),)
        own = self._view.scores(x)
        if not self._noise:
            return (own,)
        total = self._in(own)
        for e in self._noise:
            total = total + self._in(self._view.scores(self._moved(x, e)))
        mean = total / (1 + len(self._noise))
        return (mean if self._mean == "arithmetic" else mean.softmax(1),)

    def _in(self, scores: Tensor) -> Tensor:
        """Scores as they are averaged."""
        return scores if self._mean == "arithmetic" else scores.clamp_min(LEAST).log()

    def _voted(self, x: Tensor) -> Tensor:
        own = self._view.labels(x)
        votes = (1 + OWN) * F.one_hot(own, self.classes)
        for e in self._noise:
            votes = votes + F.one_hot(self._view.labels(self._moved(x, e)), self.classes)
        return votes.argmax(1)

    @staticmethod
    def _moved(x: Tensor, e: Tensor) -> Tensor:
        return (x.detach() + e.to(x)).clamp(0, 1)

    def spent(self) -> Spent:
        """What was asked of the target, neighbours and all."""
        return self._view.spent

    def ration(self, part: int, whole: int, since: Spent, before: Spent) -> None:
        """As ``Meter.ration``."""
        self._view.ration(part, whole, since, before)

    def resume(self, spent: Spent) -> None:
        """As ``Meter.resume``."""
        self._view.resume(spent)


def shared(budget: Budget, neighbours: int) -> Budget:
    """A budget in questions, each of which costs so many queries; one question at least.

    Example:
        >>> shared(Budget(1000, None, 3), 16).queries
        62
    """
    return budget if budget.queries is None else replace(budget, queries=max(1, budget.queries // neighbours))
