"""A report as one HTML file that asks for nothing, runs nothing, and prints on A4."""

from __future__ import annotations

import re
from pathlib import Path

from jinja2 import Environment
from markupsafe import Markup

from unveil.harness.figures.audit_facts import AuditFacts
from unveil.harness.figures.rows import Results
from unveil.harness.words.names import Access, Role
from unveil.leaderboard import strips, wording
from unveil.leaderboard.environment import policy, strict
from unveil.leaderboard.report import phrases
from unveil.leaderboard.report.advice import advice
from unveil.leaderboard.report.audited import Audited, audited
from unveil.leaderboard.report.drawings import dots
from unveil.leaderboard.report.finding import briefly
from unveil.leaderboard.report.portraits import BLURRED, Portraits, portraits

_TEMPLATES = Path(__file__).parent.parent / "templates" / "report"
LISTED = 10  # people who stand on the page before the fold
PRINTED = 60  # people whose whole list is printed
STATES = {
    "recovers": "recovers people", "faint": "recovers hardly anybody", "few": "too few people to be sure",
    "unknown": "not compared with luck", "luck": "no better than luck", "unscored": "no number", "untried": "not run",
    "excluded": "not looked at", "void": "cannot be used", "nothing": "nothing can be said",
}  # fmt: skip
SIDES = {
    "less": "surely gives away less", "more": "surely gives away more", "tie": "cannot be told apart from no defense",
    "useless": "is useless: no better than guessing", "unscored": "has no number",
    "reference": "is what the others are compared with",
}  # fmt: skip


def render(results: Results, facts: AuditFacts, *, private_pictures: bool = False) -> str:
    """Renders the report.

    Args:
        results: Rows, judges and pictures of the audit.
        facts: What was found out before any attack.
        private_pictures: Show people's names and sharp pictures although their data set does not allow it; the report
            then says so.

    Returns:
        HTML with style and pictures inside.
    """
    audit = audited(results, facts, private_pictures=private_pictures)
    shown = _portraits(results, audit, private_pictures)
    style = _style(audit.facts.model)
    return _environment().get_template("page.html").render(
        audit=audit,
        facts=audit.facts,
        advice=advice(audit),
        portraits=shown,
        private=any(one.private for one in shown.values()) or (private_pictures and not _publishable(results, audit)),
        policy=policy(style=style),
        style=Markup(style),  # noqa: S704 - our own file, and a title without any character that could end it
        day=_day(results),
    )  # fmt: skip


def _portraits(results: Results, audit: Audited, private: bool) -> dict[Access, Portraits]:
    made: dict[Access, Portraits] = {}
    for kind in audit.kinds if audit.finding.state != "nothing" else ():
        if kind.strongest:
            found = portraits(results, audit.model, kind.strongest.found, audit.people, private_pictures=private)
            made |= {kind.access: found} if found else {}
    return made


def _publishable(results: Results, audit: Audited) -> bool:
    account = results.accounts.get(audit.model.data)
    return account is None or account.publishable


def _environment() -> Environment:
    env = strict(_TEMPLATES)
    env.globals |= {
        "BLURRED": BLURRED,
        "LISTED": LISTED,
        "PRINTED": PRINTED,
        "SIDES": SIDES,
        "STATES": STATES,
        "FLOOR": Role.FLOOR,
        "dots": dots,
        "phrases": phrases,
        "strips": strips,
        "briefly": briefly,
        "wording": wording,
    }
    env.filters["sentence"] = phrases.sentence
    return env


def _day(results: Results) -> str:
    """The last day on which something was computed; empty if nobody knows."""
    times = [str(made.get("when", "")) for made in results.provenance.values()]
    return max((t[:10] for t in times if re.match(r"\d{4}-\d\d-\d\d", t)), default="")


def _style(title: str) -> str:
    lines = (_TEMPLATES / "page.css").read_text(encoding="utf-8").splitlines()
    return "\n" + "\n".join(lines).replace("RUNNING_TITLE", css_text(f"Privacy audit of {title}")) + "\n"


def css_text(text: str) -> str:
    r"""Text as a style sheet has it between quotes, whatever is in it.

    >>> css_text('a"</style>')
    'a\\22 \\3c \\2f style\\3e '
    """
    plain = re.compile(r"[A-Za-z0-9 .,_-]")
    return "".join(c if plain.match(c) else f"\\{ord(c):x} " for c in text if c.isprintable())
