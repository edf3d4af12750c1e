"""Options that say what a command computes with; see `unveil.harness.running.devices`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from unveil.harness.words.names import Precision

if TYPE_CHECKING:
    from unveil.harness.running.pools import Pooling

DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")]
PrecisionOption = Annotated[
    Precision,
    typer.Option(
        "--precision",
        help="full: float32; mixed: bfloat16, too; auto: mixed on a GPU; probe: on a CPU, where a step is faster so.",
    ),
]
CompileOption = Annotated[
    bool, typer.Option("--compile", help="Compile the networks that attacks descend (torch.compile).")
]
PoolOption = Annotated[
    str, typer.Option("--pool", help="inline, processes, ray or slurm; default: processes for more than one job.")
]
JobsOption = Annotated[
    int, typer.Option("--jobs", "-j", help="Steps at a time; 0: one, or as many as a pool that is named has room for.")
]
ThreadsOption = Annotated[
    int, typer.Option("--threads", help="Threads for all steps together (of each on Ray and Slurm); 0: all cores.")
]
TimeoutOption = Annotated[float, typer.Option("--step-timeout", help="Minutes that a step may take; 0: no limit.")]
MemoryOption = Annotated[float, typer.Option("--step-memory", help="Gigabytes that a step may hold; 0: no limit.")]
AddressOption = Annotated[str, typer.Option("--address", help="Of a Ray cluster; default: the one of this machine.")]
SlurmOption = Annotated[
    list[str], typer.Option("--slurm", help="For sbatch, such as partition=gpu; may be repeated.", metavar="NAME=VALUE")
]


def pool_of(
    pool: str, jobs: int, threads: int, step_timeout: float, step_memory: float, address: str, slurm: list[str]
) -> Pooling:
    """The pool that these options ask for.

    Raises:
        PlanError: If they cannot be had together.
    """
    from unveil.harness.running.limits import Limits  # noqa: PLC0415 (torch is loaded here, not for --help)
    from unveil.harness.running.pools import pooling  # noqa: PLC0415

    limits = Limits(step_timeout, step_memory)
    return pooling(pool or None, jobs or None, threads or None, limits, address or None, slurm)
