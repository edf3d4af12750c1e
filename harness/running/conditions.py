"""What decides, besides the work itself, how long it takes: processor, accelerator, threads."""

from __future__ import annotations

import functools
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PROCESSORS = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Conditions:
    """Of a step that was computed, or is to be.

    Attributes:
        device: ``cpu``, or the accelerator's kind, such as ``cuda``.
        threads: Threads that it computes with.
        processor: Name of the processor, or of the accelerator; empty where nobody knows.
    """

    device: str = "cpu"
    threads: int = 1
    processor: str = ""

    @classmethod
    def here(cls, device: str = "", threads: int = 0) -> Conditions:
        """Of steps on this machine.

        Args:
            device: As torch names it; empty: what a run would take.
            threads: Of a step; 0: as many as torch takes.
        """
        import torch  # noqa: PLC0415 (whoever only reads results need not load it)

        where = device or ("cuda" if torch.cuda.is_available() else "cpu")
        kind = where.partition(":")[0]
        return cls(kind, threads or torch.get_num_threads(), processor(where))

    @classmethod
    def of(cls, provenance: Mapping[str, Any]) -> Conditions:
        """Of what was computed, by what it says of itself."""
        device = str(provenance.get("device", "cpu")).partition(":")[0]
        return cls(device, int(provenance.get("threads", 0)), str(provenance.get("processor", "")))

    def like(self, other: Conditions) -> bool:
        """Whether the same work takes as long; what older versions did not write down counts as equal."""
        mine, theirs = asdict(self), asdict(other)
        return all(mine[name] == theirs[name] or not mine[name] or not theirs[name] for name in mine)


@functools.cache
def processor(device: str = "cpu") -> str:
    """The name of what computes."""
    if device.startswith("cuda"):
        import torch  # noqa: PLC0415 (as above)

        with suppress(RuntimeError, AssertionError):  # one that is not here
            return str(torch.cuda.get_device_name(device))
        return ""
    with suppress(OSError, StopIteration):
        lines = PROCESSORS.read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith("model name")).partition(":")[2].strip()
    return platform.processor() or platform.machine()
