"""Asks a chat endpoint that speaks the protocol of OpenAI's about one picture, and trusts nothing that comes back."""

from __future__ import annotations

import base64
import http.client
import json
import queue
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from unveil.harness.words.errors import AwayError

LARGEST = 1_000_000  # bytes of an answer; yes or no has some hundred, with all that stands around it
CHUNK = 16_384
TICK = 0.2  # seconds between looks at whether the run was interrupted
LONGEST_PAUSE = 60.0  # seconds, whatever a server asks for
TOLD = 200  # characters of what a server says that are passed on
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
AGAIN = "run the plan again later: what was answered is kept, and asked for no more"


@dataclass(frozen=True)
class Said:
    """What a model said.

    Attributes:
        text: In its words; empty if there are none.
        refused: Whether the service itself marks it as a refusal, or would not show it.
    """

    text: str
    refused: bool = False


class _Trouble(Exception):  # noqa: N818 (never leaves this module)
    """Something went wrong that may be better in a moment.

    Args:
        what: In words.
        pause: Seconds that the server asks for.
    """

    def __init__(self, what: str, pause: float = 0.0) -> None:
        self.what, self.pause = what, pause
        super().__init__(what)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Pictures and key go where the plan says, and nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        """Follows none."""


@dataclass(frozen=True)
class Endpoint:
    """Somebody to ask.

    Attributes:
        url: Without ``/chat/completions``.
        model: Name of the model there.
        temperature: 0 for the likeliest answer.
        timeout: Seconds for one answer, all of it.
        tries: Attempts at one question.
        pause: Seconds before the second attempt; doubled before each later one.
        key: Sent as a bearer token if not empty; shown to nobody.
        interrupted: Whether to give up.
    """

    url: str
    model: str
    temperature: float
    timeout: float
    tries: int
    pause: float
    key: str = field(default="", repr=False)
    interrupted: Callable[[], bool] = lambda: False

    def ask(self, text: str, png: bytes) -> Said:
        """What the model says to a text and a picture.

        Raises:
            AwayError: If there is no answer after all attempts, or none is to be expected.
            KeyboardInterrupt: If the run was interrupted.
        """
        trouble = _Trouble("it was never tried")
        for attempt in range(self.tries):
            if attempt:
                self._wait(min(max(self.pause * 2 ** (attempt - 1), trouble.pause), LONGEST_PAUSE))
            if self.interrupted():
                raise KeyboardInterrupt
            try:
                return self._said(self._sent(text, png))
            except _Trouble as error:
                trouble = error
        raise self._away(f"{trouble.what}, {self.tries} times", AGAIN)

    def _wait(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self.interrupted():
            time.sleep(min(left, TICK))

    def _sent(self, text: str, png: bytes) -> bytes:
        """What comes back within the time that there is, from a thread that nobody waits for longer than that."""
        found: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
        until = time.monotonic() + self.timeout
        body = json.dumps(_question(self.model, self.temperature, text, png)).encode()
        threading.Thread(target=lambda: found.put(self._outcome(body, until)), daemon=True).start()
        while (left := until - time.monotonic()) > 0 and not self.interrupted():
            with suppress(queue.Empty):
                outcome = found.get(timeout=min(left, TICK))
                if isinstance(outcome, Exception):
                    raise outcome
                return outcome
        raise _Trouble(f"took more than {self.timeout:g} s to answer")

    def _outcome(self, body: bytes, until: float) -> bytes | Exception:
        try:
            return self._exchanged(body, until)
        except Exception as error:  # raised where it is waited for
            return error

    def _exchanged(self, body: bytes, until: float) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json", "User-Agent": "unveil"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        address = f"{self.url.rstrip('/')}/chat/completions"
        request = urllib.request.Request(address, body, headers)  # noqa: S310 (`fault` has looked at the address)
        direct = [urllib.request.ProxyHandler({})] if urlsplit(self.url).hostname in LOOPBACK else []
        try:
            with urllib.request.build_opener(_NoRedirects, *direct).open(request, timeout=self.timeout) as answer:
                return self._read(answer, until)
        except urllib.error.HTTPError as error:
            with error:
                return self._refused(error, until)
        except (OSError, http.client.HTTPException) as error:  # no connection, no answer in time, or half of one
            raise _Trouble(f"cannot be asked ({self._clean(str(error) or type(error).__name__)})") from error

    def _read(self, answer: Any, until: float) -> bytes:
        """All of an answer that is neither endless nor slower than it may be."""
        found = b""
        while part := answer.read1(CHUNK):
            found += part
            if len(found) > LARGEST:
                raise self._away(f"answered with more than {LARGEST:,} bytes", "see what stands at this address")
            if time.monotonic() > until:
                raise _Trouble(f"took more than {self.timeout:g} s to answer")
        return found

    def _refused(self, error: urllib.error.HTTPError, until: float) -> bytes:
        try:
            told = self._read(error, until)
        except (OSError, http.client.HTTPException):
            told = b""
        if error.code == 429 or error.code >= 500:
            raise _Trouble(f"answered with status {error.code}", _seconds(error.headers.get("Retry-After")))
        if 300 <= error.code < 400:
            raise self._away(
                f"wants to send us elsewhere (status {error.code})", "give the address that answers itself"
            )
        if error.code == 400 and re.search(rb"content[_ ]?(?:filter|policy|management)", told, re.IGNORECASE):
            return json.dumps({"choices": [{"finish_reason": "content_filter", "message": {}}]}).encode()
        said = self._clean(told.decode(errors="replace"))
        raise self._away(
            f"answered with status {error.code}: {said}", "correct url, model or key, and run the plan again"
        )

    def _said(self, data: bytes) -> Said:
        try:
            choice = json.loads(data)["choices"][0]
            message = choice["message"]
            content, refusal = message.get("content"), message.get("refusal")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise self._away("answered with something that is no chat completion", "see what stands there") from error
        if isinstance(content, list):
            content = " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
        refused = bool(refusal) or choice.get("finish_reason") == "content_filter"
        return Said(content if isinstance(content, str) else "", refused)

    def _away(self, what: str, todo: str) -> AwayError:
        return AwayError(f"{host(self.url)} {what}", "an answer to each question", todo)

    def _clean(self, text: str) -> str:
        """What a server says, in one short line, and without the key if it says that, too."""
        plain = " ".join(text.split())
        return (plain.replace(self.key, "(key)") if self.key else plain)[:TOLD]


def host(url: str) -> str:
    """Who is asked, in words."""
    return urlsplit(url).netloc


def fault(url: str) -> str:
    """What keeps an address from being asked, without repeating it: it may hold a password; empty if nothing does."""
    try:
        parts = urlsplit(url)
        name, _ = parts.hostname, parts.port
    except ValueError:
        return "is no address"
    if parts.scheme not in ("http", "https") or not name or re.search(r"[\s\x00-\x1f\x7f]", url):
        return "is no address that begins with https://"
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        return "holds a password, a query or a fragment, which would stand in every report"
    if parts.scheme == "http" and name not in LOOPBACK:
        return f"would send private pictures to {name} unencrypted"
    return ""


def _question(model: str, temperature: float, text: str, png: bytes) -> dict[str, Any]:
    address = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": address}}]
    return {"model": model, "temperature": temperature, "messages": [{"role": "user", "content": content}]}


def _seconds(text: str | None) -> float:
    """What a server asks us to wait; a date counts as nothing."""
    return float(text) if text and re.fullmatch(r"\d{1,6}(?:\.\d{1,3})?", text.strip()) else 0.0
