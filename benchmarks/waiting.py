"""What waiting threads cost, and spare: a training step alone and beside busy programs, on one and on two threads.

Run ``python benchmarks/waiting.py [rounds]`` (default 3; a minute and a half). All ways are measured in turns, in
processes of their own. Other work on the machine is a neighbour, too: the ratios mean most where there is none.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from statistics import median

from unveil.harness.running.processors import PATIENT

SECONDS = 1.5  # that each way is measured for, each time
NEIGHBOURS = (0, 1, 2)
BUSY = "while True: pass"
WAYS = [(threads, policy) for threads in (1, 2) for policy in ("torch's own", "passive")]


def work() -> None:
    """Answers each line on standard input, a time in seconds, with training steps per second."""
    import torch  # noqa: PLC0415 (the parent has no need of it)
    import torch.nn.functional as F  # noqa: PLC0415

    from unveil.harness.models.small_resnet import SmallResNet  # noqa: PLC0415
    from unveil.harness.types import Run  # noqa: PLC0415

    model = SmallResNet(width=8).build(10, (3, 32, 32), Run("waiting")).train()
    optimiser = torch.optim.AdamW(model.parameters())
    x, y = torch.rand(32, 3, 32, 32), torch.arange(32) % 10
    for line in sys.stdin:
        steps, begun = 0, time.monotonic()
        while time.monotonic() < begun + float(line):
            optimiser.zero_grad()
            F.cross_entropy(model.logits(x), y).backward()
            optimiser.step()
            steps += 1
        sys.stdout.write(f"{steps / (time.monotonic() - begun)}\n")
        sys.stdout.flush()


@contextmanager
def worker(threads: int, policy: str) -> Iterator[subprocess.Popen[str]]:
    """A process that trains in that way."""
    own = {name: value for name, value in os.environ.items() if name not in PATIENT}
    own |= {"OMP_NUM_THREADS": str(threads), **(PATIENT if policy == "passive" else {})}
    command = [sys.executable, __file__, "work"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=own) as process:
        yield process
        process.kill()


def rate(process: subprocess.Popen[str], seconds: float) -> float:
    """Its steps per second, now."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{seconds}\n")
    process.stdin.flush()
    return float(process.stdout.readline())


def main(rounds: int) -> None:
    """Measures in turns, and prints medians and what they are of one thread alone."""
    found: dict[tuple[int, int, str], list[float]] = {}
    with ExitStack() as open_:
        workers = {way: open_.enter_context(worker(*way)) for way in WAYS}
        for process in workers.values():
            rate(process, 0.5)  # the first steps are slower
        for _ in range(rounds):
            for count in NEIGHBOURS:
                busy = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
                for way, process in workers.items():
                    found.setdefault((count, *way), []).append(rate(process, SECONDS))
                for neighbour in busy:
                    neighbour.kill()
                    neighbour.wait()
    base = found[0, 1, "torch's own"]
    sys.stdout.write(f"{'busy neighbours':>15}  {'threads':>7}  {'waiting':<11}  {'steps/s':>7}  of one thread alone\n")
    for (count, threads, policy), rates in found.items():
        ratio = median(one / alone for one, alone in zip(rates, base, strict=True))
        line = f"{count:>15}  {threads:>7}  {policy:<11}  {median(rates):>7.1f}  {ratio:>19.2f}"
        sys.stdout.write(f"{line}   ({min(rates):.1f} to {max(rates):.1f})\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["work"]:
        work()
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 3)
