"""A site on this machine alone: files of one folder, and nothing that a link in it leads to elsewhere."""

from __future__ import annotations

import errno
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from unveil.harness.words.errors import StoreError, UnveilError
from unveil.leaderboard.site.press import POLICY

LOOPBACK = "127.0.0.1"
NAMES = frozenset({LOOPBACK, "localhost"})
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".csv": "text/csv; charset=utf-8",
    ".toml": "text/plain; charset=utf-8",
    ".cff": "text/plain; charset=utf-8",
    ".png": "image/png",
}
HEADERS = {
    "Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


def server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server of a folder, on loopback; it answers once ``serve_forever`` is called.

    Args:
        folder: Holds a site.
        port: Where; 0: any that is free.

    Raises:
        UnveilError: If there is no site, or the port cannot be had.
    """
    if not (folder / "index.html").is_file():
        raise StoreError(
            f"there is no site in {str(folder)!r}",
            "a folder that holds index.html",
            "make one with unveil board --site",
        )
    try:
        return _Server((LOOPBACK, port), partial(_Handler, folder.resolve()))
    except (OSError, OverflowError) as error:
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        why = "is taken" if taken else f"cannot be had: {error}"
        raise UnveilError(
            f"port {port} {why}", "a free port", "give another, or --port 0 for any that is free"
        ) from error


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Whoever hangs up is no error of ours."""


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "unveil", ""
    error_content_type, error_message_format = "text/plain; charset=utf-8", "%(code)d %(message)s\n"
    timeout = 30

    def __init__(self, root: Path, *args: Any) -> None:
        self.root = root
        super().__init__(*args)

    def do_GET(self) -> None:
        """Answers with a file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:
        """Answers with what a file's headers would be."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        if not self._asked_for_us():  # a page elsewhere whose name was made to lead here
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return
        path = unquote(urlsplit(self.path).path, errors="replace")
        parts = [part for part in path.split("/") if part]
        found = self._found(parts)
        if found is not None and found.is_dir() and not path.endswith("/"):
            self.send_response(HTTPStatus.MOVED_PERMANENTLY)
            self.send_header("Location", f"/{'/'.join(map(quote, parts))}/")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        file = self._found([*parts, "index.html"]) if found is not None and found.is_dir() else found
        try:
            data = file.read_bytes() if file is not None and file.is_file() else None
        except OSError:
            data = None
        if file is None or data is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self._send(data, KINDS.get(file.suffix, "application/octet-stream"), body)

    def _send(self, data: bytes, kind: str, body: bool) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def _asked_for_us(self) -> bool:
        return self.headers.get("Host", "").rpartition(":")[0] in NAMES or self.headers.get("Host") in NAMES

    def _found(self, parts: list[str]) -> Path | None:
        """What lies there; None for what is hidden, is not there, or lies outside of the folder."""
        if any(part.startswith(".") or "\\" in part or "\0" in part for part in parts):
            return None
        try:
            real = self.root.joinpath(*parts).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            return None
        return real if real == self.root or self.root in real.parents else None

    def end_headers(self) -> None:
        """With the headers that everything has, errors too."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody needs a line for each file."""
