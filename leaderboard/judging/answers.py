"""What people answered: one file for each of them in the store, to which lines are only ever added."""

from __future__ import annotations

import json
import os
import re
import threading
from pathlib import Path
from typing import Literal, get_args

from unveil.harness.words.disk import in_words
from unveil.harness.words.errors import StoreError

Answer = Literal["yes", "no", "unsure"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)
FOLDER, ENDING = "judging", ".jsonl"
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
LARGEST = 50_000_000  # bytes of one judge's file; an answer has some hundred


class Answers:
    """One judge's answers, by pair.

    Args:
        store: The store's folder.
        judge: Who answers: small letters, digits, ``-`` and ``_``.

    Raises:
        StoreError: If that is no such name, or the file cannot be read.
    """

    def __init__(self, store: Path, judge: str) -> None:
        if not NAME.fullmatch(judge):
            raise StoreError(
                f"{judge[:60]!r} is no name of a judge", "small letters, digits, - and _", "such as --judge ann"
            )
        self.path = store / FOLDER / f"{judge}{ENDING}"
        self._lock = threading.Lock()
        self.given = _read(self.path)

    def add(self, pair: str, answer: Answer) -> None:
        """Keeps an answer for good before anything else is shown. A later one to the same pair takes its place.

        Raises:
            StoreError: If it cannot be written.
        """
        line = json.dumps({"pair": pair, "answer": answer}) + "\n"
        with self._lock, in_words(f"the answers in {self.path}"):
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(self.path, "ab+", opener=_for_its_owner) as file:
                if file.tell() and not _ends_a_line(self.path):  # what a power loss has left of the last line
                    line = "\n" + line
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
            self.given[pair] = answer


def everybody(store: Path) -> dict[str, dict[str, Answer]]:
    """All answers in a store, by judge and pair."""
    files = sorted((store / FOLDER).glob(f"*{ENDING}"))
    return {file.stem: Answers(store, file.stem).given for file in files if NAME.fullmatch(file.stem)}


def _read(path: Path) -> dict[str, Answer]:
    """Answers by pair; a line that is none, such as one that was cut short, is passed over."""
    try:
        if path.stat().st_size > LARGEST:
            raise StoreError(f"{path} has more than {LARGEST:,} bytes", "a judge's answers", "move it away")
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}", "a judge's answers") from error
    found = {}
    for line in lines:
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(told, dict) and isinstance(told.get("pair"), str) and told.get("answer") in ANSWERS:
            found[told["pair"]] = told["answer"]
    return found


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
