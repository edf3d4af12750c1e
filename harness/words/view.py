"""What an attack may touch of a target, and nothing more."""

from __future__ import annotations

from typing import NoReturn
from weakref import WeakKeyDictionary

from torch import Tensor

from unveil.harness.words.classifier import Classifier
from unveil.harness.words.desk import Desk, LocalDesk
from unveil.harness.words.errors import AccessError
from unveil.harness.words.folding import Compiler, as_it_is
from unveil.harness.words.meter import Budget, Spent
from unveil.harness.words.names import Access

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


_DESKS = WeakKeyDictionary()
