"""Any timm classifier by name, as a chain of named stages."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, TypeAlias, cast

import torch
from pydantic import Field
from torch import Tensor, nn

from unveil.harness.assets import fetch as assets
from unveil.harness.assets import torchvision_ops
from unveil.harness.assets import weights as files
from unveil.harness.assets.checkpoints import Checkpoint, read
from unveil.harness.assets.wrappers import select
from unveil.harness.models.chains import split
from unveil.harness.models.trained_elsewhere import has_own_names, head_size, misfit
from unveil.harness.training.global_rng import seeded
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError, WeightsError
from unveil.harness.words.model import Model
from unveil.harness.words.run import Run
from unveil.harness.words.spec import LATER, LocalPath

Level: TypeAlias = Annotated[float, Field(allow_inf_nan=False)]
Amount: TypeAlias = Annotated[float, Field(gt=0, allow_inf_nan=False)]
ASSETS = {f"tf_efficientnet_lite{i}": f"efficientnet-lite{i}" for i in range(3)}


@dataclass(frozen=True)
class Timm(Model):
    """Any classifier of the timm library, by its timm name.

    The families that timm builds from a stem and a row of stages (ResNet, VGG, EfficientNet, MobileNet, ConvNeXt, ViT,
    DenseNet, Swin, RegNet, ...) become chains with those stages; any other model is one stage named ``body``. Whether
    the chain computes what timm's own model computes is checked each time one is built.

    Attributes:
        architecture: Such as ``"resnet18"``, or with a tag of pretrained weights, ``"resnet18.a1_in1k"``.
        weights: ``"none"`` (random), ``"asset"`` (ImageNet weights that come with pip, for ``tf_efficientnet_lite0``,
            ``1`` and ``2``), ``"hub"`` (timm's own, needs a network the first time) or a ``.safetensors``, ``.pt`` or
            ``.pth`` file with timm's names. The head starts anew unless the class count is the checkpoint's.
        size: Side that images are resized to; None takes them as they are.
        mean: Taken from each channel, in place of timm's; (.5, .5, .5) in PPA's published targets.
        std: What each channel is divided by then, in place of timm's; (.5, .5, .5) there.
    """

    architecture: str
    weights: LocalPath = "none"
    size: Annotated[int, Field(ge=8)] | None = None
    mean: Annotated[tuple[Level, ...] | None, LATER] = None
    std: Annotated[tuple[Amount, ...] | None, LATER] = None

    def content(self) -> dict[str, str]:
        """What the pretrained weights are: the checksum of a file or asset, or the address at the hub.

        Raises:
            PluginError: If timm knows no such model.
            WeightsError: If the weights do not exist.
        """
        cfg = _config(self.architecture)
        if self.weights == "none":
            return {}
        if self.weights == "hub":
            return {"weights": f"hub:{cfg.hf_hub_id or cfg.url or cfg.file}"}
        if self.weights == "asset":
            return {"weights": assets.checksum(_asset(self.architecture))}
        return {"weights": files.checksum(Path(self.weights))}

    def preflight(self) -> Sequence[str]:
        """Loads the weights of a file, or of an asset that is here, into the model that they are meant for.

        How large pictures are and how many people there are is not known yet, so a model of fixed size is not compared
        with its file tensor by tensor before it is built.

        Raises:
            WeightsError: If they do not fit.
        """
        path, cfg = self._file(), _config(self.architecture)
        if path is None:
            return ()
        checkpoint = read(path)
        if cfg.fixed_input_size:
            return ()
        first = _first(cfg.first_conv)
        seen = [t.shape[1] for group in checkpoint.groups.values() for name, t in group.items() if _is(name, first, t)]
        with seeded(Run("preflight")):
            model = self._create(2, 1 if 1 in seen else 3, None)
        return self._load(model, checkpoint, _head(self.architecture, model)[0], first)

    def build(self, classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:
        """The model as a chain, with its weights, a head for ``classes`` and timm's input normalisation."""
        channels, sides = shape[0], (shape[1:] if self.size is None else (self.size, self.size))
        cfg = _config(self.architecture)
        with seeded(run, "initial weights"):
            model = self._create(classes, channels, sides if cfg.fixed_input_size else None)
        if self.weights == "asset":
            assets.path(_asset(self.architecture))  # fetched, if it is not here
        if (path := self._file()) is not None:
            self._load(model, read(path), _head(self.architecture, model)[0], _first(cfg.first_conv))
        return self._chain(model, classes, shape, run)

    def _chain(self, model: nn.Module, classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:
        """A model of timm's, whose parameters it shares."""
        channels, sides = shape[0], (shape[1:] if self.size is None else (self.size, self.size))
        cfg, (head_name, head) = _config(self.architecture), _head(self.architecture, model)
        mean, std = _per_channel(self.mean or cfg.mean, channels), _per_channel(self.std or cfg.std, channels)
        probe = torch.randn(1, channels, *sides, generator=run.generator("chain check"))
        stages, head = _as_chain(self.architecture, model, head_name, head, probe)
        chain = Classifier(stages, head, classes=classes, mean=mean, std=std, size=self.size)
        return chain.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def colours(self, path: Path) -> int:
        """Channels of the pictures that a checkpoint was trained on; 3 if it does not say.

        Raises:
            WeightsError: If the file cannot be read.
        """
        first = _first(_config(self.architecture).first_conv)
        groups = read(path).groups.values()
        return next((int(t.shape[1]) for group in groups for name, t in group.items() if _is(name, first, t)), 3)

    def restore(self, path: Path, shape: tuple[int, int, int], run: Run) -> tuple[Classifier, tuple[str, ...]] | None:
        """As `harness.models.trained_elsewhere.Restoring`, of checkpoints with timm's own names."""
        cfg, channels, checkpoint = _config(self.architecture), shape[0], read(path)
        fixed = (self.size or cfg.input_size[-1]) if cfg.fixed_input_size else None
        bare, sides = replace(self, weights="none", size=fixed or self.size), fixed and (fixed, fixed)
        with seeded(run, "initial weights"):
            empty = bare._create(2, channels, sides)
            names = empty.state_dict().keys()
            found, _ = select(checkpoint, names)
            if 2 * found.fits <= len(names):
                if has_own_names(bare.build(2, shape, run), checkpoint):
                    return None
                raise misfit(path, found, names)
            head = _head(self.architecture, empty)[0]
            _require_colours(found.tensors, _first(cfg.first_conv), channels, path)
            classes = head_size(found, head, path)
            model = bare._create(classes, channels, sides)
        notes = tuple(files.load(model, checkpoint, files.WHOLE))
        return bare._chain(model, classes, shape, run), notes

    def _create(self, classes: int, channels: int, sides: Sequence[int] | None) -> nn.Module:
        fixed = {} if sides is None else {"img_size": tuple(sides)}
        create, hub = _timm().create_model, self.weights == "hub"
        try:
            return cast(
                nn.Module, create(self.architecture, pretrained=hub, num_classes=classes, in_chans=channels, **fixed)
            )
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            if hub:
                raise WeightsError(
                    f"the pretrained weights of {self.architecture} could not be fetched: {reason}",
                    "a model with pretrained weights, and a network the first time",
                    "go online, or download the file elsewhere and set weights = 'path/to/model.safetensors'",
                ) from error
            raise PluginError(
                f"timm cannot build {self.architecture} for images of side {sides}: {reason}",
                "a side the architecture takes, such as a multiple of its patch",
                "set size",
            ) from error

    def _file(self) -> Path | None:
        """Where the weights lie; None if nowhere on this machine."""
        if self.weights == "asset":
            return assets.path_if_present(_asset(self.architecture))
        return None if self.weights in ("none", "hub") else Path(self.weights)

    def _load(self, model: nn.Module, checkpoint: Checkpoint, head: str, stem: Sequence[str]) -> Sequence[str]:
        load = files.load_in_order if self.weights == "asset" else files.load
        return load(model, checkpoint, head, stem)


def _timm() -> ModuleType:
    torchvision_ops.ensure()
    return importlib.import_module("timm")  # seconds of import, needed only where a model is named


def _config(name: str) -> Any:
    """The description of a model in timm.

    Raises:
        PluginError: If there is no such model.
    """
    timm = _timm()
    base, _, tag = name.partition(".")
    if timm.is_model(base) and (not tag or name in timm.list_pretrained(f"{base}.*")):
        return timm.get_pretrained_cfg(name)
    known = timm.list_pretrained(f"{base}.*") if timm.is_model(base) else timm.list_models()
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise PluginError(
        f"timm has no model named {name!r}{hint}", "a name from timm.list_models()", "correct the model's name"
    )


def _first(named: str | Sequence[str] | None) -> tuple[str, ...]:
    """Names of the convolutions that see the picture."""
    return (named,) if isinstance(named, str) else tuple(named or ())


def _is(name: str, layers: Sequence[str], value: Tensor) -> bool:
    """Whether a tensor is the kernel of one of the layers, whatever its name begins with."""
    return value.ndim == 4 and any(f".{name}".endswith(f".{layer}.weight") for layer in layers)


def _require_colours(tensors: Mapping[str, Tensor], stem: Sequence[str], channels: int, path: Path) -> None:
    """Refuses weights for pictures of other colours than these: a shape alone would not tell a user what to do."""
    seen = {value.shape[1] for name, value in tensors.items() if _is(name, stem, value)}
    if seen and seen != {channels}:
        raise WeightsError(
            f"{path} was trained on pictures of {min(seen)} channels, and these have {channels}",
            "pictures as the model has seen them",
            f"set channels = {min(seen)} for the data set, if it has that setting",
        )


def _asset(name: str) -> str:
    base = name.partition(".")[0]
    if base not in ASSETS:
        raise WeightsError(
            f"there are no weights of {name} among the assets",
            f"one of {', '.join(ASSETS)}",
            "take one of these, or weights = 'hub', or a local file",
        )
    return ASSETS[base]


def _per_channel(values: Sequence[float], channels: int) -> list[float]:
    """The three values of an RGB model, or their mean for each channel of images that are not RGB."""
    return list(values) if len(values) == channels else [sum(values) / len(values)] * channels


def _head(name: str, model: nn.Module) -> tuple[str, nn.Module]:
    found: Any = cast(Any, model).get_classifier()
    names = [path for path, module in model.named_modules() if module is found]
    if not names or not isinstance(found, nn.Linear | nn.Conv2d):
        raise PluginError(
            f"{name} does not end in one linear layer but in {type(found).__name__}",
            "a classifier with one linear head",
            "choose the variant without distillation or a related model",
        )
    return names[0], found


def _as_chain(
    name: str, model: nn.Module, head_name: str, head: nn.Module, probe: Tensor
) -> tuple[dict[str, nn.Module], nn.Module]:
    """Stages and head that answer the probe exactly as the model does."""
    model.eval()
    try:
        with torch.no_grad():
            expected = model(probe)
    except RuntimeError as error:
        raise PluginError(
            f"{name} cannot take images of shape {tuple(probe.shape[1:])}: {error}", "larger images", "set size"
        ) from error
    model.set_submodule(head_name, nn.Identity())
    linear = _linear(head)
    for stages in (split(model), {"body": model}):
        if stages and _agrees(stages, linear, probe, expected):
            return stages, linear
    raise PluginError(
        f"{name} cannot be taken apart into features and a linear head",
        "a model whose classifier is its last layer",
        "choose another model",
    )


def _linear(head: nn.Module) -> nn.Module:
    """The head as a linear layer; a 1x1 convolution behind global pooling is one."""
    if isinstance(head, nn.Linear):
        return head
    assert isinstance(head, nn.Conv2d)
    linear = nn.Linear(head.in_channels, head.out_channels, head.bias is not None, device="meta")
    linear.weight = nn.Parameter(head.weight.detach().flatten(1))
    linear.register_parameter("bias", cast("nn.Parameter | None", head.bias))
    return linear


@torch.no_grad()
def _agrees(stages: dict[str, nn.Module], head: nn.Module, probe: Tensor, expected: Tensor) -> bool:
    h = probe
    try:
        for stage in stages.values():
            h = stage(h)
        found = head(h)
    except (RuntimeError, NotImplementedError, TypeError):  # a wrong guess at the structure
        return False
    return h.ndim == 2 and found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-4, equal_nan=True)
