"""Leases where there are no locks, on a bucket: an object whose holder gives signs of life.

A lease saves work and decides nothing: if two have one all the same, a step is computed twice and the first result
stays. No clock is compared with another, nor read at all: whoever waits counts looks between which nothing changed. A
clock that jumps, or a machine that sleeps, costs nobody his lease.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import os
import socket
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unveil.harness.store.files import Files, UnreadableError
from unveil.harness.store.lease import Lease
from unveil.harness.words.disk import Disk
from unveil.harness.words.errors import StoreError

log = logging.getLogger(__name__)
LONGEST = 3600.0  # seconds without a sign that anybody may ask for


@dataclass(frozen=True)
class Rhythm:
    """How often a holder gives a sign, and how often others look.

    Attributes:
        beat: Seconds between two signs.
        look: Seconds between two looks.
        expiry: Seconds without a sign, as counted by looks, after which the holder is taken to be gone.
    """

    beat: float = 15.0
    look: float = 2.0
    expiry: float = 90.0


BEATS = Rhythm()


class BeatingLease:
    """Something that one process at a time may do, among all that share a bucket.

    Its objects are ``FOLDER/NUMBER.json``; whoever wrote the one with the highest number has it. One that is abandoned
    is taken over by writing the next number, which only one of those who wait can: nobody deletes what somebody else
    may hold.

    Args:
        files: The store's.
        folder: Stands for it, and is there while somebody has it.
        what: What it is, in words.
        rhythm: Of signs and looks.
    """

    def __init__(self, files: Files, folder: str, what: str, rhythm: Rhythm) -> None:
        self.files, self.folder, self.what, self.rhythm = files, folder, what, rhythm
        self.owner = uuid.uuid4().hex
        self._number = 0
        self._over = threading.Event()
        self._beating: threading.Thread | None = None

    def take(self) -> None:
        """Waits, and says for whom, as long as another process has it and gives signs of life.

        Raises:
            StoreError: If the store cannot be read or written.
        """
        seen: tuple[int, bytes] | None = None
        looks = 0
        while True:
            held = self._held()
            looks = looks + 1 if held == seen else 0
            if self._free(held, looks) and self._create():
                break
            if held is not None and (seen is None or held[0] != seen[0]):
                log.warning("%s: another run (%s) is at it; waiting for it to end", self.what, _told(held[1])["who"])
            seen = held
            time.sleep(self.rhythm.look)
        self._beating = threading.Thread(target=self._beat, daemon=True, name=f"lease {self.folder}")
        self._beating.start()

    def alive(self) -> bool:
        """Whether somebody has it; waits for the next sign of life, or as long as there may be none."""
        seen, looks = self._held(), 0
        while (held := self._held()) == seen and held is not None:
            looks += 1
            if self._gone(held, looks):
                return False
            time.sleep(self.rhythm.look)
        return held is not None

    def give_back(self) -> None:
        """Lets others have it."""
        if self._beating is None:
            return
        self._over.set()
        self._beating.join()
        self._beating = None
        with suppress(StoreError):  # it expires
            self.files.remove([self._path(number) for number in self._numbers() if number <= self._number])

    def _free(self, held: tuple[int, bytes] | None, looks: int) -> bool:
        """Whether the next number may be tried; sets which it is."""
        self._number = 0 if held is None else held[0] + 1
        if held is None:
            return True
        if not self._gone(held, looks):
            return False
        log.warning("%s: the other run (%s) gives no sign of life: taking over", self.what, _told(held[1])["who"])
        return True

    def _gone(self, held: tuple[int, bytes], looks: int) -> bool:
        """Whether the holder must be taken to be gone, after so many looks between which nothing changed."""
        told = _told(held[1])
        return looks >= math.ceil(told["expiry"] / self.rhythm.look) or _ended(told)

    def _held(self) -> tuple[int, bytes] | None:
        """The number and content of what stands there; None if nobody has it."""
        if not (numbers := self._numbers()):
            return None
        with suppress(UnreadableError):
            if (data := self.files.get(self._path(numbers[-1]))) is None:
                return None  # given back just now
            return numbers[-1], data
        return numbers[-1], b""

    def _numbers(self) -> list[int]:
        stems = [name.removesuffix(".json") for name in self.files.names(self.folder)]
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def _path(self, number: int) -> str:
        return f"{self.folder}/{number}.json"

    def _create(self) -> bool:
        return self.files.create(self._path(self._number), self._sign(0))

    def _sign(self, beat: int) -> bytes:
        pid = os.getpid()
        told = {"owner": self.owner, "who": f"pid {pid} on {socket.gethostname()}", "pid": pid, "place": _place()}
        return json.dumps({**told, "beat": beat, "expiry": self.rhythm.expiry}).encode()

    def _beat(self) -> None:
        beat = 0
        while not self._over.wait(self.rhythm.beat):
            beat += 1
            with suppress(StoreError):  # a network that comes back in time has cost nothing
                self.files.put(self._path(self._number), self._sign(beat))


def lease_in(files: Files, name: str, what: str, rhythm: Rhythm) -> Lease | BeatingLease:
    """A lease of a store: a lock in a folder, an object on a bucket."""
    if files.local is None:
        return BeatingLease(files, f"leases/{name}", what, rhythm)
    path = files.local / "leases" / name
    Disk(files.local).clear(path)
    return Lease(path, what)


@functools.cache
def _place() -> str:
    """Where process ids mean what they mean here: this boot of this machine, and this container; empty if unknown."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _ended(told: dict[str, Any]) -> bool:
    """Whether the holder was a process of this machine that is no more: nobody need wait for it then."""
    if not told["place"] or told["place"] != _place() or told["pid"] <= 0:
        return False
    with suppress(PermissionError, OverflowError):
        try:
            os.kill(told["pid"], 0)
        except ProcessLookupError:
            return True
    return False


def _told(data: bytes) -> dict[str, Any]:
    """Who has it and when it expires; of whatever stands there."""
    told: dict[str, Any] = {"who": "unknown", "expiry": BEATS.expiry, "place": "", "pid": 0}
    with suppress(ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        read = json.loads(data)
        told |= {"who": str(read["who"])[:100], "place": read["place"], "pid": int(read["pid"])}
        told["expiry"] = min(max(float(read["expiry"]), 0.0), LONGEST)
    return told
