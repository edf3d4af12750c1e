"""Priors that somebody has trained elsewhere: their files, under our names and the released ones."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unveil.attacks.priors import released
from unveil.attacks.priors.conditional_gan import ConditionalGAN
from unveil.attacks.priors.conditional_networks import GPLG
from unveil.attacks.priors.inversion_gan import InversionGAN
from unveil.attacks.priors.networks import DMB, DWGAN, GZ100
from unveil.attacks.priors.style_gan import StyleGAN
from unveil.attacks.priors.t_acgan import TACGAN
from unveil.attacks.priors.wgan_gp import WGANGP
from unveil.harness.audit import compute, prepare
from unveil.harness.models.trained_prior import Restored, TrainedPriorElsewhere, class_axes
from unveil.harness.running import assemble
from unveil.harness.running.execute import Surroundings
from unveil.harness.steps import prior as stage
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefacts import Store
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Prior
from unveil.harness.words.errors import PlanError, PluginError, WeightsError
from unveil.harness.words.run import Run

SEEN = "CelebA's public people; none is private"
SHAPE = (3, 64, 64)
Shapes = dict[str, tuple[int, ...]]


def layer(name: str, *shape: int, bias: bool = True, out: int = 0) -> Shapes:
    return {f"{name}.weight": shape, **({f"{name}.bias": (out or shape[0],)} if bias else {})}


def norm(name: str, channels: int, *, affine: bool = True) -> Shapes:
    kept = ("weight", "bias") * affine + ("running_mean", "running_var")
    return {**dict.fromkeys((f"{name}.{k}" for k in kept), (channels,)), f"{name}.num_batches_tracked": ()}


def z100(w: int) -> Shapes:
    """A released GMI or KEDMI generator's tensors, written down from its description."""
    named = layer("l1.0", 128 * w, 100, bias=False) | norm("l1.1", 128 * w)
    for k, (a, b) in enumerate(((8, 4), (4, 2), (2, 1))):
        named |= layer(f"l2_5.{k}.0", a * w, b * w, 5, 5, bias=False) | norm(f"l2_5.{k}.1", b * w)
    return named | layer("l2_5.3", w, 3, 5, 5, out=3)


def dwgan(w: int) -> Shapes:
    named = layer("ls.0", w, 3, 5, 5)
    for k, a in zip((2, 3, 4), (1, 2, 4), strict=True):
        named |= layer(f"ls.{k}.0", 2 * a * w, a * w, 5, 5) | layer(f"ls.{k}.1", 2 * a * w)
    return named | layer("ls.5", 1, 8 * w, 4, 4)


def dmb(w: int, classes: int) -> Shapes:
    named: Shapes = {}
    for k, (a, b, side) in enumerate(((3, w, 5), (w, 2 * w, 5), (2 * w, 4 * w, 5), (4 * w, 4 * w, 3)), 1):
        named |= layer(f"layer{k}.0", b, a, side, side) | layer(f"layer{k}.1", b)
    return named | {"mbd1.T": (64 * w, 64, 50)} | layer("fc_layer", classes, 64 * w + 64)


def gplg(w: int, classes: int) -> Shapes:
    named = layer("l1", 256 * w, 128)
    for k, b in zip((2, 3, 4, 5), (8 * w, 4 * w, 2 * w, w), strict=True):
        a, block = 2 * b, f"block{k}"
        named |= (
            layer(f"{block}.c1", b, a, 3, 3) | layer(f"{block}.c2", b, b, 3, 3) | layer(f"{block}.c_sc", b, a, 1, 1)
        )
        for one, channels in (("b1", a), ("b2", b)):
            named |= norm(f"block{k}.{one}", channels, affine=False)
            named |= {f"block{k}.{one}.{kind}.weight": (classes, channels) for kind in ("weights", "biases")}
    return named | norm("b6", w) | layer("conv6", 3, w, 1, 1)


def dplg(w: int, classes: int) -> Shapes:
    """With the names that torch's older spectral normalisation gives."""
    plain = layer("l6", 1, 16 * w) | layer("l_y", classes, 16 * w, bias=False)
    for k, (a, middle, b) in enumerate(((3, w, w), *((n * w, n * w, 2 * n * w) for n in (1, 2, 4, 8))), 1):
        plain |= layer(f"block{k}.c1", middle, a, 3, 3) | layer(f"block{k}.c2", b, middle, 3, 3)
        plain |= layer(f"block{k}.c_sc", b, a, 1, 1)
    named: Shapes = {}
    for name, shape in plain.items():
        inner = torch.Size(shape[1:]).numel()
        split = {"_orig": shape, "_u": (shape[0],), "_v": (inner,)}
        named |= {f"{name}{k}": s for k, s in split.items()} if name.endswith("weight") else {name: shape}
    return named


