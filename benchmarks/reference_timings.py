"""Writes ``harness/presets/timings.json`` from a store that holds a run of the presets on two idle cores.

make run && .venv/bin/python benchmarks/reference_timings.py runs
"""

import json
import sys
from pathlib import Path

from unveil.harness.estimate import history
from unveil.harness.store import Store

KEPT = ("kind", "uses", "options", "on", "identity", "seconds")
FILE = Path(__file__).parent.parent / "harness" / "presets" / "timings.json"


def main() -> None:
    past = [{name: provenance[name] for name in KEPT} for provenance in history(Store(sys.argv[1]))]
    lines = sorted(json.dumps(step, sort_keys=True) for step in past)
    FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
