"""What a command computes with: device, precision, compiled or not. None of it is part of what is asked."""

from __future__ import annotations

import warnings
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from unveil.harness.words.errors import PlanError

if TYPE_CHECKING:
    from unveil.harness.running.execute import Surroundings
    from unveil.harness.store.artefacts import Store


class Precision(StrEnum):
    """What ``--precision`` takes."""

    AUTO = "auto"
    FULL = "full"
    MIXED = "mixed"


DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")]
PrecisionOption = Annotated[
    Precision, typer.Option("--precision", help="full: float32; mixed: bfloat16, too; auto: mixed on a GPU.")
]
CompileOption = Annotated[
    bool, typer.Option("--compile", help="Compile the networks that attacks descend (torch.compile).")
]


def surroundings(
    store: Store, device: str, precision: Precision, compiled: bool, *, isolated: bool = True
) -> Surroundings:
    """What the options say, tried out before anything runs.

    Args:
        store: Where everything is kept.
        device: As the option has it.
        precision: As the option has it.
        compiled: As ``--compile`` has it.
        isolated: As `unveil.harness.running.execute.Surroundings` has it.

    Raises:
        PlanError: If there is no such device, or networks cannot be compiled for it.
    """
    from unveil.harness.running.execute import Surroundings  # noqa: PLC0415 (imports torch)

    where = _device(device)
    mixed = precision is Precision.MIXED or (precision is Precision.AUTO and where != "cpu")
    if compiled:
        _try_to_compile(where)
    return Surroundings(store.url, where, mixed, compiled=compiled, isolated=isolated)


def _device(wanted: str) -> str:
    import torch  # noqa: PLC0415 (takes seconds)

    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=wanted)
    except (RuntimeError, AssertionError) as error:
        raise PlanError(
            f"device {wanted!r} cannot be used: {error}", "cpu, or a device that torch sees", "choose another"
        ) from error
    return wanted


def _try_to_compile(device: str) -> None:
    import torch  # noqa: PLC0415 (as above)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch complains about itself
            torch.compile(lambda x: (x * 2).sin())(torch.zeros(8, device=device))
    except Exception as error:  # whatever is missing: a compiler, its headers, Triton, a Python that dynamo knows
        said = (str(error).strip() or "no reason given").splitlines()[0]
        raise PlanError(
            f"--compile: torch.compile does not work on {device} here: {type(error).__name__}: {said}",
            "what torch.compile needs: a C++ compiler for the CPU, Triton for a GPU",
            "install it, or leave --compile out",
        ) from error
