"""PPDG-MI's second round: the same attack, in a copy of the prior that was tuned for one person."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from unveil.attacks.allowance import LIMITED, PersonRun, allowed, of_person
from unveil.attacks.priors.retuning import Lessons
from unveil.harness.types import Attempt, Budget, Generator, Images, Run, Spent, View
from unveil.harness.words.gathering import gathered, rounded
from unveil.harness.words.needs import PRIOR
from unveil.harness.words.pixels import HELD

if TYPE_CHECKING:
    from unveil.attacks.ppdg_mi import PPDGMI


@dataclass(frozen=True)
class SecondRound:
    """What happens to one person after the other, none of which knows of another.

    Attributes:
        attack: The settings, cut to the budget.
        first: The base with what it has found.
        prior: Which is copied.
        lessons: How copies are tuned.
        each: What a person may ask.
        view: The target.
        run: Randomness, checkpoints, notes.
    """

    attack: PPDGMI
    first: Attempt
    prior: Generator
    lessons: Lessons
    each: Budget
    view: View
    run: Run

    def of_all(self, labels: Tensor) -> Images:
        """The pictures of all people."""
        found: list[dict[str, Any]] = []

        def one_by_one() -> Iterator[Tensor]:
            for y in labels.tolist():
                found.append(self._of(y, len(labels)))
                yield found[-1].pop("pixels")

        parts = one_by_one()
        first = next(parts)
        images = gathered(chain([first], parts), labels.cpu().repeat_interleave(len(first)), self.run.scratch)
        for note in dict.fromkeys(note for one in found for note in one["notes"]):
            self.run.note(note)
        for name in found[0]["kept"]:
            self.run.keep(name, torch.cat([one["kept"][name] for one in found]))
        return images

    def _of(self, y: int, people: int) -> dict[str, Any]:
        """What came of a person: done once, however often the attack is interrupted."""
        name = f"ppdg_mi person {y}"
        done = self.run.load(name)
        if done is None:
            own = of_person(self.run, y)
            images = self._attacked(y, own)
            pixels, of = images.pixels, people * images.labels.numel()
            if 4 * of * pixels[0].numel() > HELD:
                pixels = rounded(pixels, of)
            done = {"pixels": pixels, "kept": own.kept, "notes": own.notes}
            self.run.save(name, {**done, "spent": asdict(self.view.spent)})
        else:
            self.view.resume(Spent(**done["spent"]))
        return done

    def _attacked(self, y: int, own: PersonRun) -> Images:
        mine, each = copy.deepcopy(self.prior), self.each
        if self.attack.tune_steps:
            share = allowed(self.view, each)
            self._tuned(mine, y, share, own)
            each = left_of(each, share.spent)
        given = self.first.ingredients
        searched = replace(given, prior=mine, given=replace(given.given, priors={**given.given.priors, PRIOR: mine}))
        return self.first.attack.reconstruct(allowed(self.view, each), searched, torch.tensor([y]), own)

    def _tuned(self, mine: Generator, y: int, share: View, own: PersonRun) -> None:
        mine.to(own.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        of = self.first.images[self.first.images.labels == y]
        x = of.at(self.attack.choice().of(of, y, share, own)).to(own.device)
        tuning = replace(own, names=("tuning", y))
        self.lessons.tune(mine, x, y, share, tuning, self.attack.tune_steps)


def left_of(each: Budget, spent: Spent) -> Budget:
    """What is left of a person's budget."""
    queries, gradients = (
        None if (most := getattr(each, name)) is None else most - getattr(spent, name) for name in LIMITED
    )
    return Budget(queries, gradients)
