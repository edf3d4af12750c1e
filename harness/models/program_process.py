"""A network that is a program, run in a process of its own: whoever asks it holds a pipe for pixels and answers.

The process has the rights of whoever started it. It keeps a program that crashes, leaks or hangs from taking the run
with it, and keeps what this process has in memory out of its sight. It is no sandbox: a program that nobody trusts is
not to be run at all.
"""

from __future__ import annotations

import importlib
import io
import json
import multiprocessing
import os
import signal
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unveil.harness.words.errors import WeightsError

PATIENCE = 600.0  # seconds that an answer may take
ENDING = 5.0  # seconds that an ending process is given
Network: TypeAlias = Callable[[Tensor], Any]


class Asked:
    """A program in another process, which is started by the first question.

    Args:
        kind: ``torchscript``, ``exported`` or ``onnx``.
        content: Bytes of its file.
        threads: That it computes with.
    """

    def __init__(self, kind: str, content: bytes, threads: int) -> None:
        self._kind, self._content, self._threads = kind, content, threads
        self._pipe: Connection | None = None
        self._process: Any = None

    def __call__(self, x: Tensor) -> Tensor:
        """Answers ``(N, K)`` to the network's own input ``(N, C, H, W)``.

        Raises:
            WeightsError: If the program ended, or its format cannot be read.
            ValueError: If it cannot take such an input, or answers with something else.
        """
        pixels = np.ascontiguousarray(x.detach().cpu().float().numpy())
        try:
            pipe = self._pipe or self._start()
            pipe.send_bytes(json.dumps(pixels.shape).encode())
            pipe.send_bytes(pixels.tobytes())
            shape = self._heard(pipe)
            flat = np.frombuffer(pipe.recv_bytes(), dtype=np.float32).reshape(shape).copy()
        except (EOFError, OSError) as error:
            self.close()
            raise WeightsError(
                "the process that runs the model's program has ended", "answers", "try the program by itself"
            ) from error
        return torch.from_numpy(flat).to(x.device)

    def close(self) -> None:
        """Ends the process."""
        if self._pipe is None:
            return
        self._pipe.close()
        self._process.join(ENDING)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(ENDING)
        self._pipe = None

    def __del__(self) -> None:
        """Nobody asks any more."""
        self.close()

    def _start(self) -> Connection:
        context = multiprocessing.get_context("spawn")  # a fork would copy this process, and all that it holds
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self._kind, self._threads), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.send_bytes(self._content)
        self._heard(self._pipe)  # that it is loaded
        return self._pipe

    def _heard(self, pipe: Connection) -> tuple[int, ...]:
        if not pipe.poll(PATIENCE):
            self._process.terminate()
            raise EOFError
        found = json.loads(pipe.recv_bytes())
        if "absent" in found:
            raise WeightsError(*found["absent"])
        if "error" in found:
            raise ValueError(found["error"])
        return tuple(found["shape"])


def serve(pipe: Connection, kind: str, threads: int) -> None:
    """Answers until nobody listens any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    network: Network | None = None
    while True:
        answer: NDArray[np.float32] | None = None
        found: dict[str, Any]
        try:
            if network is None:
                network, found = opened(kind, pipe.recv_bytes()), {"shape": []}
            else:
                shape = json.loads(pipe.recv_bytes())
                pixels = np.frombuffer(pipe.recv_bytes(), dtype=np.float32).reshape(shape).copy()
                answer = answered(network, torch.from_numpy(pixels)).numpy()
                found = {"shape": list(answer.shape)}
        except (EOFError, OSError):
            return
        except WeightsError as error:
            found = {"absent": [error.what, error.expected, error.todo]}
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {str(error).splitlines()[-1] if str(error) else ''}"}
        pipe.send_bytes(json.dumps(found).encode())
        if answer is not None:
            pipe.send_bytes(answer.tobytes())
        if network is None:
            return


def answered(network: Network, x: Tensor) -> Tensor:
    """What a network says of pixels ``(N, C, H, W)``, one at a time where it takes one at a time: ``(N, K)``.

    Raises:
        ValueError: If that is no table of numbers.
    """
    with torch.no_grad():
        try:
            found = plain(network(x), len(x))
        except Exception:
            if len(x) == 1:
                raise
            found = torch.cat([plain(network(one), 1) for one in x.split(1)])
    return found.contiguous()


def plain(answer: Any, count: int) -> Tensor:
    """Logits in whatever a network answers with: a tensor, or the first table in a tuple or a dictionary.

    Shares that add up to one become their logarithms, of which the softmax is they themselves.

    Raises:
        ValueError: If there is none.
    """
    inner = list(answer.values()) if isinstance(answer, dict) else answer
    tables = list(inner) if isinstance(inner, tuple | list) else [inner]
    tensors = [torch.as_tensor(one) for one in tables if isinstance(one, Tensor | np.ndarray)]
    fit = [one for one in tensors if one.ndim == 2 and len(one) == count and one.shape[1] > 1]
    if not fit:
        shapes = [tuple(one.shape) for one in tensors]
        raise ValueError(f"answers of shapes {shapes} to {count} pictures, and no ({count}, classes) among them")
    found = fit[0].float()
    shares = bool((found >= 0).all()) and bool(((found.sum(1) - 1).abs() < 1e-3).all())
    return found.clamp_min(1e-30).log() if shares else found


def opened(kind: str, content: bytes) -> Network:
    """The network in a file.

    Raises:
        WeightsError: If what reads such files is not installed.
    """
    if kind == "torchscript":
        with warnings.catch_warnings():  # that the format is an old one, nobody here can change
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(io.BytesIO(content), map_location="cpu").eval()  # type: ignore[no-any-return]
    if kind == "exported":
        return torch.export.load(io.BytesIO(content)).module()
    return _onnx(content)


def _onnx(content: bytes) -> Network:
    try:
        runtime = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise WeightsError(
            "onnxruntime, which runs ONNX files, is not installed",
            "the extra unveil[onnx]",
            "pip install 'unveil[onnx]'",
        ) from error
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    os.chdir("/")  # bytes have no folder, so that weights outside the file are looked for nowhere of the user's
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: tuple(session.run(None, {name: x.numpy()}))
