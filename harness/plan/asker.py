"""What all steps need to ask their questions: the plan, and its plugins, each made and tried out once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unveil.harness.plan import plugins, settings
from unveil.harness.plan.complaints import require_own
from unveil.harness.plan.file import Plan, PlanFile
from unveil.harness.plan.node import Use
from unveil.harness.words.spec import Spec

if TYPE_CHECKING:
    from unveil.harness.words.recipe import Recipe


class Asker:
    """Turns the parts of one plan into what nodes are made of.

    Args:
        file: The plan.

    Attributes:
        plan: What it says.
        base: Folder that relative paths are taken from.
        notes: What a reader must know of the files that plugins read, once for each plugin.
        asking: Plugins whose needs are being asked for, the outermost first.
    """

    def __init__(self, file: PlanFile) -> None:
        self.plan: Plan = file.plan
        self.base = str(file.base)
        self.notes: list[str] = []
        self.asking: list[Use] = []
        self._made: dict[tuple[str, Spec, bool], Use] = {}
        self._tried: set[tuple[Any, ...]] = set()

    def use(self, kind: str, spec: Spec, *, may_lack: bool = False) -> Use:
        """The same object for the same plugin, so that files are hashed and tried out once."""
        if (kind, spec, may_lack) not in self._made:
            own = plugins.load(kind, spec.use, Path(self.base)).__dataclass_fields__  # type: ignore[attr-defined]
            require_own(spec.use, spec.settings, own, Plan.model_fields)
            made = self._made[kind, spec, may_lack] = Use(kind, spec, self.base, may_lack)
            self.notes += [f"{spec.use}: {note}" for note in made.notes]
        return self._made[kind, spec, may_lack]

    def is_first(self, *tried: Any) -> bool:
        """Whether weights are about to be tried out in these plugins for the first time: cells share them."""
        if tried in self._tried:
            return False
        self._tried.add(tried)
        return True

    def recipe(self, *changes: Mapping[str, Any]) -> dict[str, Any]:
        """The plan's recipe with changes, as a node's options have it: all settings that identities say."""
        return settings.said(self.whole_recipe(*changes))

    def whole_recipe(self, *changes: Mapping[str, Any]) -> Recipe:
        """The plan's recipe with changes."""
        from unveil.harness.words.recipe import Recipe  # noqa: PLC0415 (imports torch)

        merged: dict[str, Any] = dict(self.plan.recipe)
        for change in changes:
            merged.update(change)
        require_own("the recipe", merged, Recipe.__dataclass_fields__, Plan.model_fields)
        return settings.validated(Recipe, "recipe", merged, Path(self.base))


def seed_label(seed: int) -> str:
    """What a seed adds to the label of a node; nothing for the first."""
    return f", seed {seed}" if seed else ""
