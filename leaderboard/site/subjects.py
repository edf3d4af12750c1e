"""What the pages of defenses, attacks and data sets show, each across all rankings that it is in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from unveil.harness.figures.rows import Picture, Results, Row
from unveil.harness.words.names import Direction, Role
from unveil.leaderboard import fisher, spending
from unveil.leaderboard.columns import Column
from unveil.leaderboard.complaints import Point
from unveil.leaderboard.curves import curves
from unveil.leaderboard.evidence import png_size
from unveil.leaderboard.figures import BASELINE
from unveil.leaderboard.matrices import Matrix
from unveil.leaderboard.scatter import Plot, scatter
from unveil.leaderboard.site.ranking import RankSet, Shown
from unveil.leaderboard.verdict import comparison_points
from unveil.leaderboard.wording import number, plural
from unveil.leaderboard.worth import useless_sentence

WORST = 8  # people who are named one by one


@dataclass(frozen=True)
class Person:
    """Somebody of whom much is given away.

    Attributes:
        name: By number: names stay where the data are.
        here: Leakage with the defense.
        undefended: The same without; None if that is not known.
    """

    name: str
    here: float
    undefended: float | None


@dataclass(frozen=True)
class Gallery:
    """Grids of a page.

    Attributes:
        pictures: With what the template asks of each.
        withheld: How many are left out.
    """

    pictures: Sequence[Mapping[str, Any]]
    withheld: int


def gallery(found: RankSet, private: bool, *, defenses: Sequence[str] = (), attack: str = "") -> Gallery:
    """The grids of these defenses under each attack, attack by attack; or of one attack or control.

    Args:
        found: The ranking.
        private: Whether pictures that may not be published are shown, too.
        defenses: Their names.
        attack: Its name.
    """
    attacks, order = (attack,) if attack else found.setup.attacks, defenses or found.setup.defenses
    mine = [p for p in found.pictures if p.attack in attacks and p.defense in order]
    mine.sort(key=lambda p: (attacks.index(p.attack), order.index(p.defense), p.seed))
    shown = [p for p in mine if p.publishable or private]
    return Gallery([_figure(p) for p in shown], len(mine) - len(shown))


def _figure(picture: Picture) -> dict[str, Any]:
    return {"picture": picture, "size": png_size(picture.png)}


def defense(found: RankSet, family: str, private: bool) -> dict[str, Any]:
    """What a ranking has to say about one family of defenses."""
    strengths = found.families[family]
    head = found.board.headline
    columns = strengths if BASELINE in strengths or BASELINE not in found.setup.defenses else (BASELINE, *strengths)
    pictures = gallery(found, private, defenses=columns)
    return {
        "r": found, "m": head, "first": found.board.first, "columns": columns,
        "shown": list(dict.fromkeys(one for d in strengths for one in found.sources[d])),
        "points": [] if found.refuted or not head else _points(found, head, strengths),
        "scatter": scatter(found.board) if family == BASELINE else None,
        "curves": [] if found.refuted else list(_curves(found, family)),
        "worst": [(d, *worst) for d in strengths if head and (worst := worst_off(head, d))],
        "fisher": _fisher(found, strengths), "pictures": pictures.pictures, "withheld": pictures.withheld,
        "targets": list(_targets(found, strengths)),
    }  # fmt: skip


def _points(found: RankSet, head: Matrix, strengths: Sequence[str]) -> list[Point]:
    worth = found.board.worths
    useless = [Point("warning", useless_sentence(d, worth[d])) for d in strengths if worth[d].useless]
    compared = [found.compared[d] for d in strengths if d in found.compared and not worth[d].useless]
    return [*useless, *comparison_points(head, compared, worth)]


def _curves(found: RankSet, family: str) -> Iterator[tuple[str, str, Plot]]:
    """Leakage over utility under each attack, from the undefended target through the strengths of one family."""
    for tradeoff in found.tradeoffs:
        own = tuple(one for one in tradeoff.families if one.name == family)
        if own and (plot := curves(replace(tradeoff, families=own))):
            yield tradeoff.attack, tradeoff.leak.judge or "", plot


def worst_off(found: Matrix, name: str) -> tuple[list[Person], str] | None:
    """Who gives most away with a defense, and how it is spread over people; None where people are not known."""
    mean = found.means.get(name)
    if mean is None or not mean.per_identity:
        return None
    base = found.means[BASELINE].per_identity if BASELINE in found.means else {}
    sign = 1 if found.column.direction == Direction.PROTECTS else -1
    order = sorted(mean.per_identity, key=lambda who: (sign * mean.per_identity[who], who.zfill(9)))
    people = [Person(f"no. {who}", mean.per_identity[who], base.get(who)) for who in order[:WORST]]
    return people, _spread(mean.per_identity, found.column)


def _spread(values: Mapping[str, float], column: Column) -> str:
    ordered = sorted(values.values())
    ends = [number(value, column.unit) for value in (ordered[0], ordered[len(ordered) // 2], ordered[-1])]
    text = f"lowest {ends[0]}, median {ends[1]}, highest {ends[2]} of {plural(len(ordered), 'person', 'people')}"
    if column.is_share:
        text += f"; something is given away of {sum(value > 0 for value in ordered)}"
    return text


def _fisher(found: RankSet, strengths: Sequence[str]) -> list[tuple[fisher.Profile, fisher.Chart]]:
    profiles = fisher.profiles(found.setup.rows)
    scale = fisher.longest(profiles)
    mine = [(p, fisher.chart(p, scale)) for p in profiles if p.defense in strengths]
    return [(profile, chart) for profile, chart in mine if chart]


def _targets(found: RankSet, strengths: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Each defended target once: its settings, what its rows agree on, and how it was made."""
    for name in strengths:
        source = found.sources[name][0]
        results = source.exhibit.results
        mine = [row for row in found.setup.rows if row.defense == name]
        for seed in dict.fromkeys(row.seed for row in mine):
            rows = [row for row in mine if row.seed == seed]
            key = next((row.keys["target"] for row in rows if "target" in row.keys), "")
            yield {
                "defense": name, "seed": seed, "key": key, "results": results, "shown": source,
                "settings": settings(results, key, "defense"), "facts": _agreed(rows),
                "notes": list(dict.fromkeys(note for row in rows for note in row.notes)),
            }  # fmt: skip


