"""Fisher information by layer, against gradients taken one picture at a time and values worked out by hand."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from unveil.harness.conformance import tiny
from unveil.harness.models.timm import Timm
from unveil.harness.types import Evidence, Images
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.run import Run
from unveil.metrics import fisher
from unveil.metrics.fisher import Fisher, Task, cross_entropy, jackknife
from unveil.metrics.fisher_information import fisher_information, layers_of


def margin(o, y):
    return (o.scatter(1, y[:, None], float("-inf")).amax(1) - o.gather(1, y[:, None])[:, 0]).exp()


def stubborn(o, y):
    """A loss that no batching rule covers, since it looks at a value; the same as cross-entropy."""
    return cross_entropy(o, y) * (1.0 if o.sum().item() < 1e9 else 2.0)


def one_at_a_time(classifier, layers, loss, images):
    """Gradients of one loss after the other, through the classifier's own parameters."""
    named, rows = dict(classifier.requires_grad_(True).named_parameters()), []
    for x, y in zip(images.pixels, images.labels, strict=True):
        classifier.zero_grad()
        loss(classifier.logits(x[None]), y[None]).sum().backward()
        flat = [torch.cat([named[n].grad.flatten() for n in names]) for names in layers.values()]
        rows.append([float((g.double() ** 2).mean()) for g in flat])
    return np.array(rows)


@pytest.fixture(scope="module")
def images():
    return tiny.data().train[:7]


@pytest.mark.parametrize(("loss", "chunk"), [(cross_entropy, 3), (margin, 7), (stubborn, 2)])
def test_it_is_what_one_gradient_after_the_other_gives(images, loss, chunk):
    target = tiny.target()
    before = {name: t.clone() for name, t in target.state_dict().items()}
    layers = layers_of(target, images.pixels[:1], norms=True)
    flags = [p.requires_grad for p in target.parameters()]
    found = fisher_information(target, layers, loss, images, chunk, Run("a"))
    assert [p.requires_grad for p in target.parameters()] == flags
    assert all(torch.equal(t, before[name]) for name, t in target.state_dict().items())
    np.testing.assert_allclose(found, one_at_a_time(target, layers, loss, images), rtol=1e-3)


@pytest.mark.parametrize("architecture", ["resnet10t", "efficientnet_lite0", "vit_tiny_patch16_224"])
def test_other_families_too_whose_early_stages_are_frozen(images, architecture):
    target = Timm(architecture, size=224 if "vit" in architecture else 32).build(4, (3, 32, 32), Run("t")).eval()
    target.freeze(target.stage_names[:1])
    some = images[:2]
    layers = layers_of(target, some.pixels[:1], norms=False)
    found = fisher_information(target, layers, cross_entropy, some, 2, Run("a"))
    assert list(layers)[-1] == "head"
    assert (found[:, [0, -1]] > 0).all()
    np.testing.assert_allclose(found, one_at_a_time(target, layers, cross_entropy, some), rtol=1e-2)


class Flat(nn.Module):
    def forward(self, x):
        return x.flatten(1)


def test_a_linear_softmax_by_hand_and_the_batch_shortcut_is_something_else():
    net = Classifier({"flat": Flat()}, nn.Linear(3, 2), classes=2, mean=(0.0,) * 3, std=(1.0,) * 3).eval()
    generator = torch.Generator().manual_seed(3)
    x, y = torch.rand(20, 3, 1, 1, generator=generator), torch.arange(20) % 2
    layers = layers_of(net, x[:1], norms=False)
    assert layers == {"head": ("head.weight", "head.bias")}
    found = fisher_information(net, layers, cross_entropy, Images(x, y), 6, Run("a")).mean()

    flat = x.flatten(1)
    error = net.logits(x).detach().softmax(1) - F.one_hot(y, 2)  # dL/do
    weight = (error.square()[:, :, None] * flat.square()[:, None, :]).mean(0)  # E[(p - y)^2 x^2]
    bias = error.square().mean(0)
    assert found == pytest.approx(float(torch.cat([weight.flatten(), bias]).mean()), rel=1e-5)

    of_the_batch = torch.autograd.grad(F.cross_entropy(net.logits(x), y), list(net.head.parameters()))
    shortcut = float(torch.cat([g.flatten() for g in of_the_batch]).square().mean())
    assert shortcut < 0.5 * found


