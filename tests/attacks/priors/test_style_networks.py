from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d, correlate2d
from torch import Tensor

from unveil.attacks.layers import Layered
from unveil.attacks.priors import fir
from unveil.attacks.priors.style_critic import EqualConv, StyleCritic, spread
from unveil.attacks.priors.style_layers import Affine, Layout, SynthesisLayer
from unveil.attacks.priors.style_networks import Frame, StyleGAN2, StyleGenerator
from unveil.harness.training.global_rng import seeded
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.run import Run

TINY = Layout(16, z_dim=5, w_dim=6, mapping_layers=2, channel_base=64, channel_max=8)
FILTER = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def generator() -> StyleGenerator:
    with seeded(Run("tiny")):
        made = StyleGenerator(StyleGAN2(TINY), StyleCritic(TINY)).eval().requires_grad_(False)
    made.network.mapping.w_avg.copy_(noise(6, seed=9))
    return made


def test_parameter_counts_are_the_published_ones() -> None:
    """FFHQ at 1024 pixels: 30.37 and 29.01 million, as the paper and the released training logs have it."""
    with torch.device("meta"):
        g, d = StyleGAN2(Layout(1024)), StyleCritic(Layout(1024))
    assert sum(p.numel() for p in g.parameters()) == 30_370_060
    assert sum(p.numel() for p in d.parameters()) == 29_012_513
    assert Layout(1024).num_ws == 18


def test_tensors_are_named_as_in_the_published_weights() -> None:
    with torch.device("meta"):
        layout = Layout(8, mapping_layers=1)
        g, d = StyleGAN2(layout), StyleCritic(layout)
    conv = {"weight", "bias", "noise_strength", "noise_const", "resample_filter", "affine.weight", "affine.bias"}
    rgb = {"weight", "bias", "affine.weight", "affine.bias"}
    expected = {"mapping.w_avg", "mapping.fc0.weight", "mapping.fc0.bias", "synthesis.b4.const"}
    expected |= {f"synthesis.{b}.resample_filter" for b in ("b4", "b8")}
    expected |= {f"synthesis.{layer}.{name}" for layer in ("b4.conv1", "b8.conv0", "b8.conv1") for name in conv}
    expected |= {f"synthesis.{b}.torgb.{name}" for b in ("b4", "b8") for name in rgb}
    assert set(g.state_dict()) == expected
    equal = {"weight", "bias", "resample_filter"}
    expected = {f"{layer}.{name}" for layer in ("b8.fromrgb", "b8.conv0", "b8.conv1", "b4.conv") for name in equal}
    expected |= {"b8.resample_filter", "b8.skip.weight", "b8.skip.resample_filter"}
    expected |= {f"b4.{layer}.{name}" for layer in ("fc", "out") for name in ("weight", "bias")}
    assert set(d.state_dict()) == expected


