"""What steps took is measured where they are computed, and told by kind, defense and attack without counting twice."""

import json
import os
import subprocess
import sys
import time

import pytest
import torch

from unveil.harness.plan.file import read
from unveil.harness.running import execute
from unveil.harness.running.execute import Surroundings, compute
from unveil.harness.running.hotspots import SHARED, hotspots
from unveil.harness.running.matrix import expand
from unveil.harness.running.profile import PROFILE, Meter, metrics
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store

MORE = 60_000_000  # bytes
# In a process of its own: what other tests have given back to the allocator is no new peak.
PEAKS = f"""
from unveil.harness.running.profile import Meter
def peak(work):
    meter = Meter("cpu")
    work()
    meter.stop()
    return meter._spent["peak_memory_bytes"]
print(*(peak(lambda: bytearray(b"x") * size) for size in (0, {MORE}, 0)))
"""


def measured(work):
    meter = Meter("cpu")
    work()
    meter.stop()
    return meter.read(Artefact({}, {"x": torch.zeros(7)}, {"a": b"abc"}))


def burn():
    begun = time.process_time()
    while time.process_time() < begun + 0.2:
        pass


def test_a_processor_s_time_is_measured_and_that_of_child_processes():
    assert measured(burn)["cpu_s"] >= 0.18
    child = "import time\nwhile time.process_time() < 0.2: pass"
    assert measured(lambda: subprocess.run([sys.executable, "-c", child], check=True))["cpu_s"] >= 0.18
    assert measured(lambda: None)["cpu_s"] < 0.18


def test_bytes_are_those_of_tensors_and_files():
    assert measured(lambda: None)["stored_bytes"] == 7 * 4 + 3


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="only Linux measures a peak anew")
def test_the_peak_of_memory_is_the_step_s_own():
    calm, high, after = map(
        int, subprocess.run([sys.executable, "-c", PEAKS], check=True, capture_output=True).stdout.split()
    )
    assert high > calm + 0.9 * MORE
    assert after < high - 0.5 * MORE


@pytest.fixture
def matrix(project, monkeypatch):
    return expand(read(str(project.folder / "tiny.toml")))


def test_a_computed_step_has_a_profile_and_a_failed_one_stops_measuring(matrix, tmp_path):
    execute._bench.cache_clear()
    data = next(node for node in matrix.nodes() if node.kind == "data")
    assert compute(data, Surroundings(str(tmp_path / "store"))).status == "done"
    behind = Store(str(tmp_path / "store")).provenance(data.key)
    assert set(behind[PROFILE]) >= {"wall_s", "cpu_s", "stored_bytes"}
    assert metrics(behind)["profile/stored_bytes"] > 10_000
    assert metrics({"seconds": 1}) == {}


def test_sums_count_every_step_once(matrix, tmp_path):
    store = Store(str(tmp_path / "store"))
    nodes = matrix.nodes()
    for number, node in enumerate(nodes[1:]):
        old = node.kind == "measure"  # of a version that measured nothing
        spent = {} if old else {PROFILE: {"wall_s": 2.0**number, "cpu_s": 1.0, "peak_memory_bytes": number}}
        store.save(node.key, Artefact({}, provenance={"seconds": 2.0**number, **spent}))
    found = hotspots(matrix, store)
    assert (found.missing, found.total.steps) == (1, len(nodes) - 1)
    assert found.steps[0].key == nodes[-1].key
    for what in ("kind", "defense", "attack"):
        assert sum(one.wall_s for one in found.by(what).values()) == found.total.wall_s == 2.0 ** (len(nodes) - 1) - 1
    assert found.by("kind")["measure"].cpu_s is None
    assert found.by("kind")["target"].cpu_s == 2
    assert set(found.by("defense")) == {"none", "trouble", SHARED}
    assert {step.kind for step in found.steps if step.defense == SHARED} == {"evaluator"}
    assert {step.kind for step in found.steps if step.attack == "guess"} >= {"attack", "target"}


@pytest.mark.slow
def test_the_command(project):
    assert project.run(TROUBLE=str(project.folder / "tiny.toml")).returncode == 0
    told = json.loads(project.call("profile", "tiny.toml", "--store", "store", "--json").stdout)
    assert told["missing"] == 0
    assert {"cpu_s", "peak_memory_bytes", "stored_bytes"} <= set(told["steps"][0]["spent"])
    shown = project.call("profile", "tiny.toml", "--store", "store", "--worst", "1").stdout
    assert "12 steps, " in shown
