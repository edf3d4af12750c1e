"""How good estimates are: what probes say of a plan, over what its steps then took, by kind of step.

.venv/bin/python benchmarks/estimates.py quick runs --threads 1

Compares with a store that holds a run of the plan, step by step by their labels, and writes nothing there: what is
known of the plan is what an empty store knows. With --cpu both are processor time, which says more where others are at
work, and is as long as it takes where steps have one thread. --alone leaves out what is known of the presets, as of a
plan of one's own.
"""

import argparse
import os
import tempfile
from collections import defaultdict

from unveil.harness.audit import prepare
from unveil.harness.running import estimate as estimates
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.probes import Probing
from unveil.harness.store.artefacts import Store


def main() -> None:
    """Prints a line for each kind, and one for each step that was far off."""
    asked = _arguments()
    actual = {one["label"]: one for one in estimates.history(Store(asked.store))}
    if asked.alone:
        estimates.reference = list
    with tempfile.TemporaryDirectory() as empty:
        plan = prepare(asked.plan, asked.empty or empty)
        around = Surroundings(plan.store.url, threads=asked.threads)
        clock = {"clock": _cpu} if asked.cpu else {}
        probe = Probing(around, asked.seconds, asked.seconds, shown=lambda label: print(f"timing {label}"), **clock)
        began = _cpu()
        steps = estimates.estimate(plan.matrix, plan.store, probe)
        print(f"probes took {_cpu() - began:.0f} s of processor time")
    kinds: defaultdict[str, list[tuple[float, float]]] = defaultdict(list)
    for step in steps:
        if (took := actual.get(step.label)) is not None and step.seconds is not None:
            seconds = took["profile"]["cpu_s"] if asked.cpu else took["seconds"]
            kinds[step.kind].append((step.seconds, seconds))
            if seconds >= asked.least:
                told = f"{step.seconds:7.1f} {seconds:7.1f} {step.seconds / seconds:5.2f}"
                print(f"{told}  {step.label} ({step.source})")
    kinds["all"] = [pair for pairs in kinds.values() for pair in pairs]
    for kind, pairs in kinds.items():
        wanted, seconds = map(sum, zip(*pairs, strict=True))
        print(
            f"{kind:12} {len(pairs):4} steps {wanted:8.1f} s estimated {seconds:8.1f} s taken {wanted / seconds:6.2f}"
        )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan")
    parser.add_argument("store", help="holds a run of it")
    parser.add_argument("--empty", default="", help="a store to remember timings in; default: one that is thrown away")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60.0, help="for all probes")
    parser.add_argument("--least", type=float, default=5.0, help="seconds of a step that gets a line of its own")
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--alone", action="store_true")
    return parser.parse_args()


def _cpu() -> float:
    return sum(os.times()[:4])


if __name__ == "__main__":
    main()
