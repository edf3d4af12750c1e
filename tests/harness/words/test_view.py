"""What an attack may touch, and what it spent."""

import contextlib
import copy
import pickle
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from types import FunctionType, ModuleType, SimpleNamespace
from typing import ClassVar

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import AccessError, BudgetSpentError, UnveilError
from unveil.harness.words.meter import Budget, Meter, Spent
from unveil.harness.words.view import Access, View


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


def reached(start, depth=5):
    """What attributes, closures, containers and slots lead to in so many steps; not modules, which lead everywhere."""
    seen, now = {id(start): start}, [start]
    for _ in range(depth):
        found = [other for one in now for other in neighbours(one)]
        now = []
        for one in found:
            if id(one) not in seen and not isinstance(one, ModuleType | type | str | int | float | bytes | None):
                seen[id(one)] = one
                now.append(one)
    return list(seen.values())


def neighbours(one):
    found = list(one) if isinstance(one, list | tuple | set | frozenset) else []
    if isinstance(one, Mapping):
        found += [*one.keys(), *one.values()]
    if isinstance(one, FunctionType):
        found += [cell.cell_contents for cell in one.__closure__ or ()]
    for name in {*dir(one)} - {*dir(object), "__globals__", "__builtins__", "__call__"} | {"__dict__"}:
        with contextlib.suppress(Exception):  # some attributes cannot be had
            found.append(getattr(one, name))
    return found


def test_the_search_does_find_what_is_there(classifier):
    held = SimpleNamespace(ask=lambda x: [classifier(x)])
    assert any(isinstance(one, nn.Parameter) for one in reached(held))


@pytest.mark.parametrize("access", list(Access))
def test_nothing_leads_from_a_view_to_the_target(classifier, access):
    view = View(classifier, access, (3, 8, 8), Budget(100))
    found = reached(view)
    weights = {tensor.data_ptr() for tensor in classifier.state_dict().values()}
    assert len(found) > 10
    assert not [one for one in found if isinstance(one, nn.Module | nn.Parameter)]
    assert not [one for one in found if isinstance(one, torch.Tensor) and one.data_ptr() in weights]
    assert not hasattr(view, "__dict__")
    for method in (View.logits, View.scores, View.labels):
        assert method.__closure__ is None
    for copied in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(AccessError):
            copied(view)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")  # torch.func's own
@pytest.mark.parametrize("access", [Access.SCORES, Access.LABELS])
def test_answers_carry_no_gradient_however_they_are_asked_for(classifier, access):
    view = View(classifier, access, (3, 8, 8))
    ask = getattr(view, access.value)
    x = torch.rand(2, 3, 8, 8, requires_grad=True)
    for weights in classifier.parameters():
        weights.requires_grad_(True)  # whatever somebody else did to the target
    with torch.enable_grad():
        out = ask(x)
    assert not out.requires_grad
    assert out.grad_fn is None
    assert out._base is None
    with pytest.raises(RuntimeError):
        out.register_hook(print)
    with pytest.raises(RuntimeError):
        torch.autograd.grad(out.sum(), x)
    t = torch.rand_like(x)
    assert not torch.func.jacrev(lambda x: ask(x).float())(x).any()
    assert not torch.func.jvp(lambda x: ask(x).float(), (x,), (t,))[1].any()
    with forward_ad.dual_level():
        assert forward_ad.unpack_dual(ask(forward_ad.make_dual(x.detach(), t))).tangent is None


class Nosy(torch.Tensor):
    heard: ClassVar[list[torch.Tensor]] = []

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        cls.heard += [a for a in args if isinstance(a, nn.Parameter)]
        return super().__torch_function__(func, types, args, kwargs)


@pytest.mark.parametrize(("access", "ask"), [(Access.SCORES, "scores"), (Access.WHITE_BOX, "logits")])
def test_a_tensor_that_listens_is_refused(classifier, access, ask):
    with pytest.raises(AccessError, match="Nosy"):
        getattr(View(classifier, access, (3, 8, 8)), ask)(torch.rand(1, 3, 8, 8).as_subclass(Nosy))
    assert not Nosy.heard


