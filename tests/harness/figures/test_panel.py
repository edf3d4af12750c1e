"""Several judges on the same pictures: hand-worked figures, and what stays without a number."""

import json

import numpy as np
import pytest

from unveil.harness.figures.panel import Verdict, figures, read
from unveil.harness.words.names import Opinion

PEOPLE = np.array([0, 0, 1, 1, 2, 2, 3, 3])


def verdict(judge, bits, answer="", **more):
    return Verdict(Opinion(judge=judge, answer=answer), np.array([bit == "1" for bit in bits]), PEOPLE, **more)


A = verdict("a", "11110000", evaluator=True)
B = verdict("b", "11000000", evaluator=True)
C = verdict("c", "10001000", evaluator=True)
CLOSED = verdict("a", "11111100", "closed-set top-1", closed=True)
ANCHOR = verdict("nearest_anchor", "00010001")


def by_column(*verdicts):
    return {figure.column: figure for figure in figures(verdicts)}


def test_mean_all_and_agreement_by_hand():
    found = by_column(A, B, C)
    assert list(found) == ["mean of judges", "accepted by every judge", "agreement", "kappa"]
    # votes per picture: 3 2 1 1 1 0 0 0 of 3 judges
    assert found["mean of judges"].value == pytest.approx(8 / 24)
    assert found["accepted by every judge"].value == pytest.approx(1 / 8)
    # pairs that agree, of 3: 3 1 1 1 1 3 3 3
    assert found["agreement"].value == pytest.approx(16 / 24)
    assert found["agreement"].per_identity == pytest.approx({"0": 4 / 6, "1": 2 / 6, "2": 4 / 6, "3": 1.0})


def test_kappa_is_fleiss():
    """P = 16/24; one in three votes is yes, so chance agrees on 1/9 + 4/9 (Fleiss 1971, eq. 2 to 7)."""
    kappa = by_column(A, B, C)["kappa"]
    assert kappa.value == pytest.approx((2 / 3 - 5 / 9) / (1 - 5 / 9))
    assert kappa.low <= kappa.value <= kappa.high
    assert by_column(A, verdict("same", "11110000", evaluator=True))["kappa"].value == pytest.approx(1.0)
    opposite = verdict("opposite", "00001111", evaluator=True)
    assert by_column(A, opposite)["kappa"].value == pytest.approx(-1.0)


def test_kappa_of_one_answer_only_is_not_scored():
    never = verdict("never", "00000000", evaluator=True)
    found = by_column(never, verdict("nor this", "00000000", evaluator=True))
    assert found["kappa"].value is None
    assert "one answer" in found["kappa"].reason
    assert found["agreement"].value == 1.0


def test_closed_set_successes_are_confirmed_or_not():
    found = by_column(A, CLOSED, ANCHOR)
    by_a = found["closed-set successes of closed-set top-1 (a) confirmed by a"]
    assert (by_a.value, by_a.samples, by_a.identities) == (pytest.approx(4 / 6), 6, 3)
    by_anchor = found["closed-set successes of closed-set top-1 (a) confirmed by nearest_anchor"]
    assert by_anchor.value == pytest.approx(1 / 6)
    assert by_anchor.low < 1 / 6 < by_anchor.high


def test_nothing_accepted_is_not_scored():
    (figure,) = figures([verdict("closed", "00000000", closed=True), ANCHOR])
    assert figure.value is None
    assert figure.reason == "closed accepts no picture in the closed set"


def test_open_set_judges_make_the_panel():
    loose = verdict("loose", "11111111", closed=True, evaluator=True)
    assert by_column(A, B, loose)["mean of judges"].value == pytest.approx(6 / 16)
    assert by_column(A, loose).keys() == {"closed-set successes of loose confirmed by a"}
    also = verdict("also", "00000000", closed=True, evaluator=True)
    assert by_column(loose, also)["mean of judges"].value == pytest.approx(0.5)


def test_a_verdict_survives_json():
    again = read(json.loads(json.dumps(A.plain())))
    assert again.plain() == A.plain()
    assert again.accepted.dtype == bool
