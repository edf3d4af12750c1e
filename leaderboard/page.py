"""Results in, one self-contained HTML file out: no request leaves it, and nothing in it is trusted."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from unveil.harness.figures.rows import Results
from unveil.leaderboard import fisher
from unveil.leaderboard.contents import contents
from unveil.leaderboard.environment import TEMPLATES, OnePage, environment, policy


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
    found = contents(results, private_pictures=private_pictures)
    style, script = (_read(name) for name in ("style.css", "script.js"))
    return (
        environment()
        .get_template("page.html")
        .render(
            found,
            links=OnePage(),
            policy=policy(style=style, script=script),
            style=Markup(style),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            data=_embedded(found["results"]),
        )
    )


def fisher_charts(results: Results) -> dict[tuple[str, str, str, str, int], str]:
    """Fisher information by layer as SVG files, one for each row that measured it, by `Row.cell`."""
    template = environment().get_template("fisher_chart.html")
    opening = Markup('xmlns="http://www.w3.org/2000/svg"')
    head = Markup(f"<style>{_read('fisher_chart.css')}</style>")  # noqa: S704 - our own file
    made = {}
    for row in results.rows:
        for profile in fisher.profiles([row]):
            if chart := fisher.chart(profile, fisher.longest([profile])):
                made[row.cell] = template.render(chart=chart, says=profile.sentence, opening=opening, head=head)
    return made


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
    return "\n" + "\n".join(_lines(TEMPLATES / name)) + "\n"


def _lines(path: Path) -> Iterable[str]:
    return path.read_text(encoding="utf-8").splitlines()
