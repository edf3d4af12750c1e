"""The attack that knows of the defense: what it becomes, for whom, and what it is compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unveil.harness.figures.rows import Row
from unveil.harness.plan.file import from_mapping
from unveil.harness.running.assemble import row
from unveil.harness.running.execute import Outcome
from unveil.harness.running.matrix import Cell, expand
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import PlanError

PPA = {"use": "ppa", "pool": 8, "candidates": 2, "keep": 1, "steps": 2, "views": 2, "prior": {"use": "style_gan"}}
DEFENSES: list[dict[str, Any]] = [
    {"use": "none"},
    {"use": "ls", "alpha": -0.05},
    {"use": "mid"},
    {"use": "midre", "largest": 0.5},
    {"use": "tl_dmi", "freeze": "stage2"},
    {"use": "trap_mid"},
    {"use": "at_at"},
    {"use": "dp_sgd"},
    {"use": ["midre", "ls"], "ls": {"alpha": -0.1}},
    {"use": "mid", "name": "mid at zero", "beta": 0.0},
]


def cells(attacks: list[dict[str, Any]], defenses: list[dict[str, Any]] = DEFENSES) -> dict[tuple[str, str], Cell]:
    plan = {
        "title": "Adaptive",
        "data": {"use": "people"},
        "target": {"use": "small_resnet"},
        "evaluator": {"use": "plain_cnn", "name": "judge"},
        "defenses": defenses,
        "attacks": attacks,
        "metrics": [{"use": "attack_accuracy"}],
    }
    return {(cell.defense, cell.attack): cell for cell in expand(from_mapping(plan)).cells}


def test_what_each_defense_says_of_an_attack_that_knows_of_it() -> None:
    found = cells([PPA, {"use": "adaptive", "base": "ppa", "name": "ppa, adaptive"}])

    def plugin(defense: str) -> Any:
        return found[defense, "ppa, adaptive"].nodes["attack"].uses["attack"][0].plugin

    assert plugin("ls").identity == "max_margin"
    assert (plugin("mid").variant, plugin("mid").base.use) == ("paa", "ppa")
    assert (plugin("midre").variant, plugin("midre").erased) == ("erase", (0.1, 0.5))
    assert plugin("midre").attack().steps == 2
    assert (plugin("tl_dmi").variant, plugin("tl_dmi").base.use) == ("aug", "ppa")
    assert plugin("trap_mid").variant == "taa"
    assert plugin("at_at").variant == "paa"
    both = plugin("midre+ls")  # in the order of the stack; what stands around has no such setting
    assert both.variant == "erase"
    assert "nothing is known here against ls" in " ".join(found["midre+ls", "ppa, adaptive"].notes)
    for same in ("none", "dp_sgd", "mid at zero"):
        fixed = found[same, "ppa"].nodes["attack"]
        assert found[same, "ppa, adaptive"].nodes["attack"].key == fixed.key  # computed once
    notes = {name: " ".join(found[name, "ppa, adaptive"].notes) for name in ("none", "ls", "mid", "dp_sgd")}
    assert "adaptive" not in notes["none"]
    assert "adaptive, against ls: identity = max_margin" in notes["ls"]
    assert "adaptive, against mid: inside align_mi (variant = paa, alpha = 0.01, neighbours = 8)" in notes["mid"]
    assert "nothing is known here against dp_sgd" in notes["dp_sgd"]


ANSWERS = [
    {"use": "noisy_scores", "sigma": 2.0},
    {"use": "ssd"},
    {"use": "rounded_scores"},
    {"use": "rounded_scores", "name": "sharper", "decimals": None, "temperature": 0.5},
    {"use": "truncated_scores"},
    {"use": ["noisy_scores", "rounded_scores"], "rounded_scores": {"decimals": 0}},
    {"use": ["truncated_scores", "ssd"]},
]


@pytest.mark.parametrize("base", ["rlb_mi", "brep_mi"])
def test_defenses_of_answers_are_met_with_the_mean_over_neighbours(base: str) -> None:
    found = cells([{"use": base}, {"use": "adaptive", "base": base}], ANSWERS)

    def plugin(defense: str) -> Any:
        return found[defense, "adaptive"].nodes["attack"].uses["attack"][0].plugin

    told = {name: (p := plugin(name)) and (p.base.use, p.mean, p.sigma, p.neighbours) for name in
            ("noisy_scores", "ssd", "rounded_scores", "truncated_scores", "noisy_scores+rounded_scores")}  # fmt: skip
    assert told == {
        "noisy_scores": (base, "geometric", 0.02, 16),
        "ssd": (base, "arithmetic", 0.05, 16),
        "rounded_scores": (base, "arithmetic", 0.0111, 16),
        "truncated_scores": (base, "arithmetic", 0.05, 16),
        "noisy_scores+rounded_scores": (base, "arithmetic", 0.1, 16),  # once around, and wide enough for both
    }
    assert found["noisy_scores", "adaptive"].access == plugin("ssd").access == plugin("ssd").attack().access
    assert "nothing is known here against" in " ".join(found["sharper", "adaptive"].notes)
    assert "already what a critic of it would write" in " ".join(found["truncated_scores+ssd", "adaptive"].notes)


def test_whoever_has_the_weights_averages_nothing() -> None:
    found = cells([PPA, {"use": "adaptive", "base": "ppa"}], ANSWERS)
    for name in ("noisy_scores", "ssd", "rounded_scores", "truncated_scores"):
        assert found[name, "adaptive"].nodes["attack"].key == found[name, "ppa"].nodes["attack"].key
    for name in ("sharper", "noisy_scores+rounded_scores", "noisy_scores"):
        notes = " ".join(found[name, "adaptive"].notes)
        assert "bypassed, since who holds the weights takes it off" in notes
        assert "nothing is known" not in notes
    both = cells([PPA, {"use": "adaptive", "base": "ppa"}], [{"use": ["dp_sgd", "rounded_scores"]}])
    notes = " ".join(both["dp_sgd+rounded_scores", "adaptive"].notes)
    assert "nothing is known here against dp_sgd" in notes
    assert "against rounded_scores: bypassed" in notes


def test_what_it_is_compared_with(tmp_path: Path) -> None:
    named = {**PPA, "name": "short"}
    found = cells([named, {"use": "adaptive", "base": "short"}], DEFENSES[:2])
    told = {name: cell.adapts for name, cell in found.items()}
    assert told == {
        ("none", "short"): "",
        ("none", "adaptive"): "short",
        ("ls", "short"): "",
        ("ls", "adaptive"): "short",
    }
    cell = found["ls", "adaptive"]
    failed = {node.key: Outcome("failed", "x") for node in (*cell.nodes.values(), *cell.measures)}
    made = row(cell, failed, Store(str(tmp_path)))
    assert made.adapts == "short"
    assert Row.model_validate(made.plain()) == made
    alone = cells([{"use": "adaptive", "base": PPA}], DEFENSES[:1])
    assert alone["none", "adaptive"].adapts == ""
    assert cells([PPA, {"use": "adaptive", "base": PPA}], DEFENSES[:1])["none", "adaptive"].adapts == "ppa"


@pytest.mark.parametrize(
    ("attack", "told"),
    [
        ({"use": "adaptive"}, "base = None"),
        ({"use": "adaptive", "base": "ppa", "steps": 3}, r"settings \['steps'\]"),
        ({"use": "adaptive", "base": {"steps": 3}}, "base = "),
    ],
)
def test_nonsense_is_refused(attack: dict[str, Any], told: str) -> None:
    with pytest.raises(PlanError, match=told):
        cells([attack], DEFENSES[:1])


def test_a_base_that_cannot_be_held_meets_the_defense_as_it_is() -> None:
    mirror = {"use": "mirror", "presamples": 20, "population": 8, "samples": 2, "prior": {"use": "style_gan"}}
    found = cells([mirror, {"use": "adaptive", "base": "mirror"}], [{"use": "mid"}])
    assert found["mid", "adaptive"].nodes["attack"].key == found["mid", "mirror"].nodes["attack"].key
    assert "nothing is known" in " ".join(found["mid", "adaptive"].notes)
