"""What is useless or dear is not praised, few people prove nothing, and copies void everything."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from unveil.harness.figures.intervals import interval
from unveil.harness.figures.rows import Figure, Results, Row
from unveil.leaderboard.board import board
from unveil.leaderboard.figures import Setup, setups
from unveil.leaderboard.verdict import Verdict, verdict
from unveil.leaderboard.worth import Worth


def share(
    metric: str, column: str, mean: float, people: int, *, judge: str | None = None, useful: bool = False, **more: bool
) -> Figure:
    """Ten pictures a person; people differ by a tenth up and down in turn."""
    each = [float(np.clip(round(10 * mean) + (-1) ** i * (0.05 < mean < 0.95), 0, 10)) / 10 for i in range(people)]
    values = [v for hit in each for v in [1.0] * round(10 * hit) + [0.0] * round(10 - 10 * hit)]
    low, high = interval(values, np.repeat(np.arange(people), 10), bounds=(0, 1))
    return Figure(
        **more, metric=metric, quantity=column, judge=judge, unit="share", range=(0, 1), value=float(np.mean(values)),
        low=low, high=high, direction="higher is more useful" if useful else "higher leaks more", samples=len(values),
        identities=people, per_identity={str(i): v for i, v in enumerate(each)},
    )  # fmt: skip


def copies(value: float) -> Figure:
    return Figure(
        metric="copies", column="private pictures", unit="share", direction="neither better nor worse", range=(0, 1),
        value=value, low=value, high=value,
    )  # fmt: skip


def said(
    defenses: Mapping[str, tuple[float, float]], people: int = 20, attack: str = "gmi", **stolen: float
) -> Verdict:
    """The verdict on defenses by name, each with its leakage and utility."""
    return verdict(board(measured(defenses, people, attack, **stolen), ()))


def measured(
    defenses: Mapping[str, tuple[float, float]], people: int = 20, attack: str = "gmi", **stolen: float
) -> Setup:
    """The rows behind it."""
    names = {"data": "people", "model": "small_resnet", "seed": 0, "status": "done"}
    rows = []
    for defense, (leak, utility) in defenses.items():
        for name, mean, role in ((attack, leak, ""), ("random_latents", 0.0, "floor"), ("held", 1.0, "ceiling")):
            figures = (
                share("attack_accuracy", "top-1", mean, people, judge="judge"),
                share("utility", "top-1", utility, people, useful=True),
                copies(stolen.get(name, 0.0)),
            )
            rows.append(Row(**names, defense=defense, attack=name, role=role, figures=figures))
    (setup,) = setups(Results(title="", plan="", rows=tuple(rows)))
    return setup


def texts(found: Verdict, tone: str) -> list[str]:
    return [p.text.replace("\u00a0", " ") for p in found.points if p.tone == tone]


def test_a_defense_that_costs_little_is_praised_as_before() -> None:
    found = said({"none": (0.8, 0.9), "good": (0.4, 0.9)})
    assert found.lead.endswith("good leaks less than no defense.")
    assert texts(found, "warning") == []


def test_a_dear_defense_is_named_with_its_price() -> None:
    found = said({"none": (0.8, 0.9), "dear": (0.2, 0.4)})
    assert found.lead.endswith("dear leaks less than no defense, but at a price of 50 points [50,\u00a050] of utility.")
    assert texts(found, "less")[0].endswith("It costs 50 points [50, 50] of utility.")
    assert "dear 40 % [32, 48], a price of 50 points [50, 50]." in texts(found, "plain")[-2]
    two = said({"none": (0.8, 0.9), "dear": (0.2, 0.4), "dearer": (0.1, 0.2)})
    assert two.lead.endswith("dear and dearer leak less than no defense, but at a price of 50 to 70 points of utility.")


def test_a_useless_defense_is_not_compared_and_never_best() -> None:
    found = said({"none": (0.8, 0.9), "good": (0.4, 0.9), "ruined": (0.0, 0.05)})
    assert found.lead.endswith(
        "good leaks less than no defense; ruined is useless, no better than guessing, so what it leaks says nothing."
    )
    assert [t.split(" leaks")[0] for t in texts(found, "less")] == ["good"]
    (warning,) = texts(found, "warning")
    assert warning.startswith("ruined is useless: its utility, ")
    assert "cannot be told apart from guessing (5 % among 20 people)" in warning
    assert "Of all 2 of use, good leaks least." in texts(found, "plain")
    assert "detectable" not in " ".join(texts(found, "plain"))  # alike for all of good; ruined counts not


def test_a_useless_defense_has_no_rank() -> None:
    setup = measured({"none": (0.8, 0.9), "good": (0.4, 0.9), "ruined": (0.0, 0.05)})
    assert setup.headline
    found = board(setup, ()).headline
    assert found.mean_ranks == {"none": (2, 2), "good": (1, 1)}
    assert found.ranks == {("none", "gmi"): (2, 2), ("good", "gmi"): (1, 1)}
    assert found.means["ruined"].value == 0  # the number is shown all the same


def test_of_those_that_are_cheap_another_is_best() -> None:
    found = said({"none": (0.8, 0.9), "good": (0.5, 0.9), "dear": (0.2, 0.3)})
    told = texts(found, "plain")
    assert "Of all 3, dear (at a price of 60 points [60, 60]) leaks least." in told
    assert "Of the 2 that do not surely cost more than 10 points of utility, good leaks least." in told


def test_many_defenses_are_told_by_those_that_are_of_use() -> None:
    made = {"none": (0.8, 0.9), "a": (0.7, 0.9), "b": (0.6, 0.9), "best": (0.2, 0.9), "ruined": (0.0, 0.05)}
    lead = said(made).lead
    assert "and best 20" in lead
    assert "ruined 0" not in lead
    assert lead.endswith("ruined is useless, no better than guessing, so what it leaks says nothing.")


def test_all_defenses_useless() -> None:
    found = said({"none": (0.8, 0.9), "a": (0.0, 0.05), "b": (0.1, 0.05)})
    assert found.lead.endswith("a and b are useless, no better than guessing, so what they leak says nothing.")
    assert not any("leaks least" in p.text or "leaking least" in p.text for p in found.points)


def test_a_useless_undefended_target_voids_the_verdict() -> None:
    found = said({"none": (0.8, 0.05), "good": (0.4, 0.9)})
    assert found.lead.endswith(
        "But the undefended target itself is no better than guessing, so nothing can be concluded."
    )
    assert texts(found, "warning")[0].startswith("none is useless")
    alone = said({"none": (0.8, 0.05), "a": (0.8, 0.05), "b": (0.7, 0.05), "c": (0.8, 0.05), "d": (0.8, 0.05)})
    assert "none (undefended) lets 80" in alone.lead


def test_of_no_target_but_useless_ones_nothing_is_told() -> None:
    made = {name: (0.5, 0.05) for name in "abcde"}
    assert "no defended target beats guessing" in said(made).lead


def test_too_few_people_say_so() -> None:
    five = said({"none": (1.0, 1.0), "other": (0.1, 1.0)}, people=5)
    assert "other cannot be told apart from no defense" in five.lead
    (warning,) = texts(five, "warning")
    assert warning.startswith("Only 5 people: too few to show a difference between defenses, however large")
    six = said({"none": (1.0, 1.0), "other": (0.1, 1.0)}, people=6)
    assert six.lead.endswith("other leaks less than no defense.")
    assert texts(six, "warning") == []


@pytest.mark.parametrize("thief", ["gmi", "random_latents"])
def test_copies_void_the_verdict(thief: str) -> None:
    found = said({"none": (0.8, 0.9), "good": (0.4, 0.9)}, **{thief: 0.02})
    assert found.lead.endswith(f"But {thief} returns private pictures themselves, so nothing can be concluded.")
    assert found.points[0].tone == "fault"
    assert texts(found, "fault")[0].startswith(f"{thief} returns private pictures themselves (2 % of its")
    assert said({"none": (0.8, 0.9), "good": (0.4, 0.9)}, held=1.0).lead.endswith("leaks less than no defense.")


def test_without_a_utility_nothing_is_called_useless() -> None:
    names = {"data": "people", "model": "small_resnet", "seed": 0, "status": "done", "attack": "gmi"}
    rows = tuple(
        Row(**names, defense=d, figures=(share("attack_accuracy", "top-1", leak, 20, judge="judge"),))
        for d, leak in (("none", 0.8), ("good", 0.1))
    )
    (setup,) = setups(Results(title="", plan="", rows=rows))
    assert set(board(setup, ()).worths.values()) == {Worth()}
    assert verdict(board(setup, ())).lead.endswith("good leaks less than no defense.")


def test_what_other_judges_say_of_the_same_pictures() -> None:
    names = {"data": "people", "model": "small_resnet", "seed": 0, "status": "done", "attack": "gmi"}
    leaks = {"none": (0.3, 0.8, 0.9), "good": (0.1, 0.2, 0.3)}
    rows = tuple(
        Row(
            **names,
            defense=d,
            figures=(
                share("attack_accuracy", "top-1", first, 20, judge="open"),
                share("attack_accuracy", "top-1", closed, 20, judge="open", closed=True),
                share("attack_accuracy", "top-1", other, 20, judge="as published"),
            ),
        )
        for d, (first, closed, other) in leaks.items()
    )
    (setup,) = setups(Results(title="", plan="", rows=rows))
    (told,) = [t for t in texts(verdict(board(setup, ())), "plain") if t.startswith("The same pictures")]
    assert told == (
        "The same pictures of the undefended target: 90 % [82, 95] by as published and 80 % [73, 86] by open if it had "
        "to name a private person (closed-set top-1)."
    )
