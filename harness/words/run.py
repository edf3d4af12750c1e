"""The only source of randomness, plus device, progress and checkpoints: what a node may know of its surroundings."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ParamSpec, Protocol, TypeVar

import torch
from torch import Tensor

from unveil.harness.words.disk import Disk

P = ParamSpec("P")
T = TypeVar("T")


class Bar(Protocol):
    """A running progress bar."""

    def advance(self, steps: int = 1, **values: float) -> None:
        """Moves the bar on and shows the latest values beside it."""


class Progress(Protocol):
    """Whoever shows progress: a terminal, a log or nobody."""

    def start(self, label: str, total: int) -> Bar:
        """Opens a bar of ``total`` steps."""

    def stop(self, bar: Bar) -> None:
        """Closes it."""


class _SilentBar:
    def advance(self, steps: int = 1, **values: float) -> None:
        """Shows nothing."""


class Silent:
    """Shows no progress."""

    def start(self, label: str, total: int) -> Bar:  # noqa: ARG002
        """Opens a bar nobody sees."""
        return _SilentBar()

    def stop(self, bar: Bar) -> None:
        """Closes it."""


def _never() -> bool:
    return False


@dataclass
class Run:
    """Hands a node its random numbers, device, progress bar and a place for checkpoints.

    Attributes:
        identity: The node's identity; equal identities draw equal numbers on any machine, in any order.
        device: Where to compute. Never part of an identity.
        mixed_precision: Whether matrix work uses bfloat16 where ``autocast`` stands. Never part of an identity.
        probing: Whether steps that train or attack find out for themselves whether ``mixed_precision`` is faster.
        scratch: Folder for checkpoints of this node's own long loops; None switches checkpoints off.
        disk: The folder that ``scratch`` is in, and that takes checkpoints that cannot be read; None: itself.
        shown: Where progress goes.
        kept: Tensors that a node keeps beside its result, by name; see ``keep``.
        notes: What a reader of the result must know; see ``note``.
        isolated: Whether a target of which an attack sees only scores or labels is kept in another process.
        compiled: Whether ``compile`` compiles. Never part of an identity.
        interrupted: Whether the node should end at its next checkpoint; a long loop saves itself then.
    """

    identity: str
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    mixed_precision: bool = False
    scratch: Path | None = None
    shown: Progress = field(default_factory=Silent)
    kept: dict[str, Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    isolated: bool = False
    compiled: bool = False
    probing: bool = False
    disk: Disk | None = None
    interrupted: Callable[[], bool] = _never
    _restoring: list[Path] = field(default_factory=list)

    def keep(self, name: str, value: Tensor) -> None:
        """Stores a tensor beside the node's result, for metrics and for the curious; a second one replaces it."""
        self.kept[name] = value.detach().cpu().clone()  # safetensors takes no tensor that shares memory

    def note(self, text: str) -> None:
        """Says something beside the node's result that a reader must know: an attack's notes stand in its rows."""
        self.notes.append(text)

    def seed(self, *names: str | int) -> int:
        """A 63-bit seed derived from the identity and the names."""
        text = "\x1f".join([self.identity, *map(str, names)])
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def generator(self, *names: str | int) -> torch.Generator:
        """A CPU generator of its own for each list of names (draw on the CPU, then move: same on every device)."""
        return torch.Generator().manual_seed(self.seed(*names))

    def generators(self, name: str, keys: Sequence[Sequence[int]]) -> list[torch.Generator]:
        """One generator per sample, so that a sample's numbers do not depend on who shares its batch.

        Args:
            name: What the numbers are for.
            keys: One tuple of integers per sample, such as (label, restart).
        """
        return [self.generator(name, *key) for key in keys]

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Bar]:
        """Shows a bar of ``total`` steps while the block runs."""
        self._restoring.clear()  # what was loaded fits
        bar = self.shown.start(label, total)
        try:
            yield bar
        finally:
            self.shown.stop(bar)

    def save(self, name: str, state: Mapping[str, Any]) -> None:
        """Writes a checkpoint, whole or not at all. Tensors, numbers, strings, lists and dicts only.

        Raises:
            StoreError: If the disk is full or cannot be written.
            KeyboardInterrupt: Afterwards, if the node was interrupted: nothing is lost here.
        """
        if self.scratch is None:
            return
        self._restoring.clear()
        self._write(self.scratch, name, state)
        if self.interrupted():
            raise KeyboardInterrupt

    def lay_by(self, name: str, state: Mapping[str, Any]) -> None:
        """Writes what no checkpoint has to hold any more, such as pictures that are finished; see ``laid_by``.

        Raises:
            StoreError: If the disk is full or cannot be written.
        """
        if self.scratch is not None:
            self._write(self.scratch, name, state)

    def _write(self, scratch: Path, name: str, state: Mapping[str, Any]) -> None:
        packed = io.BytesIO()
        torch.save(dict(state), packed)
        (self.disk or Disk(scratch)).write(scratch / f"{name}.pt", packed.getvalue())

    def load(self, name: str) -> dict[str, Any] | None:
        """The last checkpoint of that name, or None. One that cannot be read is set aside, and there is none then."""
        state = self.laid_by(name)
        if state is not None and self.scratch is not None:
            self._restoring.append(self.scratch / f"{name}.pt")
        return state

    def laid_by(self, name: str) -> dict[str, Any] | None:
        """What was laid by under that name, or None; what cannot be read is set aside, and there is none then."""
        path = None if self.scratch is None else self.scratch / f"{name}.pt"
        if path is None or not path.exists():
            return None
        try:
            return dict(_read(path))
        except MemoryError:
            raise
        except Exception as error:  # whatever a damaged file makes of zipfile and torch
            self._set_aside(path, f"is no checkpoint ({type(error).__name__})")
            return None

    def misfits(self) -> bool:
        """Sets aside the checkpoint that was being put back, if one was, when something was raised."""
        found = [path for path in self._restoring if path.exists()]
        for path in found:
            self._set_aside(path, "does not fit what it is a checkpoint of")
        return bool(found)

    def _set_aside(self, path: Path, why: str) -> None:
        (self.disk or Disk(path.parent)).set_aside(path, why)

    @contextmanager
    def autocast(self) -> Iterator[None]:
        """Mixed precision where the run asks for it: bfloat16 in convolutions and matrix products, sums in float32."""
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.mixed_precision):
            yield

    def compile(self, fn: Callable[P, T]) -> Callable[P, T]:
        """A function of frozen networks, compiled where the run asks for it; its results differ by rounding then.

        Only calls that gradients go through are compiled: the others are few, and of sizes that are not seen again.
        """
        if not self.compiled:
            return fn
        fast: Callable[P, T] = torch.compile(fn)

        def either(*args: P.args, **kwargs: P.kwargs) -> T:
            return (fast if torch.is_grad_enabled() else fn)(*args, **kwargs)

        return either


def draw_normal(generators: Sequence[torch.Generator], shape: Sequence[int]) -> Tensor:
    """Standard normal numbers, row i from generator i.

    Args:
        generators: One per sample.
        shape: Shape of one sample.

    Returns:
        Tensor ``(len(generators), *shape)``, float32, on the CPU.
    """
    return torch.stack([torch.randn(tuple(shape), generator=g) for g in generators])


def _read(path: Path) -> Any:
    with zipfile.ZipFile(path) as packed:
        if any(one.compress_type != zipfile.ZIP_STORED for one in packed.infolist()):
            raise ValueError("torch compresses nothing")  # what is compressed may have any size
        if (damaged := packed.testzip()) is not None:  # torch does not look at the checksums
            raise ValueError(f"{damaged} is damaged")
    return torch.load(path, map_location="cpu", weights_only=True)
