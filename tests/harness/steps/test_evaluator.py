"""How good a judge is at its own job, on scores that are read off the pictures."""

import numpy as np
import pytest
import torch
from torch import nn

from unveil.harness.figures.intervals import to_figure
from unveil.harness.steps.evaluator import clean, trust
from unveil.harness.steps.rejection import ROWS, Reject, surest
from unveil.harness.training.fit import predict
from unveil.harness.types import Data, Images
from unveil.harness.words.classifier import Classifier


class Reads(nn.Module):
    """Takes the scores of four people for what the first line of a picture says, times ten."""

    def forward(self, x):
        return 10 * x[:, 0, 0, :]


def test_a_judge_is_measured_on_real_pictures_before_it_may_say_nobody():
    # Two private people (0, 1) and two others. Right and sure; right but unsure; taken for other 2; wrong.
    rows = [[1, 0, 0, 0], [0.1, 0, 0, 0], [0, 0.5, 0.9, 0], [0.8, 0.6, 0, 0]]
    test = Images(torch.tensor(rows).float().view(4, 1, 1, 4), torch.tensor([0, 0, 1, 1]))
    judge = Classifier({"read": Reads()}, nn.Identity(), classes=4, mean=(0.0,), std=(1.0,))
    some = Data(test, test, test, test, ("a", "b"), "sum", "by construction")
    told = predict(judge, test)
    closed, calibration = (to_figure("trust", None, m) for m in clean(told, some))
    assert (closed.column, closed.value) == ("closed-set top-1", 0.75)  # the third is person 1 among the private ones
    assert closed.per_identity == {"0": 1.0, "1": 0.5}
    p = torch.softmax(10 * torch.tensor(rows).double(), 1).max(1).values.numpy()
    bins = np.minimum((p * 15).astype(int), 14)
    right = np.array([1, 1, 0, 0])  # over all four people
    error = sum(abs(right[bins == b].sum() - p[bins == b].sum()) for b in set(bins)) / 4
    assert calibration.value == pytest.approx(1 - error)
    assert calibration.low < calibration.value < calibration.high
    allowed = Reject(0.99)(told)
    accepted, _ = (to_figure("trust", None, m) for m in trust(allowed, allowed, some, test))
    assert accepted.value == 0.25  # now the unsure one is nobody


@pytest.mark.parametrize("rows", [0, 1, ROWS, 2 * ROWS + 1])
@pytest.mark.parametrize("dtype", [None, torch.float64])
def test_the_surest_of_each_row_is_that_of_all_rows_at_once(rows, dtype):
    logits = 8 * torch.randn(rows, 33, generator=torch.Generator().manual_seed(rows))
    whole = logits.to(dtype or logits.dtype).softmax(1).max(1)
    values, who = surest(logits, dtype)
    assert torch.equal(values, whole.values)
    assert torch.equal(who, whole.indices)
