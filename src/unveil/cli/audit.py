"""``audit``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from unveil.cli.computing import compute_all
from unveil.cli.runs import JsonOption, PrivateOption, StoreOption
from unveil.cli.surroundings import DeviceOption, ThreadsOption
from unveil.cli.terminal import errors, lasting, output, print_json
from unveil.harness.words.names import Access, Precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unveil.audits import Report
    from unveil.harness.plan.node import Node
    from unveil.harness.running.audit_plan import Request
    from unveil.harness.running.execute import Outcome, Surroundings
    from unveil.harness.store.artefacts import Store


ModelOption = Annotated[
    str, typer.Option("--model", help="File with weights, or a TorchScript, exported or ONNX program.")
]
PrivateSide = Annotated[
    str, typer.Option("--private", help="Folder of the people it was trained on, a folder each.", metavar="DIR")
]
PublicSide = Annotated[
    str, typer.Option("--public", help="Folder of other people's pictures, which attackers have.", metavar="DIR")
]
ArchOption = Annotated[
    str, typer.Option("--arch", help="timm's name of the network whose weights the file holds.", metavar="NAME")
]
BudgetOption = Annotated[str, typer.Option("--budget", help="How long it may take, such as 90s, 30m or 2h.")]
AccessOption = Annotated[Access, typer.Option("--access", help="What attackers see of the model.")]
DefensesOption = Annotated[
    bool, typer.Option("--with-defenses", help="Train the same network again, with and without defenses.")
]
OrderOption = Annotated[str, typer.Option("--order", help="sorted, auto, or a file that says which class is whom.")]
SizeOption = Annotated[int, typer.Option("--size", help="Side of pictures that the model takes; 0: find it out.")]
TrustOption = Annotated[
    bool, typer.Option("--trust-program", help="Open a TorchScript or exported program, which runs as you.")
]
OutOption = Annotated[str, typer.Option("--out", help="Also write the report to this folder.", metavar="DIR")]


def audit(  # noqa: PLR0913, PLR0917 (an option each)
    model: ModelOption,
    private: PrivateSide,
    public: PublicSide,
    arch: ArchOption = "",
    budget: BudgetOption = "30m",
    access: AccessOption = Access.WHITE_BOX,
    with_defenses: DefensesOption = False,
    order: OrderOption = "auto",
    size: SizeOption = 0,
    trust_program: TrustOption = False,
    store: StoreOption = "runs",
    out: OutOption = "",
    device: DeviceOption = "auto",
    threads: ThreadsOption = 0,
    private_pictures: PrivateOption = False,
    as_json: JsonOption = False,
) -> None:
    """Attack a model of your own, and write a report of what it gives away of the people it was trained on."""
    from unveil.audits import request  # noqa: PLC0415 (torch is loaded here, not for --help)
    from unveil.harness.running.devices import surroundings  # noqa: PLC0415
    from unveil.harness.running.effort import duration  # noqa: PLC0415
    from unveil.harness.running.pools import pooling  # noqa: PLC0415
    from unveil.harness.store.artefacts import Store  # noqa: PLC0415

    kept, pool, side = Store(store), pooling(None, None, threads or None), size or None
    asked = request(
        model, arch or None, private, public, access, duration(budget), with_defenses, order=order, size=side,
        trust=trust_program,
    )  # fmt: skip
    around = surroundings(kept, device, Precision.AUTO, False, pool=pool)
    found = _report(asked, kept, around, private_pictures=private_pictures)
    if out:
        found.save(out)
    if as_json:
        print_json(found.summary)
    else:
        output().print(str(found.summary["finding"]["sentence"]), soft_wrap=True)
    errors().print(f"report: {out or found.folder}/audit.html, after {lasting(found.facts.spent)}", soft_wrap=True)


def _report(asked: Request, store: Store, around: Surroundings, *, private_pictures: bool) -> Report:
    """Runs an audit on the screen."""
    from unveil.audits import report  # noqa: PLC0415 (as above)

    def work(nodes: Sequence[Node], at: Store, within: float | None) -> dict[str, Outcome]:
        return compute_all(nodes, at, around.ending(within), accounts=False)

    def tell(line: str) -> None:
        errors().print(f"audit: {line}", soft_wrap=True)

    return report(asked, store, work, tell, private_pictures=private_pictures)


COMMANDS = (audit,)
