"""The device that tests marked gpu run on: the first card, or whatever UNVEIL_TEST_DEVICE names."""

import importlib.util
import os
import sys
from pathlib import Path

import pytest
import torch

from unveil.harness.words.arithmetic import steady

TESTS = Path(__file__).parents[1]


def beside(path):
    """A module of the tests, which are no package."""
    name = Path(path).stem
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, TESTS / path)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def pytest_collection_modifyitems(items):
    there = os.environ.get("UNVEIL_TEST_DEVICE") or torch.cuda.is_available()
    for item in items:
        if Path(__file__).parent in item.path.parents and "device" in item.fixturenames:  # the others run anywhere
            item.add_marker(pytest.mark.gpu)
            if not there:
                item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device here"))


@pytest.fixture
def device():
    with steady():
        yield torch.device(os.environ.get("UNVEIL_TEST_DEVICE", "cuda"))


@pytest.fixture
def parts():
    return beside("every_part.py")


@pytest.fixture
def worlds():
    return beside("attacks/worlds.py")
