"""MobileStyleGAN: a made file read back, stored values of the published one, the style interface, learning a head."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from unveil.attacks import loop
from unveil.attacks.layers import Layered
from unveil.attacks.mirror_white_box import MirrorWhiteBox
from unveil.attacks.ppa import PPA
from unveil.attacks.priors import mobile_head
from unveil.attacks.priors.mobile_generator import MobileGenerator, load
from unveil.attacks.priors.mobile_style import MobileStyle
from unveil.attacks.wspace import Styled
from unveil.harness.assets import weights
from unveil.harness.assets.checkpoints import Checkpoint
from unveil.harness.assets.openvino_ir import read
from unveil.harness.models import mobile_head_file
from unveil.harness.models.mobile_networks import FRAMINGS, Features, Head, Mapping, ToPicture, Window, inverse_wavelet
from unveil.harness.models.mobile_weights import load_mapping, load_synthesis
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.steps import lineage
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Access, Images, Ingredients, View
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AssetError, UnveilError, WeightsError
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec

WIDTHS = ((8, 8), (8, 12))
NOTHING = Images(torch.zeros(1, 3, 32, 32), torch.tensor([-1]))


class Writer:
    """Writes an OpenVINO IR network, layer by layer."""

    def __init__(self) -> None:
        self.root = ElementTree.Element("net", version="10")
        self.layers = ElementTree.SubElement(self.root, "layers")
        self.edges = ElementTree.SubElement(self.root, "edges")
        self.packed, self.keys = bytearray(), itertools.count()

    def layer(self, kind: str, *inputs: str) -> str:
        key = str(next(self.keys))
        ElementTree.SubElement(self.layers, "layer", id=key, type=kind)
        for port, source in enumerate(inputs):
            ElementTree.SubElement(self.edges, "edge", {"from-layer": source, "to-layer": key, "to-port": str(port)})
        return key

    def const(self, value: Tensor) -> str:
        key = self.layer("Const")
        content = value.detach().float().numpy().tobytes()
        facts = {"offset": str(len(self.packed)), "size": str(len(content)), "element_type": "f32"}
        shape = ", ".join(map(str, value.shape))
        ElementTree.SubElement(self.layers[-1], "data", {"shape": shape, **facts})
        self.packed += content
        return key

    def save(self, path: Path) -> None:
        path.write_bytes(ElementTree.tostring(self.root))
        path.with_suffix(".bin").write_bytes(self.packed)


@pytest.fixture
def made() -> MobileGenerator:
    """A whole network of 32 pixels with weights of its own."""
    return randomised(whole=True)


def randomised(*, whole: bool) -> MobileGenerator:
    with seeded(Run("made")):
        end = ToPicture(12) if whole else Head(12, (2,))
        generator = MobileGenerator(Features(WIDTHS), end, Window(), 32).eval().requires_grad_(False)
        for tensor in itertools.chain(generator.features.parameters(), generator.buffers()):
            tensor.normal_(0, 0.3)
    return generator


def write_mapping(mapping: Mapping, path: Path) -> None:
    out = Writer()
    x = out.layer("Parameter")
    for layer in mapping.layers:
        assert isinstance(layer, nn.Linear)
        x = out.layer("MatMul", x, out.const(layer.weight))
        x = out.layer(
            "PReLU", out.layer("Add", x, out.layer("Reshape", out.const(layer.bias))), out.const(torch.ones(1))
        )
    out.save(path)


def write_synthesis(made: MobileGenerator, path: Path) -> None:
    """As the published file has it: styles first and from the last to the first, all but those of wavelets scaled."""
    out = Writer()
    w = out.layer("Parameter")
    first, features = made.features.first, made.features
    order = [(first.style, True)]
    for block in features.blocks:
        order += [(block.style, False), (block.first.style, True), (block.second.style, True)]  # type: ignore[list-item, union-attr]
    assert isinstance(made.end, ToPicture)
    styles = {id(style): _style(out, w, style, scaled) for style, scaled in reversed([*order, (made.end.style, True)])}
    x = out.layer("Tile", out.layer("Broadcast", out.const(features.const)))

    def modulated(x: str, layer: nn.Module) -> str:
        x = out.layer("Multiply", styles[id(layer.style)], x)
        if layer.depthwise is not None:
            x = out.layer("GroupConvolution", x, out.const(layer.depthwise.weight[:, None]))  # type: ignore[union-attr,index]
        x = out.layer("Convolution", x, out.const(layer.conv.weight))  # type: ignore[union-attr,arg-type]
        x = out.layer("Add", x, out.const(layer.noise))  # type: ignore[arg-type]
        x = out.layer("Add", x, out.const(layer.conv.bias[None, :, None, None]))  # type: ignore[union-attr,index]
        return out.layer("PReLU", x, out.const(torch.ones(1)))

    x = modulated(x, first)
    for block in features.blocks:
        x = out.layer("GroupConvolutionBackpropData", out.layer("Multiply", styles[id(block.style)], x))
        x = modulated(modulated(x, block.first), block.second)  # type: ignore[arg-type]
    x = out.layer("Multiply", styles[id(made.end.style)], x)
    x = out.layer("Convolution", x, out.const(made.end.conv.weight))
    x = out.layer("Add", x, out.const(made.end.conv.bias[None, :, None, None]))  # type: ignore[index]
    out.layer("Result", out.layer("GroupConvolutionBackpropData", x))
    out.save(path)


def _style(out: Writer, w: str, style: nn.Linear, scaled: bool) -> str:
    factor = 0.25 if scaled else 1.0
    x = out.layer("MatMul", w, out.const(style.weight / factor))
    x = out.layer("Reshape", out.layer("Add", x, out.const(style.bias[None] / factor)))
    return out.layer("Multiply", x, out.const(torch.full((1, 1, 1, 1), factor))) if scaled else x


def test_a_made_file_is_read_back(made: MobileGenerator, tmp_path: Path) -> None:
    write_mapping(made.mapping, tmp_path / "MappingNetwork.xml")
    write_synthesis(made, tmp_path / "SynthesisNetwork.xml")
    with seeded(Run("other")):
        other, odd = MobileGenerator(Features(WIDTHS), ToPicture(12), Window(), 32), Features(((8, 12), (8, 12)))
    load_mapping(other.mapping, tmp_path)
    load_synthesis(other.features, other.end, tmp_path)
    other.w_avg.copy_(made.w_avg)
    for name, tensor in made.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], tensor, msg=name)
    with pytest.raises(WeightsError, match="published MobileStyleGAN"):
        load_synthesis(odd, made.end, tmp_path)
    packed = (tmp_path / "SynthesisNetwork.bin").read_bytes()
    (tmp_path / "SynthesisNetwork.bin").write_bytes(packed[:-4])
    with pytest.raises(WeightsError, match=r"outside the \.bin"):
        load_synthesis(other.features, other.end, tmp_path)


@pytest.mark.parametrize("text", ["", "<net>", "<!DOCTYPE a [<!ENTITY b 'c'>]><net/>", "<net/>", '{"a": 1}'])
def test_what_is_no_network_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(WeightsError, match="OpenVINO IR"):
        read(tmp_path / "a.xml")


def test_the_published_network_gives_the_values_that_openvino_gives() -> None:
    """Stored from OpenVINO 2026.4 in float32, z = linspace(-2, 2, 512)."""
    generator = MobileStyle(whole=True, framing="ffhq").build(2, (3, 1024, 1024))
    assert isinstance(generator, MobileGenerator)
    try:
        load(generator, Run("stored"))
    except AssetError as error:
        pytest.skip(str(error))
    assert sum(p.numel() for p in generator.mapping.parameters()) == 2_101_248
    with torch.no_grad():
        z = torch.linspace(-2, 2, 512)[None]
        w = generator.mapping(z)
        x = generator.drawn(generator.map(z))[0] * 2 - 1
    stored = [-0.3100363, -0.1677875, -0.1270208, -0.2359385, -0.3127517, 0.0234360]
    torch.testing.assert_close(w[0, :6], torch.tensor(stored), rtol=0, atol=2e-5)
    red = [0.2851, -0.8135, -0.8340, 0.2151, -0.9200, -0.0895, 0.9422, -0.6210]
    torch.testing.assert_close(x[0, ::256, ::256].flatten()[:8], torch.tensor(red), rtol=0, atol=5e-4)
    assert (x.mean().item(), x.std().item()) == pytest.approx((-0.19940434, 0.58747953), abs=1e-4)


def test_the_wavelet_is_haars() -> None:
    x = torch.randn(2, 12, 4, 4, generator=torch.Generator().manual_seed(0))
    y = inverse_wavelet(x)
    assert y.shape == (2, 3, 8, 8)
    assert y.square().sum().item() == pytest.approx(x.square().sum().item(), rel=1e-5)  # orthonormal
    corner = y[:, :, ::2, ::2] + y[:, :, 1::2, ::2] + y[:, :, ::2, 1::2] + y[:, :, 1::2, 1::2]
    torch.testing.assert_close(corner, 2 * x[:, :3])
    rows = y[:, :, ::2] - y[:, :, 1::2]
    torch.testing.assert_close(rows[..., ::2] + rows[..., 1::2], 2 * x[:, 3::3])


def test_styles_can_be_truncated_and_mixed_row_by_row(made: MobileGenerator) -> None:
    assert isinstance(made, Styled)
    assert (made.num_ws, made.w_dim) == (6, 512)
    z = made.sample(Run("z").generators("z", [(0,), (1,)]))
    w = made.map(z)
    assert torch.equal(made.synthesize(z), made.synthesize_w(w))
    half = made.map(z, 0.5, 2)
    torch.testing.assert_close(half[:, :2], (w[:, :2] + made.w_avg) / 2)
    assert torch.equal(half[:, 2:], w[:, 2:])
    wide = torch.randn(2, made.num_ws, made.w_dim, generator=torch.Generator().manual_seed(0))
    plain = made.drawn(wide[:1])
    for row in range(made.num_ws):
        mixed = wide[:1].clone()
        mixed[:, row] = wide[1, row]
        assert (made.drawn(mixed) - plain).abs().max() > 1e-4, row


def test_the_window_is_where_the_frame_says() -> None:
    arcface = FRAMINGS["arcface"]
    frame = torch.arange(1024.0).expand(1, 1, 1024, 1024)
    assert arcface.cut(frame)[0, 0, 0, [0, -1]].tolist() == [128, 903]
    small = arcface.sample((frame[..., ::32, ::32] + 15.5), 32)[0, 0, 0]
    wanted = 128 + 776 * (torch.arange(32) + 0.5) / 32 - 0.5
    torch.testing.assert_close(small, wanted, rtol=0, atol=0.1)
    assert torch.equal(Window().sample(frame[..., :32, :32], 32), frame[..., :32, :32])


@pytest.mark.parametrize(
    ("size", "features", "rows"),
    [(16, 8, 6), (64, 32, 10), (112, 64, 12), (128, 64, 12), (113, 512, 16), (512, 512, 16)],
)
def test_small_pictures_have_a_head_and_others_the_whole_network(size: int, features: int, rows: int) -> None:
    found = MobileStyle(head="learnt").build(2, (3, size, size))
    assert isinstance(found, MobileGenerator)
    assert (found.features.resolution, found.num_ws) == (features, rows)
    assert isinstance(found.end, ToPicture) == (features == 512)


def test_what_it_cannot_draw_is_said() -> None:
    for shape in ((1, 64, 64), (3, 64, 48), (3, 2048, 2048)):
        with pytest.raises(WeightsError, match="square colour pictures"):
            MobileStyle().build(2, shape)
    with pytest.raises(UnveilError, match="without a discriminator"):
        randomised(whole=True).realism(torch.zeros(1, 3, 32, 32))


def test_its_origin_and_terms_stand_in_the_rows() -> None:
    unknown = lineage.declared(MobileStyle())
    assert unknown is not None
    assert not unknown.publishable
    for word in ("FFHQ", "non-commercial", "License-NC", "BY-NC-SA", "not known"):
        assert word in unknown.trained_on
    stated = lineage.declared(MobileStyle(apart="compared face by face with all of FFHQ"))
    assert stated is not None
    assert "face by face" in stated.trained_on


def pair() -> tuple[MobileGenerator, MobileGenerator]:
    """A whole network of 32 pixels, and one cut at 16 with a head for the same."""
    whole, small = randomised(whole=True), randomised(whole=False)
    small.mapping.load_state_dict(whole.mapping.state_dict())
    small.features.load_state_dict(whole.features.state_dict())
    return small, whole


def test_a_head_learns_what_the_whole_network_draws(tmp_path: Path) -> None:
    small, whole = pair()
    before = {name: tensor.clone() for name, tensor in small.state_dict().items() if not name.startswith("end")}
    curves = mobile_head.learn(small, whole, mobile_head.Learning(8, 40, 4, 1e-2), Run("learn"))
    assert curves["loss"][-1] < 0.5 * curves["loss"][0]
    assert curves["held-out PSNR"][0] > 10
    assert all(torch.equal(small.state_dict()[name], tensor) for name, tensor in before.items())


class StopError(Exception):
    """Pulls the plug."""


def test_learning_goes_on_where_it_was_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how = mobile_head.Learning(8, 12, 4, 1e-2)
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 0)
    small, whole = pair()
    wanted = mobile_head.learn(small, whole, how, Run("learn"))
    again, _ = pair()
    drawn: list[int] = []
    for most in (3, 9, 99):  # inside the pictures, inside the steps, to the end
        monkeypatch.setattr(MobileGenerator, "drawn", _counting(drawn, most))
        try:
            found = mobile_head.learn(again, whole, how, Run("learn", scratch=tmp_path))
        except StopError:
            again, drawn[:] = pair()[0], []
    assert found == wanted
    for name, tensor in small.end.state_dict().items():
        assert torch.equal(again.end.state_dict()[name], tensor), name


def _counting(drawn: list[int], most: int, draw=MobileGenerator.drawn):  # type: ignore[no-untyped-def]
    def counted(self: MobileGenerator, w: Tensor) -> Tensor:
        drawn.append(len(w))
        if len(drawn) > most:
            raise StopError
        found: Tensor = draw(self, w)
        return found

    return counted


def test_heads_are_kept_in_files(tmp_path: Path) -> None:
    with seeded(Run("head")):
        path, head = tmp_path / "head.safetensors", Head(512, (4,))
    mobile_head_file.write(path, head, "arcface", 32, {"terms": "non-commercial"})
    state, notes = mobile_head_file.read(path, "arcface", 32)
    assert not notes
    torch.testing.assert_close(state["c1.weight"], head.state_dict()["c1.weight"], rtol=1e-3, atol=1e-4)
    prior = MobileStyle(head=str(path))
    assert "head" in prior.content()
    with pytest.raises(WeightsError, match="head for framing arcface"):
        MobileStyle(head=str(path), framing="ffhq").preflight()
    with pytest.raises(WeightsError, match="head for size 32"):
        mobile_head_file.read(path, "arcface", 64)
    with pytest.raises(WeightsError, match="head on features"):
        prior.build(2, (3, 256, 256))
    save_file({**state, "m2.weight": torch.zeros(5, 512)}, path)
    assert prior.preflight() == ["the head does not say which framing and size it is for"]
    with pytest.raises(WeightsError, match=r"m2\.weight is \(5, 512\)"):
        weights.load(head, Checkpoint(path, {"": mobile_head_file.read(path, "ffhq", 8)[0]}), head="none")
    path.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="cannot be read"):
        prior.preflight()


@pytest.mark.parametrize(("size", "widths", "features"), [(16, (4,), 8), (32, (6, 4), 8), (56, (6, 4, 4), 8)])
def test_a_head_draws_from_where_its_doublings_begin(
    size: int, widths: tuple[int, ...], features: int, tmp_path: Path
) -> None:
    with seeded(Run("head")):
        head = Head(512, widths)
    path = tmp_path / "head.safetensors"
    mobile_head_file.write(path, head, "arcface", size, {})
    assert mobile_head_file.widths(path) == (512, widths)
    found = MobileStyle(head=str(path)).build(2, (3, size, size))
    assert isinstance(found, MobileGenerator)
    assert (found.features.resolution, found.num_ws) == (features, 2 * len(widths) + 1 + found.features.rows)
    assert found.drawn(torch.zeros(1, found.num_ws, 512)).shape == (1, 3, size, size)
    with pytest.raises(WeightsError, match=f"doubles {len(widths)} times"):
        MobileStyle(head=str(path)).build(2, (3, size + 2 ** (len(widths) - 1), size + 2 ** (len(widths) - 1)))


def test_a_head_that_is_shipped_for_the_size_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mobile_head_file, "HEADS", tmp_path)
    bare = plugin_settings.question(Spec("mobile_style"), MobileStyle())
    assert bare["settings"]["head"] is None  # where none is shipped, one is learnt
    with seeded(Run("head")):
        mobile_head_file.write(tmp_path / "mobile_style_32_arcface.safetensors", Head(512, (4, 4)), "arcface", 32, {})
    shipped = MobileStyle()
    doublings = [_doublings(shipped, 32), _doublings(shipped, 64), _doublings(MobileStyle(head="learnt"), 32)]
    assert doublings == [2, 1, 1]
    assert _doublings(MobileStyle(framing="ffhq"), 32) == 1
    assert plugin_settings.question(Spec("mobile_style"), shipped) != bare
    assert plugin_settings.question(Spec("mobile_style"), MobileStyle(head="learnt")) == bare


def _doublings(prior: MobileStyle, size: int) -> int:
    end = prior.build(2, (3, size, size)).end
    assert isinstance(end, Head)
    return end.doublings


@pytest.mark.parametrize("path", sorted(mobile_head_file.HEADS.glob("*.safetensors")), ids=lambda path: path.stem)
def test_shipped_heads_are_small_and_say_how_they_were_learnt(path: Path) -> None:
    size, framing = path.stem.split("_")[2:]
    assert mobile_head_file.shipped(framing)[int(size)] == path
    assert path.stat().st_size <= 2_000_000
    with safe_open(path, "pt") as file:
        told, kinds = file.metadata(), {file.get_tensor(name).dtype for name in file.keys()}  # noqa: SIM118
    assert kinds == {torch.float16}
    assert (told["size"], told["framing"]) == (size, framing)
    for word in ("non-commercial", "License-NC", "BY-NC-SA"):
        assert word in told["terms"]
    learnt = json.loads(told["learnt"])
    assert learnt["pictures"] >= 20_000
    assert learnt["held-out PSNR"] > 22
    prior = MobileStyle(framing=framing)
    built = prior.build(2, (3, int(size), int(size)))
    state, notes = mobile_head_file.read(path, framing, int(size))
    assert isinstance(built, MobileGenerator)
    assert not notes
    assert not weights.load(built.end, Checkpoint(path, {"": state}), head="none")


@pytest.mark.parametrize(
    "attack",
    [
        PPA(pool=8, candidates=2, keep=1, steps=1, views=1),
        MirrorWhiteBox(presamples=8, restarts=1, samples=1, steps=1, views=1),
    ],
)
def test_attacks_on_styles_search_it_as_it_is(attack: PPA | MirrorWhiteBox) -> None:
    with seeded(Run("target")):
        target = Classifier({"flat": nn.Flatten()}, nn.Linear(3 * 32 * 32, 3), classes=3).eval()
    view = View(target, Access.WHITE_BOX, (3, 32, 32))
    found = attack.reconstruct(view, Ingredients(randomised(whole=False), NOTHING), torch.tensor([0, 2]), Run("attack"))
    assert sorted(set(found.labels.tolist())) == [0, 2]
    assert found.pixels.shape[1:] == (3, 32, 32)
    assert view.spent.gradients > 0


@pytest.mark.parametrize("whole", [True, False])
def test_blocks_one_after_the_other_draw_the_same_picture(whole: bool) -> None:
    generator = randomised(whole=whole)
    assert isinstance(generator, Layered)
    w = torch.randn(3, generator.num_ws, 512, generator=torch.Generator().manual_seed(1))
    h: Tensor | None = None
    rgb: Tensor | None = None
    for i in range(generator.blocks):
        assert rgb is None
        h, rgb = generator.block(i, h, rgb, w)
    assert torch.equal(generator.finished(rgb), generator.synthesize_w(w))  # type: ignore[arg-type]
