"""A model that is a program: TorchScript, an exported program or ONNX. It answers with scores and has no gradients."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from unveil.harness.assets.checkpoints import require_file
from unveil.harness.models.program_process import Asked
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import PluginError, WeightsError
from unveil.harness.words.model import Model
from unveil.harness.words.run import Run

TORCHSCRIPT, EXPORTED, ONNX = "torchscript", "exported", "onnx"
NAMES = {TORCHSCRIPT: "a TorchScript archive", EXPORTED: "an exported program", ONNX: "an ONNX file"}
KEPT = "program"
SIDES = (224, 64, 112, 128, 160, 96, 299, 256, 32, 48)  # that a program's own side is looked for among


class ClassOrder(nn.Module):
    """Columns of answers in another order.

    Args:
        classes: How many there are.
    """

    rows: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.register_buffer("rows", torch.arange(classes))

    def reorder(self, rows: Tensor) -> None:
        """Class i becomes what was class ``rows[i]``."""
        self.rows = self.rows[rows.to(self.rows.device)]

    def forward(self, o: Tensor) -> Tensor:
        """Reorders ``(N, K)``."""
        return o[:, self.rows]


class Running(nn.Module):
    """A program as a network without gradients.

    Args:
        kind: Of program.
        content: Its file's bytes.
    """

    def __init__(self, kind: str, content: bytes) -> None:
        super().__init__()
        self.kind, self.content = kind, content
        self._asked = Asked(kind, content, torch.get_num_threads())

    def forward(self, x: Tensor) -> Tensor:
        """Answers ``(N, K)`` to normalised pixels ``(N, C, H, W)``."""
        return self._asked(x)


@dataclass(frozen=True)
class Program(Model):
    """A model that comes as a program: a TorchScript archive, an exported program (``.pt2``) or an ONNX file.

    It answers with scores, so that no attack can see gradients or hidden layers. ``trained`` of the plan's entry names
    the file. The program runs in a process of its own, with your rights. A TorchScript archive or exported program is
    code: it is only opened where you say that you trust it.

    Attributes:
        trust: Whether you trust the program. An ONNX file needs no trust, and the extra ``unveil[onnx]``.
        size: Side that images are resized to; None finds it out.
    """

    trust: bool = False
    size: Annotated[int, Field(ge=8)] | None = None

    scores_only: ClassVar[bool] = True

    def build(self, classes: int, shape: tuple[int, int, int], run: Run) -> Classifier:  # noqa: ARG002
        """Refuses: there is no program without its file.

        Raises:
            PluginError: Always.
        """
        raise PluginError(
            "a program is a finished model, and cannot be trained or built without its file",
            "a target whose file is named",
            'add trained = "model.onnx" or another file to its entry',
        )

    def colours(self, path: Path) -> int:  # noqa: ARG002 (as all that restore)
        """A program does not say; colour is the rule."""
        return 3

    def restore(self, path: Path, shape: tuple[int, int, int], run: Run) -> tuple[Classifier, tuple[str, ...]]:
        """As `harness.models.trained_elsewhere.Restoring`."""
        kind, content = self._opened(path)
        classifier = self.reopened({KEPT: content}, 0, shape, run)
        size, classes = answered_at(classifier.stages[KEPT], self.size, shape, str(path))
        found = self.reopened({KEPT: content}, classes, shape, run)
        found.size = size
        return found, (f"it is {NAMES[kind]}: attacks see its scores only",)

    def reopened(
        self,
        files: Mapping[str, bytes],
        classes: int,
        shape: tuple[int, int, int],
        run: Run,  # noqa: ARG002
    ) -> Classifier:
        """The classifier in a file's bytes."""
        content = files[KEPT]
        running = Running(kind_of(content, KEPT), content)
        flat = (0.0,) * shape[0], (1.0,) * shape[0]
        return Classifier(
            {KEPT: running}, ClassOrder(classes), classes=classes, mean=flat[0], std=flat[1], size=self.size
        )

    def _opened(self, path: Path) -> tuple[str, bytes]:
        require_file(path)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise WeightsError(
                f"{path} cannot be read: {error.strerror}", "a model's program", "correct the path"
            ) from error
        kind = kind_of(content, str(path))
        if kind != ONNX and not self.trust:
            raise WeightsError(
                f"{path} is {NAMES[kind]}: weights together with a program, which runs with your rights when opened",
                "your word that you trust it, or weights alone",
                "where you trust it: --trust-program (in a plan trust = true); to see more than scores save its "
                "state_dict() and name the architecture",
            )
        return kind, content


def answered_at(
    network: Callable[[Tensor], Tensor], size: int | None, shape: tuple[int, int, int], called: str
) -> tuple[int | None, int]:
    """A side of pictures that a network takes, None for that of the data's, and how many classes it answers with.

    Args:
        network: Answers normalised pixels with logits.
        size: The side that it is said to take; None if nobody says.
        shape: Of the data's pictures, ``(C, H, W)``.
        called: Its name, for the error.

    Raises:
        WeightsError: If it answers none.
    """
    told: dict[int, str] = {}
    for side in (size,) if size else (shape[-1], *SIDES):
        try:
            classes = network(torch.zeros(1, shape[0], side, side)).shape[1]
        except (ValueError, RuntimeError, AssertionError, IndexError) as error:
            told[side] = str(error)
        else:
            return (None if side == shape[-1] and not size else side), classes
    first = next(iter(told))
    raise WeightsError(
        f"{called} answers no pictures of {', '.join(map(str, told))} pixels; at {first}: {told[first]}",
        f"one answer a class to pictures of shape ({shape[0]}, side, side)",
        "say which size it takes",
    )


def kind_of(content: bytes, called: str) -> str:
    """What kind of program it is, by its content.

    Args:
        content: Of the file.
        called: Its name, for the error.

    Raises:
        WeightsError: If it is none.
    """
    if content.startswith(b"PK"):
        names = _members(content)
        if any(name.endswith("/constants.pkl") for name in names):
            return TORCHSCRIPT
        if any("exported_program" in name or "/models/" in name for name in names):
            return EXPORTED
        what = "an archive of no program" if not any(name.endswith("data.pkl") for name in names) else "weights alone"
    elif content[:1] == b"\x08":  # an ONNX file begins with its version
        return ONNX
    else:
        what = "neither a TorchScript archive nor an exported program nor an ONNX file"
    raise WeightsError(
        f"{called} is {what}",
        "a model's program",
        "for weights alone name the architecture, too: --arch, in a plan use",
    )


def _members(content: bytes) -> list[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.namelist()
    except zipfile.BadZipFile:
        return []
