from __future__ import annotations

import pytest
import torch

from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.training.fit import fit
from unveil.harness.types import Classifier, Images
from unveil.harness.words.errors import PluginError
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Run

RUN = Run("tl-dmi")
GENERATOR = torch.Generator().manual_seed(0)
IMAGES = Images(torch.rand(24, 3, 16, 16, generator=GENERATOR), torch.arange(24) % 3)
STAGES = ("stem", "stage1", "stage2", "stage3", "stage4", "pool")


def _net() -> Classifier:
    return SmallResNet(width=4).build(3, IMAGES.shape, RUN)


@pytest.mark.parametrize(
    ("defense", "frozen"),
    [
        (TLDMI("stage2"), ("stem", "stage1", "stage2")),
        (TLDMI(("stage1", "stage2")), ("stage1", "stage2")),  # the published code forgets the stem
        (TLDMI("stage2", statistics=False), ("stem", "stage1", "stage2")),
        (TLDMI("pool"), STAGES),
    ],
)
def test_frozen_stages_do_not_change_by_one_bit_and_all_others_do(defense: TLDMI, frozen: tuple[str, ...]) -> None:
    net = defense.prepare(_net(), RUN)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fit(net, (defense,), IMAGES, IMAGES, Recipe(epochs=2, batch=12, select="last"), RUN)
    for name, value in net.state_dict().items():
        statistic = "running_" in name or "num_batches" in name
        still = any(name.startswith(f"stages.{stage}.") for stage in frozen) and (defense.statistics or not statistic)
        assert torch.equal(value, before[name]) == still, name


def test_only_a_row_of_first_stages_with_still_statistics_is_a_fixed_prefix() -> None:
    assert TLDMI("stage2").prepare(_net(), RUN).frozen_depth == 3
    assert TLDMI("stage2", statistics=False).prepare(_net(), RUN).frozen_depth == 0
    assert TLDMI(("stage1",)).prepare(_net(), RUN).frozen_depth == 0


def test_share_counts_parameters() -> None:
    sizes = [sum(p.numel() for p in stage.parameters()) for stage in _net().stages.values()]
    total = sum(sizes)
    for share, depth in ((0.0, 0), (sum(sizes[:3]) / total, 3), (sum(sizes[:3]) / total - 1e-6, 2), (1.0, len(sizes))):
        assert TLDMI(share=share).prepare(_net(), RUN).frozen_depth == depth
    frozen, trainable = TLDMI("stage2").prepare(_net(), RUN).count()
    assert (frozen, trainable) == (sum(sizes[:3]), sum(sizes[3:]) + 32 * 3 + 3)


def test_mistakes_are_explained() -> None:
    with pytest.raises(PluginError, match=r"'stage9'.*\n.*stem, stage1, stage2"):
        TLDMI("stage9").prepare(_net(), RUN)
    with pytest.raises(PluginError, match="'layer1'"):
        TLDMI(("stem", "layer1")).prepare(_net(), RUN)
    with pytest.raises(PluginError, match="both"):
        TLDMI("stem", share=0.5)
    net = _net()
    net.head.requires_grad_(False)
    with pytest.raises(PluginError, match="nothing to train"):
        TLDMI("pool").prepare(net, RUN)


def test_the_ladder_freezes_one_stage_with_parameters_more_at_a_time() -> None:
    net = _net()
    assert [rung.freeze for rung in TLDMI().ladder(net)] == ["stem", "stage1", "stage2", "stage3"]  # not stage4: a head
    trainable = [rung.prepare(_net(), RUN).count()[1] for rung in TLDMI().ladder(net)]
    assert trainable == sorted(trainable, reverse=True)
    assert len(set(trainable)) == 4
    with pytest.raises(PluginError, match="before the depth was picked"):
        TLDMI().prepare(net, RUN)
