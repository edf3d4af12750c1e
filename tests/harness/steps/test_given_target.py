"""Models that somebody trained elsewhere are attacked as they are: their names, classes and pictures are found out."""

import importlib.util
import json
import shutil
import sys
import warnings
from pathlib import Path

import pytest
import torch

from unveil.audits import in_a_file
from unveil.harness.audit import compute, prepare
from unveil.harness.models.in_memory import InMemory, hold
from unveil.harness.running.execute import Surroundings
from unveil.harness.steps import classifiers
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import AccessError, PlanError, PluginError, WeightsError
from unveil.harness.words.run import Run

spec = importlib.util.spec_from_file_location("elsewhere_models", Path(__file__).parents[2] / "elsewhere_models.py")
models = sys.modules["elsewhere_models"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(models)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Folders of pictures, and the state dict of a network that knows them."""
    root = tmp_path_factory.mktemp("world")
    models.folders(root / "private", models.PEOPLE, 8)
    models.folders(root / "public", ("una", "vic", "wes", "xia"), 4)
    return root, models.learnt()


def plan(root, trained, *, defense=None, target=None, attack=None):
    own = {"use": "timm", "architecture": "test_resnet", "size": 32} if target is None else target
    return {
        "title": "given",
        "data": {"use": "folder", "private": str(root / "private"), "public": str(root / "public"), "size": 32},
        "target": {**own, "trained": trained} if trained else own,
        "defenses": [defense or {"use": "none"}],
        "attacks": [attack or {"use": "public_lookalikes"}],
        "metrics": [{"use": "utility"}],
    }


def target(plan, store):
    """The target's node, computed with what it needs."""
    audit = prepare(plan, store)
    node = audit.matrix.cells[0].nodes["target"]
    outcomes = compute(list(dict.fromkeys(node.lineage())), audit.store, Surroundings(str(store)), lambda *_: None)
    assert outcomes[node.key].good, outcomes[node.key].error
    return node, audit.store.record(node.key)


def saved(path, content):
    torch.save(content, path)
    return str(path)


def rightly(node, store):
    """Share of all private pictures that the target names rightly, as attacks and metrics load it."""
    bench = Bench(Store(str(store)))
    data = datasets.read(node.parents["data"], bench)
    x = torch.cat([data.train.pixels, data.test.pixels])
    y = torch.cat([data.train.labels, data.test.labels])
    return float((classifiers.read(node, bench, Run("test")).logits(x).argmax(1) == y).float().mean())


def test_a_state_dict_is_found_under_any_wrapper_and_is_the_same_target(world, tmp_path):
    root, state = world[0], world[1].state_dict()
    plain, record = target(plan(root, saved(tmp_path / "a.pt", state)), tmp_path / "runs")
    assert (record["expects"]["by"], record["expects"]["accuracy"]) == ("sorted names", 1.0)
    assert record["expects"]["input"]["mean"] == pytest.approx([0.485, 0.456, 0.406])
    assert rightly(plain, tmp_path / "runs") == 1.0
    parallel = {"epoch": 3, "model": {f"module._orig_mod.{name}": t for name, t in state.items()}}
    other, record = target(plan(root, saved(tmp_path / "b.pt", parallel)), tmp_path / "runs")
    assert any("module." in note for note in record["notes"])
    assert rightly(other, tmp_path / "runs") == 1.0


def test_where_the_file_lies_enters_no_identity_and_what_is_in_it_does(world, tmp_path):
    root, state = world[0], world[1].state_dict()
    first = saved(tmp_path / "a.pt", state)
    (tmp_path / "elsewhere").mkdir()
    moved = str(shutil.copy(first, tmp_path / "elsewhere" / "c.pt"))
    changed = saved(tmp_path / "d.pt", {**state, "fc.bias": state["fc.bias"] + 1})
    keys = [
        prepare(plan(root, file), tmp_path / "runs").matrix.cells[0].nodes["target"].identity
        for file in (first, moved, changed)
    ]
    assert keys[0] == keys[1] != keys[2]


def test_classes_in_another_order_do_not_read_as_chance(world, tmp_path):
    root, state = world[0], world[1].state_dict()
    turned = [3, 0, 5, 1, 2, 4]
    shuffled = {name: t[turned] if name.startswith("fc.") else t for name, t in state.items()}
    file = saved(tmp_path / "shuffled.pt", shuffled)
    node, record = target(plan(root, file), tmp_path / "runs")
    assert record["expects"]["by"] == "by accuracy"
    assert any("not in the order" in note for note in record["notes"])
    assert rightly(node, tmp_path / "runs") == 1.0
    names = tmp_path / "classes.json"
    names.write_text(json.dumps({models.PEOPLE[k]: i for i, k in enumerate(turned)}))
    node, record = target(plan(root, {"file": file, "order": str(names)}), tmp_path / "runs")
    assert record["expects"]["by"] == "declared"
    assert rightly(node, tmp_path / "runs") == 1.0
    refused = prepare(plan(root, {"file": file, "order": "sorted"}), tmp_path / "runs")
    node = refused.matrix.cells[0].nodes["target"]
    outcome = compute(list(node.lineage()), refused.store, Surroundings(str(tmp_path / "runs")), lambda *_: None)
    assert "guessing among 6 classes" in outcome[node.key].error


def test_a_model_may_know_more_people_than_are_checked_and_not_fewer(world, tmp_path):
    root, state = world[0], world[1].state_dict()
    fewer = shutil.copytree(root / "private", tmp_path / "private")
    shutil.rmtree(fewer / "bea")
    shutil.copytree(root / "public", tmp_path / "public")
    file = saved(tmp_path / "a.pt", state)
    node, record = target(plan(tmp_path, file), tmp_path / "runs")
    assert (record["classes"], record["expects"]["order"]) == (6, [0, 2, 3, 4, 5])
    assert rightly(node, tmp_path / "runs") == 1.0
    models.folders(tmp_path / "private", ("gus", "hal"), 8)
    audit = prepare(plan(tmp_path, file), tmp_path / "runs")
    node = audit.matrix.cells[0].nodes["target"]
    outcome = compute(list(node.lineage()), audit.store, Surroundings(str(tmp_path / "runs")), lambda *_: None)
    assert "6 classes apart, and the private pictures show 7 people" in outcome[node.key].error


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (lambda s: {n: t for n, t in s.items() if not n.startswith("fc.")}, "no classifier layer 'fc'"),
        (lambda s: {n: t for n, t in s.items() if "layer3.0.bn1" not in n}, "missing"),
        (lambda s: {**s, "conv1.0.weight": s["conv1.0.weight"][:, :, :1]}, "of another shape"),
        (lambda s: {n: t[:, :1] if n == "conv1.0.weight" else t for n, t in s.items()}, "pictures of 1 channels"),
        (lambda s: {f"features.{i}": t for i, t in enumerate(s.values())}, "does not fit the model: 0 of"),
    ],
)
def test_a_file_that_does_not_fit_is_told_in_words(world, tmp_path, broken, says):
    root, state = world[0], world[1].state_dict()
    file = saved(tmp_path / "a.pt", broken(state))
    with pytest.raises(WeightsError, match=says):
        read_into(plan(root, file), tmp_path / "runs")


