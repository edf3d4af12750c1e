"""What computing a step takes: time, processor, accelerator, memory, and room in the store."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unveil.harness.store.artefact import Artefact

EVERY = 0.5  # seconds between two looks at how busy an accelerator is
PROFILE = "profile"  # its name in a provenance


class Meter:
    """Measures one step, from being made to being read.

    Args:
        device: What the step is computed on.
    """

    def __init__(self, device: str) -> None:
        self._cuda = _Cuda(device) if device.startswith("cuda") else None
        self._fresh = _forget_peak()
        self._spent: dict[str, float] = {}
        self._peak_before, self._cpu, self._start = _peak(), _cpu(), time.monotonic()

    def stop(self) -> None:
        """Ends the measuring, whatever came of the step."""
        self._spent = {"wall_s": round(time.monotonic() - self._start, 3), "cpu_s": round(_cpu() - self._cpu, 3)}
        peak = _peak()
        if self._fresh or peak > self._peak_before:
            self._spent["peak_memory_bytes"] = peak
        if self._cuda:
            self._spent |= self._cuda.stop()

    def read(self, artefact: Artefact) -> dict[str, float]:
        """What the step took; what cannot be measured here is left out.

        Args:
            artefact: What came of it.

        Returns:
            ``wall_s``; ``cpu_s`` of this process and of those it started that have ended; ``peak_memory_bytes`` of the
            process, all that it had loaded before included; ``stored_bytes``; on CUDA ``gpu_s``, seconds times the
            share of them that it was busy, and ``gpu_peak_memory_bytes``.
        """
        return {**self._spent, "stored_bytes": stored_bytes(artefact)}


class _Cuda:
    """Memory and work of one CUDA device, by a thread that looks now and then."""

    def __init__(self, device: str) -> None:
        import torch  # noqa: PLC0415 (so that a scheduler need not load it)

        self.torch, self.device = torch.cuda, torch.device(device)
        self.torch.reset_peak_memory_stats(self.device)
        self.busy: float | None = 0.0
        self._over = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._over.wait(EVERY):
            try:
                share = self.torch.utilization(self.device) / 100
            except Exception:  # NVML is not here, or not for us
                self.busy = None
                return
            now = time.monotonic()
            self.busy, last = (self.busy or 0.0) + share * (now - last), now

    def stop(self) -> dict[str, float]:
        self._over.set()
        self._watching.join()
        found: dict[str, float] = {"gpu_peak_memory_bytes": self.torch.max_memory_allocated(self.device)}
        return found if self.busy is None else {**found, "gpu_s": round(self.busy, 3)}


def stored_bytes(artefact: Artefact) -> int:
    """Bytes of the tensors and files of an artefact."""
    tensors = sum(tensor.numel() * tensor.element_size() for tensor in artefact.tensors.values())
    return tensors + sum(map(len, artefact.files.values()))


def metrics(provenance: dict[str, Any]) -> dict[str, float]:
    """The profile in a provenance as names and numbers for a tracker; none of steps that older versions computed."""
    return {f"{PROFILE}/{name}": float(value) for name, value in provenance.get(PROFILE, {}).items()}


def _cpu() -> float:
    return sum(os.times()[:4])


def _forget_peak() -> bool:
    """Lets the system measure the peak of this process anew; Linux can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        return True
    return False


def _peak() -> int:
    """Bytes that this process has had in memory at most, since that was forgotten or since it began."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("VmHWM:")).split()[1])
    try:
        import resource  # noqa: PLC0415 (not on Windows)
    except ImportError:
        return 0
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most
