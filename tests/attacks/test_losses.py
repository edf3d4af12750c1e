from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from unveil.attacks import losses

FLAT = torch.ones(1, 4, dtype=torch.float64)
O = torch.tensor([[10.0, 1.0, -1.0, 2.0]], dtype=torch.float64)  # noqa: E741


@pytest.mark.parametrize(("o", "y", "value"), [(FLAT, 0, 9.903438), (O, 0, 8.494670), (O, 1, 11.016756)])
def test_poincare_matches_the_worked_values(o: torch.Tensor, y: int, value: float) -> None:
    assert losses.poincare(o, torch.tensor([y])).item() == pytest.approx(value, abs=1e-6)


def test_margin_logit_and_cross_entropy_match_worked_values() -> None:
    y = torch.tensor([0])
    assert losses.max_margin(O, y).item() == -8.0
    assert losses.max_margin(O, torch.tensor([3])).item() == 8.0
    assert losses.logit(O, y).item() == -10.0
    assert losses.cross_entropy(O, y).item() == pytest.approx((O.logsumexp(1) - O[:, 0]).item())


def test_every_identity_loss_is_per_sample() -> None:
    o = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 2, 3, 0])
    for loss in losses.IDENTITY_LOSSES.values():
        alone = torch.cat([loss(o[i : i + 1], y[i : i + 1]) for i in range(5)])
        torch.testing.assert_close(loss(o, y), alone)


def test_k_plus_one_is_softplus_of_lse_minus_lse() -> None:
    o = 5 * torch.randn(64, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lse = o.logsumexp(1)
    torch.testing.assert_close(losses.k_plus_one(o), F.softplus(lse) - lse)
    real = torch.cat([o, torch.zeros(64, 1, dtype=torch.float64)], 1).softmax(1)[:, :-1].sum(1)
    torch.testing.assert_close(losses.k_plus_one(o), -real.log())
