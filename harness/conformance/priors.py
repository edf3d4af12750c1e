"""Conformance of priors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from math import isfinite
from pathlib import Path

import torch
from torch import Tensor

from unveil.harness.conformance import supply, tiny, watch
from unveil.harness.conformance.folding import require_the_same, stirred
from unveil.harness.conformance.report import BreachError, NotApplicableError
from unveil.harness.conformance.watch import Tensors, Trial, require_finite, require_pixels
from unveil.harness.steps import lineage
from unveil.harness.steps.prior import fitted
from unveil.harness.words.errors import PluginError, UnveilError
from unveil.harness.words.folding import folded
from unveil.harness.words.generator import ConditionalGenerator, Generator
from unveil.harness.words.given import Given
from unveil.harness.words.names import Access
from unveil.harness.words.needs import access_of
from unveil.harness.words.prior import Prior, PriorWithNeeds
from unveil.harness.words.run import Run
from unveil.harness.words.view import View

COUNT = 4


class PriorTrial(Trial):
    """A prior, trained for a few steps."""

    generator: Generator
    curves: Mapping[str, Sequence[float]]

    def __init__(self, plugin: Prior | PriorWithNeeds, base: Path, side: int) -> None:
        super().__init__(plugin)
        self.base, self.shape = base, (3, side, side)
        self.public, self.target = tiny.public(side), tiny.target()

    def inputs(self) -> Tensors:
        """Public pictures and the target."""
        state = {f"the target's {name}": tensor for name, tensor in self.target.state_dict().items()}
        given = supply.tensors(self.given)
        return {"public pixels": self.public.pixels, "public labels": self.public.labels, **state, **given}

    @cached_property
    def given(self) -> Given:
        """What it needs besides."""
        return supply.supplied(self.plugin, self.base)

    def act(self, run: Run) -> Tensors:
        """Trains; gives the networks and a few pictures."""
        self.generator = self.plugin.build(tiny.CLASSES, self.shape)
        if not isinstance(self.generator, Generator):
            raise BreachError(f"build returned {type(self.generator).__name__}", "unveil.harness.types.Generator")
        access = access_of(self.plugin)
        view = View(self.target, Access(access), self.shape) if access else None
        self.curves = fitted(self.plugin, self.generator, self.public, view, run, self.given)
        self.generator.eval().requires_grad_(False)
        return {**self.generator.state_dict(), "pictures": self.generator.synthesize(latents(self.generator))}


def latents(generator: Generator, count: int = COUNT) -> Tensor:
    """The first few latents, one per generator."""
    return generator.sample(Run("conformance latents").generators("z", [(i,) for i in range(count)]))


def learns_and_draws_pictures(trial: PriorTrial) -> None:
    """After training, latents become pixels in [0, 1]."""
    assert trial.first
    z = latents(trial.generator)
    require_finite(z, (COUNT, trial.generator.latent), "sampled latents")
    require_pixels(trial.generator.synthesize(z), (COUNT, *trial.shape), "synthesised pixels")


def judges_realism(trial: PriorTrial) -> None:
    """One finite number per picture, or a reason why it cannot."""
    try:
        found = trial.generator.realism(trial.public.pixels[:COUNT])
    except UnveilError as error:
        raise NotApplicableError(error.what) from error
    require_finite(found, (COUNT,), "realism")


def realism(generator: Generator, x: Tensor) -> Tensor:
    """What it says of each picture ``(N,)``; zeros if it says that it cannot."""
    try:
        return generator.realism(x)
    except UnveilError:
        return x.new_zeros(len(x))


def training_curves_are_finite(trial: PriorTrial) -> None:
    """What fit returns can be logged."""
    if not isinstance(trial.curves, Mapping):
        raise BreachError(
            f"fit returned {type(trial.curves).__name__}", "training curves by name, such as {'loss': [...]}"
        )
    wild = [name for name, curve in trial.curves.items() if not all(isfinite(value) for value in curve)]
    if wild:
        raise BreachError(f"training curve {wild[0]!r} is not finite", "finite losses", "lower the learning rate")


def samples_do_not_see_each_other(trial: PriorTrial) -> None:
    """A sample's latent, picture and realism do not depend on the batch."""
    net = trial.generator
    z, alone = latents(net), latents(net, 1)
    pairs = (
        ("latent", z[:1], alone),
        ("picture", net.synthesize(z)[:1], net.synthesize(alone)),
        ("realism", realism(net, trial.public.pixels[:COUNT])[:1], realism(net, trial.public.pixels[:1])),
    )
    for what, together, single in pairs:
        if not torch.allclose(together, single, atol=1e-3, rtol=1e-3):
            raise BreachError(
                f"the {what} of a sample changes by {(together - single).abs().max():.2g} with its batch",
                "an answer that depends on the sample alone",
                "draw with one generator per sample (draw_normal) and use layers in evaluation mode",
            )


