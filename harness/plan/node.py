"""Units of work and the plugins they use: what is asked, and under which key the answer is kept."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unveil.harness.plan import settings as plugin_settings
from unveil.harness.plan.canonical import digest
from unveil.harness.plan.fingerprint import fingerprint
from unveil.harness.plan.plugins import origin
from unveil.harness.words.account import Remark
from unveil.harness.words.errors import AssetError, PluginError, WeightsError
from unveil.harness.words.needs import TAKEN
from unveil.harness.words.spec import Spec

NEEDY = ("attack", "prior", "student", "measure")  # kinds of nodes whose plugins may need something
STEPS = "unveil.harness.steps"
FILES = {"weights": "pretraining"}  # where a kind, which is part of identities, has another name than its step
SCHEMA = 2  # raised when the meaning of stored artefacts changes


def step(name: str) -> Any:
    """The module of a kind of step, found by name: what one step computes does not hang on how another one does it.

    Whoever needs another step's answer has its node for a parent, and so its code in the key.
    """
    return importlib.import_module(f"{STEPS}.{name}")


@dataclass(frozen=True)
class Use:
    """A plugin that a node uses: enough to make it again in another process.

    Attributes:
        kind: One of ``plugins.OFFERS``.
        spec: The plugin and its settings.
        base: Folder that relative files are looked for in.
        may_lack: Whether the files that it reads may not be there: whatever needs it is then not scored, and asked for
            again by the next run.
    """

    kind: str
    spec: Spec
    base: str
    may_lack: bool = False

    def make(self) -> Any:
        """The plugin, made anew: whoever computes with it shares it with nobody."""
        return plugin_settings.make(self.kind, self.spec, Path(self.base))

    @functools.cached_property
    def plugin(self) -> Any:
        """The plugin, made once, to be asked about itself while a plan is expanded."""
        return self.make()

    @property
    def name(self) -> str:
        """What the plugin is called: its registered name, or its class in a file."""
        return self.spec.use.rpartition(":")[2]

    def afresh(self) -> Use:
        """The same plugin, of which nothing is known yet."""
        return Use(self.kind, self.spec, self.base, self.may_lack)

    def having(self, settings: Mapping[str, Any]) -> Use:
        """The same plugin with other settings."""
        return Use(self.kind, Spec(self.spec.use, dict(settings)), self.base)

    @functools.cached_property
    def question(self) -> dict[str, Any]:
        """What enters the identity."""
        try:
            return plugin_settings.question(self.spec, self.plugin, Path(self.base))
        except (AssetError, WeightsError):
            if not self.may_lack:
                raise
            return {"use": self.spec.use, "settings": plugin_settings.said(self.plugin), "absent": True}

    @functools.cached_property
    def passed_over(self) -> tuple[Remark, ...]:
        """What lies beside a data set's pictures now; of no identity, since it is not used."""
        return tuple(getattr(self.plugin, "passed_over", tuple)())  # a plugin that reads no folder need not say so

    @functools.cached_property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know of the files it reads, which are tried out here.

        Raises:
            UnveilError: If they cannot be used.
        """
        try:
            return tuple(getattr(self.plugin, "preflight", tuple)())  # a plugin that reads nothing need not say so
        except AssetError:
            if not self.may_lack:
                raise
            return ()

    @functools.cached_property
    def origins(self) -> dict[str, str]:
        """Where its code comes from, and that of plugins that run inside it, by kind and name."""
        uses = [self, *self._inside]
        return {
            f"{use.kind} {plugin_settings.bare(use.spec.use)}": origin(use.kind, use.spec.use, Path(use.base))
            for use in uses
        }

    @functools.cached_property
    def modules(self) -> tuple[str, ...]:
        """Modules whose source enters the key: the plugin's, and those of plugins that run inside it."""
        return (str(type(self.plugin).__module__), *(module for one in self._inside for module in one.modules))

    @property
    def _inside(self) -> list[Use]:
        return [Use(kind, spec, self.base) for kind, spec in plugin_settings.inside(self.plugin)]

    def __getstate__(self) -> dict[str, Any]:
        """Without the plugin: another process may know its class under another module, or must import it first."""
        return {name: value for name, value in self.__dict__.items() if name != "plugin"}


@dataclass(frozen=True)
class Node:
    """A unit of work.

    Attributes:
        kind: What kind of work; see ``step``.
        label: Short name for people.
        uses: Plugins by role; a stack of defenses is several.
        options: JSON-able settings of the stage itself.
        parents: Nodes it needs, by role.
        stream: What its random numbers are derived from, besides the kind. The defense is deliberately not
            part of a target's stream, nor the target of an attack's: all defenses start from the same
            weights, see the same batches and are attacked from the same latents (common random numbers).
    """

    kind: str
    label: str
    uses: Mapping[str, tuple[Use, ...]] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    parents: Mapping[str, Node] = field(default_factory=dict)
    stream: Mapping[str, Any] = field(default_factory=dict)

    @property
    def step(self) -> str:
        """Module that asks for, computes and reads back this kind of work."""
        return f"{STEPS}.{FILES.get(self.kind, self.kind)}"

    @functools.cached_property
    def identity(self) -> str:
        """Hash of what is asked."""
        return digest(
            {
                "kind": self.kind,
                "uses": {role: [use.question for use in uses] for role, uses in self.uses.items()},
                "options": dict(self.options),
                "parents": {role: node.identity for role, node in self.parents.items()},
                "stream": dict(self.stream),
            }
        )

    @functools.cached_property
    def key(self) -> str:
        """Name of the artefact: identity, the code that answers, and the parents' keys."""
        return self._key([use for uses in self.uses.values() for use in uses])

    def _key(self, uses: Iterable[Use]) -> str:
        modules = sorted({module for use in uses for module in use.modules})
        return digest(
            {
                "identity": self.identity,
                "code": fingerprint(self.step, *modules),
                "schema": SCHEMA,
                "parents": {role: node.key for role, node in self.parents.items()},
            }
        )

    def require_same_code(self) -> None:
        """Proves that the code that would answer in this process is the one in the key, which another process made.

        Raises:
            PluginError: If not, or if a plugin cannot be made here.
        """
        if self._key([use.afresh() for uses in self.uses.values() for use in uses]) != self.key:
            raise PluginError(
                f"{self.label}: the code here is not that of the plan: a file was changed since the run began, or this "
                "machine has another version of unveil or of a plugin",
                "the code that the result is named by",
                "run the same command again; on several machines, install the same versions",
            )

    @functools.cached_property
    def randomness(self) -> str:
        """Identity that the node's random numbers are drawn for."""
        return digest({"kind": self.kind, "stream": dict(self.stream)})

    @property
    def origins(self) -> dict[str, str]:
        """Where the code of its plugins comes from, by kind and name."""
        return {name: told for uses in self.uses.values() for use in uses for name, told in use.origins.items()}

    @property
    def needs(self) -> dict[str, Node]:
        """What its plugin asked for, by role."""
        if self.kind not in NEEDY:
            return {}
        return {role: parent for role, parent in self.parents.items() if role not in TAKEN}

    def lineage(self) -> Iterator[Node]:
        """All nodes it needs, then itself, parents first; may repeat."""
        for parent in self.parents.values():
            yield from parent.lineage()
        yield self

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Node) and self.key == other.key
