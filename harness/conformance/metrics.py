"""Conformance of metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from unveil.harness.conformance import supply, tiny, watch
from unveil.harness.conformance.report import BreachError, NotApplicableError
from unveil.harness.conformance.watch import Tensors, Trial
from unveil.harness.figures.intervals import to_figure
from unveil.harness.words.given import Given
from unveil.harness.words.images import Images
from unveil.harness.words.metric import Evidence, Measurement, Metric
from unveil.harness.words.names import Direction
from unveil.harness.words.run import Run

if TYPE_CHECKING:
    from unveil.harness.conformance.basics import Subject

ABOUT = ("attack", "target")


class MetricTrial(Trial):
    """A metric, with twelve pictures to measure: of each of four people a private one, a public one and noise."""

    plugin: Metric
    found: Sequence[Measurement]

    def __init__(self, plugin: Metric, base: Path) -> None:
        super().__init__(plugin)
        self.base = base
        self.data, self.target, self.judge = tiny.data(), tiny.target(), tiny.judge()
        self.made = tiny.guesses()

    def inputs(self) -> Tensors:
        """Everything that the metric is given."""
        given, networks = supply.tensors(self.given), {"target": self.target, "evaluator": self.judge}
        states = {
            f"the {name}'s {part}": tensor
            for name, network in networks.items()
            for part, tensor in network.state_dict().items()
        }
        return {
            "reconstructions": self.made.pixels,
            "private pixels": self.data.train.pixels,
            "test pixels": self.data.test.pixels,
            **states,
            **given,
        }

    @cached_property
    def given(self) -> Given:
        """What it needs besides."""
        return supply.supplied(self.plugin, self.base)

    def act(self, run: Run) -> Tensors:
        """Measures."""
        self.found = self.measure(self.made, self.data.test, run)
        return {f"{m.column} {name}": tensor for m in self.found for name, tensor in _numbers(m).items()}

    def measure(self, made: Images, test: Images, run: Run) -> Sequence[Measurement]:
        """Measures these reconstructions, or the target on these test pictures."""
        judge = self.judge if self.plugin.needs_evaluator else None
        data = dataclasses.replace(self.data, test=test)
        attacked = made if self.plugin.about == "attack" else None
        found = self.plugin.measure(Evidence(data, self.target, judge, attacked, run, given=self.given))
        if not isinstance(found, Sequence) or not all(isinstance(m, Measurement) for m in found):
            raise BreachError(
                f"measure returned {type(found).__name__}", "a list of Measurement", "return [Measurement(...)]"
            )
        return found


def _numbers(m: Measurement) -> dict[str, Tensor]:
    numbers = {"values": m.values, "value": m.value, "standard error": m.standard_error, "samples": m.samples}
    return {name: torch.as_tensor(np.asarray(x, dtype=np.float64)) for name, x in numbers.items() if x is not None}


def measures_something(trial: MetricTrial) -> None:
    """At least one column, each with its own name."""
    if trial.plugin.about not in ABOUT:
        raise BreachError(f"about is {trial.plugin.about!r}", "'attack' or 'target'", "correct it")
    assert trial.first
    columns = [m.column for m in trial.found]
    if not columns or len(set(columns)) < len(columns) or not all(columns):
        raise BreachError(f"the columns are {columns}", "at least one, each with a name of its own", "name them")


def columns_are_well_formed(trial: MetricTrial) -> None:
    """Direction, unit, range and exactly one of values, value and reason; and a figure can be made of each."""
    for m in trial.found:
        if not isinstance(m.direction, Direction) or not m.unit or not m.low < m.high:
            raise BreachError(
                f"{m.column}: direction {m.direction!r}, unit {m.unit!r}, range {m.low} to {m.high}",
                "a Direction, a unit and a range from low to high",
                "fill them in: readers and tables rely on them",
            )
        if m.reason is not None and not m.reason.strip():
            raise BreachError(f"{m.column} is not scored and gives no reason", "why it is not scored, in words")
        if m.reason is None and m.samples < 1:
            raise BreachError(f"{m.column} says {m.samples} samples", "how many pictures went in", "set samples")
        _people(m, trial.data.classes)
        to_figure("metric", None, m)


def _people(m: Measurement, classes: int) -> None:
    if m.values is None:
        return
    who = m.identities
    if who is None or len(who) != len(m.values) or not set(who.tolist()) <= set(range(classes)):
        raise BreachError(
            f"{m.column}: {len(m.values)} values with identities {None if who is None else who.tolist()}",
            f"one class from 0 to {classes - 1} for each value",
            "pass identities=labels.numpy(): intervals are over people",
        )


def order_does_not_matter(trial: MetricTrial) -> None:
    """The same pictures in another order give the same figures up to rounding."""
    made, test = (images[_shuffled(len(images))] for images in (trial.made, trial.data.test))
    figures = [
        {m.column: to_figure("metric", None, m).value for m in found}
        for found in (trial.found, trial.measure(made, test, Run("conformance one")))
    ]
    if all(value is None for value in figures[0].values()):
        raise NotApplicableError("nothing is scored with these settings and this little data")
    for column, value in figures[0].items():
        other = figures[1].get(column)
        if (value is None) != (other is None) or (
            value is not None and other is not None and not np.isclose(value, other, rtol=1e-4, atol=1e-6)
        ):
            raise BreachError(
                f"{column} is {value} and, with the same pictures in another order, {other}",
                "a number that does not depend on the order",
                "thin or pair by person and content, never by position",
            )


def _shuffled(count: int) -> Tensor:
    return torch.randperm(count, generator=Run("conformance").generator("order"))


CHECKS = (
    measures_something,
    columns_are_well_formed,
    watch.same_seed_gives_the_same_answer,  # a number that does not depend on the seed is no fault in a metric
    watch.global_random_numbers_are_left_alone,
    watch.inputs_are_left_alone,
    order_does_not_matter,
)


def trial(subject: Subject) -> MetricTrial:
    """A metric on trial."""
    return MetricTrial(subject.plugin, subject.base)
