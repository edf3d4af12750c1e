"""How long a plan of many cells takes to become nodes with keys, per cell: before the first second of work."""

from pathlib import Path

import pytest

from unveil.harness.plan.file import PRESETS, PlanFile, parse
from unveil.harness.running.matrix import expand

CELLS = 90  # of the preset, for each seed


@pytest.mark.parametrize("seeds", [1, 5, 10])
def test_expansion(benchmark, seeds):
    text = f"seeds = {list(range(seeds))}\n" + (PRESETS / "people.toml").read_text(encoding="utf-8")
    file = PlanFile(parse(text, "people"), text, Path(), "people")
    keys = benchmark(lambda: [node.key for node in expand(file).nodes()])
    assert len(keys) > seeds * CELLS
    if benchmark.stats is not None:
        benchmark.extra_info["ms per cell"] = round(1000 * benchmark.stats.stats.min / (seeds * CELLS), 2)