def made_up(shapes: Shapes, seed: int = 1) -> dict[str, Tensor]:
    g = torch.Generator().manual_seed(seed)
    return {name: torch.rand(shape, generator=g) + 0.1 if shape else torch.tensor(7) for name, shape in shapes.items()}


def counted(shapes: Shapes) -> int:
    """Parameters of networks with such tensors."""
    statistics = ("running_mean", "running_var", "num_batches_tracked", "weight_u", "weight_v")
    return sum(torch.Size(shape).numel() for name, shape in shapes.items() if not name.endswith(statistics))


@pytest.mark.parametrize(
    ("view", "shapes", "of_a_thousand", "parameters"),
    [
        (lambda w: released.of_z100(GZ100(SHAPE, w)), z100, z100(64), 5_142_083),
        (lambda w: released.of_dwgan(DWGAN(SHAPE, w)), dwgan, dwgan(64), 4_316_545),
        (lambda w: released.of_dmb(DMB(SHAPE, 5, w)), lambda w: dmb(w, 5), dmb(64, 1000), 18_888_936),
        (lambda w: released.of_gplg(GPLG(SHAPE, 5, w)), lambda w: gplg(w, 5), gplg(64, 1000), 17_973_379),
    ],
    ids=["z100", "wgan critic", "minibatch discriminator", "PLG generator"],
)
def test_names_and_shapes_are_the_released_ones(
    view: Callable[[int], nn.Module], shapes: Callable[[int], Shapes], of_a_thousand: Shapes, parameters: int
) -> None:
    with seeded(Run("test")):
        state = view(2).state_dict()
    assert {name: tuple(value.shape) for name, value in state.items()} == shapes(2)
    assert counted(of_a_thousand) == parameters, "as the papers' networks have"


def saved(path: Path, state: Any) -> str:
    torch.save(state, path)
    return str(path)


def parallel(state: dict[str, Tensor], key: str) -> dict[str, Any]:
    return {"epoch": 120, key: {f"module.{name}": value for name, value in state.items()}}


def restored(prior: Prior, shape: tuple[int, int, int] = SHAPE, classes: int = 3, **files: str) -> Restored:
    return TrainedPriorElsewhere(SEEN, **files).restore(prior, classes, shape)


def test_a_released_gmi_prior_fills_every_tensor(tmp_path: Path) -> None:
    g, d = made_up(z100(2)), made_up(dwgan(2), 2)
    files = {
        "generator": saved(tmp_path / "G.tar", parallel(g, "state_dict")),
        "critic": saved(tmp_path / "D.tar", parallel(d, "state_dict")),
    }
    found = restored(WGANGP(width=2), **files)
    assert (found.classes, found.notes) == (None, ("taken off the names in the checkpoint: module.",))
    state = found.generator.state_dict()
    assert len(state) == len(g) + len(d)
    assert torch.equal(state["network.up.3.weight"], g["l2_5.1.0.weight"])
    assert torch.equal(state["network.start.1.running_var"], g["l1.1.running_var"])
    assert torch.equal(state["critic.layers.9.bias"], d["ls.4.1.bias"])
    together = saved(tmp_path / "both.tar", {"G": g, "D": d})
    again = restored(WGANGP(width=2), file=together).generator.state_dict()
    assert all(torch.equal(again[name], value) for name, value in state.items())


def test_a_released_kedmi_prior_knows_its_targets_classes(tmp_path: Path) -> None:
    g, d = made_up(z100(2)), made_up(dmb(2, 7), 2)
    found = restored(
        InversionGAN(width=2),
        generator=saved(tmp_path / "G.tar", g),
        critic=saved(tmp_path / "D.tar", parallel(d, "D")),
    )
    state = found.generator.state_dict()
    assert found.classes == 7
    assert torch.equal(state["critic.closeness.theta"], d["mbd1.T"].reshape(128, 3200))
    assert torch.equal(state["critic.head.weight"], d["fc_layer.weight"])


