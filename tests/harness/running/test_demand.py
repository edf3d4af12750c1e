"""What a step takes of a GPU is counted by its arithmetic, of which none is done."""

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unveil.harness.audit import prepare
from unveil.harness.plan.file import read
from unveil.harness.running.cards import CARDS, RESERVED, SHARE, card
from unveil.harness.running.demand import demands
from unveil.harness.running.matrix import expand
from unveil.harness.running.weigh import Weighing
from unveil.harness.running.weightless import Weightless
from unveil.harness.store import collection
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import PlanError


def test_operations_and_bytes_are_the_worked_ones():
    """A product of (B, n) and (n, n): forward and both slopes, 2 B n n each; the first layer's input has no slope."""
    b, n = 64, 1024
    net = nn.Sequential(nn.Linear(n, n, bias=False), nn.Linear(n, n, bias=False))
    adam = torch.optim.Adam(net.parameters())
    before = [p.detach().clone() for p in net.parameters()]
    with Weightless() as mode:
        for _ in range(2):
            loss = net(torch.rand(b, n)).square().mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            assert float(loss.detach()) == 0  # finite, whatever it would be
    assert mode.flops == 2 * (2 * b * n * n) * (2 + 3)
    weights = 2 * 4 * n * n
    assert mode.weights == weights
    assert 3 * weights <= mode.peak <= 4.5 * weights  # slopes, two moments, and what Adam makes of them
    assert all(torch.equal(p, q) for p, q in zip(net.parameters(), before, strict=True))


def test_a_batch_grows_memory_by_its_activations_alone():
    net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1))

    def peak(batch):
        with Weightless() as mode:
            net(torch.rand(batch, 3, 64, 64)).sum().backward()
        return mode.peak

    slopes = [(peak(4 * b) - peak(2 * b)) / (2 * b) for b in (8, 32)]
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-3)
    a_layer = 4 * 16 * 64 * 64
    assert 3 * a_layer <= slopes[0] <= 6 * a_layer  # two results are kept, and slopes come on top


def test_a_card_that_has_no_room_for_it_goes_through_a_network_of_any_size():
    """A picture of 30,000 pixels a side, of which no machine here could hold a layer."""
    with Weightless() as mode:
        x = F.conv2d(torch.rand(4, 3, 30_000, 30_000), torch.rand(64, 3, 3, 3))
        assert x.shape == (4, 64, 29_998, 29_998)
        assert float(x[3, 63, 0, 0]) == 0
    assert mode.flops == 2 * 4 * 64 * 29_998**2 * 27
    assert mode.peak > 4 * x.numel()


@pytest.fixture
def plan(project):
    return expand(read(str(project.folder / "tiny.toml")))


def test_a_target_takes_its_passes_times_epochs_whatever_defends_it(plan, tmp_path, monkeypatch):
    store = Store(str(tmp_path / "store"))
    torch_state = torch.get_rng_state()
    found = {one.kind: one for one in demands(plan.nodes(), store, 600)}
    assert all(one.flops for one in found.values()), [one.reason for one in found.values()]
    assert torch.equal(torch_state, torch.get_rng_state())
    assert {one.kind for one in found.values()} == {"evaluator", "target", "attack"}
    assert len(found["target"].keys) == len(found["attack"].keys) == 2  # none, and trouble
    target = next(node for node in plan.nodes() if node.kind == "target")
    longer = dict(target.options) | {"recipe": {**target.options["recipe"], "epochs": 30}}
    more = Weighing(store).weigh(replace(target, options=longer), 600)
    assert more.flops == pytest.approx(10 * found["target"].flops, rel=0.15)
    assert not {"artefacts", "blobs", "scratch"}.intersection(path.name for path in (tmp_path / "store").iterdir())
    keys = {node.key for node in plan.nodes()}
    assert not collection.find(store, keys).paths
    assert collection.find(store, set()).paths
    monkeypatch.setattr(Weighing, "weigh", None)  # who asks it again fails
    assert {one.kind: one for one in demands(plan.nodes(), Store(store.url), 600)} == found


def test_what_cannot_be_weighed_says_why(plan, tmp_path):
    (none, *_) = demands(plan.nodes(), Store(str(tmp_path / "store")), 0)
    assert (none.flops, none.reason) == (None, "not weighed")


def test_a_card_is_what_its_maker_says():
    h100 = card("H100")
    assert h100.hours(3600 * SHARE * 67e12) == pytest.approx(1)
    assert h100.fits(round(63.1 * 2**30))  # a quarter more, and one GiB
    assert not h100.fits(round(63.3 * 2**30))
    with pytest.raises(PlanError, match="did you mean 'rtx4090'"):
        card("rtx409")


def test_plan_tells_memory_and_hours_and_what_does_not_fit(project, monkeypatch, capsys):
    from unveil.cli.demands import show_demands, weight_of  # noqa: PLC0415 (prints)

    monkeypatch.chdir(project.folder)
    told = project.call("plan", "tiny.toml", "--store", "store", "--card", "t4")
    assert told.returncode == 0, told.stderr
    assert "on one NVIDIA T4 at 35% of its 8.1 TFLOP/s in float32" in told.stdout
    assert "GPU: about" in told.stdout
    audit = prepare("tiny.toml", "store")
    heavy = demands(audit.matrix.nodes(), audit.store, 0)
    assert weight_of(heavy[0].keys[0], heavy)["flops"] == heavy[0].flops > 0
    told = project.call("plan", "tiny.toml", "--store", "store", "--card", "t4", "--no-probe", "--json")
    steps = json.loads(told.stdout)
    assert {step["kind"] for step in steps if step["flops"]} == {"evaluator", "target", "attack"}
    small = type(CARDS["t4"])("a toy", 1e12, RESERVED)
    show_demands(heavy, small)
    assert "DOES NOT FIT" in (said := capsys.readouterr().out)
    assert "lower its batch" in said
