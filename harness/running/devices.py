"""What nodes are computed with: device, precision, compiled or not. None of it is part of what is asked."""

from __future__ import annotations

import warnings

from unveil.harness.running.execute import Surroundings
from unveil.harness.running.pools import Pooling
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import PlanError
from unveil.harness.words.names import Precision


def surroundings(
    store: Store,
    device: str,
    precision: Precision,
    compiled: bool,
    *,
    isolated: bool = True,
    pool: Pooling = Pooling(),
) -> Surroundings:
    """What is asked for, tried out before anything runs.

    Args:
        store: Where everything is kept.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``.
        precision: How matrix work is rounded.
        compiled: Whether networks that attacks descend are compiled.
        isolated: As `harness.running.execute.Surroundings` has it.
        pool: Where it is to be computed. What other machines can do is not tried out here.

    Raises:
        PlanError: If there is no such device, or networks cannot be compiled for it.
    """
    where = pool.device(device) if pool.elsewhere else _device(device)
    mixed = precision is Precision.MIXED or (precision is not Precision.FULL and where != "cpu")
    probing = precision is Precision.PROBE and where == "cpu"
    if compiled and not pool.elsewhere:
        _try_to_compile(where)
    return Surroundings(
        store.url, where, mixed, compiled=compiled, isolated=isolated, threads=pool.threads, probing=probing
    )


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
            f"torch.compile does not work on {device} here: {type(error).__name__}: {said}",
            "what torch.compile needs: a C++ compiler for the CPU, Triton for a GPU",
            "install it, or do without compiling",
        ) from error