def test_layers_come_in_forward_order_whatever_the_order_of_declaration():
    class Twisted(nn.Module):
        def __init__(self):
            super().__init__()
            self.late, self.norm, self.early = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4), nn.Conv2d(3, 4, 1, bias=False)

        def forward(self, x):
            return self.late(self.norm(self.early(x))).mean((2, 3))

    net = Classifier({"a": Twisted()}, nn.Linear(4, 2), classes=2).eval()
    x = torch.rand(1, 3, 8, 8)
    assert list(layers_of(net, x, norms=False)) == ["a.early", "a.late", "head"]
    assert layers_of(net, x, norms=True)["a.norm"] == ("stages.a.norm.weight", "stages.a.norm.bias")
    assert layers_of(net, x, norms=False)["a.early"] == ("stages.a.early.weight",)


def test_shares_halves_depths_and_their_jackknife_by_hand():
    task = Task(("a", "b", "c"), np.array([[3.0, 1.0, 0.0], [1.0, 1.0, 2.0], [1.0, 0.0, 1.0]]), 3)
    values, without = task.read()
    np.testing.assert_allclose(values, [0.5, 0.2, 0.3, 0.6, 0.4])
    np.testing.assert_allclose(without[0], [2 / 6, 1 / 6, 3 / 6, 2.5 / 6, 3.5 / 6])
    first = np.array([2 / 6, 4 / 6, 4 / 8])
    wider = 4.302653 / 1.959964  # Student's t with two degrees of freedom, and the normal, at 97.5 %
    assert jackknife(without[:, 0]) == pytest.approx(wider * np.sqrt(2 / 3 * ((first - first.mean()) ** 2).sum()))
    all_is_one_persons = Task(("a", "b"), np.array([[1.0, 2.0], [0.0, 0.0]]), 2).read()[1]
    assert jackknife(all_is_one_persons[:, 0]) is None


def evidence(**more):
    data = tiny.data()
    path = Images(torch.cat([data.public.pixels[:12]]), torch.arange(4).repeat(3))
    given = {"path": path, "identity_loss": margin, **more}
    return Evidence(data, tiny.target(), None, tiny.guesses(), Run("fisher"), **given)


@pytest.fixture(scope="module")
def measured():
    return {m.about.column: m for m in Fisher(samples=2).measure(evidence())}


def test_every_layer_has_its_share_for_both_tasks(measured):
    for task, samples in (("classification", 8), ("inversion", 12)):
        shares = [m for name, m in measured.items() if name.startswith(f"{task}: ")]
        assert len(shares) == 13
        assert sum(m.value for m in shares) == pytest.approx(1)
        assert {m.samples for m in shares} == {samples}
        assert shares[0].about.column == f"{task}: stem.0"
        half = sum(m.value for m in shares[:6]) + shares[6].value / 2
        assert measured[f"{task} first half"].value == pytest.approx(half)
    gap = measured["inversion depth"].value - measured["classification depth"].value
    assert measured["difference depth"].value == pytest.approx(gap)
    assert measured["difference depth"].low == -1


def test_one_task_with_itself_differs_by_nothing(measured, monkeypatch):
    own = dataclasses.replace(tiny.data().train)
    given = evidence(path=own, identity_loss=cross_entropy)
    found = {m.about.column: m for m in Fisher(samples=999).measure(given)}
    for what in ("first half", "depth"):
        assert found[f"inversion {what}"].value == found[f"classification {what}"].value
        assert (found[f"difference {what}"].value, found[f"difference {what}"].standard_error) == (0, 0)
        assert found[f"inversion {what}"].standard_error > 0


@pytest.mark.parametrize(("more", "why"), [({"path": None}, fisher.NO_PATH), ({"identity_loss": None}, fisher.NO_LOSS)])
def test_without_an_inversion_task_the_other_one_is_still_measured(measured, more, why):
    found = {m.about.column: m for m in Fisher(samples=2).measure(evidence(**more))}
    for what in ("first half", "depth"):
        assert found[f"inversion {what}"].reason == found[f"difference {what}"].reason == why
        assert found[f"classification {what}"].value == measured[f"classification {what}"].value


def test_a_target_without_gradients_has_no_shares():
    target = tiny.target()
    target.outputs = nn.Hardtanh(1e6, 1e6 + 1)
    found = Fisher(samples=1).measure(dataclasses.replace(evidence(), target=target))
    assert {m.reason for m in found} == {"every gradient is zero: no information about the answer reaches the weights"}
