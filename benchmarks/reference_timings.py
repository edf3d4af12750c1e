"""Writes ``harness/presets/timings.json`` from stores that hold runs of the presets on two idle cores.

make run && .venv/bin/python benchmarks/reference_timings.py runs
"""

import json
import sys
from statistics import median
from typing import Any

from unveil.harness.estimate import QUICK, history
from unveil.harness.graph import expand
from unveil.harness.likeness import facts, numbers, plugins_of
from unveil.harness.plan import PRESETS, read
from unveil.harness.store import Store


def main(stores: list[str]) -> None:
    """One entry for each amount of work; a step is known by its identity, whatever code computed it."""
    past: dict[str, list[float]] = {}
    for provenance in (p for store in stores for p in history(Store(store))):
        past.setdefault(provenance["identity"], []).append(provenance["seconds"])
    alike: dict[str, tuple[dict[str, Any], list[float]]] = {}
    for preset in sorted(path.stem for path in PRESETS.glob("*.toml")):
        for node in expand(read(preset)).nodes():
            if node.identity in past:
                work = facts(node)
                alike.setdefault(_amount(work), (work, []))[1].extend(past[node.identity])
    steps = [{**work, "seconds": round(median(seconds), 2)} for work, seconds in alike.values()]
    lines = sorted(json.dumps(step, sort_keys=True) for step in steps)
    (PRESETS / "timings.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


def _amount(work: dict[str, Any]) -> str:
    """What decides how long it takes."""
    quick = work["kind"] in QUICK
    more = () if quick else (work["on"], sorted((".".join(path), n) for path, n in numbers(work)))
    return json.dumps([work["kind"], plugins_of(work), *more], sort_keys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
