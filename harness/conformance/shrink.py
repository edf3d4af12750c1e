"""Smaller settings, so that trying a plugin out takes seconds."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from unveil.harness.plan import settings as plugin_settings
from unveil.harness.words.errors import PluginError
from unveil.harness.words.needs import TrainedPrior, needs_of
from unveil.harness.words.spec import Spec

SMALL: Mapping[str, int] = {
    "steps": 3, "iterations": 3, "epochs": 2, "rounds": 2, "generations": 2, "every": 1, "episodes": 12,
    "restarts": 2, "draws": 2, "samples": 2, "candidates": 2, "population": 4, "queries": 50,
    "pool": 8, "presamples": 16, "keep": 1, "views": 2,
    "batch": 8, "width": 4, "pictures": 6, "private": 4, "public": 4,
}  # fmt: skip
"""Whole-number settings whose name ends in one of these words are lowered to that much, if the plugin allows it."""


def shrunk(kind: str, spec: Spec, base: Path) -> Any:
    """The plugin with the settings that decide its cost lowered; settings that ``spec`` gives are kept.

    The rule: a whole number whose name ends in a word of ``SMALL`` (``steps`` as well as ``critic_steps``) becomes at
    most the number there. One that the plugin refuses is tried again after the others, and stays as it was if the
    plugin still refuses it.

    Raises:
        PluginError: If the plugin cannot be made at all.
    """
    return plugin_settings.make(kind, lowered(kind, spec, base), base)


def lowered(kind: str, spec: Spec, base: Path) -> Spec:
    """The spec of the same plugin, smaller; so are attacks that run inside it, and priors that a prior is made from."""
    plugin = plugin_settings.make(kind, spec, base)
    fixed = plugin_settings.reshaped(type(plugin), spec.settings, base)
    settings: dict[str, Any] = dict(fixed)
    within = [("attacks", name, held) for name, held in plugin_settings.held_attacks(plugin).items()]
    within += [("priors", name, spec) for name, spec in _made_from(kind, plugin)]
    for inside, name, spec_within in within:
        inner = lowered(inside, spec_within, base)
        settings[name] = {"use": inner.use, "settings": dict(inner.settings)}
    before: dict[str, Any] | None = None
    while settings != before:  # one setting may have to wait for another: no more kept than there are candidates
        before = dict(settings)
        for field in dataclasses.fields(plugin):
            value, small = getattr(plugin, field.name), SMALL.get(field.name.split("_")[-1])
            if field.name in fixed or type(value) is not int or small is None or value <= small:
                continue
            try:
                plugin = plugin_settings.make(kind, Spec(spec.use, {**settings, field.name: small}), base)
                settings[field.name] = small
            except PluginError:  # below what the setting allows
                continue
    return Spec(spec.use, settings)


def _made_from(kind: str, plugin: Any) -> Iterator[tuple[str, Spec]]:
    """The settings of a prior that name others which it needs: it builds networks by those others' settings."""
    wanted = [need.prior for need in needs_of(plugin).values() if isinstance(need, TrainedPrior)]
    if kind == "priors":
        named = ((field.name, getattr(plugin, field.name)) for field in dataclasses.fields(plugin))
        yield from ((name, value) for name, value in named if isinstance(value, Spec) and value in wanted)


def changes(before: Any, after: Any) -> str:
    """What was lowered, in words."""
    names = [field.name for field in dataclasses.fields(before)]
    lowered = [name for name in names if getattr(before, name) != getattr(after, name)]
    return ", ".join(f"{name} = {getattr(after, name)}" for name in lowered)
