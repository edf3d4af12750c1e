from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from opacus.accountants import RDPAccountant, create_accountant
from torch import Tensor, nn

from unveil.defenses.bido import BiDO
from unveil.defenses.dp_sgd import DPSGD, Regrouped
from unveil.defenses.ls import LS
from unveil.defenses.mid import MID
from unveil.defenses.private_learner import PerSample, PrivateLearner
from unveil.defenses.rolss import RoLSS
from unveil.defenses.tl_dmi import TLDMI
from unveil.harness.models.small_resnet import SmallResNet
from unveil.harness.models.timm import Timm
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.training.fit import History, fit
from unveil.harness.types import Classifier, Defense, Images, Model
from unveil.harness.words.errors import PluginError
from unveil.harness.words.learner import Learner
from unveil.harness.words.recipe import Recipe
from unveil.harness.words.run import Progress, Run

RUN = Run("dp_sgd")
MIDDLE = 3.9  # a norm that some pictures' gradients are above
N = 12
IMAGES = Images(torch.rand(N, 3, 16, 16, generator=torch.Generator().manual_seed(0)), torch.arange(N) % 3)
LARGER = Images(torch.rand(N, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.arange(N) % 3)
RECIPE = Recipe(epochs=2, batch=4, lr=0.01, views=2, shift=1)
PLAIN = Recipe(
    epochs=1, batch=N, optimiser="sgd", momentum=0.0, weight_decay=0.0, lr=0.1, schedule="constant", warmup=0.0,
    flip=False, shift=0, brightness=0.0, select="last",
)  # fmt: skip
SMALL = SmallResNet(width=8, blocks=(1, 1))
NOISY = DPSGD("accounted", noise_multiplier=1.0)
FREE = DPSGD("accounted", noise_multiplier=0.0, max_grad_norm=1e6)


def prepared(stack: tuple[Defense, ...], model: Model = SMALL, images: Images = IMAGES) -> Classifier:
    classifier = model.build(3, images.shape, Run("initial"))
    for defense in stack:
        classifier = defense.prepare(classifier, RUN)
    return classifier


def trained(
    *stack: Defense, recipe: Recipe = RECIPE, run: Run = RUN, model: Model = SMALL, images: Images = IMAGES
) -> tuple[Classifier, History]:
    classifier = prepared(stack, model, images)
    return classifier, fit(classifier, stack, images, images, recipe, run)


def learner(stack: tuple[Defense, ...], recipe: Recipe = RECIPE) -> PrivateLearner:
    found = stack[-1].learner(Learner(prepared(stack), IMAGES.labels, recipe, RUN), stack)
    assert isinstance(found, PrivateLearner)
    return found


def equal(a: Classifier, b: Classifier) -> bool:
    left, right = a.state_dict(), b.state_dict()
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_an_infinite_budget_is_no_defense() -> None:
    none, history = trained()
    for zero in (
        DPSGD(3.0).at_zero(),
        DPSGD(math.inf),
        plugin_settings.validated(DPSGD, "x", {"epsilon": math.inf}, Path()),
    ):
        found, other = trained(zero)
        assert equal(found, none)
        assert other == history
    assert plugin_settings.dump(zero)["epsilon"] == "inf"


def test_without_noise_and_clipping_a_step_is_a_plain_step() -> None:
    private, history = trained(FREE, recipe=PLAIN)
    plain = prepared((FREE,))
    losses = fit(plain, (), IMAGES, IMAGES, PLAIN, RUN).curves["loss"]
    assert history.curves["loss"] == losses
    before = prepared((FREE,)).state_dict()
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(
            private.state_dict()[name] - before[name], value - before[name], rtol=1e-3, atol=1e-6
        )
    assert history.facts["dp_sgd epsilon"].startswith("inf")


@pytest.mark.parametrize("clip", [0.05, MIDDLE, 9.0])
def test_the_step_is_the_sum_of_gradients_clipped_one_at_a_time(clip: float) -> None:
    stack = (dataclasses.replace(FREE, max_grad_norm=clip),)
    private, _ = trained(*stack, recipe=PLAIN)
    alone = prepared(stack).train()
    parameters = list(alone.trainable())
    total = [torch.zeros_like(p) for p in parameters]
    norms = []
    for x, y in zip(IMAGES.pixels.split(1), IMAGES.labels.split(1), strict=True):
        grads = torch.autograd.grad(F.cross_entropy(alone.logits(x), y), parameters)
        norms.append(float(torch.stack([g.norm() for g in grads]).norm()))
        total = [t + g * min(1.0, clip / norms[-1]) for t, g in zip(total, grads, strict=True)]
    moved = dict(private.named_parameters())
    for (name, p), clipped in zip(alone.named_parameters(), total, strict=True):
        torch.testing.assert_close(p - moved[name], PLAIN.lr * clipped / N, rtol=1e-3, atol=1e-6)
    assert {0.05: min(norms) > clip, MIDDLE: min(norms) < clip < max(norms), 9.0: max(norms) < clip}[clip], norms


def test_the_noise_is_the_run_s_and_of_the_right_size() -> None:
    one = learner((DPSGD("accounted", noise_multiplier=3.0, max_grad_norm=0.5),), PLAIN)
    before = [p.detach().clone() for p in one.classifier.trainable()]
    for _ in range(4):
        one.learn(None)  # an empty batch: noise alone
    noise = torch.cat([(a - b.detach()).flatten() for a, b in zip(before, one.classifier.trainable(), strict=True)])
    assert float(noise.std()) == pytest.approx(PLAIN.lr * 2 * 3.0 * 0.5 / N, rel=0.05)  # four independent steps
    assert abs(float(noise.mean())) < 4 * float(noise.std()) / math.sqrt(noise.numel())


def test_sampling_is_poisson() -> None:
    one = learner((NOISY,), dataclasses.replace(RECIPE, batch=5))
    batches = [index for epoch in range(400) for index in one.batches(epoch)]
    assert len(one.batches(0)) == 3
    assert one.rate_of_sampling == pytest.approx(1 / 3)
    sizes = torch.tensor([len(index) for index in batches]).float()
    assert float(sizes.mean()) == pytest.approx(N / 3, rel=0.05)
    assert float(sizes.var()) == pytest.approx(N * (1 / 3) * (2 / 3), rel=0.15)
    assert bool((sizes == 0).any())
    often = torch.bincount(torch.cat(batches), minlength=N) / len(batches)
    assert float((often - 1 / 3).abs().max()) < 0.06
    assert all(torch.equal(a, b) for a, b in zip(one.batches(7), one.batches(7), strict=True))


@pytest.mark.parametrize("accountant", ["rdp", "prv"])
def test_epsilon_is_what_opacus_accounts(accountant: Any) -> None:
    settings = DPSGD("accounted", noise_multiplier=1.1, delta=1e-3, accountant=accountant)
    spent = []
    for epochs in (1, 3):
        _, history = trained(settings, recipe=dataclasses.replace(RECIPE, epochs=epochs))
        counted = create_accountant(accountant)
        for _ in range(3 * epochs):
            counted.step(noise_multiplier=1.1, sample_rate=1 / 3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spent.append(counted.get_epsilon(1e-3))
        assert history.facts["dp_sgd epsilon"] == (
            f"{spent[-1]:.4g} at delta = 0.001 ({accountant} accountant of Opacus)"
        )
    assert spent[1] > spent[0]


def test_noise_is_calibrated_to_the_budget() -> None:
    multipliers = []
    for settings in DPSGD().ladder(prepared(())):
        one = learner((settings,), dataclasses.replace(PLAIN, epochs=6))
        counted = RDPAccountant()
        counted.history = [(one.noise_multiplier, 1.0, 6)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert settings.epsilon - 0.02 < counted.get_epsilon(N**-1.1) <= settings.epsilon  # type: ignore[operator]
        multipliers.append(one.noise_multiplier)
    assert multipliers == sorted(multipliers)


@pytest.mark.parametrize("steps", [4, 7])
def test_it_goes_on_where_it_was_interrupted(
    steps: int, tmp_path: Path, interrupted: Callable[[int], Progress]
) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=3)
    whole, history = trained(MID(0.1), NOISY, recipe=recipe)
    with pytest.raises(KeyboardInterrupt):
        trained(
            MID(0.1), NOISY, recipe=recipe, run=dataclasses.replace(RUN, scratch=tmp_path, shown=interrupted(steps))
        )
    resumed, other = trained(MID(0.1), NOISY, recipe=recipe, run=dataclasses.replace(RUN, scratch=tmp_path))
    assert equal(whole, resumed)
    assert other == history
    assert ", 9 steps," in history.facts["dp_sgd mechanism"]


def test_an_empty_batch_is_a_step_like_any_other() -> None:
    recipe = dataclasses.replace(RECIPE, batch=1)
    empty = [len(index) for epoch in range(2) for index in learner((NOISY,), recipe).batches(epoch)].count(0)
    assert empty > 0
    _, history = trained(NOISY, recipe=recipe)
    assert ", 24 steps," in history.facts["dp_sgd mechanism"]


def test_frozen_stages_keep_their_batch_norms_and_everything_else() -> None:
    stack = (TLDMI("stage1"), NOISY)
    classifier = prepared(stack)
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    public = SMALL.build(3, IMAGES.shape, Run("initial"))
    for name, value in public.state_dict().items():  # weights of the norms that were changed stay, too
        if ".stage2." not in f".{name}":
            assert torch.equal(before[name], value), name
    changed = [module for module in classifier.modules() if isinstance(module, Regrouped)]
    old = [m for m in public.stages["stage2"].modules() if isinstance(m, nn.BatchNorm2d)]
    assert [m.norm.weight.shape for m in changed] == [m.weight.shape for m in old]  # type: ignore[union-attr]
    fit(classifier, stack, IMAGES, IMAGES, RECIPE, RUN)
    for name, value in classifier.state_dict().items():
        assert torch.equal(value, before[name]) == name.startswith(("stages.stem.", "stages.stage1.")), name


def test_affine_weights_are_kept() -> None:
    public = SMALL.build(3, IMAGES.shape, Run("initial"))
    norm = public.stages["stem"][1]  # type: ignore[index]
    with torch.no_grad():
        norm.weight.copy_(torch.arange(8.0))
        norm.bias.copy_(-torch.arange(8.0))
    weights = norm.weight, norm.bias
    new = NOISY.prepare(public, RUN).stages["stem"][1].norm  # type: ignore[index]
    assert (new.weight, new.bias) == weights or (new.weight is weights[0] and new.bias is weights[1])
    x = torch.rand(2, 8, 3, 3)
    torch.testing.assert_close(new(x), F.group_norm(x, 2, torch.arange(8.0), -torch.arange(8.0)))


STACKS: list[tuple[Defense, ...]] = [
    (NOISY,),
    (TLDMI("stage1"), MID(0.1), LS(-0.1), NOISY),
    (RoLSS(keep_epochs=1), NOISY, MID(0.1)),
]


@pytest.mark.parametrize("stack", STACKS, ids=lambda stack: "+".join(type(d).__name__ for d in stack))
def test_afterwards_the_classifier_is_plain_and_loads(stack: tuple[Defense, ...]) -> None:
    classifier, _ = trained(*stack)
    names = prepared(stack).state_dict().keys()
    assert classifier.state_dict().keys() == names
    assert not any(m._forward_hooks or m._backward_hooks for m in classifier.modules())
    fresh = prepared(stack)
    for attribute in ("grad_sample", "summed_grad", "_forward_counter"):
        assert not any(hasattr(p, attribute) for p in classifier.parameters())
    assert {m: set(vars(a)) for m, a in classifier.named_modules()} == {
        m: set(vars(a)) for m, a in fresh.named_modules()
    }
    fresh.load_state_dict({name: value.clone() for name, value in classifier.state_dict().items()})
    with torch.no_grad():
        assert torch.equal(fresh.eval().logits(IMAGES.pixels), classifier.logits(IMAGES.pixels))


def grads_alone(classifier: Classifier, images: Images) -> list[tuple[Tensor | None, ...]]:
    return [
        torch.autograd.grad(F.cross_entropy(classifier.logits(x), y), list(classifier.trainable()), allow_unused=True)
        for x, y in zip(images.pixels.split(1), images.labels.split(1), strict=True)
    ]


FAMILIES = ["test_resnet", "test_efficientnet", "test_convnext", "test_vit", "mobilenetv3_small_050"]


@pytest.mark.parametrize("family", FAMILIES)
def test_families_have_the_gradients_of_one_picture_at_a_time(family: str) -> None:
    few = LARGER[:2]
    classifier = prepared((NOISY,), Timm(family), few).train()
    classifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        for p in classifier.parameters():  # so that no layer scale or last norm hides what is before it
            p.data += 0.1 * torch.randn_like(p)
    wanted = grads_alone(classifier, few)
    samples = PerSample(classifier)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        F.cross_entropy(classifier.run(few.pixels).logits, few.labels).backward()
    for (name, p), *alone in zip(classifier.named_parameters(), *wanted, strict=True):
        for found, grad in zip(p.grad_sample, alone, strict=True):  # type: ignore[attr-defined]
            torch.testing.assert_close(found, grad, rtol=1e-2, atol=1e-4 * float(grad.abs().max()) + 1e-6, msg=name)
    samples.close()


@pytest.mark.parametrize("family", FAMILIES[:4])
def test_families_train(family: str) -> None:
    recipe = dataclasses.replace(RECIPE, epochs=1, batch=N)
    classifier, history = trained(NOISY, model=Timm(family), images=LARGER, recipe=recipe)
    before = prepared((NOISY,), Timm(family), LARGER).state_dict()
    assert all(not torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert history.facts["dp_sgd epsilon"].startswith("1.905 at delta = 0.065")


class Spread(nn.Module):
    """Uses a weight of another module, past that module's forward."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear

    def forward(self, h: Tensor) -> Tensor:
        return self.linear(h) + F.linear(h, self.linear.weight)


def test_what_opacus_cannot_see_is_refused_by_name() -> None:
    classifier = prepared((NOISY,))
    classifier.head = Spread(classifier.head)  # type: ignore[arg-type]
    with pytest.raises(PluginError, match=r"head\.linear\.weight do not add up"):
        fit(classifier, (NOISY,), IMAGES, IMAGES, RECIPE, RUN)
    classifier.head = nn.Sequential(
        nn.Unflatten(1, (1, -1)), nn.InstanceNorm1d(1, affine=True, track_running_stats=True)
    )
    with pytest.raises(PluginError, match=r"Opacus cannot handle head\.1, a InstanceNorm1d"):
        fit(classifier, (NOISY,), IMAGES, IMAGES, RECIPE, RUN)
    classifier.head = nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 3))
    with pytest.raises(PluginError, match=r"head\.0, a BatchNorm1d, couples(.|\n)*last"):
        fit(classifier, (NOISY,), IMAGES, IMAGES, RECIPE, RUN)
    classifier = SMALL.build(3, IMAGES.shape, RUN)
    classifier.stages["stem"][1] = nn.SyncBatchNorm(8)  # type: ignore[index, operator]
    with pytest.raises(PluginError, match=r"stages\.stem\.1, a torch.*SyncBatchNorm"):
        NOISY.prepare(classifier, RUN)


@pytest.mark.parametrize(
    ("stack", "recipe", "message"),
    [
        ((BiDO(), NOISY), {}, "BiDO: its loss or augmentation couples"),
        ((NOISY, BiDO()), {}, "BiDO: its loss or augmentation couples"),
        ((NOISY, TLDMI("stage1")), {}, r"stages\.stem\.1(.|\n)*name tl_dmi before dp_sgd"),
        ((TLDMI("stage1", statistics=False), NOISY), {}, r"stages\.stem\.1(.|\n)*statistics = true"),
        ((NOISY, DPSGD(3.0)), {}, "DPSGD and DPSGD"),
        ((NOISY,), {"balance": True}, "balance"),
        ((NOISY,), {"people": 2, "each": 2, "batch": 4}, "people = 2 in the recipe"),
        ((NOISY,), {"grad_clip": 1.0}, "max_grad_norm"),
        ((DPSGD(delta=0.1),), {}, "12 training pictures"),
        ((DPSGD(0.1, delta=1e-9),), {}, "no noise for epsilon"),
    ],
)
def test_refusals(stack: tuple[Defense, ...], recipe: dict[str, Any], message: str) -> None:
    with pytest.raises(PluginError, match=message):
        trained(*stack, recipe=dataclasses.replace(RECIPE, **recipe))


def test_refused_settings_and_what_is_no_stack() -> None:
    for settings in ({"epsilon": "accounted"}, {"noise_multiplier": 1.0}):
        with pytest.raises(PluginError, match="either a budget, or"):
            DPSGD(**settings)  # type: ignore[arg-type]
    for wrong in ({"epsilon": 0.0}, {"epsilon": math.nan}, {"epsilon": "none"}, {"max_grad_norm": math.inf}):
        with pytest.raises(PluginError):
            plugin_settings.validated(DPSGD, "dp_sgd", wrong, Path())
    none, _ = trained(BiDO())
    assert equal(none, trained(BiDO(), DPSGD().at_zero())[0])
    trained(BiDO().at_zero(), NOISY)


def test_it_trains_in_full_precision() -> None:
    one = Learner(prepared((NOISY,)), IMAGES.labels, RECIPE, dataclasses.replace(RUN, mixed_precision=True))
    assert not NOISY.learner(one, (NOISY,)).run.mixed_precision
