"""Pages across matrices: one for each defense, attack and data set, and the lists that lead to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unveil.leaderboard.figures import BASELINE, CONTROLS
from unveil.leaderboard.site import subjects
from unveil.leaderboard.site.press import Links, Press
from unveil.leaderboard.site.ranking import RankSet
from unveil.leaderboard.site.slugs import mark, slug
from unveil.leaderboard.wording import THREATS, plural

UP = "../"  # from any of these pages to the top of the site


def pages(press: Press, sets: Sequence[RankSet], *, private: bool) -> None:
    """Prints them all.

    Args:
        press: Prints them.
        sets: All rankings.
        private: Whether pictures that may not be published are shown.
    """
    _defenses(press, sets, private)
    _attacks(press, sets, private)
    _data(press, sets)


def _defenses(press: Press, sets: Sequence[RankSet], private: bool) -> None:
    found = _by(sets, lambda r: r.families)
    for name, mine in found.items():
        strengths = list(dict.fromkeys(d for r in mine for d in r.families[name]))
        shown = list(dict.fromkeys(one for r in mine for d in r.families[name] for one in r.sources[d]))
        press.page(
            f"defenses/{slug(name)}.html", "defense.html", title=name, name=name, under="defenses.html",
            strengths=strengths, origins=subjects.origins(shown, "defenses", name),
            sections=[subjects.defense(r, name, private) | _linked(press, r) for r in mine],
        )  # fmt: skip
    _list(
        press, "defenses.html", "Defenses", "Defense", "Strengths", found, lambda name: _strengths(found[name], name),
        "Every defense that was measured, in all its rankings: what it prevents attack by attack, what that costs, and "
        "who is still worst off.",
    )  # fmt: skip


def _strengths(sets: Sequence[RankSet], name: str) -> str:
    if name == BASELINE:
        return "undefended"
    count = len({strength for r in sets for strength in r.families[name]})
    return plural(count, "strength")


def _attacks(press: Press, sets: Sequence[RankSet], private: bool) -> None:
    found = _by(sets, lambda r: (*r.setup.attacks, *r.setup.controls))
    sees: dict[str, str] = {}
    for name, mine in found.items():
        role = subjects.role_of(mine, name)
        access = next((r.setup.access for r in mine if name in r.setup.attacks), None)
        sees[name] = f"control: {CONTROLS[role].lower()}" if role else THREATS[access] if access else "not recorded"
        shown = list(dict.fromkeys(part.shown for r in mine for part in r.parts))
        press.page(
            f"attacks/{slug(name)}.html", "attack.html", title=name, name=name, under="attacks.html", role=role,
            access=access, origins=subjects.origins(shown, "attacks", name),
            sections=[subjects.attack(r, name, private) | _linked(press, r) for r in mine],
        )  # fmt: skip
    _list(
        press, "attacks.html", "Attacks", "Attack", "Threat model", found, sees.__getitem__,
        "Every attack and control that was run: what it gets from each defended target, and what it spends on that.",
    )  # fmt: skip


def _data(press: Press, sets: Sequence[RankSet]) -> None:
    found = _by(sets, lambda r: (r.setup.data,))
    for name, mine in found.items():
        press.page(
            f"data/{slug(name)}.html", "dataset.html", title=name, name=name, under="data.html",
            variants=_variants(name, mine),
        )  # fmt: skip
    _list(
        press, "data.html", "Data", "Data set", "Described", found, lambda name: _described(found[name]),
        "Whose pictures the targets were trained on, what else was known, and how far judges can be trusted on them.",
    )  # fmt: skip


def _described(sets: Sequence[RankSet]) -> str:
    count = len({part.content for r in sets for part in r.parts})
    return "in one way" if count == 1 else f"in {count} ways, never ranked together"


def _variants(name: str, sets: Sequence[RankSet]) -> list[dict[str, Any]]:
    """Data sets that share a name, told apart by their contents."""
    made = []
    for content in dict.fromkeys(part.content for r in sets for part in r.parts):
        mine = [r for r in sets if r.parts[0].content == content]
        shown = list(dict.fromkeys(part.shown for r in mine for part in r.parts))
        results = shown[0].exhibit.results
        account = results.accounts.get(name)
        made.append({
            "id": f"data-{mark(content)}", "facts": results.datasets.get(name, {}),
            "account": account.without_names() if account and not account.publishable else account,
            "sets": mine, "shown": shown,
            "judged": list(_judged(name, shown)),
        })  # fmt: skip
    return made


def _judged(name: str, shown: Sequence[Any]) -> Any:
    """The judges of each matrix, once where several have the same."""
    seen: list[object] = []
    for one in shown:
        judges = [judge for judge in one.exhibit.results.judges if judge.data == name]
        if judges and judges not in seen:
            seen.append(judges)
            yield one, judges


def _by(sets: Sequence[RankSet], names: Callable[[RankSet], Any]) -> dict[str, list[RankSet]]:
    """The rankings that each name is in."""
    found: dict[str, list[RankSet]] = {}
    for one in sets:
        for name in names(one):
            found.setdefault(name, []).append(one)
    return found


def _linked(press: Press, found: RankSet) -> dict[str, Any]:
    """What the cells of a table ask: the rows, and where each leads."""
    matrices = {defense: shown[0].slug for defense, shown in found.sources.items()}
    return {"setup": found.setup, "links": Links(press, UP, matrices)}


def _list(
    press: Press,
    path: str,
    title: str,
    one: str,
    note_title: str,
    found: dict[str, list[RankSet]],
    note: Callable[[str], str],
    lead: str,
) -> None:
    folder = path.removesuffix(".html")
    items = [
        {"name": name, "href": f"{folder}/{slug(name)}.html", "note": note(name), "sets": sets}
        for name, sets in found.items()
    ]
    press.page(path, "list.html", title=title, one=one, note_title=note_title, items=items, lead=lead)
