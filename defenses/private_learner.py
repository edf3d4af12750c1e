"""How DP-SGD learns: Opacus' per-sample gradients, clipping, noise and accounting inside the common training loop."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from opacus.accountants import create_accountant
from opacus.accountants.utils import get_noise_multiplier
from opacus.grad_sample import GradSampleModule
from opacus.grad_sample.functorch import prepare_layer
from opacus.optimizers import DPOptimizer
from opacus.utils.module_utils import trainable_modules
from opacus.validators import ModuleValidator
from torch import Tensor, nn

from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError
from unveil.harness.words.images import Images
from unveil.harness.words.learner import Learner

CLOSE, NEGLIGIBLE = 1e-2, 1e-4  # of a parameter's gradient, and of the whole gradient: what two computations may differ
COVERS = (
    "one training picture, in the weights; not all pictures of a person at once, not the choice of the epoch on "
    "validation pictures, not training curves, not public pre-training, not whoever knows the run's seed"
)


class PrivateLearner(Learner):
    """Steps on clipped and noisy sums of single pictures' gradients.

    Attributes:
        rate_of_sampling: Probability with which a step takes a picture.
        noise_multiplier: Standard deviation of the noise in units of the clip norm.
        taken: Steps so far, an interrupted training's included.

    Args:
        learner: What it takes the place of.
        noise_multiplier: See above.
        delta: That epsilon is accounted for.
        max_grad_norm: Clip norm.
        accountant: Opacus' name of it.

    Raises:
        PluginError: If Opacus cannot handle a module.
    """

    def __init__(
        self, learner: Learner, *, noise_multiplier: float, delta: float, max_grad_norm: float, accountant: str
    ) -> None:
        run = dataclasses.replace(learner.run, mixed_precision=False, probing=False)
        super().__init__(learner.classifier, learner.labels, learner.recipe, run)
        self.delta, self.max_grad_norm, self.accountant = delta, max_grad_norm, accountant
        self.taken, self._checked = 0, False
        self.noise_multiplier, self._steps = noise_multiplier, steps_per_epoch(learner)
        self.rate_of_sampling = 1 / self._steps
        self._names: dict[Any, str] = {p: name for name, p in self.classifier.named_parameters() if p.requires_grad}
        self._samples = PerSample(self.classifier)
        self._private = DPOptimizer(
            self.optimiser,
            noise_multiplier=noise_multiplier,
            max_grad_norm=max_grad_norm,
            expected_batch_size=len(self.labels) / self._steps,
            generator=torch.Generator(run.device),  # the sums it is added to differ between devices, too
        )

    def batches(self, epoch: int) -> list[Tensor]:
        """Poisson samples of the training pictures."""
        generator = self.run.generator("dp_sgd", "sampling", epoch)
        draws = (torch.rand(len(self.labels), generator=generator) for _ in range(self._steps))
        return [torch.nonzero(draw < self.rate_of_sampling).flatten() for draw in draws]

    def learn(self, loss: Tensor | None) -> None:
        """A step, on nothing but noise if the batch is empty: who is not there must not show."""
        self._private.zero_grad(set_to_none=True)
        if loss is not None:
            with _slow_attention():
                loss.backward()
        self._complete()
        self._private.generator.manual_seed(self.run.seed("dp_sgd", "noise", self.taken))
        self._private.step()
        self._private.zero_grad(set_to_none=True)
        self._samples.forget()
        self.taken += 1

    def state(self) -> dict[str, Any]:
        """The optimiser's state and the steps taken."""
        return {"optimiser": super().state(), "taken": self.taken}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts it back."""
        super().restore(state["optimiser"])
        self.taken = state["taken"]

    def facts(self, validation: Images) -> Mapping[str, str]:  # noqa: ARG002
        """The budget spent, how it was accounted, and what it covers."""
        epsilon = epsilon_of(self.noise_multiplier, self.rate_of_sampling, self.taken, self.delta, self.accountant)
        return {
            "dp_sgd epsilon": f"{epsilon:.4g} at delta = {self.delta:.3g} ({self.accountant} accountant of Opacus)",
            "dp_sgd mechanism": f"noise multiplier {self.noise_multiplier:.4g}, sampling rate "
            f"{self.rate_of_sampling:.4g}, {self.taken} steps, clip norm {self.max_grad_norm:.4g}",
            "dp_sgd epsilon covers": COVERS,
        }

    def close(self) -> None:
        """Takes Opacus' hooks off the classifier."""
        self._samples.close()

    def _complete(self) -> None:
        """Zeros for parameters that took no part; once, a check that Opacus saw all of what autograd saw."""
        seen = [p.grad_sample for p in self._names if p.grad_sample is not None]
        n = len(seen[0]) if seen else 0
        for p, name in self._names.items():
            if p.grad_sample is None and p.grad is not None and bool(p.grad.any()):
                raise _missed(name)
            if p.grad_sample is None:
                p.grad_sample = p.new_zeros(()).expand(n, *p.shape)
        if n and not self._checked:
            self._check()
            self._checked = True

    def _check(self) -> None:
        grads = {p: torch.zeros_like(p) if p.grad is None else p.grad for p in self._names}
        whole = torch.stack([grad.norm() for grad in grads.values()]).norm()
        for p, grad in grads.items():
            if (p.grad_sample.mean(0) - grad).norm() > CLOSE * grad.norm() + NEGLIGIBLE * whole:
                raise _missed(self._names[p])


def steps_per_epoch(learner: Learner) -> int:
    """As many as plain training has; each takes a picture with a probability of one in so many."""
    return math.ceil(len(learner.labels) / learner.recipe.batch)