def _agreed(rows: Sequence[Row]) -> dict[str, str]:
    """Facts that all rows of a target share are the target's."""
    first, *others = [row for row in rows if row.facts] or [rows[0]]
    return {name: fact for name, fact in first.facts.items() if all(row.facts.get(name) == fact for row in others)}


def settings(results: Results, key: str, role: str) -> dict[str, str]:
    """The settings that an artefact was made with, as its provenance says them.

    Args:
        results: With provenance.
        key: Of the artefact.
        role: Whose settings, such as ``defense``.
    """
    uses = results.provenance.get(key, {}).get("uses")
    used = uses.get(role) if isinstance(uses, dict) else None
    told = [one for one in used if isinstance(one, dict)] if isinstance(used, list) else []
    found: dict[str, str] = {}
    for one in told:
        prefix = f"{one.get('use', role)} " if len(told) > 1 else ""
        own = one.get("settings")
        found |= {f"{prefix}{name}": _said(value) for name, value in own.items()} if isinstance(own, dict) else {}
    return found


def _said(value: Any) -> str:
    """A setting as a reader takes it: a plugin by its name, its own settings behind that."""
    if isinstance(value, dict) and set(value) == {"use", "settings"}:
        own = value["settings"]
        more = ", ".join(f"{name} {_said(one)}" for name, one in own.items()) if isinstance(own, dict) else ""
        return f"{value['use']} ({more})" if more else str(value["use"])
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else str(value)


def attack(found: RankSet, name: str, private: bool) -> dict[str, Any]:
    """What a ranking has to say about one attack or control."""
    pictures = gallery(found, private, attack=name)
    rows = [row for row in found.setup.rows if row.attack == name]
    source = found.parts[0].results
    key = next((row.keys["attack"] for row in rows if "attack" in row.keys), "")
    return {
        "r": found, "m": found.board.headline, "first": found.board.first, "lines": list(_lines(found, rows)),
        "settings": settings(source, key, "attack"), "pictures": pictures.pictures, "withheld": pictures.withheld,
    }  # fmt: skip


def _lines(found: RankSet, rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """Each defense with what the attack spent on it, as a mean over seeds."""
    family = {d: name for name, strengths in found.families.items() for d in strengths}
    for name in dict.fromkeys(row.defense for row in rows):
        mine = [row for row in rows if row.defense == name]
        made = {key: value for part in found.parts for key, value in part.results.provenance.items()}
        took = [sum(spending.seconds(row, made).values()) for row in mine if spending.seconds(row, made)]
        yield {
            "defense": name, "family": family[name], "queries": _spent(mine, "queries"),
            "gradients": _spent(mine, "gradients"), "seconds": sum(took) / len(took) if took else None,
        }  # fmt: skip


def _spent(rows: Sequence[Row], what: str) -> int | None:
    spent = [sum(told.values()) for row in rows if (told := spending.spent(row, what))]
    return round(sum(spent) / len(spent)) if spent else None


def origins(shown: Sequence[Shown], kind: str, name: str) -> list[str]:
    """Whose code a name stands for, in each matrix that says so."""
    parts = {name, *name.split("+")}
    return list(
        dict.fromkeys(
            origin
            for one in shown
            for plugin in one.exhibit.results.plugins
            if plugin.kind == kind and plugin.name in parts
            for origin in plugin.origins
        )
    )


def role_of(found: Sequence[RankSet], name: str) -> Role | None:
    """What an attack is a control for."""
    return next((r.setup.roles[name] for r in found if name in r.setup.roles), None)
