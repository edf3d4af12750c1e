"""What a plugin wants besides its settings: priors, surrogates, models, comparers, other attacks. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from pydantic import Field

from unveil.harness.words.errors import PluginError
from unveil.harness.words.spec import LATER, Spec

TAKEN = ("data", "target", "attack", "evaluator", "picture")
"""Roles in a cell that no need can have."""

PRIOR = "prior"
"""Role of the prior that an attack searches."""

NEEDED = "a need of its own"
"""What a plugin's ``content()`` says of a setting that names what it needs: the node of that need says the rest."""

ACCESS = ("labels", "scores", "white-box")
"""Threat models, the least access first; see `unveil.harness.words.names.Access`."""


@dataclass(frozen=True)
class Distillation:
    """How a model learns the target's answers by SGD; the defaults are LOMMA's.

    Attributes:
        epochs: Passes over the pictures.
        batch: Pictures in a batch; the incomplete last one is dropped.
        lr: Learning rate.
        momentum: Momentum.
        weight_decay: L2 penalty.
        halve_every: Epochs after which the learning rate is halved, again and again.
        temperature: Both sides' logits are divided by this.
        cosine: Whether the learning rate falls to nothing along half a cosine instead.
        views: Share of the loss that a random view of each picture has, a crop or its mirror image.
    """

    epochs: Annotated[int, Field(ge=1)] = 20
    batch: Annotated[int, Field(ge=2)] = 64
    lr: Annotated[float, Field(gt=0)] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    halve_every: Annotated[int, Field(ge=1)] = 20
    temperature: Annotated[float, Field(gt=0)] = 1.0
    cosine: Annotated[bool, LATER] = False
    views: Annotated[Annotated[float, Field(ge=0, le=1)], LATER] = 0.0


@dataclass(frozen=True)
class TrainedPrior:
    """A generator, trained on public pictures; one that asks the target is trained anew for each.

    Attributes:
        prior: The prior plugin.
    """

    prior: Spec


@dataclass(frozen=True)
class Surrogate:
    """A model that is distilled from the target through the attack's access, before it begins.

    Attributes:
        model: Architecture and initial weights.
        distillation: How it learns.
        source: The prior whose pictures it is taught on; None for the public pictures.
        samples: Pictures that the source draws for each class; a prior that takes no class draws as many in all.
    """

    model: Spec
    distillation: Distillation = Distillation()
    source: Spec | None = None
    samples: Annotated[int, Field(ge=1)] = 500


@dataclass(frozen=True)
class GivenModel:
    """A model as it is, with whatever weights it brings.

    Attributes:
        model: The model plugin.
        trained: Whether it is of no use without trained weights, such as a network that embeds faces.
    """

    model: Spec
    trained: bool = False


@dataclass(frozen=True)
class GivenComparer:
    """Somebody from outside who compares pictures; see `unveil.harness.types.Comparer`.

    Attributes:
        comparer: The comparer plugin.
    """

    comparer: Spec


@dataclass(frozen=True)
class WrappedAttack:
    """Another attack on the same target, which has been run: what it reconstructed and kept, and the attack itself.

    Attributes:
        attack: The attack plugin. No control that is shown private pictures.
    """

    attack: Spec


Need: TypeAlias = TrainedPrior | Surrogate | GivenModel | GivenComparer | WrappedAttack
KINDS = (TrainedPrior, Surrogate, GivenModel, GivenComparer, WrappedAttack)


def needs_of(plugin: Any) -> dict[str, Need]:
    """What a plugin wants, by role. A bare `Spec` stands for a prior, alone for the one under the role ``prior``.

    Raises:
        PluginError: If that is not what ``needs()`` returns, or a role is none.
    """
    wanted: Any = getattr(plugin, "needs", dict)()  # most metrics and priors want nothing, and need not say so
    given = {PRIOR: wanted} if isinstance(wanted, Spec) else {} if wanted is None else wanted
    name = type(plugin).__name__
    if not isinstance(given, Mapping):
        raise PluginError(
            f"needs() of {name} returned {type(given).__name__}",
            "needs by role, such as {'prior': TrainedPrior(Spec('wgan_gp'))}",
            "see docs/plugins.md",
        )
    return {role: _checked(name, role, need) for role, need in given.items()}


def _checked(name: str, role: Any, need: Any) -> Need:
    if not isinstance(role, str) or not role or role in TAKEN:
        raise PluginError(
            f"{name} needs something under the role {role!r}", f"a name that is none of {', '.join(TAKEN)}", "rename it"
        )
    found = TrainedPrior(need) if isinstance(need, Spec) else need
    if not isinstance(found, KINDS):
        raise PluginError(
            f"needs() of {name} has {type(need).__name__} under {role!r}",
            f"one of {', '.join(kind.__name__ for kind in KINDS)}",
            "see docs/plugins.md",
        )
    return found


def access_of(plugin: Any) -> str | None:
    """The access to the target that an attack or a prior declares; None for a prior that asks it nothing."""
    found = getattr(plugin, "access", None)
    if found is None:  # a prior may still say so in the older way, which knows one access
        return ACCESS[-1] if getattr(plugin, "needs_view", False) else None
    if found not in ACCESS:
        raise PluginError(f"{type(plugin).__name__} has the access {found!r}", f"one of {', '.join(ACCESS)}")
    return str(found)
