"""Every attack's rate, in sample-steps per second, against the bare loop (``bare_loops.py``)."""

import pytest
from bare_loops import Scale, World
from trials import trials

TRIALS = trials(Scale())


@pytest.fixture(scope="module")
def world():
    return World()


@pytest.mark.parametrize("name", TRIALS)
def test_rate(against, world, name):
    attack, bare = TRIALS[name]
    against(lambda: world.attacked(attack), bare(world, attack))
