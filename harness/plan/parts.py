"""What the entries of a plan may say: each part's keys, and what follows from them alone. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from unveil.harness.plan.defense_part import DefensePart
from unveil.harness.words.spec import TRAINED, Spec

Others = Literal["identities", "nobody", "none"]


class Part(BaseModel):
    """A plugin in a plan: ``use``, optionally a ``name`` for tables, and the plugin's settings beside them."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    use: str
    name: str = ""

    @property
    def label(self) -> str:
        """Name in tables."""
        return self.name or self.use.rpartition(":")[2]

    @property
    def spec(self) -> Spec:
        """The plugin and its settings."""
        return Spec(self.use, dict(self.model_extra or {}))


CHECKPOINT = "checkpoint"


def checkpoint(trained: str | dict[str, Any] | None) -> Spec | None:
    """The file that an entry's ``trained`` names, as a plugin of the kind ``checkpoints``; None where it names none."""
    if trained is None:
        return None
    return Spec(CHECKPOINT, {"file": trained} if isinstance(trained, str) else trained)


PRIOR_CHECKPOINT = "prior_checkpoint"


def prior_checkpoint(prior: Spec) -> Spec | None:
    """The weights that a prior's ``trained`` names, as a plugin of the kind ``checkpoints``; None where it has none."""
    trained, seen = (prior.settings.get(name) for name in TRAINED)
    if trained is None:
        return None
    files = {"file": trained} if isinstance(trained, str) else dict(trained)
    return Spec(PRIOR_CHECKPOINT, {**files, **({} if seen is None else {"trained_on": seen})})


class Looking(Part):
    """Who looks at the data's pictures, and at reconstructions: a model, or a metric.

    Attributes:
        crop: Left, top, width and height of the part of each picture that it looks at, in the data's pixels; absent for
            all of it. Reconstructions show what the data show, so the same part of them is looked at.
    """

    crop: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=4, max_length=4)] | None = None

    @model_validator(mode="after")
    def _a_crop_shows_something(self) -> Looking:
        if self.crop is not None and min(self.crop[2:]) < 1:
            raise ValueError(f"crop = {self.crop} is {self.crop[2]} x {self.crop[3]} pixels large")
        return self

    @property
    def view(self) -> dict[str, list[int]]:
        """The crop as an option of a node; nothing where there is none."""
        return {} if self.crop is None else {"crop": self.crop}


class MetricPart(Looking):
    """A metric: whoever it asks about pictures is shown that part of them, an evaluator in place of its own."""


class TargetPart(Looking):
    """The model that is attacked.

    Attributes:
        recipe: Changes to the common recipe for this model, under whichever defense.
        pretrain: Recipe changes for training on the data set's public people first; absent means no such training.
        trained: A file with the weights that somebody has trained elsewhere: they are attacked as they are, and nothing
            is trained. Or a table with ``file`` and what is known of it; see
            `harness.models.trained_elsewhere.TrainedElsewhere`.
    """

    recipe: dict[str, Any] = Field(default_factory=dict)
    pretrain: dict[str, Any] | None = None
    trained: str | dict[str, Any] | None = None

    @model_validator(mode="after")
    def _what_is_trained_is_not_trained_again(self) -> TargetPart:
        if self.trained is not None and self.pretrain is not None:
            raise ValueError("trained names weights that are used as they are, so pretrain has no use; leave one out")
        return self


class AttackPart(Part):
    """An attack, or a control.

    Attributes:
        max_queries: Images that the attack may show the target, per attacked identity: together, so many times the
            identities. What a prior or a surrogate asked before the attack is not among them. Absent: no limit.
        max_gradients: As ``max_queries``, for images that a backward pass goes through.
        resolution: Height and width of the pictures that it works with, as do its priors and surrogates, and of its
            reconstructions; absent for those of the public pictures. Judges and targets bring them to their own size.
    """

    max_queries: Annotated[int, Field(ge=1)] | None = None
    max_gradients: Annotated[int, Field(ge=1)] | None = None
    resolution: Annotated[int, Field(ge=16, le=1024)] | None = None

    @property
    def sides(self) -> dict[str, int]:
        """The resolution as an option of nodes; nothing where there is none."""
        return {} if self.resolution is None else {"resolution": self.resolution}

    @property
    def limits(self) -> dict[str, int]:
        """The limits that there are."""
        given = {"max_queries": self.max_queries, "max_gradients": self.max_gradients}
        return {name: value for name, value in given.items() if value is not None}


class EvaluatorPart(Looking):
    """A judge: another architecture with its own seed and split.

    It is not pretrained on the public people: some of them are the strangers that its floor is measured on.

    Attributes:
        others: Whom else it knows: ``identities`` (each public person is a class, at least ``min_pictures``
            pictures), ``nobody`` (all public pictures are one class) or ``none`` (closed set, as in most papers).
        gallery: Whether it trains nothing: each person is enrolled with the mean of the embeddings, and the most alike
            is the answer. With ``others = "nobody"`` the private people alone are enrolled.
        min_pictures: Public people with fewer pictures are left out.
        reject: Share of strangers, measured on some and then checked on others, that may be taken for a private
            person: sets the confidence, of a gallery the cosine, below which the judge says "nobody here". Absent:
            0.05, of a gallery 0.01, and 1 (no such threshold, as in most papers) for ``others = "none"``.
        seed: Seed of its split and training.
        recipe: Changes to the common recipe.
        trained: As of a target: a network that somebody has trained on the private people elsewhere judges as it is,
            with ``others = "none"``.
    """

    others: Others = "identities"
    gallery: bool = False
    min_pictures: Annotated[int, Field(ge=2)] = 5
    reject: Annotated[float, Field(ge=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 1000
    recipe: dict[str, Any] = Field(default_factory=dict)
    trained: str | dict[str, Any] | None = None

    @model_validator(mode="after")
    def _what_is_trained_knows_the_private_people_alone(self) -> EvaluatorPart:
        if self.trained is not None and (self.gallery or self.recipe or self.others != "none"):
            raise ValueError(
                "an evaluator whose weights are given as trained learns nothing and knows the private people alone: "
                'it has others = "none", no recipe and no gallery'
            )
        return self

    @model_validator(mode="after")
    def _a_gallery_trains_nothing(self) -> EvaluatorPart:
        if not self.gallery:
            return self
        if self.recipe:
            raise ValueError(f"a gallery trains nothing, so recipe = {self.recipe} has no use; leave it out")
        if (self.others == "none") != (self.rejects == 1):
            raise ValueError(
                f"a gallery with others = {self.others!r} and reject = {self.rejects:g}: one that can say "
                "'nobody here' has others = 'nobody' or 'identities' and reject below 1, a closed set has "
                "others = 'none' alone"
            )
        return self

    @property
    def rejects(self) -> float:
        """Share of strangers that may be taken for a private person; 1 sets no threshold."""
        if self.reject is not None:
            return self.reject
        return 1.0 if self.others == "none" else 0.01 if self.gallery else 0.05


PARTS: Mapping[str, type[BaseModel]] = {
    "targets": TargetPart,
    "evaluators": EvaluatorPart,
    "defenses": DefensePart,
    "attacks": AttackPart,
    "metrics": MetricPart,
}
"""What the entries of each part are read as, where they have keys of their own."""
