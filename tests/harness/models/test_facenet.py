"""The published network's size and names, a block written out by hand, and strict loading."""

import pytest
import torch
import torch.nn.functional as F

from unveil.harness.assets import fetch as assets
from unveil.harness.models import facenet
from unveil.harness.models.facenet import FaceNet
from unveil.harness.words.errors import AssetError, WeightsError
from unveil.harness.words.run import Run

SHAPE = (3, 160, 160)


@pytest.fixture(scope="module")
def network():
    return FaceNet().build(8631, SHAPE, Run("x")).eval()


def test_it_has_as_many_parameters_as_published(network):
    assert sum(p.numel() for p in network.parameters()) == 27_910_327
    assert sum(p.numel() for p in network.stages.parameters()) == 23_482_624
    assert network.count()[1] == 513 * 8631


def test_shapes(network):
    with torch.no_grad():
        out = network.run(torch.rand(1, 1, 64, 48))  # grey, resized
    assert out.features.shape == (1, 512)
    shapes = {
        "conv2d_4b": (256, 17, 17), "repeat_1": (256, 17, 17), "mixed_6a": (896, 8, 8), "repeat_2": (896, 8, 8),
        "mixed_7a": (1792, 3, 3), "block8": (1792, 3, 3),
    }  # fmt: skip
    assert {name: tuple(out.stages[name].shape[1:]) for name in shapes} == shapes


def test_input_is_standardised_by_fixed_numbers(network):
    x = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1).expand(1, 3, 160, 160)
    found = network.normalise(x)[0, :, 0, 0]
    torch.testing.assert_close(found, torch.tensor([-127.5 / 128, 0.0, 127.5 / 128]))


def conv(x, state, name, padding=0, stride=1):
    y = F.conv2d(x, state[f"{name}.conv.weight"], stride=stride, padding=padding)
    mean, var = state[f"{name}.bn.running_mean"], state[f"{name}.bn.running_var"]
    y = (y - mean[:, None, None]) / torch.sqrt(var[:, None, None] + 0.001)
    return (y * state[f"{name}.bn.weight"][:, None, None] + state[f"{name}.bn.bias"][:, None, None]).clamp(min=0)


def spread(module):
    """Statistics and weights that differ from channel to channel."""
    generator = torch.Generator().manual_seed(1)
    for tensor in module.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(0.1 + 0.2 * torch.rand(tensor.shape, generator=generator))
    return module.eval(), module.state_dict()


@torch.no_grad()
def test_blocks_are_what_the_figures_draw():
    block, state = spread(facenet.block35())
    x = torch.randn(2, 256, 4, 4)
    a = conv(x, state, "branch0")
    b = conv(conv(x, state, "branch1.0"), state, "branch1.1", 1)
    c = conv(conv(conv(x, state, "branch2.0"), state, "branch2.1", 1), state, "branch2.2", 1)
    up = F.conv2d(torch.cat([a, b, c], 1), state["conv2d.weight"], state["conv2d.bias"])
    torch.testing.assert_close(block(x), (x + 0.17 * up).clamp(min=0), rtol=1e-4, atol=1e-4)

    block, state = spread(facenet.block17())
    x = torch.randn(1, 896, 3, 3)
    b = conv(conv(conv(x, state, "branch1.0"), state, "branch1.1", (0, 3)), state, "branch1.2", (3, 0))
    up = F.conv2d(torch.cat([conv(x, state, "branch0"), b], 1), state["conv2d.weight"], state["conv2d.bias"])
    torch.testing.assert_close(block(x), (x + 0.1 * up).clamp(min=0), rtol=1e-4, atol=1e-3)

    block, state = spread(facenet.block8(1.0, relu=False))
    x = torch.randn(1, 1792, 3, 3) - 300
    assert (block(x) < 0).any()

    block, state = spread(facenet.reduction_a())
    x = torch.randn(1, 256, 7, 7)
    b = conv(conv(conv(x, state, "branch1.0"), state, "branch1.1", 1), state, "branch1.2", 0, 2)
    expected = torch.cat([conv(x, state, "branch0", 0, 2), b, F.max_pool2d(x, 3, 2)], 1)
    torch.testing.assert_close(block(x), expected, rtol=1e-4, atol=1e-3)


def test_names_are_the_published_ones():
    names = set(torch.nn.ModuleDict(facenet.stages()).state_dict())
    for name in (
        "conv2d_1a.conv.weight", "conv2d_4b.bn.running_var", "repeat_1.4.branch2.2.conv.weight",
        "repeat_1.0.conv2d.bias", "mixed_6a.branch0.conv.weight", "mixed_6a.branch1.2.bn.bias",
        "repeat_2.9.branch1.1.conv.weight", "mixed_7a.branch2.2.conv.weight", "repeat_3.4.branch0.bn.weight",
        "block8.conv2d.weight", "last_linear.weight", "last_bn.running_mean",
    ):  # fmt: skip
        assert name in names


@pytest.mark.slow
def test_the_asset_is_placed_by_hand_and_loaded_strictly(cache, network):
    with pytest.raises(AssetError, match="facenet") as caught:
        FaceNet("asset").content()
    assert "facenet-pytorch/releases" in str(caught.value)
    # Under the published names: the body, and the classifier of the people it was trained on.
    state = {**network.stages.state_dict(), "logits.weight": torch.zeros(8631, 512), "logits.bias": torch.zeros(8631)}
    torch.save(state, cache)
    loaded = FaceNet("asset").build(3, SHAPE, Run("other"))
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.stages.state_dict().items())
    before = FaceNet("asset").content()
    assert before == {"weights": assets.sha256(cache)} == FaceNet(str(cache)).content()
    torch.save({**state, "last_linear.weight": torch.zeros(128, 1792)}, cache)
    assert FaceNet("asset").content() != before
    with pytest.raises(WeightsError, match="last_linear"):
        FaceNet("asset").build(3, SHAPE, Run("x"))
    torch.save({name: tensor for name, tensor in state.items() if name != "block8.conv2d.bias"}, cache)
    with pytest.raises(WeightsError, match="block8"):
        FaceNet("asset").build(3, SHAPE, Run("x"))
