"""Numbers as a reader sees them."""

from __future__ import annotations

import pytest

from unveil.leaderboard.estimates import Estimate
from unveil.leaderboard.wording import full


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "said"),
    [
        (0.99, 0.91, 0.9991, "share", "99.0 % [91.0, 99.9]"),
        (0.004, 0.001, 0.12, "share", "0.4 % [0.1, 12.0]"),
        (0.42, 0.305, 0.54, "share", "42 % [30, 54]"),
        (1.0, 0.93, 0.9999999999999999, "share", "100 % [93, 100]"),
        (-0.14, -0.2, -0.004, "share", "−14.0 % [−20.0, −0.4]"),
        (0.9985, 0.99, 1.0, "", "0.999 [0.990, 1.000]"),
        (1012.3, 995.12, 1203, "squared distance", "1,012 [995, 1,203]"),
        (3.2, 0.41, 1500, "", "3 [0, 1,500]"),
    ],
)
def test_a_value_and_both_ends_of_its_interval_have_one_precision(
    value: float, low: float, high: float, unit: str, said: str
) -> None:
    assert full(Estimate(value, low, high), unit).replace("\u00a0", " ") == said


def test_without_an_interval_a_value_keeps_its_own_precision() -> None:
    assert full(Estimate(0.12345), "kappa") == "0.123 [no interval]"
