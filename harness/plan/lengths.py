"""Which settings of plugins a rehearsal cuts, and how one number is cut.

They are known by their names, for each kind of plugin. A plugin that calls its lengths otherwise says which they are
with ``cut_by_scale = ("sweeps", "tries")``, in place of the names here; one some of whose settings change nothing
beside the others that it has names those in a property ``idle``, and they are left alone.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from unveil.harness.words.errors import PluginError
from unveil.harness.words.spec import Spec

LENGTHS: Mapping[str, frozenset[str]] = {
    "datasets": frozenset({"people", "private", "max_classes"}),
    "models": frozenset(),
    "defenses": frozenset(),
    "priors": frozenset({"steps", "samples", "pictures", "average"}),
    "attacks": frozenset({
        "steps", "stages", "milestones", "restarts", "draws", "samples", "pool", "candidates", "keep", "views",
        "presamples", "population", "generations", "queries", "first_queries", "patience", "starts", "founders",
        "episodes", "pictures", "neighbours", "tune_steps", "pivot_steps",
    }),
    "metrics": frozenset({"questions"}),
}  # fmt: skip
"""Settings that say how many people there are, or how long something takes; besides, whatever ends in ``epochs``."""

MARKS = "milestones"  # steps or epochs at which something happens: no two need be the same, and none is below 1


def shortened(value: int, share: float, least: int = 1) -> int:
    """A count cut to a share, to the nearest number; no less than the least, and no more than it was.

    >>> shortened(2400, 0.01), shortened(50, 0.001), shortened(0, 0.5), shortened(5, 0.1, least=2)
    (24, 1, 0, 2)
    """
    return min(value, max(least, 1, int(value * share + 0.5)))


def lengths(kind: str, cls: type) -> list[str]:
    """The settings of a plugin that a rehearsal cuts.

    Args:
        kind: Of plugin.
        cls: Its class.

    Raises:
        PluginError: If it names one that it does not have.
    """
    own = [f.name for f in dataclasses.fields(cls)]
    named: tuple[str, ...] | None = getattr(cls, "cut_by_scale", None)
    if named is None:
        return [name for name in own if name in LENGTHS[kind] or name == "epochs" or name.endswith("_epochs")]
    if lost := [name for name in named if name not in own]:
        raise PluginError(
            f"{cls.__name__} has {', '.join(lost)} in cut_by_scale", f"some of {', '.join(own)}", "correct it"
        )
    return list(named)


def short(name: str, value: Any, share: float, hint: Any) -> Any:
    """A setting cut to a share; one that is no number, and no list of such, as it is."""
    if type(value) is int:
        return shortened(value, share, _least(hint))
    if not isinstance(value, list | tuple) or any(type(one) is not int for one in value):
        return plain(value)
    cut = [shortened(one, share) for one in value]
    return sorted(set(cut)) if name == MARKS else cut


def _least(hint: Any) -> int:
    """The smallest number that a type allows; 0 where it does not say."""
    bounds = [bound for one in getattr(hint, "__metadata__", ()) for bound in getattr(one, "metadata", ())]
    found = [getattr(bound, "ge", None) for bound in bounds]
    return max([n for n in found if isinstance(n, int)] + [_least(one) for one in typing.get_args(hint)], default=0)


def of_plugins(hint: Any) -> bool:
    """Whether a setting of this type is a plugin, may be one, or has some."""
    return hint is Spec or any(map(of_plugins, typing.get_args(hint)))


def plain(value: Any) -> Any:
    """A setting as a plan has it."""
    return list(value) if isinstance(value, tuple) else value


def as_spec(value: Any) -> Spec | None:
    """A setting as the plugin that it may name."""
    if isinstance(value, Spec):
        return value
    if isinstance(value, str):
        return Spec(value)
    if not isinstance(value, Mapping) or not isinstance(value.get("use"), str):
        return None
    rest = {name: one for name, one in value.items() if name != "use"}
    return Spec(value["use"], rest["settings"] if isinstance(rest.get("settings"), Mapping) else rest)
