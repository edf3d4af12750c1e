"""A site on this machine alone: files of one folder, and nothing that a link in it leads to elsewhere."""

from __future__ import annotations

from functools import partial
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from unveil.harness.words.errors import StoreError
from unveil.leaderboard.loopback import Handler, listening
from unveil.leaderboard.site.press import POLICY

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
    return listening(port, partial(_Handler, folder.resolve()))


class _Handler(Handler):
    own_headers = MappingProxyType({"Content-Security-Policy": f"{POLICY}; frame-ancestors 'none'"})

    def __init__(self, root: Path, *args: Any) -> None:
        self.root = root
        super().__init__(*args)

    def do_GET(self) -> None:  # noqa: N802 (as http.server calls it)
        """Answers with a file."""
        self._answer(body=True)

    def do_HEAD(self) -> None:  # noqa: N802 (as http.server calls it)
        """Answers with what a file's headers would be."""
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        if not self.asked_for_us():
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
        self.send(data, KINDS.get(file.suffix, "application/octet-stream"), body=body)

    def _found(self, parts: list[str]) -> Path | None:
        """What lies there; None for what is hidden, is not there, or lies outside of the folder."""
        if any(part.startswith(".") or "\\" in part or "\0" in part for part in parts):
            return None
        try:
            real = self.root.joinpath(*parts).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            return None
        return real if real == self.root or self.root in real.parents else None
