"""A network that somebody has in memory: known by its weights and its classes' source, and built by nobody else."""

from __future__ import annotations

import copy
import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from unveil.harness.assets import checkpoints, weights
from unveil.harness.assets.weights import WHOLE
from unveil.harness.models.program import ClassOrder, answered_at
from unveil.harness.models.program_process import plain
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError
from unveil.harness.words.model import Model
from unveil.harness.words.run import Run

LIBRARIES = ("torch", "torchvision", "timm")  # whose classes are known by their version

_held: dict[str, nn.Module] = {}


def hold(network: nn.Module) -> str:
    """Keeps a copy of a network for as long as this process lives, and returns what it is known by.

    Raises:
        PluginError: If the source of one of its classes cannot be found.
    """
    source = hashlib.sha256("\n".join(_sources(network)).encode()).hexdigest()
    _held[source] = copy.deepcopy(network).cpu().eval().requires_grad_(False)
    return source


def _sources(network: nn.Module) -> list[str]:
    """Of every class in it that is no library's, and how they are put together."""
    own = {type(part) for part in network.modules() if type(part).__module__.split(".")[0] not in LIBRARIES}
    try:
        texts = [inspect.getsource(cls) for cls in sorted(own, key=lambda cls: f"{cls.__module__}.{cls.__qualname__}")]
    except (OSError, TypeError) as error:
        raise PluginError(
            f"the source of {type(network).__name__} cannot be found: {error}",
            "classes that are written in a file or a notebook's cell: the code is part of what a result is known by",
            "write the class to a file and import it",
        ) from error
    return [*texts, str(network)]


class Body(nn.Module):
    """Whatever a network answers with, as logits.

    Args:
        network: Any.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """``(N, K)``."""
        return plain(self.network(x), len(x))


@dataclass(frozen=True)
class InMemory(Model):
    """A network that the running process holds, for `unveil.audit`; no plan of another process can name it.

    Attributes:
        source: What the source of its classes is known by.
        size: Side that images are resized to; None finds it out.
    """

    source: str
    size: Annotated[int, Field(ge=8)] | None = None

    def build(self, classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:  # noqa: ARG002
        """A copy of the network.

        Raises:
            PluginError: If this process does not hold it.
        """
        if self.source not in _held:
            raise PluginError(
                "the network is in the memory of another process",
                "the process that was given it",
                "call unveil.audit with the network again; to run it elsewhere, write a model plugin for it",
            )
        flat = (0.0,) * shape[0], (1.0,) * shape[0]
        body = Body(copy.deepcopy(_held[self.source]))
        return Classifier(
            {"body": body}, ClassOrder(classes), classes=classes, mean=flat[0], std=flat[1], size=self.size
        )

    def colours(self, path: Path) -> int:  # noqa: ARG002 (as all that restore)
        """A network in memory does not say; colour is the rule."""
        return 3

    def restore(self, path: Path, shape: tuple[int, int, int], run: Run) -> tuple[Classifier, tuple[str, ...]]:
        """As `harness.models.trained_elsewhere.Restoring`."""
        network: Mapping[str, nn.Module] = dict(self.build(0, shape, run).stages)
        size, classes = answered_at(network["body"], self.size, shape, "the network")
        classifier = self.build(classes, shape, run)
        inner = classifier.stages["body"].network
        assert isinstance(inner, nn.Module)
        notes = weights.load(inner, checkpoints.read(path), WHOLE)
        classifier.size = size
        return classifier, (*notes, "it is a network in memory, known by its weights and the source of its classes")
