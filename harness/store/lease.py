"""Leases: two runs on one store wait for each other step by step, and whoever dies leaves nothing locked."""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # a system without such locks: two runs may compute a step twice there
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)
PATIENCE = 0.2  # seconds between two looks at a lease that another run holds


class Lease:
    """Something that one process at a time may do. The system gives it back when the process ends, however it ends.

    Args:
        path: A file that stands for it, and is there while somebody has it.
        what: What it is, in words.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path, self.what = path, what
        self._handle: int | None = None

    def take(self) -> None:
        """Waits, and says for whom, as long as another process has it.

        Raises:
            OSError: If the file cannot be written.
        """
        if fcntl is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        said = False
        while not self._try():
            if not said:
                log.warning("%s: another run (%s) is at it; waiting for it to end", self.what, self._holder())
            said = True
            time.sleep(PATIENCE)

    def _try(self) -> bool:
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(OSError):  # no place for a name is no reason to wait
                if left := os.pread(handle, 200, 0).decode(errors="replace"):  # else its file would be gone
                    log.warning("%s: an earlier run (%s) ended in the middle of it", self.what, left)
                os.ftruncate(handle, 0)
                os.write(handle, f"pid {os.getpid()} on {socket.gethostname()}".encode())
            held = os.path.samestat(os.fstat(handle), self.path.stat())
        except BlockingIOError:
            os.close(handle)
            return False
        except FileNotFoundError:
            held = False
        except OSError:  # a file system without such locks
            held = True
        if held:
            self._handle = handle
            return True
        os.close(handle)  # it was given back, and its file removed, between opening and locking
        return self._try()

    def _holder(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8") or "just started"
        except (OSError, UnicodeDecodeError):
            return "just ended"

    def alive(self) -> bool:
        """Whether somebody has it."""
        if fcntl is None or not self.path.is_file():
            return False
        with suppress(OSError), self.path.open("rb+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    def give_back(self) -> None:
        """Lets others have it."""
        if self._handle is None:
            return
        with suppress(OSError):
            self.path.unlink()
        os.close(self._handle)
        self._handle = None
