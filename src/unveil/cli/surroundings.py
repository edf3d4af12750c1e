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
    int, typer.Option("--jobs", "-j", help="Steps at a time; 0: one inline, else one a GPU or a core.", min=0)
]
ThreadsOption = Annotated[
    int, typer.Option("--threads", help="Threads for all steps together; 0: as many as torch takes.", min=0)
]
