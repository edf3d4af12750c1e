from __future__ import annotations

import pytest
import torch

from unveil.harness.models.plain_cnn import PlainCNN
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.words.run import Run

RUN = Run("small")


def _conv(before: int, after: int, kernel: int) -> int:
    return before * after * kernel**2 + 2 * after  # no bias; batch norm has two


def test_parameters_of_the_small_resnet_by_hand() -> None:
    w, expected = 24, _conv(3, 24, 3)
    for i in range(4):
        before, after = (w if i == 0 else w * 2 ** (i - 1)), w * 2**i
        expected += _conv(before, after, 3) + _conv(after, after, 3) + (_conv(before, after, 1) if i else 0)
    expected += 8 * w * 40 + 40
    assert SmallResNet().build(40, (3, 64, 64), RUN).count() == (0, expected)


@pytest.mark.parametrize("model", [SmallResNet(), SmallResNet(width=8, blocks=(2, 1)), PlainCNN(), PlainCNN(width=4)])
@pytest.mark.parametrize("shape", [(3, 64, 64), (1, 28, 28), (1, 56, 46)])
def test_shapes_and_seeds(model: SmallResNet | PlainCNN, shape: tuple[int, int, int]) -> None:
    before = torch.get_rng_state()
    net, twin = model.build(7, shape, RUN).eval(), model.build(7, shape, RUN).eval()
    assert torch.equal(before, torch.get_rng_state())
    x = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    passed = net.run(x)
    assert passed.logits.shape == (2, 7)
    assert passed.features.ndim == 2
    assert torch.equal(passed.logits, twin.run(x).logits)
    assert not torch.equal(net.head.weight, model.build(7, shape, Run("other")).head.weight)