def gradients_reach_the_latent(trial: PriorTrial) -> None:
    """White-box attacks descend latents through pictures and realism."""
    z = latents(trial.generator).requires_grad_(True)
    x = trial.generator.synthesize(z)
    (slope,) = torch.autograd.grad(x.sum() + realism(trial.generator, x).sum(), z)
    require_finite(slope, tuple(z.shape), "gradients of latents")
    if not slope.any():
        raise BreachError("the gradient of the latents is zero", "one to descend", "leave out detach and no_grad")


def says_what_pretrained_weights_have_seen(trial: PriorTrial) -> None:
    """A prior that reads files from outside says what they were trained on."""
    try:
        origin = lineage.declared(trial.plugin)
    except PluginError as error:
        raise BreachError(error.what, error.expected, error.todo) from error
    if origin is None:
        raise NotApplicableError("it learns everything here")


def batch_norms_can_be_folded(trial: PriorTrial) -> None:
    """What attacks search in place of it in bfloat16 draws and judges the same up to rounding."""
    net, x = stirred(trial.generator), trial.public.pixels[:COUNT]
    fast, z, y = folded(net), latents(net), torch.arange(COUNT) % tiny.CLASSES
    with torch.no_grad():
        require_the_same(net.synthesize(z), fast.synthesize(z), "pictures")
        require_the_same(realism(net, x), realism(fast, x), "what it says of pictures' realism")
        if isinstance(net, ConditionalGenerator) and isinstance(fast, ConditionalGenerator):
            require_the_same(net.synthesize_as(z, y), fast.synthesize_as(z, y), "pictures of a class")


def networks_can_be_stored(trial: PriorTrial) -> None:
    """A state dict loaded into freshly built networks makes the same generator."""
    other = trial.plugin.build(tiny.CLASSES, trial.shape)
    other.load_state_dict(trial.generator.state_dict())
    other.eval().requires_grad_(False)
    z, x = latents(trial.generator), trial.public.pixels[:COUNT]
    pairs = (
        (other.synthesize(z), trial.generator.synthesize(z)),
        (realism(other, x), realism(trial.generator, x)),
    )
    if not all(torch.allclose(a, b, atol=1e-4, rtol=1e-4) for a, b in pairs):  # training may change a memory format
        raise BreachError(
            "a generator filled with the state dict of another answers differently",
            "everything that is learnt in the state dict",
            "make it a parameter or a persistent buffer",
        )


CHECKS = (
    learns_and_draws_pictures,
    judges_realism,
    training_curves_are_finite,
    *watch.COMMON,
    samples_do_not_see_each_other,
    gradients_reach_the_latent,
    batch_norms_can_be_folded,
    networks_can_be_stored,
    says_what_pretrained_weights_have_seen,
)


def trial(plugin: Prior | PriorWithNeeds, base: Path) -> PriorTrial:
    """A prior on trial, with the smallest pictures it makes."""
    return PriorTrial(plugin, base, side_of(plugin))


def side_of(plugin: Prior | PriorWithNeeds) -> int:
    """32, or 64 for a prior that refuses 32."""
    try:
        plugin.build(tiny.CLASSES, tiny.SHAPE)
    except Exception:  # tried again with 64, where the error is told
        return 64
    return tiny.SHAPE[-1]
