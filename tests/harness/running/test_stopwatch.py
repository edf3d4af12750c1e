"""A step is timed by its own progress, and its loops are gone through without arithmetic once that tells enough."""

from contextlib import contextmanager

import pytest

from unveil.harness.running.stopwatch import USUAL, Enough, Pace, Stopwatch


class Machine:
    """A clock that steps move on: by less where arithmetic is left out."""

    def __init__(self, quick=0.001, pace=USUAL):
        self.now, self.quick, self.fast, self.units = 0.0, quick, False, 0
        self.watch = Stopwatch(self.shortcut, lambda: self.now, pace)

    @contextmanager
    def shortcut(self):
        self.fast = True
        yield
        self.fast = False

    def work(self, seconds):
        self.units += 1
        self.now += self.quick if self.fast else seconds

    def loop(self, total, seconds, first=0.0):
        bar = self.watch.start("loop", total)
        try:
            bar.advance(0)
            for i in range(total):
                self.work(seconds + (first if i == 0 else 0.0))
                bar.advance(1, loss=0.5)
        finally:
            self.watch.stop(bar)


def test_a_short_step_is_what_it_took():
    machine = Machine()
    machine.work(0.25)
    machine.loop(4, 0.25)
    assert machine.watch.finished() == machine.now == pytest.approx(1.25)
    assert machine.watch.whole


def test_all_loops_of_a_step_count_whole_and_what_lies_between():
    machine = Machine()
    machine.loop(1000, 0.5, first=3.0)  # the first unit warms up
    assert not machine.fast
    machine.work(7.0)
    machine.loop(400, 2.0)
    assert machine.watch.finished() == pytest.approx(503 + 7 + 800, rel=1e-3)
    assert machine.units == 1401  # each loop came to its end
    assert machine.now < 30
    assert not machine.watch.whole


def test_a_loop_that_takes_long_even_so_ends_the_step():
    machine = Machine(quick=0.1)
    machine.loop(10, 0.5)
    with pytest.raises(Enough):
        machine.loop(1000, 0.5)
    assert machine.watch.seconds() == pytest.approx(505, rel=0.01)


def test_a_few_long_units_must_do():
    machine = Machine()
    machine.loop(30, 20.0)
    assert machine.watch.finished() == pytest.approx(600, rel=0.01)
    assert machine.now < 45


def test_loops_inside_a_unit_are_part_of_it():
    machine = Machine(pace=Pace(long=1e9, longest=1e9))
    outer = machine.watch.start("people", 4)
    assert machine.watch.seconds() is None
    machine.loop(10, 1.0)
    outer.advance(1)
    inner = machine.watch.start("person", 10)
    for _ in range(5):
        machine.work(1.0)
        inner.advance()
    assert machine.watch.share() == pytest.approx(1.5 / 4)
    assert machine.watch.seconds() == pytest.approx(40)
    machine.watch.stop(inner)
    machine.watch.stop(outer)
    assert machine.watch.seconds() == pytest.approx(40)  # as it was when it was stopped


def test_a_loop_that_ends_by_itself_took_what_it_took():
    machine = Machine()
    bar = machine.watch.start("walk", 1000)
    machine.work(1.0)
    bar.advance()
    machine.watch.stop(bar)
    assert machine.watch.finished() == 1.0
