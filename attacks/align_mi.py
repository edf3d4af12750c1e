"""AlignMI: the gradient's mean over a picture's neighbours, in any attack that descends (Peng et al., NeurIPS 2025)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, TypeAlias, runtime_checkable

import torch
from pydantic import Field
from torch import Tensor

from unveil.attacks import augment
from unveil.attacks.afford import tell
from unveil.attacks.around import AroundBase
from unveil.attacks.augment import Augmentation
from unveil.attacks.frozen import prior_of
from unveil.attacks.numbers import uniform
from unveil.attacks.search import Identity, Key, at
from unveil.harness.plan import plugins
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.types import (
    Access,
    Budget,
    Generator,
    Images,
    Ingredients,
    Run,
    Spec,
    View,
    draw_normal,
)
from unveil.harness.words.crops import RandomCrop
from unveil.harness.words.erasing import squares
from unveil.harness.words.errors import PluginError
from unveil.harness.words.spec import HeldAttack

Variant: TypeAlias = Literal["taa", "paa", "erase"]
Share = Annotated[float, Field(ge=0, le=1)]
ASPECTS = (0.9, 1.1)


@runtime_checkable
class Seeing(Protocol):
    """An attack that says what it descends, and can be made to descend something else."""

    def seen(self, view: View, ingredients: Ingredients, run: Run) -> Identity:
        """What it descends by itself."""
        ...

    def descend(self, view: View, prior: Generator, identity: Identity, labels: Tensor, run: Run) -> Images:
        """Pictures of each label, found by descending that identity loss."""
        ...


@dataclass(frozen=True)
class AlignMI(AroundBase):
    """AlignMI: where an attack takes the target's gradient at a picture, takes the mean over neighbours of the picture.

    Such a mean lies closer to what the generator can draw. It trains nothing. Neighbours are what the target would be
    shown: the picture after the base's own crops.

    Seen otherwise it is an expectation over transformations, the standard answer to a defense that rests on noise or on
    single views: small noise (``"paa"``) averages over MID's, erasing (``"erase"``) meets MIDRE as it was trained.

    Departure: the noise of PAA has each picture's own range, not its batch's.

    Attributes:
        base: The attack, with its settings: ``gmi``, ``kedmi``, ``plgmi``, ``ppa``, ``if_gmi``, ``mirror_white_box``
            or ``lomma``.
        variant: ``"taa"`` (crops, mirror and turn), ``"paa"`` (Gaussian noise) or ``"erase"`` (grey squares).
        neighbours: K, pictures a gradient is the mean of; 50 as published, and 20 are said to suffice.
        alpha: Noise of PAA as a share of each picture's range; .05 in the paper, at 64 pixels .003 to .05.
        crop: Least and greatest share of the picture that a view of TAA shows; (.9, 1) at 64 pixels on GMI.
        degrees: Largest turn of TAA.
        flip: Probability that a view of TAA is mirrored; 0 where a mirror image is something else, such as a digit.
        erased: Least and greatest share of the picture that is covered.
        fill: Grey of the squares, in [0, 1].
    """

    base: HeldAttack = field(default=Spec("ppa"))
    variant: Variant = "taa"
    neighbours: Annotated[int, Field(ge=1)] = 20
    alpha: Annotated[float, Field(ge=0)] = 0.05
    crop: tuple[Share, Share] = (0.8, 1.0)
    degrees: Annotated[float, Field(ge=0, le=180)] = 5.0
    flip: Share = 0.5
    erased: tuple[Share, Share] = (0.1, 0.4)
    fill: Share = 0.72

    paper: ClassVar[str] = (
        "Peng et al., Generative Model Inversion Through the Lens of the Manifold Hypothesis, NeurIPS 2025"
    )
    access: ClassVar[Access] = Access.WHITE_BOX

    def __post_init__(self) -> None:
        for name, (least, greatest) in (("crop", self.crop), ("erased", self.erased)):
            if least > greatest:
                raise PluginError(f"align_mi with {name} = {[least, greatest]}", "the least share first", "swap them")
        self.attack()

    @property
    def shown_each(self) -> int:
        """Neighbours of all that the base shows of a picture."""
        return self.neighbours * super().shown_each

    def attack(self) -> Any:
        """The base.

        Raises:
            PluginError: If it cannot be made, or does not say what it descends.
        """
        cls = plugins.load("attacks", self.base.use, Path())
        made: Any = plugin_settings.validated(cls, self.base.use, self.base.settings, Path())
        if not isinstance(made, Seeing):
            raise PluginError(
                f"{self.base.use} cannot be the base of align_mi: it does not say what it descends",
                "an attack with the methods `seen` and `descend`, such as gmi or ppa",
                "choose another base",
            )
        return made

    def reconstruct(self, view: View, ingredients: Ingredients, labels: Tensor, run: Run) -> Images:
        """Gives as many pictures of each label as the base; see `harness.types.Attack.reconstruct`."""
        base = self.within(view.budget, len(labels))
        tell(self.attack(), base, run)
        identity = Neighbourhood(base.seen(view, ingredients, run), self, run)
        return base.descend(view, prior_of(ingredients, run), identity, labels, run)  # type: ignore[no-any-return]

    def within(self, budget: Budget, identities: int) -> Any:
        """The base cut as if each of its questions cost as much as all neighbours, where it can be cut beforehand."""
        base = self.attack()
        if not hasattr(base, "within") or budget == replace(Budget(), identities=budget.identities):
            return base
        allowed = (budget.queries, budget.gradients)
        queries, gradients = (None if most is None else max(1, most // self.neighbours) for most in allowed)
        return base.within(Budget(queries, gradients, budget.identities), identities)

    def identity_loss(self, o: Tensor, y: Tensor) -> Tensor:
        """What it descends; see `harness.types.Guided`."""
        loss: Tensor = self.attack().identity_loss(o, y)
        return loss

    def looks(self, run: Run, keys: Sequence[Key], t: int, copies: int) -> Callable[[Tensor, int], Tensor]:
        """What makes neighbour k of pictures ``(N * copies, C, H, W)`` at a step."""
        if self.variant == "paa":
            return self._noisy(run, keys, t, copies)
        u = uniform(run, "neighbours", self.neighbours * augment.NUMBERS).at(keys, t)
        u = u.view(len(keys), self.neighbours, augment.NUMBERS).repeat_interleave(copies, 0)
        if self.variant == "erase":
            return lambda x, k: self._erased(x, u[:, k, :3])
        view = Augmentation(RandomCrop(self.crop, ASPECTS, self.flip), 0.0, 0.0, 0.0, self.degrees)
        return lambda x, k: view(x, u[:, k].to(x.device))

    def _noisy(self, run: Run, keys: Sequence[Key], t: int, copies: int) -> Callable[[Tensor, int], Tensor]:
        def look(x: Tensor, k: int) -> Tensor:
            e = draw_normal(run.generators("neighbours", [(*key, t, k) for key in keys]), tuple(x.shape[1:]))
            spread = x.detach().flatten(1).amax(1) - x.detach().flatten(1).amin(1)
            return x + self.alpha * spread.view(-1, 1, 1, 1) * e.to(x).repeat_interleave(copies, 0)

        return look

    def _erased(self, x: Tensor, u: Tensor) -> Tensor:
        hidden = squares(u, (x.shape[-2], x.shape[-1]), *self.erased).to(x.device)[:, None]
        return torch.where(hidden, self.fill, x)


class Neighbourhood:
    """An identity loss whose value and gradient are means over neighbours.

    Neighbours are seen one by one, so that no more is in memory than without them; the gradient to the picture is put
    in one vector-Jacobian product then.

    Args:
        identity: What is averaged.
        attack: How neighbours are made.
        run: Their random numbers.
    """

    def __init__(self, identity: Identity, attack: AlignMI, run: Run) -> None:
        self._identity, self._attack, self._run = identity, attack, run

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002 (as any identity loss)
        """Refuses: which neighbours, the sample and the step decide.

        Raises:
            PluginError: Always.
        """
        raise PluginError(
            "a neighbourhood was asked without saying for which samples and at which step",
            "`search.at(identity, keys, t)(x, y)`",
            "let the attack that descends ask so",
        )

    def at(self, keys: Sequence[Key], t: int) -> Identity:
        """The loss of samples at a step."""
        inner, count = at(self._identity, keys, t), self._attack.neighbours

        def mean(x: Tensor, y: Tensor) -> Tensor:
            look = self._attack.looks(self._run, keys, t, len(x) // len(keys))
            value, g = torch.zeros((), device=x.device), torch.zeros_like(x)
            for k in range(count):
                seen = x.detach().requires_grad_(True)
                loss = inner(look(seen, k), y)
                g = g + torch.autograd.grad(loss.sum(), seen)[0] / count
                value = value + loss.detach() / count
            return value + ((x - x.detach()) * g).flatten(1).sum(1)

        return mean
