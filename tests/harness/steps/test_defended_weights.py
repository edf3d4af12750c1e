"""Checkpoints of defenses that change the network: read back as they were saved, and told from others."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from unveil.defenses.loft import LoFt
from unveil.defenses.mid import MID
from unveil.defenses.rolss import RoLSS
from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.audit import compute, prepare
from unveil.harness.models.ir import IR50At64
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.models.trained_elsewhere import TrainedElsewhere
from unveil.harness.models.vgg16 import VGG16
from unveil.harness.running.execute import Surroundings
from unveil.harness.steps import classifiers
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefacts import Store
from unveil.harness.training.fit import fit
from unveil.harness.types import Images, Recipe
from unveil.harness.words.errors import WeightsError
from unveil.harness.words.run import Run

spec = importlib.util.spec_from_file_location("elsewhere_models", Path(__file__).parents[2] / "elsewhere_models.py")
models = sys.modules["elsewhere_models"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(models)

SHAPE, MODEL = (3, 16, 16), SmallResNet(width=4)
IMAGES = Images(torch.rand(12, *SHAPE, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 6)
PLAIN = Recipe(epochs=1, batch=6, select="last", warmup=0.0, views=1)
STACKS = {
    "mid": (MID(),),
    "mid with a code of 5": (MID(size=5, noise="mean"),),
    "mid as released": (MID(softmax=True),),
    "loft": (LoFt(rank=3),),
    "rolss": (RoLSS(),),
    "tl_dmi": (TLDMI("stage1"),),
    "tl_dmi+mid": (TLDMI("stage1"), MID()),
    "tl_dmi+rolss+mid": (TLDMI("stage1"), RoLSS(), MID()),
}


def under(stack, run="somebody else's"):
    """What a plan's defenses do to a network."""

    def prepared(classifier):
        for defense in stack:
            classifier = defense.prepare(classifier, Run(run))
        return classifier

    return prepared


def learnt(stack):
    net = under(stack, "trained")(MODEL.build(6, SHAPE, Run("initial")))
    fit(net, stack, IMAGES, IMAGES, PLAIN, Run("training"))
    return net.eval()


def saved(path, state):
    torch.save(state, path)
    return str(path)


def restored(file, stack, model=MODEL, shape=SHAPE):
    return TrainedElsewhere(file).restore(model, under(stack), shape, Run("reading"))


@pytest.mark.parametrize("name", STACKS)
def test_what_was_trained_under_a_defense_answers_as_it_did(name, tmp_path):
    stack = STACKS[name]
    net = learnt(stack)
    wrapped = {f"module._orig_mod.{key}": value for key, value in net.state_dict().items()}
    found, notes = restored(saved(tmp_path / "a.pt", {"epoch": 1, "state_dict": wrapped}), stack)
    assert found.classes == 6
    assert any("_orig_mod" in note for note in notes)
    with torch.no_grad():
        assert torch.equal(found.eval().logits(IMAGES.pixels), net.logits(IMAGES.pixels)), "its noise included"


@pytest.mark.parametrize("stack", [(MID(),), (LoFt(rank=3),), (TLDMI("stage1"), MID())], ids=str)
def test_weights_of_an_undefended_network_are_told_from_a_defended_one_s(stack, tmp_path):
    plain = saved(tmp_path / "plain.pt", MODEL.build(6, SHAPE, Run("initial")).state_dict())
    with pytest.raises(WeightsError, match=r"of a network without that defense(.|\n)*use = \"none\""):
        restored(plain, stack)
    defended = saved(tmp_path / "defended.pt", under(stack)(MODEL.build(6, SHAPE, Run("initial"))).state_dict())
    with pytest.raises(
        WeightsError, match=r"trained under a defense that changes the network(.|\n)*that defense's entry"
    ):
        restored(defended, ())
    other = (LoFt(rank=3),) if isinstance(stack[-1], MID) else (MID(),)
    with pytest.raises(WeightsError, match=r"without that defense|under a defense that changes"):
        restored(defended, other)


