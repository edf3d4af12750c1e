"""The plan of an audit: one given model, what it is attacked with, and who judges. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from unveil.harness.running.effort import SAMPLES, Tried
from unveil.harness.words.names import Access

GIVEN, AGAIN = "none", "none, trained again"
MOBILE = {"use": "mobile_style"}
GALLERIES = ({"use": "fr_feature", "weights": "asset"}, {"use": "faceres", "weights": "asset"})
LEARNING = (
    {"use": "plain_cnn", "name": "plain_cnn"},
    {"use": "timm", "name": "starnet", "architecture": "starnet_s050"},
    {"use": "timm", "name": "efficientnet", "architecture": "test_efficientnet"},
)
LEAST = {"plain_cnn": 12, "starnet": 16, "efficientnet": 20}  # epochs
STEPS = 300  # of training that a judge needs at least
DEFENSES: tuple[Mapping[str, Any], ...] = ({"use": "tl_dmi", "share": 0.25}, {"use": "ls", "alpha": -0.1})
METRICS = ({"use": "attack_accuracy"}, {"use": "exposure"}, {"use": "utility"})
Table = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """What a user wants audited.

    Attributes:
        model: The file.
        architecture: timm's name of the network whose weights the file holds; None if it is another one.
        private: Folder of the people it was trained on, a folder each.
        public: Folder of other people's pictures.
        access: What attackers are taken to see.
        budget: Seconds; None without a limit.
        with_defenses: Whether to train the same network again, with and without defenses.
        order: As `harness.models.trained_elsewhere.TrainedElsewhere` has it.
        size: Side of the pictures that the model takes; None finds it out.
        trust: Whether a program may be opened.
        name: What to call the model.
        held: What a network is known by that this process has in memory; empty if it has none.
    """

    model: str
    architecture: str | None
    private: str
    public: str
    access: Access
    budget: float | None
    with_defenses: bool
    order: str
    size: int | None
    trust: bool
    name: str
    held: str = ""

    @property
    def is_program(self) -> bool:
        """Whether the file is a program, of which nobody sees more than its scores."""
        return self.architecture is None and not self.held


@dataclass(frozen=True)
class Setup:
    """All that is decided of an audit so far; what is not decided yet is empty.

    Attributes:
        request: What is wanted.
        channels: Of a picture.
        side: Of pictures, and of reconstructions.
        size: Side that the model takes.
        known: What is known of its weights, besides the file: mean, std and bgr.
        judges: Entries of the plan.
        prior: The attacks' generator.
        attacks: Entries of the plan, without controls.
        people: How many are attacked; 0 for all.
        defenses: Entries that are trained again.
        start: What training begins with: keys of the target's entry.
        epochs: Of training again.
        batch: Of training again.
        pictures: How many people the page shows.
    """

    request: Request
    channels: int = 3
    side: int = 128
    size: int | None = None
    known: Table = field(default_factory=dict)
    judges: tuple[Table, ...] = ()
    prior: Table = field(default_factory=dict)
    attacks: tuple[Table, ...] = ()
    people: int = 0
    defenses: tuple[Table, ...] = ()
    start: Table = field(default_factory=dict)
    epochs: int = 1
    batch: int = 64
    pictures: int = 6

    @property
    def title(self) -> str:
        """Of the plan."""
        return f"Audit of {self.request.name}"

    def having(self, **changes: Any) -> Setup:
        """The same with something decided."""
        return replace(self, **changes)

    def plan(self) -> dict[str, Any]:
        """As a plan file holds it."""
        wanted = self.request
        data = {"use": "folder", "name": "data", "private": wanted.private, "public": wanted.public, "min_images": 3}
        return {
            "title": self.title,
            "identities": self.people,
            "pictures": self.pictures,
            "recipe": {"epochs": self.epochs, "lr": 1e-3, "batch": self.batch},
            "data": {**data, "size": self.side, "channels": self.channels},
            "target": self._target(),
            "evaluators": [dict(judge) for judge in self.judges],
            "defenses": [{"use": "none", "name": GIVEN, "trained": self._trained()}, *map(dict, self.defenses)],
            "attacks": [*map(dict, self.attacks), *self._controls()],
            "metrics": [dict(one) for one in METRICS if self.judges or one["use"] == "utility"],
        }

    def _target(self) -> dict[str, Any]:
        size = {} if self.size is None else {"size": self.size}
        if self.request.is_program:
            return {"use": "program", "name": "model", "trust": self.request.trust, **size}
        if self.request.held:
            return {"use": "in_memory", "name": "model", "source": self.request.held, **size}
        return {"use": "timm", "name": "model", "architecture": self.request.architecture, **size, **self.start}

    def _trained(self) -> dict[str, Any]:
        return {"file": self.request.model, "order": self.request.order, **self.known}

    def _controls(self) -> list[dict[str, Any]]:
        """What luck scores, what a resemblance scores, and what real pictures score."""
        luck = [{"use": "random_latents", "samples": SAMPLES, "prior": dict(self.prior)}] if self.prior else []
        alike = [] if self.request.access is Access.LABELS else [{"use": "public_lookalikes", "samples": SAMPLES}]
        return [*luck, *alike, {"use": "held_out_private"}]


def attack(tried: Tried, people: int, each: float, prior: Table) -> dict[str, Any]:
    """An entry of a plan: an attack that shows the target so many pictures a person."""
    return {"use": tried.use, **tried.effort(people, each).settings, "prior": dict(prior)}


def galleries(names: Sequence[str]) -> tuple[Table, ...]:
    """Judges by gallery whose weights are here."""
    found = (one for one in GALLERIES if one["use"] in names)
    return tuple({**one, "name": one["use"], "gallery": True, "others": "nobody"} for one in found)


def batch(count: int) -> int:
    """Of training on so many pictures: few pictures make few steps in an epoch."""
    return 16 if count < 1000 else 64


def learning(architecture: str | None, others: str, wanted: int, count: int) -> tuple[Table, ...]:
    """Judges that learn the private people, none of the target's architecture.

    Args:
        architecture: The target's.
        others: Whom else they know; see `harness.plan.parts.EvaluatorPart`.
        wanted: How many.
        count: Pictures that they learn from; of few they see each more often.
    """
    fit = [one for one in LEARNING if one.get("architecture") != architecture]
    size = batch(count)
    epochs = {name: min(60, max(least, STEPS * size // max(count, 1))) for name, least in LEAST.items()}
    return tuple(
        {
            **one,
            "others": others,
            "seed": 1000 * (i + 1),
            "recipe": {"epochs": epochs[one["name"]], "lr": 3e-3, "batch": size},
        }
        for i, one in enumerate(fit[:wanted])
    )


WEAKER = {
    "gmi": "an older relative of ppa, and needs a generator that is trained for this purpose",
    "kedmi": "needs a generator that is trained anew for this model",
    "plgmi": "needs a generator that is trained anew for this model",
    "lomma": "needs copies of the model that are trained first",
}


def not_tried(access: Access, tried: Sequence[Tried], others: Sequence[Tried]) -> list[tuple[str, str]]:
    """What an audit leaves out, and why.

    Args:
        access: What attackers are taken to see.
        tried: What is run.
        others: All that could be.
    """
    sees = {Access.WHITE_BOX: "the model's file", Access.SCORES: "the model's scores", Access.LABELS: "its answers"}
    names = {one.use for one in tried}
    found = [
        (one.use, f"needs {sees[one.access]}, and attackers are taken to see {sees[access]} only")
        for one in others
        if one.use not in names
    ]
    more = WEAKER if access is Access.WHITE_BOX else {}
    return [*found, *((name, f"{why}: a plan for `unveil run` can compare it") for name, why in more.items())]