@pytest.mark.parametrize("up", [False, True])
def test_a_modulated_layer_is_the_convolution_with_each_samples_own_kernel(up: bool) -> None:
    """CVPR 2020, Eq. 1 and 3, convolved by SciPy; upsampling is zeros between pixels, the kernel, then the filter."""
    with seeded(Run("layer")):
        layer = SynthesisLayer(TINY, 3, 2, 8, up=up).requires_grad_(False)
    layer.bias.copy_(noise(2, seed=1))
    layer.noise_strength.fill_(0.3)
    side = 4 if up else 8
    x, w = noise(2, 3, side, side, seed=2), noise(2, 6, seed=3)
    s = w @ layer.affine.weight.T / 6**0.5 + layer.affine.bias
    for n in range(2):
        own = layer.weight * s[n][None, :, None, None]
        own = (own / (own.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()).numpy()
        for o in range(2):
            planes = [_plane(x[n, c].numpy(), own[o, c], up) for c in range(3)]
            y = np.sum(planes, axis=0) + 0.3 * layer.noise_const.numpy() + layer.bias[o].item()
            expected = np.where(y > 0, y, 0.2 * y) * 2**0.5
            np.testing.assert_allclose(layer(x, w, None)[n, o].numpy(), expected, rtol=1e-4, atol=1e-5)


def _plane(x: np.ndarray, kernel: np.ndarray, up: bool) -> np.ndarray:
    if not up:
        return correlate2d(x, kernel, mode="same")
    spaced = np.zeros((2 * len(x) - 1, 2 * len(x) - 1))
    spaced[::2, ::2] = x
    return convolve2d(convolve2d(spaced, kernel), 4 * FILTER)[2:-2, 2:-2]


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_halving_convolution_filters_first(kernel: int) -> None:
    with seeded(Run("halving")):
        layer = EqualConv(2, 1, kernel, 1.0, down=True).requires_grad_(False)
    x = noise(1, 2, 8, 8)
    weight = layer.weight.numpy() / (2 * kernel**2) ** 0.5
    y = 0
    for c in range(2):
        blurred = convolve2d(np.pad(x[0, c].numpy(), 1 + kernel // 2), FILTER, mode="valid")
        y = y + correlate2d(blurred, weight[0, c], mode="valid")[::2, ::2]
    expected = np.clip(np.where(y > 0, y, 0.2 * y) * 2**0.5 * 0.5, -0.5, 0.5)
    np.testing.assert_allclose(layer(x, gain=0.5)[0, 0].numpy(), expected, rtol=1e-4, atol=1e-5)


def test_resampling_keeps_the_brightness_and_doubling_is_what_scipy_says() -> None:
    f, flat = fir.kernel(), torch.ones(1, 2, 8, 8)
    assert torch.allclose(fir.double(flat, f)[..., 1:-1, 1:-1], torch.tensor(1.0))
    assert torch.allclose(fir.halve(flat, f)[..., 1:-1, 1:-1], torch.tensor(1.0))
    x = noise(1, 1, 4, 4)
    expected = _plane(x[0, 0].numpy(), np.pad([[1.0]], 1), up=True)
    np.testing.assert_allclose(fir.double(x, f)[0, 0].numpy(), expected, rtol=1e-5, atol=1e-6)


def test_spread_of_groups_is_the_worked_one() -> None:
    """Two pictures with values ±1 beside two equal ones: picture i is with i + 2."""
    x = torch.tensor([1.0, 5.0, -1.0, 5.0]).view(4, 1, 1, 1).expand(4, 3, 4, 4)
    torch.testing.assert_close(spread(x, 2)[:, 0, 0, 0], torch.tensor([1.0, 1e-4, 1.0, 1e-4]))
    assert spread(x[:3], 2).shape == (3, 1, 4, 4)  # three cannot be paired: each is on its own
    assert spread(x[:3], 2).max() == pytest.approx(1e-4)


def test_an_affine_layer_learns_at_the_given_speed() -> None:
    """Its answer at first has the variance of its input whatever the multiplier, and its slope is the multiplier's."""
    with seeded(Run("affine")):
        slow = Affine(400, 300, lr_multiplier=0.01)
    out = slow(noise(50, 400))
    assert out.std().item() == pytest.approx(1, abs=0.05)
    (slope,) = torch.autograd.grad(out.sum(), slow.bias)
    torch.testing.assert_close(slope, torch.full((300,), 0.5))


def test_latents_are_normalised_and_styles_truncated(generator: StyleGenerator) -> None:
    z = noise(3, 5)
    w = generator.map(z)
    assert w.shape == (3, generator.num_ws, generator.w_dim) == (3, 6, 6)
    torch.testing.assert_close(generator.map(7 * z), w)
    mean = generator.w_avg
    half = generator.map(z, psi=0.5, cutoff=4)
    torch.testing.assert_close(half[:, :4], mean + 0.5 * (w[:, :4] - mean))
    torch.testing.assert_close(half[:, 4:], w[:, 4:])
    torch.testing.assert_close(generator.map(z, psi=0.0), mean.expand(3, 6, 6))


def test_each_row_of_styles_moves_its_own_layer(generator: StyleGenerator) -> None:
    w = generator.map(noise(1, 5)).clone()
    seen: list[Tensor] = []
    layers = [m for name, m in generator.network.synthesis.named_modules() if name.endswith(("conv0", "conv1"))]
    handles = [m.register_forward_pre_hook(lambda m, args: seen.append(args[1])) for m in layers]
    w += torch.arange(6.0)[:, None]
    generator.synthesize_w(w)
    for handle in handles:
        handle.remove()
    assert all(torch.equal(style, row) for style, row in zip(seen, w.unbind(1)[:5], strict=True))


def test_pixels_are_clipped_and_their_gradients_are_not(generator: StyleGenerator) -> None:
    w = (20 * generator.map(noise(4, 5))).requires_grad_(True)
    x = generator.synthesize_w(w)
    assert (x.min(), x.max()) == (0, 1)
    (slope,) = torch.autograd.grad(x.sum(), w)
    (unclipped,) = torch.autograd.grad((generator.network.synthesis(w) * 0.5).sum(), w)
    torch.testing.assert_close(slope, unclipped)


def test_a_picture_and_its_realism_do_not_depend_on_the_batch(generator: StyleGenerator) -> None:
    z = noise(4, 5)
    x = generator.synthesize(z)
    alone = torch.cat([generator.synthesize(one) for one in z.split(1)])
    torch.testing.assert_close(alone, x)
    torch.testing.assert_close(torch.cat([generator.realism(one) for one in x.split(1)]), generator.realism(x))


def test_clamped_layers_stay_within() -> None:
    with seeded(Run("clamp")):
        layer = SynthesisLayer(Layout(16, w_dim=6, clamp=0.5), 3, 2, 8, up=False)
    assert layer(noise(2, 3, 8, 8), noise(2, 6), None).abs().max().item() == 0.5


def test_frames_cut_the_middle_and_resize(generator: StyleGenerator) -> None:
    x = torch.arange(64.0).view(1, 1, 8, 8)
    assert torch.equal(Frame(crop=4)(x), x[..., 2:6, 2:6])
    torch.testing.assert_close(Frame(size=1)(torch.ones(1, 1, 8, 8)), torch.ones(1, 1, 1, 1))
    framed = StyleGenerator(generator.network, generator.critic, Frame(size=8)).eval()
    assert framed.synthesize(noise(2, 5)).shape == (2, 3, 8, 8)
    assert framed.realism(torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))).shape == (2,)
    cut = StyleGenerator(generator.network, generator.critic, Frame(crop=8))
    for mute in (cut, StyleGenerator(generator.network, None)):
        with pytest.raises(UnveilError, match="cannot say how real"):
            mute.realism(torch.zeros(1, 3, 8, 8))


def test_sizes_that_do_not_double_are_named() -> None:
    with pytest.raises(UnveilError, match="side 48"):
        Layout(48)


@pytest.mark.parametrize("frame", [Frame(), Frame(12, 8)], ids=["whole", "cut"])
def test_blocks_one_after_the_other_draw_the_same_picture(generator: StyleGenerator, frame: Frame) -> None:
    generator.frame = frame
    w = noise(3, generator.num_ws, 6)
    assert isinstance(generator, Layered)
    h: Tensor | None = None
    rgb: Tensor | None = None
    for i in range(generator.blocks):
        h, rgb = generator.block(i, h, rgb, w)
        assert h.shape[-1] == rgb.shape[-1] == 4 << i
    assert torch.equal(generator.finished(rgb), generator.synthesize_w(w))  # type: ignore[arg-type]


def test_colours_add_up(generator: StyleGenerator) -> None:
    """What the last block draws without the colours before it lacks them, and nothing else."""
    w = noise(2, generator.num_ws, 6)
    h, rgb = generator.block(1, *generator.block(0, None, None, w), w)
    (_, whole), (_, fresh) = (generator.block(2, h, colours, w) for colours in (rgb, None))
    kernel = generator.network.synthesis.get_submodule("b16").resample_filter
    torch.testing.assert_close(whole - fresh, fir.double(rgb, kernel), atol=1e-5, rtol=0)  # type: ignore[arg-type]