def read_into(plan, store):
    """Reads weights into a model: when a plan is read, and, since the data decide on colours, for these."""
    node = prepare(plan, store).matrix.cells[0].nodes["target"]
    model, trained = (node.uses[role][0].make() for role in ("model", "trained"))
    trained.restore(model, lambda c: c, (3, 32, 32), Run("test"))


def test_swapped_colours_and_other_normalisations_are_found(world, tmp_path):
    root, state = world[0], world[1].state_dict()
    # a network that takes blue first, from 0 to 255: the same numbers in another first layer
    mean, std = (v.flatten() for v in models.IMAGENET)
    kernel = (state["conv1.0.weight"] / (255 * std.view(1, 3, 1, 1))).flip(1)
    plainly = {**state, "conv1.0.weight": kernel}
    shift = (state["conv1.0.weight"] * (mean / std).view(1, 3, 1, 1)).sum((1, 2, 3))
    plainly["conv1.1.running_mean"] = state["conv1.1.running_mean"] + shift  # but for the picture's edge
    node, record = target(plan(root, saved(tmp_path / "a.pt", plainly)), tmp_path / "runs")
    assert record["expects"]["input"]["name"] == "pixels from 0 to 255"
    assert record["expects"]["input"]["bgr"] is True
    assert rightly(node, tmp_path / "runs") > 0.9


def test_a_defense_that_acts_in_training_needs_weights_of_its_own(world, tmp_path):
    root, state = world[0], world[1].state_dict()
    file = saved(tmp_path / "a.pt", state)
    with pytest.raises(PlanError, match="acts while a target learns"):
        prepare(plan(root, file, defense={"use": "ls"}), tmp_path / "runs")
    after = {"use": "rounded_scores", "decimals": 1}
    node, _ = target(plan(root, file, defense=after), tmp_path / "runs")
    bench = Bench(Store(str(tmp_path / "runs")))
    scores = classifiers.read(node, bench, Run("test")).logits(torch.rand(4, 3, 32, 32)).softmax(1)
    assert torch.allclose(scores * 10, (scores * 10).round(), atol=1e-3)
    own = {"use": "ls", "trained": file}
    node, _ = target(plan(root, None, defense=own), tmp_path / "runs")
    assert rightly(node, tmp_path / "runs") == 1.0


