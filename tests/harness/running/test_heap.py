"""What a step frees stays with its process until the step ends, and no longer."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from unveil.harness.running.heap import CHOICES, kept
from unveil.harness.running.heap import _glibc as glibc

WORK = """
import contextlib, os, resource
import torch
from unveil.harness.running.heap import kept

def work():
    for _ in range(20):
        parts = [torch.ones(2**20) for _ in range(8)]
        del parts

def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def held():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

for how in (contextlib.nullcontext, kept):
    with how():
        work()
        before = page_faults()
        work()
        print(page_faults() - before, held())
    print(held())
"""


def told(**env: str) -> list[int]:
    clean = {name: value for name, value in os.environ.items() if name not in CHOICES}
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, env=clean | env, check=True)
    return [int(number) for number in done.stdout.split()]


@pytest.mark.skipif(sys.platform != "linux" or glibc() is None, reason="not glibc")
def test_a_step_asks_for_no_page_twice_and_gives_all_back_at_its_end() -> None:
    faults, _, _, few, inside, after = told()
    assert few < faults / 4
    assert after < inside - 2**24  # of 32 MiB that were free


@pytest.mark.skipif(sys.platform != "linux" or glibc() is None, reason="not glibc")
def test_what_somebody_has_chosen_is_left() -> None:
    faults, _, _, as_many, _, _ = told(MALLOC_TRIM_THRESHOLD_="1000000")
    assert as_many > faults / 2


def test_another_c_library_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unveil.harness.running.heap._glibc", lambda: None)
    with kept():
        pass
