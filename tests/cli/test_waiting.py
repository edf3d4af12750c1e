"""Threads that wait asleep: chosen before torch is there, by the command alone, and never against the user."""

import os
import subprocess
import sys

import pytest

from unveil.cli import waiting
from unveil.harness.running.processors import CHOICES

SCRIPT = """
import os, sys
{before}
print("OMP_WAIT_POLICY" in os.environ, "torch" in sys.modules)
"""
COMMAND = """
sys.argv = ["unveil", "--version"]
from unveil.cli import main
try:
    main()
except SystemExit:
    pass
"""


@pytest.mark.parametrize(
    ("before", "chosen"), [(COMMAND, True), (COMMAND.replace("unveil.cli", "unveil.__main__"), True),
                           ("import unveil.harness.plan.file", False)],
)  # fmt: skip
def test_the_command_chooses_before_torch_is_loaded_and_an_import_does_not(before, chosen):
    own = {name: value for name, value in os.environ.items() if name not in CHOICES}
    command = [sys.executable, "-c", SCRIPT.format(before=before)]
    done = subprocess.run(command, env=own, capture_output=True, text=True, check=True)
    assert done.stdout.split()[-2:] == [str(chosen), "False"]


@pytest.mark.parametrize("name", CHOICES)
def test_whoever_has_chosen_keeps_what_was_chosen(name, monkeypatch):
    for other in CHOICES:
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv(name, "mine")
    waiting.wait_asleep()
    assert {other: os.environ[other] for other in CHOICES if other in os.environ} == {name: "mine"}