def epsilon_of(noise_multiplier: float, rate: float, steps: int, delta: float, accountant: str) -> float:
    """Epsilon of a number of steps, according to an accountant of Opacus; infinite without noise."""
    if noise_multiplier == 0:
        return math.inf
    counted = create_accountant(accountant)
    counted.history = [(noise_multiplier, rate, steps)]
    with _loose_bounds():
        return max(0.0, float(counted.get_epsilon(delta)))


@cache
def noise_for(epsilon: float, rate: float, steps: int, delta: float, accountant: str) -> float:
    """The smallest noise multiplier that Opacus finds for a budget, to a hundredth of epsilon.

    Raises:
        PluginError: If it finds none.
    """
    try:
        with _loose_bounds():
            found = get_noise_multiplier(
                target_epsilon=epsilon, target_delta=delta, sample_rate=rate, steps=steps, accountant=accountant
            )
    except ValueError as error:
        raise PluginError(
            f"dp_sgd: Opacus finds no noise for epsilon = {epsilon} and delta = {delta:.3g}: {error}",
            "a budget that the accountant can certify",
            "raise epsilon, try the other accountant, or train for fewer epochs",
        ) from error
    return float(found)


class PerSample(GradSampleModule):  # type: ignore[misc]
    """Opacus' per-sample gradients of a classifier, whichever of its methods is called.

    Opacus hooks modules with ``register_full_backward_hook``, whose outputs must not be changed in place, as ResNets
    do. A hook on the output tensor sees the same gradient and allows it.

    Args:
        classifier: In training mode.

    Raises:
        PluginError: If Opacus cannot handle a module.
    """

    def __init__(self, classifier: Classifier) -> None:
        _require_supported(classifier)
        super().__init__(classifier)

    def add_hooks(
        self, *, loss_reduction: str = "mean", batch_first: bool = True, force_functorch: bool = False
    ) -> None:
        """Called by Opacus; its settings are always these."""
        assert (loss_reduction, batch_first, force_functorch) == ("mean", True, False)
        self.autograd_grad_sample_hooks = []
        self._hooked: dict[nn.Module, str] = {}
        names = {module: name for name, module in self._module.named_modules()}
        for module in self.iterate_submodules(self._module):
            self._hooked[module] = names[module]
            with _named(names[module], module):
                if type(module) not in self.GRAD_SAMPLERS:
                    prepare_layer(module)
            self.autograd_grad_sample_hooks.append(module.register_forward_hook(self._forward))
        self.enable_hooks()

    def forget(self) -> None:
        """Drops what a forward pass without a backward pass left behind."""
        for module in self._hooked:
            module.activations = []  # type: ignore[assignment]
        for p in self._module.parameters():
            if p.requires_grad:
                p._forward_counter = 0

    def close(self) -> None:
        """Leaves the classifier as if it had never been here."""
        self.remove_hooks()
        for module in self._hooked:
            for name in ("activations", "max_batch_len"):
                module.__dict__.pop(name, None)
        for p in self._module.parameters():
            for name in ("grad_sample", "summed_grad", "_forward_counter", "_current_grad_sample"):
                p.__dict__.pop(name, None)
            p.grad = None

    def _forward(self, module: Any, args: tuple[Tensor, ...], output: Tensor) -> None:
        if not (self.hooks_enabled and output.requires_grad):
            return
        self.capture_activations_hook(module, args, output)

        def backward(grad: Tensor) -> None:
            module.activations[-1] = [_plain(t) for t in module.activations[-1]]
            with _named(self._hooked[module], module):
                self.capture_backprops_hook(module, None, (_plain(grad),), "mean", True)

        output.register_hook(backward)


def _plain(t: Tensor) -> Tensor:
    """A copy that is not in channels-last format, for which Opacus 1.6 silently gets convolutions wrong.

    ``contiguous`` is not enough: it leaves pictures of one pixel, which are in either format, as they are.
    """
    return t.clone(memory_format=torch.contiguous_format)


def _require_supported(classifier: Classifier) -> None:
    for name, module in trainable_modules(classifier):
        validate = ModuleValidator.VALIDATORS.get(type(module), lambda _: [])
        reasons = [str(error) for error in validate(module)]
        if any(True for _ in module.buffers()):
            reasons.append("it trains and has buffers, which could carry something from picture to picture")
        if reasons:
            raise _unsupported(name, module, reasons[0])


def _unsupported(name: str, module: nn.Module, reason: str) -> PluginError:
    return PluginError(
        f"dp_sgd: Opacus cannot handle {name}, a {type(module).__name__}: {reason}",
        "modules with gradients of single pictures",
        "choose another model, freeze that stage with tl_dmi before dp_sgd, or drop the defense that put it there",
    )


def _missed(name: str) -> PluginError:
    return PluginError(
        f"dp_sgd: the gradients of single pictures that Opacus has for {name} do not add up to its gradient",
        "parameters that are used in their module's forward, and only there",
        "choose another model, freeze that stage with tl_dmi before dp_sgd, or drop the defense that put it there",
    )


@contextmanager
def _named(name: str, module: nn.Module) -> Iterator[None]:
    """Opacus' own failures, with the name of the module."""
    try:
        yield
    except (NotImplementedError, RuntimeError, ValueError, IndexError) as error:
        raise _unsupported(name, module, str(error).split("\n")[0]) from error


@contextmanager
def _loose_bounds() -> Iterator[None]:
    """Accountants warn where a bound is valid but not the tightest, and of overflows in what they then discard."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Optimal order is the (largest|smallest) alpha")
        warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"(opacus\.accountants|numpy)")
        yield


@contextmanager
def _slow_attention() -> Iterator[None]:
    """Per-sample gradients of an attention pool are computed picture by picture; torch says so, and no more can be."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop because we have not yet implemented")
        yield
