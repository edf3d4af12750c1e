"""From a name or a file to a report."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from unveil.harness.conformance import attacks, basics, datasets, defenses, metrics, models, priors
from unveil.harness.conformance.basics import Subject
from unveil.harness.conformance.defended import settled
from unveil.harness.conformance.report import Check, Finding, Report, try_all, try_one
from unveil.harness.conformance.shrink import changes, shrunk
from unveil.harness.plan import plugins
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.words.errors import PluginError
from unveil.harness.words.spec import Spec

TRIALS: Mapping[str, tuple[tuple[Check[Any], ...], Callable[[Subject], Any]]] = {
    "datasets": (datasets.CHECKS, lambda subject: datasets.trial(subject.plugin)),
    "models": (models.CHECKS, lambda subject: models.trial(subject.plugin)),
    "defenses": (defenses.CHECKS, defenses.trial),
    "priors": (priors.CHECKS, lambda subject: priors.trial(subject.plugin, subject.base)),
    "attacks": (attacks.CHECKS, attacks.trial),
    "metrics": (metrics.CHECKS, metrics.trial),
}


def check(
    use: str, kind: str | None = None, settings: Mapping[str, Any] | None = None, base: Path | None = None
) -> Report:
    """Tries a plugin out on tiny synthetic data.

    Args:
        use: Registered name (``"gmi"``) or file and class (``"my_attack.py:MyAttack"``).
        kind: Such as ``"attacks"``; found out if it is left out.
        settings: Settings other than the defaults. Of those that are left out, the ones that decide the cost are
            lowered, by the rule in `unveil.harness.conformance.shrink`.
        base: Folder that a relative file is looked for in; the current one by default.

    Returns:
        Everything found; ``report.ok`` says whether the plugin conforms, ``str(report)`` what is wrong.

    Raises:
        PluginError: If there is no such plugin, or more than one, or a setting without a default is not given.
    """
    base = base or Path.cwd()
    spec = Spec(use, dict(settings or {}))
    kind = kind or kind_of(use, base)
    try:
        _require_settings(plugins.load(kind, use, base), spec)
        asked = plugin_settings.make(kind, spec, base)
    except _IncompleteError:
        raise
    except PluginError as error:
        return Report(kind, use, _origin(kind, use), "", (Finding("can be loaded", False, str(error)),))
    plugin = shrunk(kind, spec, base)
    subject = Subject(kind, spec, base, settled(plugin) if kind == "defenses" else plugin)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        findings = [Finding("can be loaded", True), *_findings(subject)]
    findings.append(_quiet(said.getvalue()))
    return Report(kind, use, _origin(kind, use), changes(asked, subject.plugin), tuple(findings))


class _IncompleteError(PluginError):
    """A setting without a default was not given: that is no fault of the plugin."""


def _require_settings(cls: type, spec: Spec) -> None:
    fields = [f for f in dataclasses.fields(cls) if f.init and f.name not in spec.settings]
    empty = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    if empty:
        raise _IncompleteError(
            f"{spec.use} has no default for {', '.join(empty)}",
            "a value for each setting without a default",
            f"give it, such as --set {empty[0]}=...",
        )


def _findings(subject: Subject) -> Iterator[Finding]:
    file = inspect.getsourcefile(type(subject.plugin)) or ""
    yield from (try_one(check, subject, file) for check in basics.CHECKS)
    checks, trial = TRIALS[subject.kind]
    yield from try_all(checks, trial(subject), file)


def _quiet(said: str) -> Finding:
    if not said.strip():
        return Finding("prints nothing", True)
    first = said.strip().splitlines()[0][:80]
    return Finding(
        "prints nothing",
        False,
        f"it printed {first!r}\nexpected: standard output left to answers, which other programs read\n"
        "to do: show progress with `with run.progress(label, total) as bar`, and log with the logging module",
    )


def _origin(kind: str, use: str) -> str:
    if use.rpartition(":")[0].endswith(".py"):
        return "a file"
    return ", ".join(entry.origin for entry in plugins.registered(kind).get(use, ()))


def kind_of(use: str, base: Path) -> str:
    """What kind of plugin a name or file is.

    Raises:
        PluginError: If it is none, or several.
    """
    if use.rpartition(":")[0].endswith(".py"):
        return _kind_of_file(use, base)
    kinds = [kind for kind in plugins.KINDS if use in plugins.registered(kind)]
    if len(kinds) == 1:
        return kinds[0]
    known = sorted({name for kind in plugins.KINDS for name in plugins.registered(kind)})
    if not kinds:
        raise PluginError(
            f"nothing is called {use!r}{plugins.suggest(use, known)}",
            f"one of {', '.join(known)}, or a file such as my_defense.py:MyDefense",
            "see `unveil list`",
        )
    raise PluginError(f"{use!r} is registered under {' and '.join(kinds)}", "one kind", f"add --kind {kinds[0]}")


def _kind_of_file(use: str, base: Path) -> str:
    """The kind whose offers the class has; the one with most of them, since a prior builds as a model does."""
    reasons: dict[str, str] = {}
    for kind in sorted(plugins.KINDS, key=lambda kind: -len(plugins.OFFERS[kind])):
        try:
            plugins.load(kind, use, base)
        except PluginError as error:
            reasons[kind] = error.what
            continue
        return kind
    if len(set(reasons.values())) == 1:  # whatever it is taken for, it cannot be loaded
        plugins.load("defenses", use, base)
    raise PluginError(
        f"{use!r} is of no known kind: {'; '.join(f'for {kind} {why}' for kind, why in reasons.items())}",
        "a class with the methods of one kind",
        "start from `unveil new`",
    )
