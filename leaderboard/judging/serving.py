"""The page on which somebody judges: on this machine alone, and only for who has its address with the token in it."""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar
from urllib.parse import urlsplit

from unveil.harness.words.errors import StoreError
from unveil.leaderboard.judging.answers import ANSWERS, Answers
from unveil.leaderboard.judging.pairs import Pair, in_order
from unveil.leaderboard.loopback import LOOPBACK, NAMES, Handler, listening

HERE = Path(__file__).parent / "templates"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
LARGEST = 200  # bytes of an answer that is sent to us
FILES = MappingProxyType(
    {
        "": ("judge.html", "text/html; charset=utf-8"),
        "judge.css": ("judge.css", "text/css; charset=utf-8"),
        "judge.js": ("judge.js", "text/javascript; charset=utf-8"),
    }
)


class Sitting:
    """One judge before the pairs.

    Args:
        pairs: All of them.
        judge: Who judges.
        answers: What was answered before, and where answers go.
    """

    def __init__(self, pairs: Sequence[Pair], judge: str, answers: Answers) -> None:
        self.pairs, self.answers = in_order(pairs, judge), answers
        self.token = secrets.token_urlsafe(24)

    def state(self) -> dict[str, int | None]:
        """Which place is next, and how far all is; None when nothing is left. Nothing here hangs on a pair's kind."""
        given = self.answers.given
        left = [place for place, pair in enumerate(self.pairs) if pair.name not in given]
        return {"next": left[0] if left else None, "done": len(self.pairs) - len(left), "all": len(self.pairs)}


def server(sitting: Sitting, port: int) -> ThreadingHTTPServer:
    """A server of the page; it answers once ``serve_forever`` is called.

    Raises:
        UnveilError: If the port cannot be had.
    """
    return listening(port, partial(_Handler, sitting, threading.Lock()))


def address(sitting: Sitting, serving: ThreadingHTTPServer) -> str:
    """Where the page is; whoever knows it can judge in that name."""
    return f"http://{LOOPBACK}:{serving.server_address[1]}/{sitting.token}/"


class _Handler(Handler):
    own_headers: ClassVar = MappingProxyType({"Content-Security-Policy": POLICY, "Cache-Control": "no-store"})

    def __init__(self, sitting: Sitting, lock: threading.Lock, *args: Any) -> None:
        self.sitting, self.lock = sitting, lock
        super().__init__(*args)

    def do_GET(self) -> None:  # noqa: N802 (as http.server calls it)
        """The page, its parts, how far all is, and pictures by their places."""
        path = self._path()
        if path is None:
            return
        if path in FILES:
            name, kind = FILES[path]
            self.send((HERE / name).read_bytes(), kind)
        elif path == "state":
            self._tell()
        elif (place := self._place(path.removeprefix("pictures/").removesuffix(".png"))) is not None and (
            path == f"pictures/{place}.png"
        ):
            with self.lock:
                picture = self.sitting.pairs[place].picture()
            self.send(picture, "image/png")
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:  # noqa: N802 (as http.server calls it)
        """Keeps an answer, and says what is next."""
        path = self._path()
        if path is None:
            return
        if path != "answers":
            self.send_error(HTTPStatus.NOT_FOUND)
        elif not self._from_our_page():
            self.send_error(HTTPStatus.FORBIDDEN)
        elif (told := self._body()) is not None:
            self._keep(told)

    def _keep(self, told: Any) -> None:
        place = self._place(str(told.get("place"))) if isinstance(told, dict) else None
        answer = told.get("answer") if isinstance(told, dict) else None
        if place is None or answer not in ANSWERS:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return
        try:
            self.sitting.answers.add(self.sitting.pairs[place].name, answer)
        except StoreError:
            self.send_error(HTTPStatus.INSUFFICIENT_STORAGE)
            return
        self._tell()

    def _tell(self) -> None:
        self.send(json.dumps(self.sitting.state()).encode(), "application/json; charset=utf-8")

    def _path(self) -> str | None:
        """What is asked for behind the token; None, and an error was sent, where that is wrong."""
        if not self.asked_for_us():
            return None
        token, slash, rest = urlsplit(self.path).path.lstrip("/").partition("/")
        known = hmac.compare_digest(token.encode("utf-8", "replace"), self.sitting.token.encode())
        if not slash or not known:
            self.send_error(HTTPStatus.NOT_FOUND)
            return None
        return rest

    def _place(self, text: str) -> int | None:
        """A place that there is."""
        plain = text.isascii() and text.isdigit() and len(text) < 7
        return int(text) if plain and int(text) < len(self.sitting.pairs) else None

    def _from_our_page(self) -> bool:
        """Whether no other page sent it: browsers say where they send from, and send this type nowhere else unasked."""
        origin = self.headers.get("Origin")
        typed = self.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json"
        port = self.connection.getsockname()[1]
        ours = {f"http://{name}:{port}" for name in NAMES}
        return typed and (origin is None or origin in ours)

    def _body(self) -> Any:
        """What was sent; None, and an error was sent back, where that is too much or nothing that can be read."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return None
        if len(length) > 6 or int(length) > LARGEST:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        try:
            return json.loads(self.rfile.read(int(length))) or {}
        except ValueError:
            return {}
