"""A prior can do what the attack asks of it that searches it: one that cannot is refused before it is trained."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import torch

from unveil.harness.plan.node import Node, Use
from unveil.harness.training.global_rng import seeded
from unveil.harness.words.attack import Demanding
from unveil.harness.words.errors import PlanError, UnveilError
from unveil.harness.words.generator import Generator
from unveil.harness.words.needs import PRIOR
from unveil.harness.words.run import Run

COLOURS = (3, 1)  # of pictures: a plan does not say which
SIDE = 64  # of pictures where a plan does not say it: every kind of prior here can draw them
Searched: TypeAlias = tuple[Use, int | None]
"""A prior, and the side of the pictures that are asked of it, if a plan says it."""


class _Built(NamedTuple):
    generator: Generator
    shape: tuple[int, int, int]


def require(attacks: Iterable[tuple[str, Node]]) -> None:
    """Refuses attacks whose prior cannot serve them, or those that they wrap; each prior is built once.

    Args:
        attacks: What the plan calls each, and its node.

    Raises:
        PlanError: If one would be refused once its prior is trained.
    """
    found: dict[Searched, dict[Use, str]] = {}
    for label, attack in attacks:
        for node in attack.lineage():
            if node.kind == "attack" and (prior := node.needs.get(PRIOR)) is not None:
                searched = prior.uses["prior"][0], node.options.get("resolution")
                found.setdefault(searched, {}).setdefault(node.uses["attack"][0], label)
    for (prior_use, side), searching in found.items():
        some = {use: label for use, label in searching.items() if _asks(use.plugin, side)}
        built = _built(prior_use.plugin, side) if some else None
        for use, label in some.items():
            if (refused := _refused(use.plugin, built)) is not None:
                whose = f"the attack {label!r} of the plan: the prior {prior_use.name!r} of {use.name}"
                raise PlanError(f"{whose}: {refused.what}", refused.expected, refused.todo) from refused


def refusal(attack: Any, prior: Any, side: int | None) -> UnveilError | None:
    """Why an attack cannot search a prior, by the prior's networks before they are trained; None if it may.

    What networks do not say untrained, the attack will when it begins.

    Args:
        attack: The plugin.
        prior: The plugin.
        side: Of the pictures that they work with; None if the plan does not say so.
    """
    return _refused(attack, _built(prior, side)) if _asks(attack, side) else None


def _asks(attack: Any, side: int | None) -> bool:
    """Whether there is anything to find out."""
    return side is not None or isinstance(attack, Demanding)


def _refused(attack: Any, built: _Built | UnveilError | None) -> UnveilError | None:
    if not isinstance(built, _Built):
        return built
    said = _tried(partial(attack.require_prior, *built)) if isinstance(attack, Demanding) else None
    return said if isinstance(said, UnveilError) else None


def _built(prior: Any, side: int | None) -> _Built | UnveilError | None:
    """A prior's untrained networks; why it has none for pictures of that side, or None where that cannot be told."""
    errors = []
    for colours in COLOURS:
        shape = (colours, side or SIDE, side or SIDE)
        made = _tried(partial(prior.build, 2, shape))
        if isinstance(made, Generator):
            return _Built(made.eval().requires_grad_(False), shape)
        errors.append(made)
    return errors[0] if side is not None and all(isinstance(one, UnveilError) for one in errors) else None


def _tried(do: Callable[[], Any]) -> Any:
    """What comes of it, or the error that it is refused by; None where it breaks, as it may here."""
    with warnings.catch_warnings(), torch.no_grad(), seeded(Run("untrained")):
        warnings.simplefilter("ignore")
        try:
            return do()
        except UnveilError as error:
            return error
        except Exception:  # anybody's networks, of a size that nobody asked for
            return None
