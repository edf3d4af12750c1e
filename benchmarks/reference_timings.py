"""Writes ``harness/presets/timings.json`` from stores that hold runs of the presets on two idle cores.

make run && .venv/bin/python benchmarks/reference_timings.py runs
"""

import json
import sys
from statistics import median
from typing import Any

from unveil.harness.plan.file import PRESETS, read
from unveil.harness.running.estimate import history
from unveil.harness.running.forecast import QUICK
from unveil.harness.running.likeness import amount, facts, plugins_of
from unveil.harness.running.matrix import expand
from unveil.harness.store.artefacts import Store


def main(stores: list[str]) -> None:
    """One entry for each amount of work, from the first store that knows it."""
    presets = sorted(path.stem for path in PRESETS.glob("*.toml"))
    nodes = {node.identity: node for preset in presets for node in expand(read(preset)).nodes()}
    found: dict[str, dict[str, Any]] = {}
    for store in stores:
        alike: dict[str, tuple[dict[str, Any], list[float]]] = {}
        for past in history(Store(store)):
            if past["identity"] in nodes:  # whatever code computed it
                work = facts(nodes[past["identity"]])
                alike.setdefault(_same(work), (work, []))[1].append(past["seconds"])
        known = {same: {**work, "seconds": round(median(took), 2)} for same, (work, took) in alike.items()}
        found = {**known, **found}
    lines = sorted(json.dumps(step, sort_keys=True) for step in found.values())
    (PRESETS / "timings.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


def _same(work: dict[str, Any]) -> str:
    """Equal for steps that take as long as each other."""
    how = plugins_of(work) if work["kind"] in QUICK else amount(work)
    return f"{work['kind']} {how}"


if __name__ == "__main__":
    main(sys.argv[1:])
