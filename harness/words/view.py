"""What an attack may touch of a target, and nothing more."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn, Protocol, TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary

import torch
from torch import Tensor, nn

from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AccessError, BudgetSpentError
from unveil.harness.words.names import Access

NEEDS = {
    "logits": Access.WHITE_BOX,
    "features": Access.WHITE_BOX,
    "features and logits": Access.WHITE_BOX,
    "scores": Access.SCORES,
    "labels": Access.LABELS,
}
"""What can be asked of a target, and the access it takes."""


@dataclass(frozen=True)
class Spent:
    """What an attack has asked of the target so far, in images.

    Attributes:
        queries: Images that the target has answered for.
        gradients: Images that a backward pass went through.
        refused: Whether anything was refused because it was over the budget.
    """

    queries: int = 0
    gradients: int = 0
    refused: bool = False


@dataclass(frozen=True)
class Budget:
    """What an attack may ask at most.

    Attributes:
        queries: Images per attacked identity; None: no limit. The attack as a whole may ask ``identities`` times that.
        gradients: As ``queries``, for backward passes.
        identities: How many identities are attacked.
    """

    queries: int | None = None
    gradients: int | None = None
    identities: int = 1

    def total(self, name: str) -> int | None:
        """What all identities together may spend of ``queries`` or ``gradients``."""
        each: int | None = getattr(self, name)
        return None if each is None else each * self.identities


_NUMBERS = itertools.count()
# A graph knows its meter by number, so that no gradient leads to a count that could be lowered.
_METERS: WeakValueDictionary[int, Meter]


class Meter:
    """Counts what is asked, and refuses what would be over the budget, before it is answered.

    Args:
        budget: The limits.
    """

    def __init__(self, budget: Budget) -> None:
        self.number = next(_NUMBERS)
        _METERS[self.number] = self
        self._budget, self.spent = budget, Spent()
        self._most = {name: budget.total(name) for name in ("queries", "gradients")}

    def charge(self, name: str, count: int) -> None:
        """Counts so many ``queries`` or ``gradients``.

        Raises:
            BudgetSpentError: If that is more than is left; nothing is counted then.
        """
        so_far, most = getattr(self.spent, name), self._most[name]
        if most is not None and so_far + count > most:
            self.spent = replace(self.spent, refused=True)
            raise BudgetSpentError(
                f"{so_far:,} {name} of the target are spent, {count:,} more were asked for, and the budget is {most:,}"
                f" ({getattr(self._budget, name):,} for each of {self._budget.identities} identities)",
                "an attack that stops at its budget and returns what it has",
                f"raise max_{name} in the plan, ask for less, or catch BudgetSpentError in the attack",
            )
        self.spent = replace(self.spent, **{name: so_far + count})

    def ration(self, part: int, whole: int, since: Spent, before: Spent) -> None:
        """Lets ``part / whole`` of what was left after ``before`` be spent beyond ``since``, until the next call."""
        for name in self._most:
            if (total := self._budget.total(name)) is not None:
                left = total - getattr(before, name)
                self._most[name] = min(total, getattr(since, name) + left * part // whole)

    def resume(self, spent: Spent) -> None:
        """Counts at least so much: what an interrupted run had spent."""
        queries, gradients = max(self.spent.queries, spent.queries), max(self.spent.gradients, spent.gradients)
        self.spent = Spent(queries, gradients, self.spent.refused or spent.refused)


class _CountBackward(torch.autograd.Function):
    """The identity, which counts the images that a backward pass goes through."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, meter: int) -> Tensor:
        ctx.meter = meter
        return out.view_as(out)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        if (meter := _METERS.get(ctx.meter)) is not None:  # the harness keeps a view until its attack has ended
            meter.charge("gradients", len(grads[0]))
        return grads[0], None


class Desk(Protocol):
    """Answers for a target: what stands behind a view.

    Attributes:
        access: What may be asked.
        shape: Shape ``(C, H, W)`` of the images that the target takes.
        classes: Number of classes.
        budget: The limits.
    """

    access: Access
    shape: tuple[int, int, int]
    classes: int
    budget: Budget

    def ask(self, part: str, x: Tensor) -> tuple[Tensor, ...]:
        """Answers one of ``NEEDS`` for pixels ``(N, C, H, W)``."""
        ...

    def spent(self) -> Spent:
        """What was asked so far."""
        ...

    def ration(self, part: int, whole: int, since: Spent, before: Spent) -> None:
        """As ``Meter.ration``."""
        ...

    def resume(self, spent: Spent) -> None:
        """As ``Meter.resume``."""
        ...


Compiler: TypeAlias = Callable[[Callable[[Tensor], Tensor]], Callable[[Tensor], Tensor]]
"""Of a function, one that gives the same up to rounding."""