def test_another_size_of_code_or_rank_is_named(tmp_path):
    five = saved(tmp_path / "five.pt", under((MID(size=5),))(MODEL.build(6, SHAPE, Run("i"))).state_dict())
    with pytest.raises(WeightsError, match=r"head\.bottleneck\.code\.weight is \(10, 32\), not \(12, 32\)"):
        restored(five, (MID(size=6),))
    three = saved(tmp_path / "three.pt", under((LoFt(rank=3),))(MODEL.build(6, SHAPE, Run("i"))).state_dict())
    with pytest.raises(WeightsError, match=r"head\.narrow\.weight is \(3, 32\), not \(4, 32\)"):
        restored(three, (LoFt(rank=4),))


class Short(IR50At64):
    """One with a few units."""

    units = (1, 1, 1, 1)


@pytest.mark.parametrize(("model", "mid"), [(Short(), MID(size=256)), (VGG16(norm=False), MID())], ids=["ir", "vgg16"])
def test_mids_released_names(model, mid, tmp_path):
    """The code is ``st_layer`` in its files, and what stands behind it ``fc_layer``."""
    shape = (3, 64, 64)
    net = mid.prepare(model.build(7, shape, Run("initial")), Run("x"))
    state = {f"module.{name}": value.clone() for name, value in model.released(net).state_dict().items()}
    assert {"module.st_layer.weight", "module.fc_layer.bias"} <= state.keys()
    assert not any("seed" in name or "steps" in name for name in state), "no noise of ours is in a released file"
    found, _ = restored(saved(tmp_path / "mid.tar", {"state_dict": state}), (mid,), model, shape)
    assert found.classes == 7
    again = model.released(found).state_dict()
    assert all(torch.equal(again[name.removeprefix("module.")], value) for name, value in state.items())
    with pytest.raises(WeightsError, match=r"has st_layer, a bottleneck(.|\n)*use = \"mid\""):
        restored(str(tmp_path / "mid.tar"), (), model, shape)
    plain = model.released(model.build(7, shape, Run("initial"))).state_dict()
    with pytest.raises(WeightsError, match=r"has no st_layer(.|\n)*use = \"none\""):
        restored(saved(tmp_path / "plain.tar", plain), (mid,), model, shape)


@pytest.mark.slow
def test_a_defended_target_with_its_classes_in_another_order_is_found_by_accuracy(tmp_path):
    models.folders(tmp_path / "private", models.PEOPLE, 8)
    models.folders(tmp_path / "public", ("una", "vic"), 4)
    stack, model = (TLDMI("stem"), MID(beta=1e-3)), SmallResNet(width=8)
    pixels = torch.stack([models.picture(person, k) for person in models.PEOPLE for k in range(8)])
    images = Images(pixels, torch.arange(6).repeat_interleave(8))
    net = under(stack, "trained")(model.build(6, (3, 32, 32), Run("initial")))
    recipe = Recipe(epochs=14, batch=16, select="last", flip=False, shift=0, brightness=0.0, lr=6e-3)
    fit(net, stack, images, images, recipe, Run("training"))
    turned = [3, 0, 5, 1, 2, 4]
    state = {f"module.{n}": t[turned] if n.startswith("head.linear") else t for n, t in net.state_dict().items()}
    defense = {
        "use": ["tl_dmi", "mid"],
        "tl_dmi": {"freeze": "stem"},
        "mid": {"beta": 1e-3},
        "trained": saved(tmp_path / "defended.pt", state),
    }
    plan = {
        "title": "given",
        "data": {"use": "folder", "private": str(tmp_path / "private"), "public": str(tmp_path / "public"), "size": 32},
        "target": {"use": "small_resnet", "width": 8},
        "defenses": [defense],
        "attacks": [{"use": "public_lookalikes"}],
        "metrics": [{"use": "utility"}],
    }
    audit = prepare(plan, tmp_path / "runs")
    node = audit.matrix.cells[0].nodes["target"]
    outcomes = compute(list(node.lineage()), audit.store, Surroundings(str(tmp_path / "runs")), lambda *_: None)
    assert outcomes[node.key].good, outcomes[node.key].error
    record = audit.store.record(node.key)
    assert record["expects"]["by"] == "by accuracy"
    assert any("not in the order" in note for note in record["notes"])
    assert any("module." in note for note in record["notes"])
    bench = Bench(Store(str(tmp_path / "runs")))
    data = datasets.read(node.parents["data"], bench)
    read = classifiers.read(node, bench, Run("test"))
    right = (read.logits(data.train.pixels).argmax(1) == data.train.labels).float().mean()
    assert right > 0.9
    assert read.head.bottleneck.steps == net.head.bottleneck.steps > 0
