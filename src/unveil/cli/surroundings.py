"""Options that say what a command computes with; see `unveil.harness.running.devices`."""

from __future__ import annotations

from typing import Annotated

import typer

from unveil.harness.words.names import Precision

DeviceOption = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1 or auto.")]
PrecisionOption = Annotated[
    Precision, typer.Option("--precision", help="full: float32; mixed: bfloat16, too; auto: mixed on a GPU.")
]
CompileOption = Annotated[
    bool, typer.Option("--compile", help="Compile the networks that attacks descend (torch.compile).")
]
PoolOption = Annotated[
    str, typer.Option("--pool", help="inline or processes; default: processes for more than one job.", show_default="")
]
JobsOption = Annotated[
    int, typer.Option("--jobs", "-j", help="Steps at a time; 0: one, or one a GPU or a core in a pool.", min=0)
]
ThreadsOption = Annotated[
    int, typer.Option("--threads", help="Threads for all steps together; 0: as many as there are cores.", min=0)
]
TimeoutOption = Annotated[
    float, typer.Option("--step-timeout", help="Minutes that a step may take; 0: no limit.", min=0)
]
MemoryOption = Annotated[
    float, typer.Option("--step-memory", help="Gigabytes that a step may hold in memory; 0: no limit.", min=0)
]
