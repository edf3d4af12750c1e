"""Writes a working plugin package that somebody can change into their own."""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from unveil.harness.plan import plugins
from unveil.harness.words.errors import PluginError

NOUNS = {
    "datasets": "data set",
    "models": "classifier",
    "defenses": "defense",
    "priors": "prior",
    "attacks": "attack",
    "metrics": "metric",
}


@dataclass(frozen=True)
class _Words:
    """What the templates are filled with."""

    kind: str
    name: str

    @property
    def all(self) -> dict[str, str]:
        noun = NOUNS[self.kind]
        return {
            "kind": self.kind,
            "name": self.name,
            "noun": noun,
            "article": "an" if noun[0] in "aeiou" else "a",
            "cls": "".join(word.capitalize() for word in self.name.split("_")),
            "package": f"unveil_{self.name}",
            "distribution": f"unveil-{self.name.replace('_', '-')}",
        }


def scaffold(kind: str, name: str, into: Path) -> Path:
    """Writes ``into/unveil-<name>`` with a plugin, its test, a plan and a README.

    Args:
        kind: One of ``plugins.KINDS``.
        name: What plans will call it; a Python identifier in lower case.
        into: Folder to put it in; made if it is not there.

    Returns:
        The new folder.

    Raises:
        PluginError: If the name cannot be used, or the folder is there already.
    """
    _check_name(kind, name)
    words = _Words(kind, name).all
    folder = into / words["distribution"]
    if folder.exists():
        raise PluginError(
            f"{folder} is there already", "a new folder: nothing is overwritten", "choose another name or --into"
        )
    source = f"src/{words['package']}"
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        "plan.toml": "plan.toml",
        f"{source}/__init__.py": "init.py",
        f"{source}/{name}.py": f"{kind}.py",
        f"tests/test_{name}.py": "test.py",
    }
    for path, template in templates.items():
        _write(folder / path, template, words)
    return folder


def _check_name(kind: str, name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        hint = f", such as {better}" if re.match("[a-z]", better) and not keyword.iskeyword(better) else ""
        raise PluginError(
            f"{name!r} cannot be the name of a plugin",
            f"lower-case letters, digits and underscores, a letter first, no Python keyword{hint}",
            "choose another name",
        )
    taken = plugins.registered(kind).get(name, ())
    if taken:
        raise PluginError(
            f"{kind} already have {name!r}, from {taken[0].origin}", "a name that is free", "choose another name"
        )


def _write(path: Path, template: str, words: dict[str, str]) -> None:
    environment = Environment(
        loader=PackageLoader("unveil.harness"),
        autoescape=select_autoescape(),  # for HTML only, of which there is none here
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(environment.get_template(f"{template}.jinja").render(words), encoding="utf-8")
