"""What two pieces of work cost relative to each other."""

from __future__ import annotations

import copy

import pytest

from unveil.harness.plan.file import read
from unveil.harness.running.likeness import amount, facts, surroundings
from unveil.harness.running.matrix import expand

PRIOR = {"use": "wgan_gp", "settings": {"steps": 300, "width": 8, "lr": 1e-3}}
ATTACK = {
    "kind": "attack",
    "uses": {"attack": [{"use": "gmi", "settings": {"steps": 100, "restarts": 3, "lr": 0.1, "prior": PRIOR}}]},
    "options": {"seed": 0, "identities": 0},
    "on": {"dataset": {"use": "people"}, "model": {"use": "small_resnet"}},
}


def changed(path: str, value: object) -> dict:
    work = copy.deepcopy(ATTACK)
    *way, last = path.split(".")
    place = work
    for part in way:
        place = place[int(part) if part.isdigit() else part]
    place[last] = value
    return work


def factor(wanted: dict) -> float | None:
    new, known = amount(wanted), amount(ATTACK)
    assert new is not None
    assert known is not None
    return new.over(known)


SETTINGS = "uses.attack.0.settings"


@pytest.mark.parametrize(
    ("path", "value", "wanted"),
    [
        (f"{SETTINGS}.lr", 0.2, 1.0),
        (f"{SETTINGS}.steps", 250, 2.5),
        (f"{SETTINGS}.restarts", 4, None),
        (f"{SETTINGS}.prior.settings.steps", 9000, 1.0),  # the prior's training is a step of its own
        (f"{SETTINGS}.prior.settings.width", 64, None),
        ("options.seed", 5, 1.0),
        ("options.identities", 10, None),
        ("uses.attack.0.use", "kedmi", None),
        ("on.model", {"use": "timm"}, None),
        ("on.dataset", {"use": "folder"}, None),
        (f"{SETTINGS}.more", 1, None),
    ],
)
def test_what_may_differ_and_what_it_costs(path, value, wanted):
    assert factor(changed(path, value)) == wanted


def test_work_of_which_too_little_is_known_is_not_compared():
    assert amount({k: v for k, v in ATTACK.items() if k != "on"}) is None


def test_a_node_is_about_its_data_and_the_target_s_model():
    nodes = {node.kind: node for node in expand(read("attacks")).nodes()}
    model = {"use": "small_resnet"}
    for kind in ("target", "student", "attack", "measure", "weights"):
        about = surroundings(nodes[kind])
        assert about["dataset"]["use"] == "people"
        assert about["model"]["use"] == model["use"]
    assert set(surroundings(nodes["evaluator"])) == {"dataset"}
    attack = amount(facts(nodes["attack"]))
    assert attack is not None
    assert attack.over(attack) == 1.0
