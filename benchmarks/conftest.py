"""Times things in turns, so that a machine that is busy now and idle then slows all of them alike."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from time import process_time

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # what benchmarks share lies beside them

RATES = pytest.StashKey[dict[str, dict[str, float]]]()


@pytest.fixture
def against(benchmark, request):
    """Times a function in turns with others, in processor time; the medians of the ratios are the figures to keep."""

    def timed(way: Callable[[], object], others: Mapping[str, Callable[[], object]], rounds: int = 3):
        taken = {name: [] for name in others}

        def first():
            for name, other in others.items():
                begun = process_time()
                other()
                taken[name].append(process_time() - begun)

        benchmark._timer = process_time
        benchmark.pedantic(way, setup=first, rounds=rounds, warmup_rounds=1)
        if benchmark.stats is None:  # --benchmark-disable
            return
        own = benchmark.stats.stats.data
        rates = {
            name: round(median(b / a for a, b in zip(own, times[-len(own) :], strict=True)), 3)
            for name, times in taken.items()
        }
        benchmark.extra_info.update(rates)
        request.config.stash.setdefault(RATES, {})[request.node.name] = rates

    return timed


def pytest_terminal_summary(terminalreporter, config):
    """Prints the ratios, which the table of times does not show."""
    if found := config.stash.get(RATES, {}):
        terminalreporter.section("rates, 1 = as fast as what stands there")
        for name, rates in found.items():
            told = ", ".join(f"{value:.3f} of {what}" for what, value in rates.items())
            terminalreporter.write_line(f"{name}: {told}")
