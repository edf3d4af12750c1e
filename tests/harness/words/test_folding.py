"""Batch norm folded into convolutions: only where nothing else can tell, and only for passes in bfloat16."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from unveil.harness.conformance.folding import stirred
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.models.timm import Timm
from unveil.harness.types import Access, Classifier, Run, View
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.folding import Frozen, folded

SHAPE = (3, 32, 32)
PIXELS = torch.rand(2, *SHAPE, generator=torch.Generator().manual_seed(0))


def small() -> Classifier:
    return stirred(SmallResNet(width=8).build(4, SHAPE, Run("fold"))).requires_grad_(False)


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def pair(conv: nn.Module | None = None) -> nn.Sequential:
    return nn.Sequential(conv or nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())


def same(one: nn.Module, other: nn.Module, x: Tensor = PIXELS) -> None:
    torch.testing.assert_close(other(x), one(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "left"),
    [
        ("resnet10t", 0),
        ("densenet121", 62),
        ("mobilenetv3_small_050", 0),
        ("repvgg_a0", 17),
        ("vit_tiny_patch16_224", 0),
    ],
)
def test_other_peoples_networks_compute_the_same(architecture: str, left: int) -> None:
    """Those that norm and then act in one module, and those that norm before a convolution, too."""
    net = stirred(Timm(architecture, size=64).build(4, SHAPE, Run("fold")))
    fast = folded(net)
    assert norms(fast) == left
    with torch.no_grad():
        for ours, theirs in ((fast.logits(PIXELS), net.logits(PIXELS)), (fast.features(PIXELS), net.features(PIXELS))):
            torch.testing.assert_close(ours, theirs, atol=2e-4 * theirs.abs().max().item(), rtol=0)


def test_a_classifier_keeps_its_stages_and_the_one_that_was_given_its_weights() -> None:
    net = small()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fast = folded(net)
    assert (norms(net), norms(fast)) == (12, 0)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert fast.head is net.head
    ours, theirs = fast.run(PIXELS), net.run(PIXELS)
    assert ours.stages.keys() == theirs.stages.keys()
    for name, stage in theirs.stages.items():
        torch.testing.assert_close(ours.stages[name], stage, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-5, rtol=1e-5)


class Twice(nn.Module):
    """The convolution's output is used beside the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, _ = pair()

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        return self.norm(h) + h


class Shared(Twice):
    """The convolution feeds two norms' worth of calls."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + self.conv(x.flip(-1))


class Reading(Twice):
    """Something is made of the convolution's weight."""

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + self.conv.weight.sum()


class Deciding(Twice):
    """What it does depends on what it is given."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        return self.norm(h) if x.sum() > 0 else h


class Acting(nn.BatchNorm2d):
    """A norm that does more, and does not say so."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(super().forward(x))


def watched() -> nn.Module:
    part = pair()
    part[0].register_forward_hook(lambda *_: None)
    return part


LEFT: dict[str, Callable[[], nn.Module]] = {
    "used twice": Twice,
    "called twice": Shared,
    "read": Reading,
    "cannot be traced": Deciding,
    "watched": watched,
    "acting": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), Acting(4)),
    "normed by the batch": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
    "grouped, transposed": lambda: pair(nn.ConvTranspose2d(6, 4, 3, groups=2)),
    "parametrised": lambda: pair(spectral_norm(nn.Conv2d(3, 4, 3))),
    "something between": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)),
    "double precision": lambda: pair().double(),
}


@pytest.mark.parametrize("why", LEFT)
def test_what_is_not_certain_is_left(why: str) -> None:
    part = LEFT[why]().eval()
    assert folded(part) is part


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(3, 4, 3, stride=2, bias=True),
        nn.Conv2d(4, 4, 3, groups=2, padding_mode="reflect", padding=1),
        nn.ConvTranspose2d(3, 4, 5, stride=2, padding=2, output_padding=1),
    ],
)
def test_each_kind_of_convolution_takes_up_the_norm_after_it(conv: nn.Module) -> None:
    part = stirred(pair(conv))
    channels = conv.in_channels
    assert norms(folded(part)) == 0
    same(part, folded(part), PIXELS.repeat(1, 2, 1, 1)[:, :channels])  # type: ignore[index, misc]


def test_one_stage_that_cannot_be_traced_keeps_no_other_from_being_folded() -> None:
    stages = {"one": Deciding(), "two": pair(nn.Conv2d(4, 4, 3)), "pool": nn.Sequential(nn.Flatten())}
    net = stirred(Classifier(stages, nn.Linear(4 * 30 * 30, 2), classes=2))
    fast = folded(net)
    assert (norms(net), norms(fast)) == (2, 1)
    assert fast.stages["one"] is net.stages["one"]
    same(net, fast)


def test_nothing_is_folded_in_training() -> None:
    with pytest.raises(UnveilError, match="while it trains"):
        folded(small().train())


def asked(view: View, mixed: bool) -> tuple[Tensor, Tensor]:
    x = PIXELS.clone().requires_grad_(True)
    with Run("fold", mixed_precision=mixed).autocast():
        o = view.logits(x).float()
    return o.detach(), torch.autograd.grad(o.square().sum(), x)[0]


def test_a_view_shows_the_folded_network_in_bfloat16_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries and gradients count alike."""
    net, made = small(), []
    monkeypatch.setattr("unveil.harness.words.folding.folded", lambda *given: made.append(folded(*given)) or made[-1])
    view = View(net, Access.WHITE_BOX, SHAPE)
    full = asked(view, False)
    assert torch.equal(full[0], net.logits(PIXELS))
    view.scores(PIXELS)
    assert not made
    mixed = [asked(view, True), asked(view, True)]
    assert [norms(one) for one in made] == [0]
    assert torch.equal(mixed[0][1], mixed[1][1])
    assert (view.spent.queries, view.spent.gradients) == (8, 6)
    for ours, theirs in zip(mixed[0], full, strict=True):
        assert 0 < (ours - theirs).abs().max() < 0.2 * theirs.abs().max()
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(asked(view, False), full, strict=True))


def test_scores_are_asked_of_the_network_itself() -> None:
    view = View(small(), Access.SCORES, SHAPE)
    plain = view.scores(PIXELS)
    with Run("fold", mixed_precision=True).autocast():
        assert torch.equal(view.scores(PIXELS), plain)


@pytest.mark.parametrize("name", ["features", "logits"])
def test_weights_rounded_beforehand_are_those_that_autocast_rounds(name: str) -> None:
    net = small()
    passing = Frozen(net).passing(name)
    with Run("fold", mixed_precision=True).autocast():
        assert torch.equal(passing(PIXELS), getattr(folded(net), name)(PIXELS))


class Suspicious(Twice):
    """It does other things for whoever traces it."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.conv(x)
        return self.norm(h) + h if isinstance(x, Tensor) else self.norm(h)


def test_a_network_that_its_trace_does_not_tell_is_not_folded() -> None:
    """Seen on the first pictures, in the part that is asked for."""
    stages = {"one": Suspicious(), "two": pair(nn.Conv2d(4, 4, 3)), "pool": nn.Sequential(nn.Flatten())}
    net = stirred(Classifier(stages, nn.Linear(4 * 30 * 30, 2), classes=2)).requires_grad_(False)
    assert norms(folded(net)) == 0
    passing, begun = Frozen(net).passing("logits"), torch.get_rng_state()
    with Run("fold", mixed_precision=True).autocast():
        assert torch.equal(passing(PIXELS), net.logits(PIXELS))
    assert torch.equal(begun, torch.get_rng_state())
