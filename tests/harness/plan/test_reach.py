"""What invalidates what: the code that is in the key of each kind of step; docs/decisions/024 has it as a table."""

from pathlib import Path

import pytest

from unveil.harness.plan.fingerprint import PLUMBING, reached

STEPS = Path(__file__).parents[3] / "harness" / "steps"
HERE = "unveil.harness."
COMMON = {"steps.bench", "words.memo", "words.run"}
PICTURES = {
    *("data.apart", "data.copies", "data.names", "data.splits", "steps.data"),
    *("words.account", "words.images", "words.pixels", "words.resolution"),
}
TRAINED = PICTURES | {
    *("steps.classifiers", "steps.sizes", "training.fit", "training.global_rng", "training.prefix"),
    *("words.arithmetic", "words.classifier", "words.defense", "words.finite", "words.learner", "words.model"),
    *("words.augmentation", "words.batches", "words.crops", "words.recipe", "words.window"),
}
TARGET_SEEN = {"words.desk", "words.folding", "words.meter", "words.view"}
NEEDS = TARGET_SEEN | {"steps.given", "words.comparer", "words.generator", "words.given", "words.names", "words.needs"}
ATTACKED = TRAINED | NEEDS | {"steps.attack", "steps.isolation", "words.attack", "words.gathering"}
REACHED = {
    "comparer": {"words.comparer", "words.needs"},
    "strength": {"figures.tries"},
    "data": PICTURES,
    "model": PICTURES
    | {"steps.sizes", "words.classifier", "words.defense", "words.model", "words.needs", "words.window"},
    "target": TRAINED,
    "given_target": TRAINED
    | {f"assets.{name}" for name in ("checkpoints", "inert_pickle", "torch_pickle", "weights", "wrappers")}
    | {"models.program", "models.program_process", "models.trained_elsewhere"}
    | {"figures.class_order", "steps.expectations", "steps.people", "steps.preparation", "words.model"},
    "ladder": TRAINED,
    "pretraining": TRAINED | {"steps.people"},
    "student": TRAINED | TARGET_SEEN | {"steps.distillation", "words.generator", "words.names", "words.needs"},
    "evaluator": TRAINED
    | {
        "figures.calibration",
        "figures.intervals",
        "steps.enrolment",
        "steps.people",
        "steps.rejection",
        "words.comparer",
        "words.generator",
        "words.given",
    }
    | {"words.metric", "words.names", "words.needs"},
    "prior": TRAINED | NEEDS | {"data.grid", "steps.lineage", "words.prior"},
    "attack": ATTACKED,
    "measure": ATTACKED | {"figures.intervals", "steps.cropped", "words.metric"},
    "picture": ATTACKED | {"data.grid", "figures.grids"},
}


@pytest.mark.parametrize("kind", REACHED)
def test_a_step_is_computed_anew_when_what_it_reaches_changes_and_only_then(kind):
    found = {name.removeprefix(HERE) for name in reached(f"{HERE}steps.{kind}")}
    assert found == REACHED[kind] | COMMON | {f"steps.{kind}"}


def test_every_step_is_in_the_table_and_none_reaches_the_face():
    computing = {file.stem for file in STEPS.glob("*.py") if "def compute(" in file.read_text(encoding="utf-8")}
    assert computing == set(REACHED)
    assert all(f"{HERE}types" not in reached(f"{HERE}steps.{kind}") for kind in REACHED)


def test_a_new_field_of_a_measurement_trains_no_target():
    reaching = {kind for kind in REACHED if f"{HERE}words.metric" in reached(f"{HERE}steps.{kind}")}
    assert reaching == {"evaluator", "measure"}


def test_what_is_left_out_of_keys_is_there():
    for name in PLUMBING:
        assert (STEPS.parent / f"{name.removeprefix(HERE).replace('.', '/')}.py").is_file(), name
