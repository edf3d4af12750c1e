"""What a step frees stays with its process until the step ends, and no longer."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from unveil.harness.running.heap import CHOICES, kept
from unveil.harness.running.heap import _glibc as glibc

WORK = """
import os, resource
import torch
from unveil.harness.running.heap import kept

def work():
    for _ in range(4):
        parts = [torch.ones(2**21) for _ in range(16)]  # 128 MiB, of which glibc keeps 64 at most
        del parts

def page_faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def held():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

with kept():
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
    faults, inside, after = told()
    assert faults < 13_000  # a tenth of the pages that it fills; without that, it hangs on how the heap happens to lie
    assert after < inside - 2**26  # of 128 MiB that were free


@pytest.mark.skipif(sys.platform != "linux" or glibc() is None, reason="not glibc")
def test_what_somebody_has_chosen_is_left() -> None:
    _, inside, after = told(MALLOC_TRIM_THRESHOLD_="1000000000000")
    assert after > inside - 2**24


def test_another_c_library_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unveil.harness.running.heap._glibc", lambda: None)
    with kept():
        pass
