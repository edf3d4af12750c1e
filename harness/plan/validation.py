"""What a value should have been, in words that need no knowledge of Python or pydantic. Imports no torch."""

from __future__ import annotations

from typing import Any

from pydantic_core import ErrorDetails

KINDS = {
    "string": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list, such as [1, 2]",
    "tuple": "a list, such as [1, 2]",
    "dict": "a table",
    "model": 'a table, such as { use = "..." }',
    "dataclass": "a table",
    "finite": "a finite number",
}
BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length}",
    "too_long": "at most {max_length}",
    "string_too_short": "text of at least {min_length} characters",
    "literal_error": "one of {expected}",
    "enum": "one of {expected}",
}


def expected(error: ErrorDetails) -> str:
    """What was expected where pydantic found something else.

    Example:
        >>> expected({"type": "int_type", "loc": ("size",), "msg": "Input should be a valid integer", "input": "64"})
        'a whole number, without quotes'
        >>> expected({"type": "greater_than", "loc": (), "msg": "", "input": 0, "ctx": {"gt": 0}})
        'more than 0'
    """
    kind, value = error["type"], error["input"]
    if kind in BOUNDS:
        return BOUNDS[kind].format_map(error.get("ctx", {}))
    told = KINDS.get(kind.partition("_")[0])
    if told is None:
        return error["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    quoted = kind.partition("_")[0] in ("int", "float", "bool") and isinstance(value, str)
    return f"{told}, without quotes" if quoted and _is_plain(value) else told


def _is_plain(value: Any) -> bool:
    """Whether text is a number or a truth value that somebody put in quotes."""
    if str(value).lower() in ("true", "false"):
        return True
    try:
        float(value)
    except ValueError:
        return False
    return True


def shown(value: Any, longest: int = 60) -> str:
    """A value as it stands in a plan, cut if it is long."""
    text = {True: "true", False: "false"}.get(value, repr(value)) if isinstance(value, bool) else repr(value)
    return text if len(text) <= longest else f"{text[:longest]}..."
