"""For library code that draws from torch's global generator: seeds it for a while, then puts it back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from unveil.harness.words.run import Run


@contextmanager
def seeded(run: Run, *names: str | int) -> Iterator[None]:
    """Inside the block, the global generators of the CPU and of the run's device start from ``run.seed(*names)``."""
    devices = [run.device] if run.device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(run.seed(*names))
        for device in devices:
            with torch.cuda.device(device):  # `torch.cuda.manual_seed` is about the current one
                torch.cuda.manual_seed(run.seed(*names))
        yield
