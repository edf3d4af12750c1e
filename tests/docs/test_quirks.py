"""The table of published quirks: each row once, with settings that there are, and with a test where it is a switch."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from unveil.harness.plan import plugins
from unveil.harness.plan.file import Plan
from unveil.harness.plan.parts import PARTS
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.spec import TRAINED

ROOT = Path(__file__).parents[2]
ROWS = re.findall(
    r"^\| (Q-[A-Z0-9]+-\d+) \| (.+?) \| (.+?) \|$", (ROOT / "docs/threat-model.md").read_text(), re.MULTILINE
)
TESTS = {
    "Q-GEN-1": "tests/harness/steps/test_resolution.py::test_everybody_takes_their_own_size",
    "Q-GEN-3": "tests/attacks/test_parity.py::test_gmi",
    "Q-GEN-6": "tests/harness/steps/test_resolution.py::test_a_crop_shows_the_same_part_of_pictures_of_any_size",
    "Q-GEN-7": "tests/attacks/test_as_published.py::test_synthesis_is_in_full_precision_whatever_the_rest_is_in",
    "Q-KED-2": "tests/attacks/test_parity.py::test_kedmi",
    "Q-PLG-1": "tests/attacks/priors/test_conditional_gan.py::test_the_first_updates_are_the_written_ones",
    "Q-PLG-4": "tests/attacks/priors/test_trained_elsewhere.py::test_what_does_not_fit_is_named",
    "Q-PLG-6": "tests/attacks/test_as_published.py::test_plgmi_turns_half_of_its_views",
    "Q-PPA-4": "tests/attacks/test_as_published.py::test_ppa_crops_a_batch_alike_and_shows_what_is_not_clipped",
    "Q-PPA-8": "tests/attacks/test_as_published.py::test_ppa_crops_a_batch_alike_and_shows_what_is_not_clipped",
    "Q-PPA-9": "tests/attacks/test_as_published.py::test_pictures_come_straight_from_synthesis_where_they_have",
    "Q-IF-2": "tests/attacks/test_if_gmi.py::test_a_stage_begins_with_the_last_picture_of_the_one_before",
    "Q-MIR-1": "tests/attacks/test_as_published.py::test_log_scores_favour_the_worse_parent",
    "Q-MIR-2": "tests/attacks/test_as_published.py::test_mirror_truncates_when_it_makes_a_picture",
    "Q-MIR-3": "tests/attacks/test_as_published.py::test_an_elite_of_one",
    "Q-LOM-1": "tests/attacks/test_lomma.py::test_the_mean_feature_is_numpys_and_asked_for_once",
    "Q-LOM-3": "tests/attacks/test_parity.py::test_lomma_on_gmi",
    "Q-MID-1": "tests/defenses/test_mid.py::test_a_softmax_inside_is_normalised_once_more_by_the_loss",
    "Q-MID-2": "tests/defenses/test_mid.py::test_noise_in_use_is_a_function_of_the_picture_and_nothing_else",
    "Q-MID-3": "tests/harness/steps/test_defended_weights.py::test_mids_released_names",
    "Q-TL-1": "tests/harness/models/test_published_networks.py::test_as_much_trains_as_published",
    "Q-TL-2": "tests/defenses/test_tl_dmi.py::test_frozen_stages_do_not_change_by_one_bit_and_all_others_do",
    "Q-TL-3": "tests/harness/models/test_published_networks.py::test_a_freeze_within_a_block_holds_its_layers_still",
    "Q-ROL-1": "tests/defenses/test_rolss.py::test_a_share_of_the_stage_before_goes_too",
    "Q-BIDO-1": "tests/defenses/test_bido.py::test_both_measures_reach_every_stage_through_both_terms",
    "Q-BIDO-4": "tests/harness/words/test_recipe.py::test_batches_hold_so_many_people_with_so_many_pictures_each",
}
"""What tries the switches that repeat what was published, and the defaults that do not."""


def settings() -> set[str]:
    """Everything that a plan may say."""
    known = {*Plan.model_fields, *(f.name for f in dataclasses.fields(Recipe)), *TRAINED}
    known |= {name for part in PARTS.values() for name in part.model_fields}
    for kind in plugins.KINDS:
        for name in plugins.registered(kind):
            known |= {name, *(f.name for f in dataclasses.fields(plugins.load(kind, name, Path())))}
    return known


def test_each_row_is_there_once() -> None:
    ids = [row[0] for row in ROWS]
    assert len(ids) > 60
    assert len(set(ids)) == len(ids)
    elsewhere = "\n".join(page.read_text() for page in (ROOT / "docs").glob("*/*.md"))
    assert set(re.findall(r"Q-[A-Z0-9]+-\d+", elsewhere)) <= set(ids), "pages of attacks and defenses name rows"


def test_what_a_row_says_to_set_can_be_set() -> None:
    known = settings()
    told = [(row[0], text) for row in ROWS for text in re.findall(r"`([^`]+)`", row[2])]
    named = [(row, name) for row, text in told for name in re.findall(r"^[a-z_0-9]+$|[a-z_]+(?= =)", text)]
    assert len(named) > 40
    odd = [(row, name) for row, name in named if name not in known and name not in ("layer3", "test")]
    assert not odd


@pytest.mark.parametrize(("row", "test"), TESTS.items())
def test_switches_are_tested(row: str, test: str) -> None:
    file, _, name = test.partition("::")
    assert row in {one[0] for one in ROWS}
    assert f"def {name}" in (ROOT / file).read_text(), f"the test of {row} is gone"
