"""How much of a machine a run takes."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from unveil.harness.running import processors
from unveil.harness.running.pools import pooling


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(processors, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(processors, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(processors, "allowed", lambda: 12)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return tmp_path


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize(
    ("own", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/a/b\n", {"a/b/cpu.max": "300000 100000\n", "cpu.max": "max 100000\n"}, 3),
        ("0::/seen/from/outside\n", {"cpu.max": "400000 100000\n"}, 4),
        ("4:cpu,cpuacct:/a\n1:memory:/\n", {"cpu/a/cpu.cfs_quota_us": "50000", "cpu/a/cpu.cfs_period_us": "100000"}, 1),
        ("4:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 12),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 12),
        ("0::/\n", {}, 12),
        ("nonsense", {"cpu.max": "?"}, 12),
    ],
)
def test_a_container_has_as_many_cores_as_it_may_use(groups: Path, own: str, files: dict[str, str], cores: int) -> None:
    put(groups / "own", own)
    for name, text in files.items():
        put(groups / "cgroup" / name, text)
    assert processors.cores() == cores
    assert pooling().threads == (0 if cores == 12 else cores)  # 0: as torch has it, and numbers stay what they were
    assert pooling(jobs=2).threads == max(1, cores // 2)


def test_a_system_without_control_groups_limits_nothing(groups: Path) -> None:
    assert processors.quota() == math.inf


@pytest.mark.parametrize(
    ("load", "threads", "told"), [(0.1, 4, False), (3.0, 1, False), (0.9, 3, False), (1.4, 4, True), (8.0, 2, True)]
)
def test_threads_that_would_wait_for_others_are_told_of(
    monkeypatch: pytest.MonkeyPatch, load: float, threads: int, told: bool
) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0, 0))
    monkeypatch.setattr(processors, "cores", lambda: 4)
    assert bool(processors.crowd(threads)) is told
    assert "--threads 1" in processors.crowd(4) or load < 1
