"""What a budget buys, and what an audit may try."""

import math
import time

import pytest

from unveil.harness.running import audit_plan
from unveil.harness.running.audit_plan import Request, Setup
from unveil.harness.running.effort import ATTACKS, FEWEST_PEOPLE, Clock, duration, open_to, rate, sized
from unveil.harness.running.execute import Surroundings
from unveil.harness.words.errors import PlanError
from unveil.harness.words.names import Access

RATES = {"ppa": 0.01, "mirror": 0.008, "brep_mi": 0.007}


@pytest.mark.parametrize("seconds", [120, 600, 3600, 36_000])
@pytest.mark.parametrize("targets", [1, 4])
@pytest.mark.parametrize("access", list(Access))
def test_what_is_planned_fits_the_time_and_uses_most_of_it(seconds, targets, access):
    tried = open_to(access)
    found = sized(tried, RATES, people=50, seconds=seconds, targets=targets)
    planned = sum(found.seconds.values())
    least = sum(targets * RATES[one.use] * one.effort(FEWEST_PEOPLE, one.least).work for one in tried)
    most = sum(targets * RATES[one.use] * one.effort(50, one.most).work for one in tried)
    assert planned <= max(1.05 * seconds, 1.05 * least)
    assert planned >= min(0.6 * seconds, 0.7 * most)


def test_more_time_attacks_everybody_first_and_then_harder():
    found = [sized(ATTACKS, RATES, people=50, seconds=s, targets=1) for s in (60, 600, 6000, math.inf)]
    assert [one.people for one in found] == [found[0].people, 50, 50, 50]
    assert found[0].people < 50
    efforts = [one.each["ppa"] for one in found]
    assert efforts == sorted(efforts)
    assert efforts[-1] == ATTACKS[0].most


def test_the_settings_of_an_effort_ask_about_as_much_as_it_says():
    for one in ATTACKS:
        for each in (one.least, 1000.0, one.most):
            spent = one.effort(20, each)
            assert 0.5 * each <= spent.work / 20 <= 1.6 * each + 50, (one.use, each, spent)


def test_seconds_a_picture_count_a_gradient_as_two_more():
    assert rate(30.0, {"attack queries": 100, "attack gradients": 100}) == pytest.approx(0.1)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1.5 h", 5400)])
def test_a_time_is_read(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "30", "m", "-5m", "5m!", "0s"])
def test_what_is_no_time_is_told(text):
    with pytest.raises(PlanError, match="no time"):
        duration(text)


def setup(access, architecture="resnet18"):
    wanted = Request("m.pt", architecture, "a", "b", access, 60.0, False, "auto", None, False, "m")
    return Setup(wanted, prior={"use": "wgan_gp"})


def test_less_access_leaves_attacks_and_controls_out_and_says_why():
    tried = {access: [one.use for one in open_to(access)] for access in Access}
    assert tried == {
        Access.WHITE_BOX: ["ppa", "mirror", "brep_mi"],
        Access.SCORES: ["mirror", "brep_mi"],
        Access.LABELS: ["brep_mi"],
    }
    controls = [one["use"] for one in setup(Access.LABELS).plan()["attacks"]]
    assert controls == ["random_latents", "held_out_private"]  # look-alikes are chosen by scores
    assert "public_lookalikes" in [one["use"] for one in setup(Access.SCORES).plan()["attacks"]]
    why = dict(audit_plan.not_tried(Access.SCORES, open_to(Access.SCORES), ATTACKS))
    assert "the model's file" in why["ppa"]


def test_no_judge_has_the_architecture_of_the_target_and_all_make_enough_steps():
    for count in (40, 400, 40_000):
        judges = audit_plan.learning("starnet_s050", "nobody", 2, count)
        assert [judge["name"] for judge in judges] == ["plain_cnn", "efficientnet"]
        recipes = [judge["recipe"] for judge in judges]
        assert all(one["epochs"] * -(-count // one["batch"]) >= 150 for one in recipes)


def test_attacks_are_ended_a_little_after_the_budget_and_never_without_one(monkeypatch):
    clock = Clock(200.0, before=30.0, began=1000.0)
    monkeypatch.setattr(time, "monotonic", lambda: 1070.0)
    assert clock.spent == 100
    assert clock.left == pytest.approx(0.95 * 200 - 100)
    assert clock.remains == pytest.approx(1.05 * 200 - 100)
    assert Clock(math.inf).remains is None


def test_what_surrounds_a_run_may_be_said_to_end():
    around = Surroundings("store")
    assert around.ending(None) is around
    assert around.ending(-1.0).over()
    assert not around.ending(1000.0).over()