def test_a_released_plgmi_prior_and_its_spectral_normalisation(tmp_path: Path) -> None:
    g, d = made_up(gplg(2, 7)), made_up(dplg(2, 7), 2)
    files = {
        "generator": saved(tmp_path / "gen.tar", {"model": g, "iteration": 30_000}),
        "critic": saved(tmp_path / "dis.tar", {"model": d}),
    }
    found = restored(ConditionalGAN(width=2, signed=True), **files)
    generator, state = found.generator.eval(), found.generator.state_dict()
    assert found.classes == 7
    assert torch.equal(state["network.blocks.1.norm2.scale.weight"], g["block3.b2.weights.weight"])
    assert torch.equal(state["network.blocks.0.norm1.norm.running_var"], g["block2.b1.running_var"])
    assert torch.equal(state["network.end.2.weight"], g["conv6.weight"])
    sigma = d["l6.weight_u"] @ d["l6.weight_orig"] @ d["l6.weight_v"]  # by hand
    torch.testing.assert_close(generator.critic.score.weight, d["l6.weight_orig"] / sigma)
    with pytest.raises(WeightsError, match=r"released names: (.|\n)*\[-1, 1\](.|\n)*signed = true"):
        restored(ConditionalGAN(width=2), **files)
    with pytest.raises(WeightsError, match=r"of another shape: b6\.bias is \(2,\), not \(4,\)"):
        restored(ConditionalGAN(width=4, signed=True), **files)
    many = {name: t for name, t in g.items() if "weights" not in name} | {
        "block5.b2.weights.weight": torch.ones(9999, 2)
    }
    with pytest.raises(WeightsError, match="missing: block2"):  # and no networks of 9,999 classes are made
        restored(ConditionalGAN(width=2, signed=True), **{**files, "generator": saved(tmp_path / "many.tar", many)})
    other = saved(tmp_path / "other.tar", made_up(dplg(2, 9), 2))
    with pytest.raises(WeightsError, match=r"tell 7 and 9 classes apart"):
        restored(ConditionalGAN(width=2, signed=True), **{**files, "critic": other})


SMALL: list[Prior] = [
    WGANGP(width=2),
    InversionGAN(width=2),
    ConditionalGAN(width=2),
    TACGAN(width=2),
    StyleGAN(width=4, latent=8, width_max=8),
]


@pytest.mark.parametrize("prior", SMALL, ids=lambda one: type(one).__name__)
def test_what_this_package_saves_is_read_back_whole_or_in_parts(prior: Prior, tmp_path: Path) -> None:
    shape = (3, 16, 16)
    made = prior.build(4, shape)
    with torch.no_grad(), seeded(Run("test")):
        for value in made.parameters():
            value.copy_(torch.rand_like(value))
    wanted = made.state_dict()
    whole = saved(tmp_path / "whole.pt", {"state": {f"_orig_mod.{name}": value for name, value in wanted.items()}})
    parts = {
        part: saved(tmp_path / f"{part}.pt", getattr(made, name).state_dict())
        for part, name in (("generator", "network"), ("critic", "critic"))
    }
    for files in ({"file": whole}, parts):
        found = restored(prior, shape, 4, **files)
        assert found.classes in (4, None)
        assert all(torch.equal(value, wanted[name]) for name, value in found.generator.state_dict().items())


@pytest.mark.parametrize(
    ("prior", "change", "says"),
    [
        (WGANGP(width=4), lambda s: s, r"of another shape: l1\.0\.weight is \(256, 100\), not \(512, 100\)"),
        (WGANGP(width=2), lambda s: {n: t for n, t in s.items() if "l1.0" not in n}, r"1 missing: l1\.0\.weight"),
        (WGANGP(width=2), lambda s: {**s, "l3.weight": torch.ones(2)}, r"1 unexpected: l3\.weight"),
        (WGANGP(width=2), lambda s: {**s, "l1.1.running_var": -s["l1.1.running_var"]}, "variances below zero"),
        (WGANGP(width=2), lambda s: {f"x{i}": t for i, t in enumerate(s.values())}, r"does not fit the model: 0 of"),
        (WGANGP(width=2, start="digiface"), lambda s: s, r"does not fit the model"),
    ],
)
def test_what_does_not_fit_is_named(
    prior: Prior, change: Callable[[dict[str, Tensor]], dict[str, Tensor]], says: str, tmp_path: Path
) -> None:
    files = {
        "generator": saved(tmp_path / "G.tar", change(made_up(z100(2)))),
        "critic": saved(tmp_path / "D.tar", made_up(dwgan(2))),
    }
    with pytest.raises(WeightsError, match=says):
        restored(prior, **files)


