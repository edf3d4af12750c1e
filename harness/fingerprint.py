"""A hash of the code that answers a question: editing one attack's source redoes only what depends on it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from functools import cache
from pathlib import Path

# These carry questions and answers but decide no number; changing them must not throw results away.
PLUMBING = frozenset(
    f"unveil.harness.{name}"
    for name in ("canonical", "errors", "fingerprint", "graph", "panel", "plan", "plugins", "rows", "spec", "store")
)


@cache
def fingerprint(*modules: str) -> str:
    """Hash of the named modules and of everything they import from their own packages.

    Comments, docstrings and layout do not count; imports inside functions do.

    Args:
        modules: Dotted names; those of plugin files are looked up among the loaded modules.
    """
    seen: dict[str, str] = {}
    waiting = sorted(set(modules))
    while waiting:
        name = waiting.pop()
        if name in seen or name in PLUMBING or (path := _source(name)) is None:
            continue
        tree = _bare(ast.parse(path.read_text(encoding="utf-8")))
        seen[name] = hashlib.sha256(ast.dump(tree).encode()).hexdigest()
        waiting += [other for other in _imports(tree, name, path) if other.split(".")[0] == name.split(".")[0]]
    return hashlib.sha256(repr(sorted(seen.values())).encode()).hexdigest()


def _source(name: str) -> Path | None:
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


def _bare(tree: ast.Module) -> ast.Module:
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and body:
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = body[1:]
    return tree


def _imports(tree: ast.Module, name: str, path: Path) -> list[str]:
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return found
