"""A page for each plugin: facts from its class, the part that was written by hand, its settings."""

from __future__ import annotations

import inspect
from pathlib import Path

from settings import sections, table

from unveil.harness.plan import plugins
from unveil.harness.plan.plugins import Entry

KINDS = {
    "attacks": "Attacks",
    "defenses": "Defenses",
    "priors": "Priors",
    "metrics": "Metrics",
    "datasets": "Data sets",
    "models": "Models",
    "comparers": "Comparers",
}
HOW = {  # a plugin in a plan
    "attacks": "[[attacks]]",
    "defenses": "[[defenses]]",
    "metrics": "[[metrics]]",
    "datasets": "[data]",
    "models": "[target]",
}
ACCESS = {
    "white-box": "white-box: it sees logits, features and gradients",
    "scores": "scores: it sees the answer's softmax scores",
    "labels": "labels: it sees the most likely class only",
}
ROLES = {
    "floor": "a control: the floor, what luck scores",
    "gullibility": "a control: how easily judges are fooled",
    "ceiling": "a control: the ceiling, what the real thing scores",
}


def entries(kind: str) -> list[Entry]:
    """The plugins of a kind that come with this package; somebody else's are not for these pages."""
    return [one for group in plugins.registered(kind).values() for one in group if one.target.startswith("unveil.")]


def title(kind: str) -> str:
    """What a kind is called in headings."""
    return KINDS[kind]


def plugin_page(entry: Entry, written: str) -> str:
    """The whole page of a plugin.

    Args:
        entry: Whose.
        written: What was written by hand, with its heading; empty if nothing was.
    """
    cls = plugins.load(entry.kind, entry.name, Path.cwd())
    heading, _, rest = (written or f"# {entry.name}\n").partition("\n")
    parts = [heading, facts(entry, cls), rest.strip()]
    return "\n\n".join(part for part in [*parts, "## Settings", table(cls), "## In its own words", _words(cls)] if part)


def facts(entry: Entry, cls: type) -> str:
    """A box of what the class declares of itself."""
    line = [f"**{sections(cls)[0].partition(chr(10) * 2)[0]}**".replace("\n", " ")]
    rows = {
        "in a plan": _in_a_plan(entry),
        "paper": getattr(cls, "paper", ""),
        "sees": ACCESS.get(str(getattr(cls, "access", "") or ""), ""),
        "role": ROLES.get(str(getattr(cls, "role", "")), ""),
        "about": {"attack": "each attack on each target", "target": "each target"}.get(getattr(cls, "about", ""), ""),
        "needs a judge": {True: "yes, one column for each evaluator", False: "no"}.get(
            getattr(cls, "needs_evaluator", None), ""
        ),
        "code": f"`{_source(cls)}`",
    }
    if entry.kind == "priors":
        rows["sees"] = rows["sees"] or "nothing of the target: one for all targets"
    told = [f"| {name} | {text} |" for name, text in rows.items() if text]
    return "\n".join([*line, "", "| | |", "|---|---|", *told])


def _in_a_plan(entry: Entry) -> str:
    if entry.kind == "priors":
        return f'`prior = {{ use = "{entry.name}" }}` of an attack'
    if entry.kind == "comparers":
        return f'`comparer = {{ use = "{entry.name}" }}` of [`verification`](../metrics/verification.md)'
    judge = " (or `[[evaluators]]`)" if entry.kind == "models" else ""
    return f'`{HOW[entry.kind]}`{judge} with `use = "{entry.name}"`'


def _source(cls: type) -> str:
    return cls.__module__.removeprefix("unveil.").replace(".", "/") + ".py"


def _words(cls: type) -> str:
    """The docstring of the class, its attributes left out, which are the settings."""
    return inspect.cleandoc(sections(cls)[0])


def index_page(kind: str, intro: str) -> str:
    """The list of all plugins of a kind.

    Args:
        kind: Which.
        intro: What was written by hand, with its heading.
    """
    rows = [
        f"| [`{entry.name}`]({entry.name}.md) | {plugins.about(entry).line} | {_short(plugins.about(entry).paper)} |"
        for entry in entries(kind)
    ]
    return "\n".join([intro.strip(), "", "| name | what it is | paper |", "|---|---|---|", *rows, ""])


def _short(paper: str) -> str:
    return paper.partition(", arXiv")[0]