def as_it_is(fn: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The compiler that leaves a function alone."""
    return fn


class LocalDesk:
    """Answers with a classifier in this process.

    Args:
        classifier: The target. Put in evaluation mode and frozen here.
        access: What may be asked.
        shape: Shape ``(C, H, W)`` of the images that the target takes.
        budget: The limits.
        compiler: Makes the passes that gradients go through faster; see `harness.words.run.Run.compile`.
    """

    def __init__(
        self,
        classifier: Classifier,
        access: Access,
        shape: tuple[int, int, int],
        budget: Budget = Budget(),
        compiler: Compiler = as_it_is,
    ) -> None:
        self.access, self.shape, self.budget, self.classes = access, shape, budget, classifier.classes
        self._classifier = classifier.eval().requires_grad_(False)
        self._logits, self._features = compiler(classifier.logits), compiler(classifier.features)
        self._meter = Meter(budget)

    def ask(self, part: str, x: Tensor) -> tuple[Tensor, ...]:
        """Answers one of ``NEEDS`` for pixels ``(N, C, H, W)``.

        Raises:
            AccessError: If the declared access does not allow it.
            BudgetSpentError: If it would be over the budget.
        """
        allow(self.access, part)
        if type(x) not in (Tensor, nn.Parameter):  # a subclass would be told of every operation and every weight
            raise AccessError(f"the target was asked with a {type(x).__name__}", "a plain torch.Tensor")
        self._meter.charge("queries", len(x))
        if NEEDS[part] is Access.WHITE_BOX:
            return self._inside(part, x)
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            # A question is pixels: the answer depends on neither the memory format nor the precision around it, and
            # detached they carry no forward-mode derivative either, which no_grad lets through.
            logits = self._classifier.logits(x.detach().float().clone(memory_format=torch.channels_last))
            return (logits.softmax(-1) if part == "scores" else logits.argmax(-1),)

    def _inside(self, part: str, x: Tensor) -> tuple[Tensor, ...]:
        if part == "logits":
            return (self._counted(self._logits(x)),)
        features = self._counted(self._features(x))
        if part == "features":
            return (features,)
        return features, self._classifier.outputs(self._classifier.head(features))

    def _counted(self, out: Tensor) -> Tensor:
        if not out.requires_grad:
            return out
        counted: Tensor = _CountBackward.apply(out, self._meter.number)  # type: ignore[no-untyped-call]
        return counted

    def spent(self) -> Spent:
        """What was asked so far."""
        return self._meter.spent

    def ration(self, part: int, whole: int, since: Spent, before: Spent) -> None:
        """As ``Meter.ration``."""
        self._meter.ration(part, whole, since, before)

    def resume(self, spent: Spent) -> None:
        """As ``Meter.resume``."""
        self._meter.resume(spent)


def allow(access: Access, part: str) -> None:
    """Refuses what the access does not cover.

    Raises:
        AccessError: If so.
    """
    if access not in (Access.WHITE_BOX, NEEDS[part]):
        raise AccessError(
            f"the attack asked for {part} but declares {access.value} access",
            f"a query that {access.value} access allows",
            "declare the access the attack really needs",
        )


# Views hold nothing, so that no attribute, closure or pickle of one leads to the target.
_DESKS: WeakKeyDictionary[View, Desk]


class View:
    """A target seen through its threat model; every query and every gradient is counted, none over the budget answered.

    Parameters of the target never receive gradients, so a backward pass costs only what the input needs. The view
    itself holds nothing; see docs/threat-model.md for what that means and what it does not.

    Args:
        classifier: The target. Put in evaluation mode and frozen here.
        access: What the attack declared.
        shape: Shape ``(C, H, W)`` of the images that the target takes.
        budget: What the attack may ask at most.
        compiler: As `LocalDesk` has it.
    """

    __slots__ = ("__weakref__",)

    def __init__(
        self,
        classifier: Classifier,
        access: Access,
        shape: tuple[int, int, int],
        budget: Budget = Budget(),
        compiler: Compiler = as_it_is,
    ) -> None:
        _DESKS[self] = LocalDesk(classifier, access, shape, budget, compiler)

    @classmethod
    def at(cls, desk: Desk) -> View:
        """A view of a target for which somebody else answers."""
        view = cls.__new__(cls)
        _DESKS[view] = desk
        return view

    @property
    def access(self) -> Access:
        """What the attack declared."""
        return _DESKS[self].access

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(C, H, W)`` of the images that the target takes."""
        return _DESKS[self].shape

    @property
    def classes(self) -> int:
        """Number of classes."""
        return _DESKS[self].classes

    @property
    def budget(self) -> Budget:
        """What may be asked at most."""
        return _DESKS[self].budget

    @property
    def spent(self) -> Spent:
        """What was asked so far; `resume` is how a search that was interrupted counts what it had spent."""
        return _DESKS[self].spent()

    def logits(self, x: Tensor) -> Tensor:
        """Logits ``(N, C)`` of pixels in [0, 1]; white-box only."""
        return _DESKS[self].ask("logits", x)[0]

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features ``(N, F)``; white-box only."""
        return _DESKS[self].ask("features", x)[0]

    def features_and_logits(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Both of one pass, counted once; white-box only."""
        features, logits = _DESKS[self].ask("features and logits", x)
        return features, logits

    def scores(self, x: Tensor) -> Tensor:
        """Softmax scores ``(N, C)``, without gradient."""
        return _DESKS[self].ask("scores", x)[0]

    def labels(self, x: Tensor) -> Tensor:
        """Predicted labels ``(N,)``, without gradient."""
        return _DESKS[self].ask("labels", x)[0]

    def ration(self, part: int, whole: int, since: Spent, before: Spent = Spent()) -> None:
        """Lets only a share of the budget be spent, until the next call: so that who comes first does not take it all.

        Args:
            part: Samples that are attacked now.
            whole: Samples that are attacked in all.
            since: What had been spent when these samples began.
            before: What had been spent when the first samples began: it is no longer there to be shared.
        """
        _DESKS[self].ration(part, whole, since, before)

    def resume(self, spent: Spent) -> None:
        """Counts what an interrupted run had spent; a count never falls."""
        _DESKS[self].resume(spent)

    def __reduce__(self) -> NoReturn:
        raise AccessError("a view was to be copied or pickled", "one view for one attack", "pass the view itself on")


_METERS = WeakValueDictionary()
_DESKS = WeakKeyDictionary()
