"""Where nodes are computed. The scheduler knows one verb: submit."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol


class Pool(Protocol):
    """Computes functions, here or elsewhere."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Starts ``fn(*args)`` and returns its future."""
        ...


class InlinePool:
    """Computes at once, in this process and thread: easy to debug, and Ctrl-C stops it where it is."""

    def submit(self, fn: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Runs ``fn(*args)`` and returns a future that is already done."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args))
        except Exception as error:
            future.set_exception(error)
        return future
