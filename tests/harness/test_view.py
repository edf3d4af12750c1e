"""What an attack may touch, and what it spent."""

import pytest
import torch
from torch import nn

from unveil.harness.classifier import Classifier
from unveil.harness.errors import AccessError, UnveilError
from unveil.harness.view import Access, View


class Flat(nn.Module):
    def forward(self, x):
        return x.flatten(1)


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    stages = {"stem": nn.Conv2d(3, 4, 3), "norm": nn.BatchNorm2d(4), "pool": Flat()}
    return Classifier(stages, nn.Linear(4 * 36, 5), classes=5)


def test_every_image_is_counted_once(classifier):
    view = View(classifier, Access.WHITE_BOX, (3, 8, 8))
    x = torch.rand(7, 3, 8, 8, requires_grad=True)
    view.logits(x).sum().backward()
    assert (view.spent.queries, view.spent.gradients) == (7, 7)
    features, logits = view.features_and_logits(x)
    (features.sum() + logits.sum()).backward()
    assert (view.spent.queries, view.spent.gradients) == (14, 14)
    view.logits(x.detach())
    with torch.no_grad():
        view.features(x)
    assert (view.spent.queries, view.spent.gradients) == (28, 14)
    assert x.grad is not None
    assert all(p.grad is None for p in classifier.parameters())


def test_a_gradient_is_that_of_the_classifier(classifier):
    view = View(classifier, Access.WHITE_BOX, (3, 8, 8))
    x = torch.rand(2, 3, 8, 8, requires_grad=True)
    (through,) = torch.autograd.grad(view.logits(x)[:, 1].sum(), x)
    (direct,) = torch.autograd.grad(classifier.logits(x)[:, 1].sum(), x)
    assert torch.equal(through, direct)


@pytest.mark.parametrize(
    ("access", "allowed"),
    [(Access.SCORES, {"scores"}), (Access.LABELS, {"labels"}), (Access.WHITE_BOX, {"logits", "features"})],
)
def test_access_is_enforced(classifier, access, allowed):
    view = View(classifier, access, (3, 8, 8))
    x = torch.rand(2, 3, 8, 8, requires_grad=True)
    for ask in ("logits", "features", "scores", "labels"):
        if ask in allowed or access is Access.WHITE_BOX:
            out = getattr(view, ask)(x)
            assert out.requires_grad == (ask in ("logits", "features"))
        else:
            with pytest.raises(AccessError, match=access.value):
                getattr(view, ask)(x)


def test_frozen_stages_stay_in_evaluation_mode(classifier):
    classifier.train()
    classifier.freeze(["stem", "norm"])
    assert classifier.frozen_depth == 2
    before = {name: tensor.clone() for name, tensor in classifier.stages["norm"].state_dict().items()}
    classifier.train()
    classifier(torch.rand(4, 3, 8, 8))
    assert all(torch.equal(tensor, before[name]) for name, tensor in classifier.stages["norm"].state_dict().items())
    frozen, trainable = classifier.count()
    assert (frozen, trainable) == (4 * 27 + 4 + 8, 144 * 5 + 5)


def test_moving_statistics_are_no_frozen_prefix(classifier):
    classifier.freeze(["stem"])
    classifier.freeze(["norm"], statistics=False)
    assert classifier.frozen_depth == 1


def test_an_unknown_stage_is_named(classifier):
    with pytest.raises(UnveilError, match=r"no stage named 'stam'[\s\S]*stem, norm, pool"):
        classifier.freeze(["stam"])


def test_size_and_range(classifier):
    classifier.size = 8
    assert classifier(torch.rand(1, 3, 20, 20)).shape == (1, 5)
    assert torch.equal(classifier.normalise(torch.ones(1, 3, 8, 8)), torch.ones(1, 3, 8, 8))
    assert torch.equal(classifier.normalise(torch.zeros(1, 3, 8, 8)), -torch.ones(1, 3, 8, 8))