def test_a_class_is_another_one_where_the_file_has_another_order(tmp_path: Path) -> None:
    prior, shape = ConditionalGAN(width=2), (3, 16, 16)
    made = prior.build(4, shape).eval()
    axes = class_axes(prior.build(2, shape), prior.build(3, shape))
    assert {name.rpartition(".")[0] for name in axes if name.startswith("critic")} == {
        "critic.embed.parametrizations.weight",
        "critic.embed.parametrizations.weight.0",
    }
    with seeded(Run("test")):
        for value in (made.state_dict()[name] for name in axes):
            value.copy_(torch.rand_like(value))
    (tmp_path / "order.txt").write_text("bob\ncid\nann\neve\n")
    trained = TrainedPriorElsewhere(
        SEEN, saved(tmp_path / "gan.pt", made.state_dict()), order=str(tmp_path / "order.txt")
    )
    found = trained.restore(prior, 2, shape)
    people = ("ann", "bob", "cid")
    trained.reorder(found, [trained.names().index(name) for name in people])  # type: ignore[union-attr]
    z = torch.ones(4, 128)  # eve, whom nobody asked for, comes last
    own, before = found.generator.eval().synthesize_as(z, torch.arange(4)), torch.tensor([2, 0, 1, 3])
    torch.testing.assert_close(own, made.synthesize_as(z, before))
    assert not torch.allclose(own, made.synthesize_as(z, torch.arange(4)), atol=1e-3)


def test_files_that_are_half_named_are_refused(tmp_path: Path) -> None:
    for files in ({}, {"generator": "g"}, {"file": "f", "critic": "c"}):
        with pytest.raises(ValueError, match='a table with "generator" and "critic"'):
            TrainedPriorElsewhere(SEEN, **files)


PEOPLE = '''
"""Three private people and four public ones, of noise."""
from dataclasses import dataclass
import torch
from unveil.harness.data.splits import Pictures, Shares, assemble
from unveil.harness.types import Data, Run


def draw(people, first, pictures):
    generator = torch.Generator().manual_seed(first)
    pixels = torch.randint(0, 256, (people * pictures, 3, 16, 16), generator=generator, dtype=torch.uint8)
    labels = torch.arange(people).repeat_interleave(pictures)
    return Pictures(pixels, labels, tuple(f"person {first + number}" for number in range(people)))


@dataclass(frozen=True)
class Noise:
    """Nobody."""

    def content(self):
        return {}

    def load(self, run: Run) -> Data:
        return assemble(draw(3, 0, 5), draw(4, 50, 5), Shares(0.2, 0.2, 0), publishable=True)
'''


