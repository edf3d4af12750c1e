"""A hash of the code that answers a question: editing one attack's source redoes only what depends on it.

Uses the standard library alone, and gives one source the same hash on every Python that can parse it.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

# These carry questions and answers but decide no number; changing them must not throw results away.
PLUMBING = frozenset(
    f"unveil.harness.{name}"
    for name in (
        *("figures.panel", "figures.rows", "plan.asker", "plan.canonical", "plan.complaints", "plan.file"),
        *("plan.fingerprint", "plan.node", "plan.parts", "plan.plugins", "plan.settings", "plan.text"),
        *("plan.defense_part", "plan.validation", "steps.wishes", "training.probe"),
        *("store.artefact", "store.artefacts", "store.files", "store.large", "store.lease", "store.stream"),
        *("words.disk", "words.errors", "words.pixel_file", "words.spec"),
    )
)


class _Source(NamedTuple):
    """What one module's text says.

    Attributes:
        tree: Without docstrings.
        imports: ``(module, name)`` of what it imports at run time; the name is empty for ``import module``.
        own: Names that it defines itself, at its top level.
        passed_on: Where a name that it only imports comes from, as ``(module, name)``.
    """

    tree: ast.Module
    imports: tuple[tuple[str, str], ...]
    own: frozenset[str]
    passed_on: dict[str, tuple[str, str]]


@cache
def fingerprint(*modules: str) -> str:
    """Hash of the named modules and of everything they import from their own packages.

    Comments, docstrings, layout and imports for type checkers do not count; imports inside functions do. A name that
    a module imports from a face, which only passes it on, leads to the module that defines it and not to the face.

    Args:
        modules: Dotted names; those of plugin files are looked up among the loaded modules.
    """
    return hashlib.sha256(repr(sorted(reached(*modules).values())).encode()).hexdigest()


@cache
def reached(*modules: str) -> dict[str, str]:
    """Every module that the named ones reach, themselves included, and the hash of its source."""
    seen: dict[str, str] = {}
    waiting = sorted(set(modules))
    while waiting:
        name = waiting.pop()
        if name in seen or name in PLUMBING or (source := _source(name)) is None:
            continue
        seen[name] = hashlib.sha256(form(source.tree).encode()).hexdigest()
        own = name.split(".")[0]
        for module, imported in source.imports:
            if module.split(".")[0] == own:
                waiting += _defining(module, imported)
    return seen


def form(node: Any) -> str:
    """A syntax tree as text that is the same on all Pythons: fields that are empty are left out, as are new ones then.

    >>> form(ast.parse("x = f(1)"))
    "Module(body=[Assign(targets=[Name(id='x')],value=Call(func=Name(id='f'),args=[Constant(value=1)]))])"
    """
    if isinstance(node, list):
        return f"[{','.join(map(form, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.JoinedStr):  # Python 3.12 ends some with an empty text
        node = ast.JoinedStr([one for one in node.values if getattr(one, "value", None) != ""])
    fields = ((name, value) for name, value in ast.iter_fields(node) if name not in ("ctx", "kind"))
    inner = ",".join(f"{name}={form(value)}" for name, value in fields if value is not None and value != [])
    return f"{type(node).__name__}({inner})"


def bare(text: str) -> ast.Module:
    """The syntax tree of a source text, without its docstrings."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                node.body = node.body[isinstance(first.value.value, str) :]
    return tree


def _defining(module: str, name: str) -> list[str]:
    """The modules that an import leads to: where the name is defined, through all faces that pass it on."""
    seen: set[tuple[str, str]] = set()
    while (module, name) not in seen:
        seen.add((module, name))
        source = _source(module)
        if not name or source is None or name in source.own:
            return [module]
        if name not in source.passed_on:
            return [f"{module}.{name}"] if _source(f"{module}.{name}") else [module]
        module, name = source.passed_on[name]
    return [module]


@cache
def _source(name: str) -> _Source | None:
    path = _path(name)
    if path is None:
        return None
    tree = bare(path.read_text(encoding="utf-8"))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = tuple(_imports(tree, package))
    own = frozenset(_names(tree))
    faced = {alias: (module, imported) for alias, module, imported in found if alias not in own}
    return _Source(tree, tuple((module, imported) for _, module, imported in found), own, faced)


def _path(name: str) -> Path | None:
    module = sys.modules.get(name)
    if module is not None:
        origin = getattr(module, "__file__", None)
    else:
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            return None
        origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


def _names(tree: ast.Module) -> Iterator[str]:
    """What a module's own top level defines, in its branches, too."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
            continue
        waiting += (inner for inner in ast.iter_child_nodes(node) if isinstance(inner, ast.stmt))
        yield from (n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[str, str, str]]:
    """``(alias, module, name)`` of every import that happens when the module runs; no name for a whole module."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and _for_checkers(node.test):
            waiting += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name, alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            yield from (
                (alias.asname or alias.name, base, "" if alias.name == "*" else alias.name) for alias in node.names
            )
        waiting += ast.iter_child_nodes(node)


def _for_checkers(test: ast.expr) -> bool:
    return "TYPE_CHECKING" in (getattr(test, "id", ""), getattr(test, "attr", ""))


def _absolute(node: ast.ImportFrom, package: str) -> str:
    base = node.module or ""
    if not node.level:
        return base
    parents = package.split(".")[: len(package.split(".")) - node.level + 1]
    return ".".join([*parents, *([base] if base else [])])
