"""A plugin and its settings, as plain data: what a plan says before anything is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

NESTED = ("use", "settings")
"""Keys of a table that names a plugin: its name, and, in one way of writing it, its settings together."""

LOCAL_PATH = "local path"
LocalPath = Annotated[str, LOCAL_PATH]
"""Type of a setting that may name a file or folder; relative ones are taken from the plan file's folder."""


@dataclass(frozen=True)
class Spec:
    """Names a plugin and gives its settings.

    Attributes:
        use: Registered name (``"gmi"``) or a file and class (``"my_attack.py:MyAttack"``).
        settings: Keyword settings of the plugin's dataclass; anything left out takes the plugin's default.
    """

    use: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    def table(self) -> dict[str, Any]:
        """As a plan has it, such as for a setting of another plugin that holds this one."""
        return {"use": self.use, **self.settings}

    def __hash__(self) -> int:
        return hash((self.use, repr(sorted(self.settings.items()))))


LocalSpec = Annotated[Spec, LOCAL_PATH]
"""Type of a setting that names a plugin which may be a file beside the plan. Who has it needs that plugin (``needs``),
or says what it is with ``content()``: the file's place enters no identity."""

HELD = "held attack"
HeldAttack = Annotated[Spec, HELD, LOCAL_PATH]
"""Type of a setting that names an attack which runs inside the one that has it. Its settings are checked with those of
the plan, and its code is in the key. An attack that is run before, for its reconstructions, is a need instead."""

HELD_PRIOR = "held prior"
HeldPrior = Annotated[Spec, HELD_PRIOR, LOCAL_PATH]
"""Type of a setting that names a prior which the one that has it needs, and whose networks it builds: its files are
looked for beside the plan, and its settings are checked with those of the plan."""

LATER = "later"
"""Mark of a setting that came when results were kept without it: at its default no identity says it, so that they are
still found. Its default must be what was done before."""

TRAINED = ("trained", "trained_on")
"""What a plan may say of any prior beside its settings: the file with its weights, and what these have seen."""


def untrained(spec: Spec) -> Spec:
    """A prior by its own settings, without the weights that a plan names for it.

    >>> untrained(Spec("wgan_gp", {"width": 8, "trained": "gan.pt", "trained_on": "FFHQ"})).settings
    {'width': 8}
    """
    if TRAINED[0] not in spec.settings:
        return spec
    return Spec(spec.use, {name: value for name, value in spec.settings.items() if name not in TRAINED})


HELD_DATA = "held data set"
HeldData = Annotated[Spec, HELD_DATA, LOCAL_PATH]
"""Type of a setting that names a data set which another one reads its public pictures from. Its settings are checked
with those of the plan, and its code is in the key."""
