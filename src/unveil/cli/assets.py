"""``assets``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from unveil.cli.terminal import errors, output, print_json, table


def assets(
    names: Annotated[list[str] | None, typer.Argument(help="Assets to fetch; none: list them all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the data and weights that unveil can fetch, or fetch some by name."""
    from unveil.harness.assets.fetch import path, status  # noqa: PLC0415 (not needed for --help)

    for name in names or []:
        errors().print(f"{name}: {path(name)}", soft_wrap=True)
    known = status()
    if as_json:
        print_json([{key: str(value) for key, value in vars(asset).items()} for asset in known])
        return
    made = table("Assets", "name", "here", "what", "licence", "MB", "from")
    for asset in known:
        size = f"{asset.size / 1e6:.1f}" if asset.size else ""
        made.add_row(asset.name, "yes" if asset.cached else "no", asset.what, asset.licence, size, asset.source)
    output().print(made)


def convert_stylegan2(
    source: Annotated[Path, typer.Argument(help="A .pkl of NVIDIA's StyleGAN2-ADA for PyTorch.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write, for the prior stylegan2_ada.")],
) -> None:
    """Convert a published StyleGAN2-ADA network; nothing inside the pickle is executed."""
    from unveil.harness.assets.stylegan2_pickle import convert  # noqa: PLC0415 (imports torch; not needed for --help)

    facts = convert(source, out)
    for part in ("generator", "critic"):
        errors().print(f"{part}: {facts.get(part, 'none in the file')}", soft_wrap=True)
    errors().print(f"written: {out}", soft_wrap=True)


COMMANDS = (assets, convert_stylegan2)
