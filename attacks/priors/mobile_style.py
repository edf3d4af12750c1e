"""A strong face prior that installs with pip: MobileStyleGAN, as PPA and MIRROR use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field
from torch import nn

from unveil.attacks.priors import mobile_head
from unveil.attacks.priors.mobile_generator import MobileGenerator, load
from unveil.harness.assets import fetch as assets
from unveil.harness.assets import weights
from unveil.harness.assets.checkpoints import Checkpoint
from unveil.harness.models import mobile_head_file
from unveil.harness.models.mobile_networks import FRAMINGS, PUBLISHED, SIDE, Features, Framing, Head, ToPicture, cut
from unveil.harness.models.mobile_weights import ASSET
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Access, Generator, Images, Origin, Run, View
from unveil.harness.words.errors import WeightsError
from unveil.harness.words.spec import LocalPath

LARGEST_HEAD = 256
WORDS = ("shipped", "learnt")  # of the setting head; anything else is a file
ONCE = (64,)  # widths of a head that is learnt from few pictures: it doubles once, so that little is left to learn
LEARNT = (
    "FFHQ (70,000 portraits from Flickr, CC BY-NC-SA 4.0), by way of StyleGAN2 (NVIDIA Source Code License-NC) and "
    "MobileStyleGAN; for non-commercial research. No private person among them: {apart}"
)


@dataclass(frozen=True)
class MobileStyle:
    """MobileStyleGAN trained on FFHQ: draws people who look real, installs with pip, and needs no GPU.

    The network is taken from the asset ``mobilestylegan``, for non-commercial research. It draws 1024 pixels, which is
    slow on a CPU. For small pictures it is cut where its features are small, and a small head draws from there. The
    head for aligned faces of 64 pixels comes with this package, for non-commercial research as the network. For other
    framings and sizes one is learnt here, from pictures of the whole network (ten minutes of one core or so, once for
    each data set), or comes from a file. Nobody's photographs are used.

    A prior must never have seen a private picture. FFHQ has no names: whether a private person is among its 70,000 is
    not known, unless ``apart`` says how it is; the words stand beside every result.

    Attributes:
        framing: ``"arcface"``, faces aligned to ArcFace's five points as recognition networks have them (112 pixels),
            or ``"ffhq"``, the whole frame with hair and shoulders.
        whole: Whether to run the whole network and shrink its pictures: the best pictures, at some twenty times the
            time. Pictures of more than 256 pixels, or of an odd number, are always made so.
        head: ``"shipped"``: the head that comes with this package for this framing and size, and where there is none,
            ``"learnt"``: one that is learnt here. Or one that was learnt before, a ``.safetensors`` file.
        pictures: Pictures of the whole network that the head is learnt from.
        steps: Steps of learning.
        batch: Pictures in a step.
        lr: Learning rate of Adam, falling to nothing along half a cosine.
        apart: How it is known that no private person is in FFHQ, in words.
    """

    framing: Framing = "arcface"
    whole: bool = False
    head: Annotated[LocalPath, Field(min_length=1)] = "shipped"
    pictures: Annotated[int, Field(ge=4)] = 300
    steps: Annotated[int, Field(ge=1)] = 800
    batch: Annotated[int, Field(ge=1)] = 8
    lr: Annotated[float, Field(gt=0)] = 3e-3
    apart: Annotated[str, Field(min_length=8)] = "not known, FFHQ has no names"

    paper: ClassVar[str] = "Belousov, MobileStyleGAN, 2021; Karras et al., StyleGAN2, CVPR 2020"
    access: ClassVar[Access | None] = None

    def content(self) -> Mapping[str, str]:
        """Checksums of the network, and of the head's file, or of all that it may be for one size or another."""
        if self.head != "shipped":
            files = {} if self.head == "learnt" else {"head": weights.checksum(Path(self.head))}
        else:
            shipped = mobile_head_file.shipped(self.framing).values()
            files = {"head": assets.digest((file.name, assets.sha256(file)) for file in shipped)} if shipped else {}
        return {ASSET: assets.checksum(ASSET), **files}

    def canonical(self) -> Mapping[str, Any]:
        """Settings as identities say them: none is a head that is learnt; of another one ``content`` tells."""
        return {**plugin_settings.said(self), "head": None}

    def preflight(self) -> Sequence[str]:
        """Loads the head's file, if one is named."""
        return () if self.head in WORDS else mobile_head_file.read(Path(self.head), self.framing, None)[1]

    def _file(self, size: int) -> Path | None:
        """The head's file for pictures of that size; None if one is to be learnt."""
        if self.head in WORDS:
            return mobile_head_file.shipped(self.framing).get(size) if self.head == "shipped" else None
        return Path(self.head)

    def origin(self) -> Origin:
        """What the network was trained on, and its terms."""
        return Origin(LEARNT.format(apart=self.apart))

    def build(self, classes: int, shape: tuple[int, int, int]) -> Generator:  # noqa: ARG002
        """The networks for pictures of that shape, still without their weights.

        Raises:
            WeightsError: If pictures are not square and of three colours, or larger than 1024 pixels.
        """
        if shape[0] != 3 or shape[1] != shape[2] or not 8 <= shape[1] <= SIDE:
            raise WeightsError(
                f"mobile_style draws square colour pictures, but the data's are {shape}",
                f"(3, S, S), S from 8 to {SIDE}",
                "set the data set's channels and size, or choose another prior",
            )
        with seeded(Run("untrained")):
            return self._networks(shape[1]).eval()

    def fit(self, generator: Generator, public: Images, view: View | None, run: Run) -> Mapping[str, Sequence[float]]:  # noqa: ARG002
        """Loads the network, and learns the head where none is given; public pictures only say what shape they have.

        Raises:
            AssetError: If the network cannot be had.
            WeightsError: If a file does not hold what it should.
        """
        assert isinstance(generator, MobileGenerator)
        load(generator, run)
        if not isinstance(generator.end, Head):
            return {}
        if (file := self._file(generator.size)) is not None:
            state, _ = mobile_head_file.read(file, self.framing, generator.size)
            weights.load(generator.end, Checkpoint(file, {"": state}), head="none")
            return {}
        with seeded(run, "head"):
            whole = self._whole(generator.size)
            generator.end.cpu().apply(_reset).to(run.device)
        load(whole, run)
        learning = mobile_head.Learning(self.pictures, self.steps, self.batch, self.lr)
        return mobile_head.learn(generator, whole, learning, run)

    def _networks(self, size: int) -> MobileGenerator:
        file = self._file(size)
        if self.whole or (file is None and (size > LARGEST_HEAD or size % 2)):
            return self._whole(size)
        channels, widths = (None, ONCE) if file is None else mobile_head_file.widths(file)
        features, head = cut(size, widths)
        if size % (1 << len(widths)) or channels not in (None, features.channels):
            raise WeightsError(
                f"{file} is a head on features of {channels} channels that doubles {len(widths)} times",
                f"one on {features.channels} channels that makes pictures of {size} pixels",
                "name another file, or let one be learnt",
            )
        return MobileGenerator(features, head, FRAMINGS[self.framing], size)

    def _whole(self, size: int) -> MobileGenerator:
        end = ToPicture(PUBLISHED[-1][1])
        return MobileGenerator(Features(PUBLISHED), end, FRAMINGS[self.framing], size)


def _reset(module: nn.Module) -> None:
    reset = getattr(module, "reset_parameters", None)
    if callable(reset):
        reset()