def plan(prior: dict[str, Any]) -> dict[str, Any]:
    return {
        "title": "given",
        "data": {"use": "noise.py:Noise"},
        "target": {"use": "small_resnet", "width": 4},
        "defenses": [{"use": "none"}],
        "attacks": [{"use": "gmi", "steps": 2, "restarts": 1, "prior": prior}],
        "metrics": [{"use": "copies"}],
    }


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, and weights of a small GAN."""
    (tmp_path / "noise.py").write_text(PEOPLE)
    monkeypatch.chdir(tmp_path)
    torch.save(WGANGP(width=2).build(3, (3, 16, 16)).state_dict(), "gan.pt")
    return tmp_path


def test_a_plan_takes_it_as_it_is_and_says_so(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object) -> None:
        raise AssertionError("nothing is trained")

    monkeypatch.setattr(WGANGP, "fit", never)
    torch.save({"G": {f"module.{name}": value for name, value in torch.load("gan.pt").items()}}, "parallel.pt")
    given = {"use": "wgan_gp", "width": 2, "trained": "parallel.pt", "trained_on": SEEN}
    audit = prepare(plan(given), place / "runs")
    node = audit.matrix.cells[0].nodes["prior"]
    outcomes = compute(list(node.lineage()), audit.store, Surroundings(str(place / "runs")), lambda *_: None)
    assert outcomes[node.key].good, outcomes[node.key].error
    record = audit.store.record(node.key)
    assert (record["queries"], record["gradients"], record["curves"]) == (0, 0, {})
    assert record["lineage"]["trained elsewhere on"] == SEEN
    cell = audit.matrix.cells[0]
    assert assemble._learnt_from(cell, outcomes, audit.store) == {
        "prior learnt from": f"elsewhere, and used as it is: {SEEN}"
    }
    assert assemble._of_priors(cell, outcomes, audit.store) == ["prior: taken off the names in the checkpoint: module."]
    found = stage.read(node, Bench(Store(str(place / "runs"))), Run("test")).state_dict()
    assert all(torch.equal(found[name], value) for name, value in torch.load("gan.pt").items())


def asked(prior: dict[str, Any]) -> dict[str, str]:
    nodes = prepare(plan({"use": "wgan_gp", "width": 2, **prior}), "runs").matrix.cells[0].nodes
    return {"prior": nodes["prior"].identity, "attack": nodes["attack"].identity, "start": nodes["attack"].randomness}


def test_what_is_in_a_file_is_the_question_and_not_where_it_lies(place: Path) -> None:
    known = {"trained": "gan.pt", "trained_on": SEEN}
    first, plain = asked(known), asked({})
    (place / "elsewhere").mkdir()
    shutil.move("gan.pt", "elsewhere/other.pt")
    assert asked({**known, "trained": "elsewhere/other.pt"}) == first
    assert first["start"] == plain["start"], "and an attack starts where it would with a prior of ours"
    assert first["prior"] != plain["prior"]
    state = torch.load("elsewhere/other.pt")
    torch.save({**state, "network.up.0.bias": state["network.up.3.bias"] + 1}, "gan.pt")
    assert asked(known)["attack"] != first["attack"]


def test_mistaken_plans_are_explained(place: Path) -> None:
    for missing in ({}, {"trained_on": "  "}):
        with pytest.raises(PlanError, match=r"nothing says what these have seen(.|\n)*add trained_on"):
            asked({"trained": "gan.pt", **missing})
    with pytest.raises(WeightsError, match="no such file"):
        asked({"trained": "none.pt", "trained_on": SEEN})
    with pytest.raises(PluginError, match="prior_checkpoint has no setting 'discriminator'"):
        asked({"trained": {"generator": "gan.pt", "discriminator": "gan.pt"}, "trained_on": SEEN})


def test_it_may_lie_in_the_middle_of_other_priors(place: Path) -> None:
    given = {"use": "wgan_gp", "width": 2, "trained": "gan.pt", "trained_on": SEEN}
    audit = prepare(plan({"use": "wgan_gp", "width": 2, "steps": 2, "start": given}), place / "runs")
    nodes = audit.matrix.cells[0].nodes
    assert "trained" in nodes["prior start"].uses
    assert "trained" not in nodes["prior"].uses


def test_a_conditional_prior_has_the_order_of_its_targets_file(place: Path) -> None:
    record: dict[str, Any] = {"expects": {"order": [2, 0, 1]}, "classes": 4}
    audit = prepare(plan({"use": "wgan_gp", "width": 2}), place / "runs")
    node = audit.matrix.cells[0].nodes["attack"]

    class Kept:
        class store:  # noqa: N801
            @staticmethod
            def record(key: str) -> dict[str, Any]:
                return record

    data = dataclasses.make_dataclass("Some", [("names", tuple), ("classes", int)])(("ann", "bob", "cid"), 3)
    assert stage.class_order(node, Kept, None, 4, data) == (
        [2, 0, 1],
        "its classes stand as the target's file has them",
    )
    assert stage.class_order(node, Kept, ("cid", "bob", "ann"), 3, data)[0] == [2, 1, 0]
    with pytest.raises(WeightsError, match="5 classes apart, and the target 4"):
        stage.class_order(node, Kept, None, 5, data)
    with pytest.raises(WeightsError, match="lacks some of the 3"):
        stage.class_order(node, Kept, ("ann", "bob"), 3, data)
    record.clear()  # a target that was trained here
    assert stage.class_order(node, Kept, None, 3, data)[0] == [0, 1, 2]
    with pytest.raises(WeightsError, match="4 classes apart, and the target 3"):
        stage.class_order(node, Kept, None, 4, data)


def test_an_order_in_json(tmp_path: Path) -> None:
    (tmp_path / "o.json").write_text(json.dumps({"bob": 0, "ann": 1}))
    assert TrainedPriorElsewhere(SEEN, "f", order=str(tmp_path / "o.json")).names() == ("bob", "ann")