def traced(network, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(network, torch.rand(2, 3, 32, 32)).save(path)


def test_a_program_is_refused_without_trust_and_then_answers_with_scores_only(world, tmp_path):
    root, network = world
    traced(network, tmp_path / "model.pt")
    file = str(tmp_path / "model.pt")
    program = {"use": "program"}
    audit = prepare(plan(root, file, target=program), tmp_path / "runs")
    node = audit.matrix.cells[0].nodes["target"]
    outcome = compute(list(node.lineage()), audit.store, Surroundings(str(tmp_path / "runs")), lambda *_: None)
    assert "trust" in outcome[node.key].error
    trusted = {"use": "program", "trust": True, "size": 32}
    node, record = target(plan(root, file, target=trusted), tmp_path / "runs")
    assert record["expects"]["accuracy"] == 1.0
    (tmp_path / "model.pt").unlink()  # the store has it
    assert rightly(node, tmp_path / "runs") == 1.0
    traced(network, tmp_path / "model.pt")
    with pytest.raises(AccessError, match="scores only"):
        prepare(plan(root, file, target=trusted, attack={"use": "pixel_adversarial"}), tmp_path / "runs")


def test_an_onnx_file_and_an_exported_program_name_the_same_people(world, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    root, network = world
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the exporter
        torch.onnx.export(
            network, (torch.rand(1, 3, 32, 32),), tmp_path / "model.onnx", dynamo=False, input_names=["x"],
            dynamic_axes={"x": {0: "n"}},
        )  # fmt: skip
        torch.export.save(torch.export.export(network, (torch.rand(1, 3, 32, 32),)), tmp_path / "model.pt2")
    for file, trust in (("model.onnx", False), ("model.pt2", True)):
        program = {"use": "program", "trust": trust, "size": 32}
        _, record = target(plan(root, str(tmp_path / file), target=program), tmp_path / "runs")
        assert record["expects"]["accuracy"] == 1.0
        assert any("scores only" in note for note in record["notes"])


def test_a_network_in_memory_is_known_by_its_weights_and_its_code(world, tmp_path):
    root, network = world
    store = Store(str(tmp_path / "runs"))
    own = models.Wrapped(network)
    file = in_a_file(own, store)
    source = hold(own)
    assert in_a_file(own, store) == file
    changed = models.Wrapped(torch.nn.Sequential(network))
    assert (in_a_file(changed, store) != file, hold(changed) != source) == (True, True)
    program = {"use": "in_memory", "source": source, "size": 32}
    node, record = target(plan(root, str(file), target=program), tmp_path / "runs")
    assert record["expects"]["accuracy"] == 1.0
    assert rightly(node, tmp_path / "runs") == 1.0
    x = torch.rand(2, 3, 32, 32, requires_grad=True)
    classifiers.read(node, Bench(store), Run("test")).logits(x)[:, 0].sum().backward()
    assert x.grad.abs().max() > 0  # white-box
    with pytest.raises(PluginError, match="another process"):
        InMemory("0" * 64).build(6, (3, 32, 32), Run("test"))


def test_an_evaluator_may_be_given_and_knows_the_private_people_alone(world, tmp_path):
    root, network = world
    file = saved(tmp_path / "a.pt", network.state_dict())
    wanted = plan(root, None, target={"use": "small_resnet", "width": 4})
    judge = {"use": "timm", "architecture": "test_resnet", "size": 32, "name": "given", "trained": file}
    with pytest.raises(PlanError, match='others = "none"'):
        prepare({**wanted, "evaluator": judge}, tmp_path / "runs")
    audit = prepare({**wanted, "evaluator": {**judge, "others": "none"}}, tmp_path / "runs")
    (node,) = audit.matrix.judges.values()
    outcomes = compute(list(node.lineage()), audit.store, Surroundings(str(tmp_path / "runs")), lambda *_: None)
    assert outcomes[node.key].good, outcomes[node.key].error
    figures = {figure["quantity"]: figure["value"] for figure in audit.store.record(node.key)["figures"]}
    assert figures["accepts held-out private"] == 1.0
    assert rightly(node, tmp_path / "runs") == 1.0
