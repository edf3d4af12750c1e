"""Results in, one self-contained HTML file out: no request leaves it, and nothing in it is trusted."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from unveil.harness.figures.rows import Picture, Results
from unveil.harness.words.names import Direction
from unveil.leaderboard import fisher, spending, strips, wording
from unveil.leaderboard.agreement import panel
from unveil.leaderboard.agreement import title as opinion_title
from unveil.leaderboard.board import board
from unveil.leaderboard.columns import Column
from unveil.leaderboard.complaints import Point
from unveil.leaderboard.curves import curves
from unveil.leaderboard.evidence import evidence, png_size
from unveil.leaderboard.figures import BASELINE, CONTROLS, Setup, broken, setups
from unveil.leaderboard.judges import CEILING_MIN, FLOOR_MAX, is_ceiling, is_floor, judge_warnings
from unveil.leaderboard.precisions import mixed_precisions
from unveil.leaderboard.roc import roc
from unveil.leaderboard.scale import scales
from unveil.leaderboard.scatter import scatter
from unveil.leaderboard.threads import mixed_threads
from unveil.leaderboard.tradeoff import COSTS, comparison, span_of, tradeoffs
from unveil.leaderboard.verdict import verdict
from unveil.leaderboard.verification import is_system, systems

_TEMPLATES = Path(__file__).parent / "templates"


def source() -> str:
    """A hash of what pages are made with: the same results give the same page, as long as it is the same."""
    folder = Path(__file__).parent
    files = sorted(file for file in folder.rglob("*") if file.suffix in (".py", ".html", ".css", ".js"))
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file.relative_to(folder).as_posix()}\0".encode() + file.read_bytes())
    return total.hexdigest()


def render(results: Results, *, private_pictures: bool = False) -> str:
    """Renders the page.

    Args:
        results: Everything to show.
        private_pictures: Also embed pictures that the data set does not allow to publish; the page then says so.

    Returns:
        HTML with style, script, data and pictures inside.
    """
    results = results if private_pictures else _without_names(results)
    shown = [p for p in results.pictures if p.publishable or private_pictures]
    page = _environment().get_template("page.html")
    style, script = (_read(name) for name in ("style.css", "script.js"))
    return page.render(
        results=results,
        sections=_sections(results, shown),
        pictures=[_picture(p, private_pictures) for p in results.pictures],
        private=any(not p.publishable for p in shown),
        policy=_policy(style, script),
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        data=_embedded(results),
        columns=_columns(results),
        compared=[c for c in _columns(results) if c.direction != Direction.DESCRIBES],
        other_keys=_other_keys(results),
        counts=_counts(results),
    )


def _without_names(results: Results) -> Results:
    """Names of files are names of people: they stay off a page of data that may not be published."""
    shown = {name: one if one.publishable else one.without_names() for name, one in results.accounts.items()}
    return results.model_copy(update={"accounts": shown})


def fisher_charts(results: Results) -> dict[tuple[str, str, str, str, int], str]:
    """Fisher information by layer as SVG files, one for each row that measured it, by `Row.cell`."""
    template = _environment().get_template("fisher_chart.html")
    opening = Markup('xmlns="http://www.w3.org/2000/svg"')
    head = Markup(f"<style>{_read('fisher_chart.css')}</style>")  # noqa: S704 - our own file
    made = {}
    for row in results.rows:
        for profile in fisher.profiles([row]):
            if chart := fisher.chart(profile, fisher.longest([profile])):
                made[row.cell] = template.render(chart=chart, says=profile.sentence, opening=opening, head=head)
    return made


def _environment() -> Environment:
    env = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.globals |= {
        "BASELINE": BASELINE,
        "CEILING_MIN": CEILING_MIN,
        "CONTROLS": CONTROLS,
        "FLOOR_MAX": FLOOR_MAX,
        "COSTS": COSTS,
        "anchor": anchor,
        "curves": curves,
        "span_of": span_of,
        "comparison_text": comparison,
        "fisher": fisher,
        "is_ceiling": is_ceiling,
        "is_floor": is_floor,
        "is_system": is_system,
        "judge_warnings": judge_warnings,
        "opinion_title": opinion_title,
        "roc": roc,
        "spending": spending,
        "strips": strips,
        "wording": wording,
    }
    env.filters["breakable"] = breakable
    return env


def breakable(text: object) -> Markup:
    """Lets a long name break at its joints.

    >>> breakable("a_b<c>")
    Markup('a_<wbr>b&lt;c&gt;')
    """
    safe = str(escape(str(text)))
    for joint in ("_", "+", "/"):
        safe = safe.replace(joint, f"{joint}<wbr>")
    return Markup(safe)  # noqa: S704 - escaped above


def anchor(*parts: object) -> str:
    """A short id for a link inside the page, whatever the names contain."""
    return "c" + hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:10]


def _sections(results: Results, shown: Sequence[Picture]) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for i, setup in enumerate(setups(results)):
        again = any((s["setup"].data, s["setup"].model) == (setup.data, setup.model) for s in made)
        # controls stand beside every threat model, but cell by cell only once
        made.append(_section(i, setup, results, shown) | {"by_cell": setup.attacks + (() if again else setup.controls)})
    return made


def _section(index: int, setup: Setup, results: Results, shown: Sequence[Picture]) -> dict[str, Any]:
    found = board(setup, results.judges)
    told = verdict(found)
    matrices = list(found.matrices.values())
    return {
        "id": f"setup{index}",
        "setup": setup,
        "verdict": replace(told, points=(*told.points, *_not_alike(setup, results))),
        "evidence": evidence(found, shown),
        "withheld": [p for p in results.pictures if p not in shown and (p.data, p.model) == (setup.data, setup.model)],
        "matrices": matrices,
        "useful": list(found.useful.items()),
        "plot": scatter(found),
        "broken": broken(setup),
        "tradeoffs": tradeoffs(setup),
        "fisher": fisher.section(setup),
        "scales": scales(setup, matrices, results.judges),
        "panel": panel(setup),
        "systems": systems(setup),
    }


def _not_alike(setup: Setup, results: Results) -> list[Point]:
    return [*mixed_threads(setup, results.provenance), *mixed_precisions(setup, results.provenance)]


def _picture(picture: Picture, private: bool) -> dict[str, Any]:
    shown = picture.publishable or private
    return {"picture": picture, "shown": shown, "size": png_size(picture.png) if shown else None}


def _columns(results: Results) -> list[Column]:
    figures = [f for row in results.rows for f in row.figures if not fisher.is_fisher(f)]
    return list({f.name: Column.of(f) for f in figures}.values())


def _other_keys(results: Results) -> Mapping[str, Mapping[str, Any]]:
    """Provenance of what belongs to no single cell, such as evaluators."""
    used = {key for row in results.rows for key in row.keys.values()}
    return {key: facts for key, facts in results.provenance.items() if key not in used}


def _counts(results: Results) -> list[str]:
    rows = results.rows
    by_status = {s: sum(r.status == s for r in rows) for s in ("done", "failed", "blocked")}
    counts = [wording.plural(len(rows), "cell") + ": " + ", ".join(f"{n} {s}" for s, n in by_status.items() if n)]
    people = {f.identities for r in rows for f in r.figures if f.identities}
    counts += [wording.plural(len({r.seed for r in rows}), "seed")]
    counts += [wording.plural(max(people), "person", "people") + " attacked"] if people else []
    counts += [wording.plural(len(results.judges), "judge")] if results.judges else []
    return counts if rows else ["no cells"]


def _policy(style: str, script: str) -> str:
    """Forbids every request, and every style and script but the page's own."""
    allowed = {"style-src": style, "script-src": script}
    hashes = [f"{k} 'sha256-{_sha256(text)}'" for k, text in allowed.items()]
    return "; ".join(["default-src 'none'", "img-src data:", *hashes, "base-uri 'none'", "form-action 'none'"])


def _sha256(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _embedded(results: Results) -> Markup:
    """All results but the pictures, as JSON that no string inside can break out of."""
    plain = results.model_dump(exclude={"pictures"}, exclude_none=True)
    text = json.dumps(_finite(plain), allow_nan=False, ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return Markup(text)  # noqa: S704 - no markup left


def _finite(value: Any) -> Any:
    """JSON has no infinity: it is written as text, which ``Results`` reads back as the number."""
    if isinstance(value, float) and not math.isfinite(value):
        return {math.inf: "Infinity", -math.inf: "-Infinity"}.get(value, "NaN")
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _read(name: str) -> str:
    # The policy's hash is over what a browser sees, which never contains a carriage return.
    return "\n" + "\n".join(_lines(_TEMPLATES / name)) + "\n"


def _lines(path: Path) -> Iterable[str]:
    return path.read_text(encoding="utf-8").splitlines()
