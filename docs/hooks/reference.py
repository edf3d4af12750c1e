"""The page of the vocabulary: one entry for each name that plugin authors import."""

from __future__ import annotations

import ast
from pathlib import Path

TYPES = Path(__file__).parent.parent.parent / "harness" / "types.py"


def homes() -> dict[str, str]:
    """The module in which each name of ``unveil.harness.types`` is at home."""
    tree = ast.parse(TYPES.read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module != "__future__"]
    return {name.name: str(node.module) for node in imports for name in node.names}


def vocabulary_page(intro: str) -> str:
    """The page.

    Args:
        intro: What was written by hand, with its heading.
    """
    return "\n\n".join([intro.strip(), *(f"::: {home}.{name}" for name, home in sorted(homes().items()))]) + "\n"
