"""A server for this machine alone: on loopback, for who asks it by its own name, with headers that forbid the rest."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from unveil.harness.words.errors import UnveilError

LOOPBACK = "127.0.0.1"
NAMES = frozenset({LOOPBACK, "localhost"})
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Handler(BaseHTTPRequestHandler):
    """What all answers have.

    Attributes:
        own_headers: Besides ``HEADERS``, or instead of those of the same name.
    """

    server_version, sys_version = "unveil", ""
    error_content_type, error_message_format = "text/plain; charset=utf-8", "%(code)d %(message)s\n"
    timeout = 30
    own_headers: ClassVar[Mapping[str, str]] = {}

    def send(self, data: bytes, kind: str, *, body: bool = True) -> None:
        """An answer that found what was asked for."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def asked_for_us(self) -> bool:
        """Whether this is no page elsewhere whose name was made to lead here; says so if it is."""
        host = self.headers.get("Host", "")
        if host in NAMES or host.rpartition(":")[0] in NAMES:
            return True
        self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        return False

    def end_headers(self) -> None:
        """With the headers that everything has, errors too."""
        for name, value in {**HEADERS, **self.own_headers}.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody needs a line for each file."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up is no error of ours."""


def listening(port: int, handler: Callable[..., BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
    """A server on loopback; it answers once ``serve_forever`` is called.

    Args:
        port: Where; 0: any that is free.
        handler: Makes one for each request.

    Raises:
        UnveilError: If the port cannot be had.
    """
    try:
        return _Server((LOOPBACK, port), handler)
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "is taken" if taken else f"cannot be had: {error}"
        raise UnveilError(
            f"port {port} {why}", "a free port", "give another, or --port 0 for any that is free"
        ) from error
