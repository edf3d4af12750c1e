"""What memory a folder of pictures takes: loaded, split, trained on, judged and attacked, at two sizes.

Run ``python benchmarks/big_data.py [pictures] [size]`` (default 20000 and 112; some minutes with OMP_NUM_THREADS=1). It
draws JPEGs of so many pictures, two thirds of them private, into a temporary folder, runs a plan on half of them and on
all of them in processes of their own, and prints the peak of each step (VmHWM, reset before it) and, on standard error,
its progress as a log shows it. The networks are the
smallest there are and see 32 pixels, since theirs is not the memory in question; what may be held in memory (HELD) is
scaled down as the number of pictures is. What a picture costs is the difference of the two peaks by the difference in
pictures; that is extrapolated to 200,000, as a straight line. Of ``200000`` only
the whole is run. People grow along, 20 pictures each, and scores with
both: the smaller the run, the more the line falls short of that.

Linux only.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

EACH = 20  # pictures of a person
MANY, LIMIT = 200_000, 4 * 2**30
MIB = 2**20


def draw(folder: Path, side: str, people: int, size: int) -> None:
    """JPEGs of people, each of whom is a smooth pattern, with noise of their own."""
    for person in range(people):
        rng = np.random.default_rng([len(side), person])
        look = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)).resize((size, size))
        place = folder / side / f"{side}{person:05d}"
        place.mkdir(parents=True)
        for k in range(EACH):
            noise = rng.integers(0, 48, (size // 8, size // 8, 3), dtype=np.uint8)
            other = Image.fromarray(noise).resize((size, size))
            Image.blend(look, other, 0.3).save(place / f"{k:02d}.jpg", quality=85)


def plan(size: int) -> dict[str, object]:
    """One epoch of the smallest target and judge, and an attack that looks at every public picture."""
    return {
        "title": "Big data",
        "identities": 20,
        "pictures": 0,
        "recipe": {"epochs": 1, "batch": 128, "views": 0},
        "data": {"use": "folder", "private": "private", "public": "public", "size": size, "public_folders": "people"},
        "target": {"use": "timm", "architecture": "test_efficientnet", "size": 32, "name": "target"},
        "evaluator": {"use": "timm", "architecture": "test_resnet", "size": 32, "others": "nobody", "name": "judge"},
        "defenses": [{"use": "none"}],
        "attacks": [{"use": "public_lookalikes", "samples": 3}],
        "metrics": [{"use": use} for use in ("attack_accuracy", "utility", "knn_distance", "copies")],
    }


def work(size: int, pictures: int) -> None:
    """Runs the plan in this folder, and prints the peak of each step as a JSON line."""
    from unveil.cli.terminal import Screen  # noqa: PLC0415 (the parent has no need of all this)
    from unveil.harness.audit import prepare, surroundings  # noqa: PLC0415
    from unveil.harness.words import pixels  # noqa: PLC0415
    from unveil.harness.words.names import Precision  # noqa: PLC0415

    pixels.HELD = pixels.HELD * pictures // MANY
    begun = time.monotonic()

    def heard(node, outcome):
        nonlocal begun
        if outcome is not None:
            tell({"step": node.label, "status": outcome.status, "peak": peak(), "seconds": time.monotonic() - begun})
        begun = time.monotonic()
        Path("/proc/self/clear_refs").write_text("5")  # the peak is from now on

    audit = prepare(plan(size), "store")
    audit.results(replace(surroundings(audit.store, "cpu", Precision.AUTO, False), shown=Screen()), heard)
    started = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    tell({"step": "largest of the processes that steps started", "status": "", "peak": started, "seconds": 0.0})


def tell(line: dict[str, object]) -> None:
    """One JSON line."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def peak() -> int:
    """Most bytes that this process had in memory at a time, since that was last reset."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if one.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def measured(folder: Path, size: int, pictures: int) -> int:
    """Runs it in a process of its own, prints what its steps took, and gives the highest peak."""
    command = [sys.executable, str(Path(__file__).resolve()), "work", str(size), str(pictures)]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    steps = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for one in steps:
        line = f"  {one['step']:<55} {one['status']:<6} {one['peak'] / MIB:>7.0f} MiB {one['seconds']:>6.1f} s\n"
        sys.stdout.write(line)
    return max(one["peak"] for one in steps)


def drawn(count: int, size: int) -> int:
    """The highest peak with so many pictures, which are drawn for it and deleted again."""
    folder = Path(tempfile.mkdtemp(prefix="big-data-"))
    try:
        people, begun = count // EACH, time.monotonic()
        draw(folder, "private", people * 2 // 3, size)
        draw(folder, "public", people - people * 2 // 3, size)
        sys.stdout.write(
            f"{count} pictures, {count * 3 * size**2 / MIB:.0f} MiB as bytes, four times that as floats; "
            f"drawn in {time.monotonic() - begun:.0f} s\n"
        )
        sys.stdout.flush()
        return measured(folder, size, count)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main(pictures: int, size: int) -> int:
    """Measures at half the size and at the whole, and extrapolates; of all that are meant, at the whole alone."""
    if pictures >= MANY:
        total = drawn(pictures, size)
        sys.stdout.write(f"{pictures} pictures, measured: {total / MIB:.0f} MiB of {LIMIT / MIB:.0f} MiB\n")
        return int(total > LIMIT)
    few, many = pictures // 2, pictures
    low, high = drawn(few, size), drawn(many, size)
    each = max(0.0, (high - low) / (many - few))
    total = high + each * (MANY - many)
    sys.stdout.write(
        f"a picture: {each:.0f} bytes of memory, {3 * size**2} bytes in the file, {12 * size**2} as floats\n"
        f"{MANY} pictures, extrapolated as a straight line: {total / MIB:.0f} MiB of {LIMIT / MIB:.0f} MiB\n"
    )
    return int(total > LIMIT)


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        work(int(sys.argv[2]), int(sys.argv[3]))
    else:
        sys.exit(main(*(int(given) for given in [*sys.argv[1:], *("20000", "112")[len(sys.argv) - 1 :]])))
