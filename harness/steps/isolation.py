"""A target in a process of its own: whoever attacks it holds nothing but a pipe that carries pixels and answers."""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.plan.node import Node
from unveil.harness.steps import classifiers
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefacts import Store
from unveil.harness.words import errors
from unveil.harness.words.desk import Desk, LocalDesk, allow
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.meter import Budget, Spent
from unveil.harness.words.names import Access
from unveil.harness.words.run import Run

PATIENCE = 5.0  # seconds that an ending process is given


@dataclass(frozen=True)
class Held:
    """What the process is told when it starts: everything that an answer depends on.

    Attributes:
        store: URL of the store that the target is loaded from.
        target: Its node.
        access: ``SCORES`` or ``LABELS``: a gradient crosses no pipe.
        shape: Shape ``(C, H, W)`` of the images that the target takes.
        budget: The limits, which are kept there.
        device: Where to compute.
        threads: Threads to compute with: sums in another order are other numbers.
    """

    store: str
    target: Node
    access: Access
    shape: tuple[int, int, int]
    budget: Budget
    device: str
    threads: int


class RemoteDesk:
    """Answers by asking the process that holds the target, which is started by the first question.

    Args:
        held: What that process needs to know.
        classes: Number of classes.
    """

    def __init__(self, held: Held, classes: int) -> None:
        self.access, self.shape, self.budget, self.classes = held.access, held.shape, held.budget, classes
        self._held, self._spent = held, Spent()
        self._pipe: Connection | None = None
        self._process: Any = None

    def ask(self, part: str, x: Tensor) -> tuple[Tensor, ...]:
        """Scores or labels of pixels ``(N, C, H, W)``; see `harness.words.desk.LocalDesk.ask`."""
        allow(self.access, part)
        pixels = np.ascontiguousarray(x.detach().cpu().float().numpy())
        found, answer = self._call({"ask": part, "shape": pixels.shape}, pixels)
        flat = np.frombuffer(answer, dtype=found["type"]).reshape(found["shape"]).copy()
        return (torch.from_numpy(flat).to(x.device),)

    def spent(self) -> Spent:
        """What was asked so far, as last heard from the process, which does the counting."""
        return self._spent

    def ration(self, part: int, whole: int, since: Spent, before: Spent) -> None:
        """As `harness.words.meter.Meter.ration`."""
        self._call({"ration": [part, whole, asdict(since), asdict(before)]})

    def resume(self, spent: Spent) -> None:
        """As `harness.words.meter.Meter.resume`."""
        self._call({"resume": asdict(spent)})

    def close(self) -> None:
        """Ends the process."""
        if self._pipe is None:
            return
        self._pipe.close()
        self._process.join(PATIENCE)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(PATIENCE)

    def _call(
        self, question: Mapping[str, Any], pixels: NDArray[np.float32] | None = None
    ) -> tuple[dict[str, Any], bytes]:
        pipe = self._pipe or self._start()
        try:
            pipe.send_bytes(json.dumps(question).encode())
            if pixels is not None:
                pipe.send_bytes(pixels.tobytes())
            found = self._heard(pipe)
            return found, pipe.recv_bytes() if "type" in found else b""
        except (EOFError, OSError) as error:
            raise UnveilError(
                "the process that holds the target has ended", "answers until the attack is over"
            ) from error

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")  # a fork would copy this process, and its threads' locks
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self._held), daemon=True)
        self._process.start()
        theirs.close()
        self._heard(self._pipe)  # that the target is loaded
        return self._pipe

    def _heard(self, pipe: Connection) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(pipe.recv_bytes())
        self._spent = Spent(**found["spent"])
        if "error" in found:
            kind, *words = found["error"]
            raise getattr(errors, kind, UnveilError)(*words)
        return found


@contextmanager
def held_apart(held: Held, classes: int) -> Iterator[Desk]:
    """A desk whose target is in another process, until the block ends."""
    desk = RemoteDesk(held, classes)
    try:
        yield desk
    finally:
        desk.close()


def serve(pipe: Connection, held: Held) -> None:
    """Answers until nobody listens any more. Reads JSON and pixels, never a pickle: the attack writes what it likes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the attack, whose end is the end of this
    torch.set_num_threads(held.threads)
    desk: LocalDesk | None = None
    while True:
        try:
            if desk is None:
                run = Run("holder", torch.device(held.device))  # whose numbers nobody draws: a target has its own
                classifier = classifiers.read(held.target, Bench(Store(held.store)), run)
                desk, answer = LocalDesk(classifier, held.access, held.shape, held.budget), None
            else:
                answer = _answer(desk, pipe, run.device)
            found: dict[str, Any] = {}
            if answer is not None:
                found = {"type": str(answer.dtype).removeprefix("torch."), "shape": list(answer.shape)}
        except (EOFError, OSError):
            return
        except Exception as error:
            found, answer = {"error": _told(error)}, None
        try:
            pipe.send_bytes(json.dumps({**found, "spent": asdict(desk.spent() if desk else Spent())}).encode())
            if answer is not None:
                pipe.send_bytes(answer.cpu().numpy().tobytes())
        except OSError:  # who asked has ended meanwhile, such as by a limit on its time
            return
        if desk is None:
            return


def _answer(desk: LocalDesk, pipe: Connection, device: torch.device) -> Tensor | None:
    question = json.loads(pipe.recv_bytes())
    if "ask" in question:
        shape = tuple(map(int, question["shape"]))
        pixels = np.frombuffer(pipe.recv_bytes(), dtype=np.float32).reshape(shape).copy()
        return desk.ask(question["ask"], torch.from_numpy(pixels).to(device))[0]
    if "ration" in question:
        part, whole, since, before = question["ration"]
        desk.ration(part, whole, Spent(**since), Spent(**before))
    else:
        desk.resume(Spent(**question["resume"]))
    return None


def _told(error: Exception) -> list[str]:
    if isinstance(error, UnveilError):
        return [type(error).__name__, error.what, error.expected, error.todo]
    return ["UnveilError", f"the target raised {type(error).__name__}: {error}"]