def test_neither_access_nor_counts_can_be_changed(classifier):
    view = View(classifier, Access.LABELS, (3, 8, 8), Budget(2))
    view.labels(torch.rand(2, 3, 8, 8))
    for name in ("access", "spent", "budget", "anything"):
        with pytest.raises(AttributeError):
            setattr(view, name, Access.WHITE_BOX)
    x = torch.rand(1, 3, 8, 8, requires_grad=True)
    asked = View(classifier, Access.WHITE_BOX, (3, 8, 8)).logits(x)
    assert not [one for one in reached(asked.grad_fn) if isinstance(one, Meter | nn.Module)]
    with pytest.raises(FrozenInstanceError):
        view.spent.queries = 0
    view.resume(Spent(0, 0))
    view.ration(7, 1, Spent(0, 0))
    assert view.spent == Spent(2, 0)
    with pytest.raises(BudgetSpentError):
        view.labels(torch.rand(1, 3, 8, 8))


def test_a_budget_is_reached_and_never_exceeded(classifier):
    view = View(classifier, Access.WHITE_BOX, (3, 8, 8), Budget(queries=5, gradients=2, identities=2))
    x = torch.rand(4, 3, 8, 8, requires_grad=True)
    (g,) = torch.autograd.grad(view.logits(x).sum(), x)
    assert g.any()
    logits = view.logits(x)
    with pytest.raises(BudgetSpentError, match=r"4 gradients of the target are spent[\s\S]*raise max_gradients"):
        logits.sum().backward()
    assert x.grad is None
    with pytest.raises(BudgetSpentError, match=r"8 queries .* 4 more .* budget is 10 \(5 for each of 2 identities\)"):
        view.logits(x)
    view.logits(x[:2])
    assert view.spent == Spent(10, 4, refused=True)


def test_what_is_gone_before_is_not_shared(classifier):
    """5 of 15 are spent: each of two halves may have 5 of the other 10."""
    view = View(classifier, Access.LABELS, (3, 8, 8), Budget(queries=5, identities=3))
    x = torch.rand(6, 3, 8, 8)
    view.labels(x[:5])
    before = view.spent
    for _ in range(2):
        view.ration(1, 2, view.spent, before)
        view.labels(x[:5])
        with pytest.raises(BudgetSpentError):
            view.labels(x[:1])
    assert view.spent.queries == 15


def test_a_ration_is_a_share_of_the_whole(classifier):
    view = View(classifier, Access.LABELS, (3, 8, 8), Budget(queries=5, identities=3))
    x = torch.rand(6, 3, 8, 8)
    view.ration(1, 3, view.spent)
    view.labels(x[:5])
    with pytest.raises(BudgetSpentError):
        view.labels(x[:1])
    view.ration(2, 3, view.spent)
    view.labels(x)
    view.labels(x[:4])
    with pytest.raises(BudgetSpentError):
        view.labels(x[:1])
    assert view.spent.queries == 15


def test_whoever_has_the_weights_takes_an_output_defense_off(classifier):
    x, bare = torch.rand(4, 3, 8, 8), copy.deepcopy(classifier).eval()
    classifier.outputs = nn.Softshrink(0.3)
    inside, outside = (View(classifier, access, (3, 8, 8)) for access in (Access.WHITE_BOX, Access.SCORES))
    wanted = bare.logits(x)
    for found in (inside.logits(x), inside.features_and_logits(x)[1]):
        assert torch.equal(found, wanted)
    assert torch.equal(inside.scores(x), wanted.softmax(1))
    assert torch.allclose(outside.scores(x), nn.Softshrink(0.3)(wanted).softmax(1))
    assert not torch.equal(outside.scores(x), inside.scores(x))
    assert classifier.guarded  # the target itself is left as it is
    assert not classifier.bare().guarded
    assert classifier.bare().head is classifier.head
