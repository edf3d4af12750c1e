"""Writes results as a bundle that can be handed in, with all that their figures can be computed again from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from unveil.harness.figures.rows import Results
from unveil.harness.running import bundles
from unveil.harness.store import bundle
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import StoreError

COVER = "submission.json"
CARRIED = frozenset({"data", "evaluator", "target", "attack", "strength"})  # steps that figures are computed again from


class Cover(BaseModel):
    """What a submitter says beside the results.

    Attributes:
        submitter: Who hands them in.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    submitter: str = Field("", max_length=200)


def make(
    out: Path,
    store: Store,
    name: str,
    results: Results,
    page: Callable[[Results], str],
    *,
    submitter: str,
    pictures: bool,
    private: bool,
) -> bundle.Packed:
    """Writes a submission.

    Args:
        out: The file.
        store: Where the artefacts are.
        name: Of the plan.
        results: Of the plan.
        page: Renders them without private pictures.
        submitter: Who hands them in.
        pictures: Whether pictures, judges, targets and reconstructions go in, so that figures can be computed again.
        private: Whether they do even if they show people who exist.

    Raises:
        StoreError: If the results are a rehearsal, something is missing or damaged, or the file cannot be written.
    """
    if results.scale < 1:
        raise StoreError(
            f"these results are a rehearsal at scale {results.scale:g}",
            "results of a whole plan: a rehearsal says nothing of it",
            "run the plan without a scale, or pass the rehearsal on with `unveil store export`",
        )
    whole = private or bundles.publishable(results)
    keys = [key for key, told in results.provenance.items() if told.get("kind") in CARRIED]
    try:
        said = Cover(submitter=submitter).model_dump_json()
    except ValidationError:
        raise StoreError(f"{submitter[:50]!r}... is no name", "at most 200 characters", "shorten it") from None
    texts = {**bundles.told(results if whole else bundles.bare(results), page), COVER: said}
    return bundle.write(out, store, name, keys if whole and pictures else (), texts)


def cover(read: bundle.Bundle) -> Cover:
    """What the submitter says; nothing, where a bundle was only exported.

    Raises:
        StoreError: If it is damaged.
    """
    try:
        return Cover.model_validate_json(read.texts.get(COVER, "{}"))
    except ValidationError:
        raise StoreError(f"the bundle has a damaged {COVER}", "what `unveil submit` writes", bundle.TODO) from None
