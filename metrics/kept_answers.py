"""Answers that were paid for, in the store by what was asked: a run that is stopped or done anew asks nothing twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from unveil.harness.words.disk import Disk
from unveil.metrics.chat_endpoint import Said

FOLDER = "answers"


def question(*parts: str | bytes) -> str:
    """The name of a question: a hash of all that the answer hangs on, in this order."""
    hashed = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        hashed.update(len(data).to_bytes(8, "big") + data)
    return hashed.hexdigest()


class KeptAnswers:
    """A folder ``answers`` of the store, with a small file for each question. No picture is in it, and no key.

    Args:
        disk: The store's; None keeps nothing.
        names: Questions that may be asked.

    Raises:
        StoreError: If the store cannot be read.
    """

    def __init__(self, disk: Disk | None, names: Sequence[str]) -> None:
        self._disk = disk
        self._known: dict[str, Said] = {}
        if disk is None:
            return
        disk.fetch(disk.root / FOLDER)
        self._known = {name: said for name in set(names) if (said := self._read(name)) is not None}

    def get(self, name: str) -> Said | None:
        """What was said; None if nothing yet."""
        return self._known.get(name)

    def keep(self, name: str, said: Said) -> None:
        """Writes an answer before the next question is asked.

        Raises:
            StoreError: If it cannot be written.
        """
        self._known[name] = said
        if self._disk is not None:
            self._disk.write(self._place(name), json.dumps({"text": said.text, "refused": said.refused}).encode())

    def _place(self, name: str) -> Path:
        assert self._disk is not None
        return self._disk.root / FOLDER / name[:2] / f"{name}.json"

    def _read(self, name: str) -> Said | None:
        """What a file holds; None if there is none, or none that can be read: it is asked again, and written anew."""
        with suppress(OSError, ValueError):
            found = json.loads(self._place(name).read_bytes())
            if isinstance(found, dict) and isinstance(found.get("text"), str) and type(found.get("refused")) is bool:
                return Said(found["text"], found["refused"])
        return None
