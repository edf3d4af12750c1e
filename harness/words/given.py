"""What plugins are given of what they need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from unveil.harness.words.classifier import Classifier
from unveil.harness.words.comparer import Comparer
from unveil.harness.words.generator import Generator
from unveil.harness.words.images import Images

if TYPE_CHECKING:
    from unveil.harness.words.attack import Attack


@dataclass(frozen=True)
class Given:
    """What a plugin asked for with ``needs()``, by role. It is shared with others: copy what is to change.

    Attributes:
        priors: Trained generators, in evaluation mode.
        models: Surrogates, and models as they are, for the data's people; in evaluation mode, frozen.
        comparers: Who compares pictures.
        attacks: Other attacks on the same target, which have been run.
    """

    priors: Mapping[str, Generator] = field(default_factory=dict)
    models: Mapping[str, Classifier] = field(default_factory=dict)
    comparers: Mapping[str, Comparer] = field(default_factory=dict)
    attacks: Mapping[str, Attempt] = field(default_factory=dict)


@dataclass(frozen=True)
class Ingredients:
    """What an attack is given besides the target: nothing private, and never an evaluator.

    Attributes:
        prior: The trained generator that it asked for under the role ``prior``; None if it did not.
        public: Public pictures.
        surrogates: The attacker's own models, distilled from the target, in the order in which it asked for them.
        given: All that it asked for, by role, these included.
    """

    prior: Generator | None
    public: Images
    surrogates: Sequence[Classifier] = ()
    given: Given = field(default_factory=Given)


@dataclass(frozen=True)
class Attempt:
    """Another attack on the same target: what came of it, and all that it takes to run it again.

    To run it with another prior: ``attempt.attack.reconstruct(view, replace(attempt.ingredients, prior=mine), labels,
    run)``. What that asks of the target counts for the attack that does so.

    Attributes:
        attack: The attack.
        images: All its reconstructions.
        kept: What it kept beside them, by name; see `Run.keep`.
        ingredients: What it was given.
    """

    attack: Attack
    images: Images
    kept: Mapping[str, Tensor]
    ingredients: Ingredients
