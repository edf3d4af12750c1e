"""What is ranked together, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from unveil.harness.figures.exhibit import Exhibit
from unveil.harness.figures.rows import Results
from unveil.harness.figures.standing import Standing
from unveil.leaderboard.site.ranking import named, rank_sets
from unveil.leaderboard.site.slugs import slug

Make = Callable[..., Results]
OTHERS: dict[str, dict[str, Any]] = {
    "data by its facts, though the name is the same": {"facts": {"private people": "41"}},
    "data by their checksum": {"facts": {"private people": "40", "checksum": "ab"}},
    "data by name": {"data": "others"},
    "attacks": {"attacks": ("gmi",)},
    "an attack that tried harder under the same name": {"effort": 1.3},
    "threat model": {"access": "labels"},
    "target model": {"model": "other"},
    "judges": {"judges": ("first", "third")},
    "no undefended target to prove it by": {"defenses": ("bido",)},
}


def ranked(*exhibits: Exhibit) -> list[tuple[str, ...]]:
    return [r.setup.defenses for r in rank_sets(named(exhibits))]


def test_what_answers_one_question_shares_a_ranking(make: Make) -> None:
    first, second = Exhibit("a", make()), Exhibit("b", make(defenses=("none", "mid beta=1")))
    (found,) = rank_sets(named([first, second]))
    assert found.setup.defenses == ("none", "mid", "mid beta=1")
    assert found.board.headline
    assert len(found.board.headline.column.judges) == 2
    assert {d: [one.slug for one in shown] for d, shown in found.sources.items()} == {
        "none": ["a", "b"], "mid": ["a"], "mid beta=1": ["b"],
    }  # fmt: skip
    assert found.board.headline.means["mid"].value == pytest.approx(
        rank_sets(named([first]))[0].board.headline.means["mid"].value  # type: ignore[union-attr]
    )


@pytest.mark.parametrize("changed", OTHERS.values(), ids=OTHERS)
def test_what_answers_another_does_not(make: Make, changed: dict[str, Any]) -> None:
    other = make(**{"defenses": ("none", "bido"), **changed})
    assert len(ranked(Exhibit("a", make()), Exhibit("b", other))) == 2


def test_the_same_data_in_another_folder_are_the_same(make: Make) -> None:
    one = make(facts={"checksum": "ab", "private": "/home/ann/faces"})
    other = make(facts={"checksum": "ab", "private": "/home/bob/faces"}, defenses=("none", "bido"))
    assert ranked(Exhibit("a", one), Exhibit("b", other)) == [("none", "mid", "bido")]


def test_protocols_are_never_mixed(make: Make) -> None:
    newer = make(defenses=("none", "bido")).model_copy(update={"protocol": 2})
    sets = rank_sets(named([Exhibit("a", make()), Exhibit("b", newer)]))
    assert [r.protocol for r in sets] == [0, 2]
    assert sets[1].slug.endswith("-p2")


def test_what_was_refuted_stands_alone_and_has_no_rank(make: Make) -> None:
    standing = Standing("refuted", 1, 1, ("differs",), 0, "")
    sets = rank_sets(named([Exhibit("a", make()), Exhibit("b", make(defenses=("none", "bido")), standing)]))
    assert [r.refuted for r in sets] == [False, True]
    assert not sets[1].compared


def test_a_cell_that_came_out_differently_keeps_matrices_apart(make: Make) -> None:
    first, second = make(), make(defenses=("none", "mid", "bido"))
    changed = [
        row.model_copy(update={"figures": row.figures[1:] + row.figures[:1]}) if row.defense == "mid" else row
        for row in second.rows
    ]
    same = second.model_copy(update={"rows": tuple(changed)})
    assert ranked(Exhibit("a", first), Exhibit("b", same)) == [("none", "mid", "bido")]  # the order means nothing
    figure = second.rows[2].figures[0].model_copy(update={"value": 0.01})
    wrong = second.rows[2].model_copy(update={"figures": (figure, *second.rows[2].figures[1:])})
    other = second.model_copy(update={"rows": (*second.rows[:2], wrong, *second.rows[3:])})
    assert len(ranked(Exhibit("a", first), Exhibit("b", other))) == 2


def test_addresses_stay_when_a_matrix_is_added(make: Make) -> None:
    first, other = Exhibit("m", make()), Exhibit("m", make(title="Another", effort=0.5))
    (alone,) = named([first])
    assert [one.slug == alone.slug == "m" for one in named([first, other, first])] == [True, False]  # given twice
    sets, more = rank_sets(named([first])), rank_sets(named([first, other]))
    assert sets[0].slug == more[0].slug != more[1].slug
    submitted = Exhibit("m", first.results, Standing("re-verified", 1, 1, (), 1, "Ann & Bob"))
    assert named([submitted])[0].slug.startswith("ann-bob-")


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "CON", "nul", "a" * 300, "é", "\ud800", "\n", "index"])
def test_any_name_has_an_address_that_is_a_plain_file_name(name: str) -> None:
    made = slug(name)
    assert made
    assert set(made) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-")
    assert len(made) < 80
    assert made not in {"con", "nul"}


def test_names_that_look_alike_have_addresses_of_their_own() -> None:
    names = ["TL_DMI", "tl_dmi", "tl dmi", "tl-dmi", "tl+dmi", "tl/dmi", "Tl_dmi", "tl_dmi ", "tl_dmi."]
    assert len({slug(name) for name in names}) == len(names)
