"""A StyleGAN2-ADA that somebody else has trained, as PPA and MIRROR use it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from unveil.attacks.priors import fir
from unveil.attacks.priors.style_critic import StyleCritic
from unveil.attacks.priors.style_layers import Layout
from unveil.attacks.priors.style_networks import Frame, StyleGAN2, StyleGenerator
from unveil.harness.assets import weights
from unveil.harness.assets.checkpoints import read
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Access, Generator, Images, Origin, Run, View
from unveil.harness.words.errors import WeightsError
from unveil.harness.words.spec import LocalPath

PARTS = ("generator", "critic")
WIDEST, DEEPEST = 1024, 16  # networks that were published have 512 channels and 8 layers that map


@dataclass(frozen=True)
class StyleGAN2ADA:
    """Pretrained StyleGAN2-ADA from a converted file, such as FFHQ at 1024 pixels for PPA; nothing is trained.

    ``unveil convert-stylegan2 ffhq.pkl ffhq.safetensors`` makes the file. A prior must never have seen a private
    picture. Of one trained here that is known; of this one it is your word, in ``trained_on``, which stands beside
    every result together with the file's checksum.

    Attributes:
        file: The converted network.
        trained_on: What it was trained on and how it is known that no private person is among it, in words.
        crop: Side of the centre square that is kept of each picture; PPA keeps 800 of 1024. None keeps all. Pictures
            are then resized to the data's size, with antialiasing.
    """

    file: Annotated[LocalPath, Field(min_length=1)]
    trained_on: Annotated[str, Field(min_length=8)]
    crop: Annotated[int, Field(ge=1)] | None = None

    paper: ClassVar[str] = "Karras et al., Training Generative Adversarial Networks with Limited Data, NeurIPS 2020"
    access: ClassVar[Access | None] = None

    def content(self) -> Mapping[str, str]:
        """Checksum of the network."""
        return {"file": weights.checksum(Path(self.file))}

    def preflight(self) -> Sequence[str]:
        """Loads the file, for pictures of its own size."""
        layout = self._layouts()["generator"]
        self.build(1, (layout.channels, layout.resolution, layout.resolution))
        return ()

    def origin(self) -> Origin:
        """What the plan says it was trained on; pictures of it may show people who exist."""
        return Origin(self.trained_on)

    def build(self, classes: int, shape: tuple[int, int, int]) -> Generator:  # noqa: ARG002
        """The networks with the file's weights, showing pictures of that shape.

        Raises:
            WeightsError: If the file is missing or damaged, or its pictures have other colours or are smaller than
                the crop.
        """
        layouts = self._layouts()
        self._check(layouts["generator"], shape)
        with seeded(Run("untrained")):
            critic = StyleCritic(layouts["critic"]) if "critic" in layouts else None
            generator = StyleGenerator(StyleGAN2(layouts["generator"]), critic, Frame(self.crop, shape[-1]))
        self._load(generator)
        return generator

    def fit(self, generator: Generator, public: Images, view: View | None, run: Run) -> Mapping[str, Sequence[float]]:  # noqa: ARG002
        """Trains nothing; the public pictures only say what shape the pictures must have."""
        assert isinstance(generator, StyleGenerator)
        self._check(generator.network.layout, public.shape)
        generator.to(run.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        generator.eval().requires_grad_(False)
        return {}

    def _layouts(self) -> dict[str, Layout]:
        try:
            with safe_open(self.file, "pt") as file:
                metadata: dict[str, str] = file.metadata() or {}
            stated: dict[str, Any] = {part: json.loads(metadata[part]) for part in PARTS if part in metadata}
            layouts = {part: TypeAdapter(Layout).validate_python(stated[part]) for part in (*stated, "generator")}
            for layout in layouts.values():
                _require_published(layout)
            return layouts
        except (OSError, SafetensorError, ValidationError, ValueError, KeyError, RecursionError) as error:
            raise WeightsError(
                f"{self.file} is no converted StyleGAN2: {type(error).__name__}: {error}",
                "a file that `unveil convert-stylegan2` wrote",
                "convert the .pkl again",
            ) from error

    def _check(self, layout: Layout, shape: tuple[int, int, int]) -> None:
        if layout.channels != shape[0] or shape[1] != shape[2]:
            raise WeightsError(
                f"{self.file} draws square pictures of {layout.channels} colours, but the data's are {shape}",
                "data of the same number of colours, as high as wide",
                "set the data set's channels and size, or choose another prior",
            )
        if self.crop is not None and self.crop > layout.resolution:
            raise WeightsError(
                f"crop = {self.crop}, but {self.file} draws {layout.resolution} pixels",
                f"a crop of at most {layout.resolution}",
                "lower the crop, or leave it out",
            )

    def _load(self, generator: StyleGenerator) -> None:
        parts = {"generator": generator.network, **({"critic": generator.critic} if generator.critic else {})}
        state = read(Path(self.file)).groups.get("", {})
        odd = [n for n, t in state.items() if n.endswith("resample_filter") and not torch.allclose(t, fir.kernel())]
        wanted = {f"{part}.{name}": t for part, net in parts.items() for name, t in net.state_dict().items()}
        wrong = [n for n in wanted.keys() & state.keys() if wanted[n].shape != state[n].shape]
        if wrong := sorted({*odd, *wrong, *(wanted.keys() ^ state.keys())}):
            raise WeightsError(
                f"{self.file}: {', '.join(wrong[:5])} missing, unexpected, or of another kind",
                f"the {len(wanted)} tensors of a StyleGAN2 of the sizes that the file states",
                "convert the .pkl again",
            )
        weights.require_numbers(state, self.file)
        for part, net in parts.items():
            net.load_state_dict({name: state[f"{part}.{name}"] for name in net.state_dict()})


def _require_published(layout: Layout) -> None:
    """Refuses sizes that no published network has: they are built before the file's tensors can contradict."""
    widths = (layout.z_dim, layout.w_dim, layout.channel_max)
    if not all(1 <= width <= WIDEST for width in widths) or not 1 <= layout.mapping_layers <= DEEPEST:
        raise ValueError(f"sizes of {max(widths)} channels and {layout.mapping_layers} layers")
    if layout.channels not in (1, 3) or layout.group < 1:
        raise ValueError(f"pictures of {layout.channels} colours, {layout.group} together")
