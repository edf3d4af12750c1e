"""Gives a plugin on trial what it needs: trained, distilled, run or built in a few steps, in the tiny world."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from unveil.harness.conformance import tiny
from unveil.harness.conformance.report import BreachError
from unveil.harness.conformance.shrink import shrunk
from unveil.harness.conformance.watch import Tensors
from unveil.harness.plan import settings
from unveil.harness.steps.model import require_weights
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError
from unveil.harness.words.generator import Generator
from unveil.harness.words.given import Attempt, Given, Ingredients
from unveil.harness.words.needs import (
    PRIOR,
    GivenComparer,
    GivenModel,
    Need,
    Surrogate,
    TrainedPrior,
    WrappedAttack,
    needs_of,
)
from unveil.harness.words.run import Run
from unveil.harness.words.spec import untrained


def wanted(plugin: Any) -> dict[str, Need]:
    """What a plugin says it needs.

    Raises:
        BreachError: If that is nothing that can be needed.
    """
    try:
        return needs_of(plugin)
    except PluginError as error:
        raise BreachError(error.what, error.expected, error.todo) from error


def supplied(plugin: Any, base: Path) -> Given:
    """All that a plugin needs, by role.

    Args:
        plugin: Whose ``needs()`` are met.
        base: Folder of relative files.

    Raises:
        AssetError: If a model's weights cannot be had here.
    """
    found = Given({}, {}, {}, {})
    for role, need in wanted(plugin).items():
        match need:
            case TrainedPrior(spec):
                prior = trained(shrunk("priors", untrained(spec), base), base)
                found = replace(found, priors={**found.priors, role: prior})
            case Surrogate():  # what it knows is the harness's business
                student = tiny.untrained(f"student {role}").eval().requires_grad_(False)
                found = replace(found, models={**found.models, role: student})
            case GivenModel():
                found = replace(found, models={**found.models, role: built(need, base)})
            case GivenComparer(spec):
                made = settings.make("comparers", spec, base)
                found = replace(found, comparers={**found.comparers, role: made})
            case WrappedAttack(spec):
                done = attempted(shrunk("attacks", spec, base), base)
                found = replace(found, attacks={**found.attacks, role: done})
    return found


def trained(prior: Any, base: Path) -> Generator:
    """A prior after a few steps."""
    from unveil.harness.conformance import priors  # noqa: PLC0415 (a prior on trial may need something, too)

    learnt = priors.trial(prior, base)
    assert learnt.first
    return learnt.generator


def built(need: GivenModel, base: Path) -> Classifier:
    """A model for the tiny world, frozen."""
    model = settings.make("models", need.model, base)
    require_weights(model, need.model.use.rpartition(":")[2], trained=need.trained)
    made: Classifier = model.build(tiny.CLASSES, tiny.SHAPE, Run("conformance given"))
    return made.eval().requires_grad_(False)


def attempted(attack: Any, base: Path) -> Attempt:
    """An attack that has been run on the tiny target."""
    from unveil.harness.conformance.attacks import AttackTrial  # noqa: PLC0415 (see above)

    trial, run = AttackTrial(attack, base), Run("conformance wrapped")
    images = trial.attack(torch.arange(tiny.CLASSES), run)
    return Attempt(attack, images, dict(run.kept), trial.ingredients)


def ingredients(plugin: Any, base: Path) -> Ingredients:
    """What an attack is given, with public pictures as large as those of its priors."""
    given = supplied(plugin, base)
    surrogates = [given.models[role] for role, need in wanted(plugin).items() if isinstance(need, Surrogate)]
    return Ingredients(given.priors.get(PRIOR), tiny.public(_side(given)), surrogates, given)


def _side(given: Given) -> int:
    with torch.no_grad():
        for prior in given.priors.values():
            drawn = prior.sample(Run("conformance side").generators("z", [(0,)]))
            return int(prior.synthesize(drawn).shape[-1])
    for attempt in given.attacks.values():
        return attempt.images.shape[-1]
    return tiny.SHAPE[-1]


def tensors(given: Given) -> Tensors:
    """Everything in it that must stay as it is."""
    networks = {
        **{f"prior {role!r}": network for role, network in given.priors.items()},
        **{f"model {role!r}": network for role, network in given.models.items()},
    }
    found = {
        f"{name} of the {what}": tensor
        for what, network in networks.items()
        for name, tensor in network.state_dict().items()
    }
    for role, attempt in given.attacks.items():
        found[f"pictures of the attack {role!r}"] = attempt.images.pixels
        found |= {f"{name} (of the attack {role!r})": t for name, t in tensors(attempt.ingredients.given).items()}
    return found
