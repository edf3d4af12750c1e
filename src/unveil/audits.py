"""The audit of one given model from Python: ``unveil.audit(model, private, public)``, and the report that it writes."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unveil.harness.figures.audit_facts import AuditFacts
from unveil.harness.words.errors import PlanError
from unveil.harness.words.names import Access

if TYPE_CHECKING:
    from torch import nn

    from unveil.auditor import Audited
    from unveil.harness.figures.rows import Results
    from unveil.harness.plan.node import Node
    from unveil.harness.running.audit_plan import Request
    from unveil.harness.running.execute import Outcome
    from unveil.harness.store.artefacts import Store
    from unveil.looker import Tell, Work

log = logging.getLogger("unveil")
REPORT, SUMMARY = "audit.html", "summary.json"


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        results: Its rows: ``results.frame()`` is a pandas frame.
        facts: What was found out of the model before any attack, and what was not tried.
        html: The report as a page of its own.
        summary: The same as a dictionary.
        folder: Where it lies, with the results: a folder in the store.
    """

    results: Results
    facts: AuditFacts
    html: str
    summary: Mapping[str, Any]
    folder: str

    def save(self, folder: str | Path) -> Path:
        """Writes the page and the dictionary to a folder, and returns the page's path."""
        from unveil.harness.words import disk  # noqa: PLC0415 (not needed to import this)

        place = Path(folder)
        with disk.in_words(f"the report in {str(place)!r}"):
            place.mkdir(parents=True, exist_ok=True)
            disk.write(place.resolve() / REPORT, self.html.encode())
            disk.write(place.resolve() / SUMMARY, (json.dumps(self.summary, indent=1) + "\n").encode())
        return place / REPORT

    def _repr_html_(self) -> str:
        page = escape(self.html, quote=True)
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 44em; border: 1px solid #ccc" sandbox=""></iframe>'


def audit(  # noqa: PLR0913 (an option each)
    model: str | Path | nn.Module,
    private: str | Path,
    public: str | Path,
    *,
    arch: str | None = None,
    budget: str | float | None = "30m",
    access: str = "white-box",
    with_defenses: bool = False,
    order: str | Path = "auto",
    size: int | None = None,
    trust_program: bool = False,
    store: str | Path = "runs",
    device: str = "auto",
    threads: int | None = None,
    private_pictures: bool = False,
) -> Report:
    """Attacks a model that somebody has trained, and says what it gives away of the people it was trained on.

    Args:
        model: A file with weights, a program (TorchScript, an exported program, ONNX), or a network in memory. The last
            is known by its weights and the source of its classes; what its constructor was given is in neither.
        private: Folder of the people it was trained on, a folder each.
        public: Folder of other people's pictures, which an attacker may have.
        arch: timm's name of the network in a file of weights. A program needs none. A network in memory that has one is
            built again by it, and can then be attacked in other processes and trained again.
        budget: How long it may take: ``"30m"``, seconds, or None.
        access: What attackers see: ``white-box``, ``scores`` or ``labels``.
        with_defenses: Whether to train the same network again, with and without defenses.
        order: Which class is whom; see `harness.models.trained_elsewhere.TrainedElsewhere`.
        size: Side of the pictures that the model takes; None finds it out.
        trust_program: Whether a TorchScript archive or exported program, which is code, may be opened.
        store: A folder or URL where everything computed is kept.
        device: ``cpu``, ``cuda``, ``cuda:1`` or ``auto``.
        threads: To compute with; None: as many as torch takes.
        private_pictures: Whether the report shows pictures and names of real people.

    Returns:
        The report, which a notebook shows.

    Raises:
        UnveilError: If the model or the pictures cannot be audited.
    """
    from unveil.harness.audit import compute  # noqa: PLC0415 (torch takes seconds)
    from unveil.harness.running.devices import surroundings  # noqa: PLC0415
    from unveil.harness.running.pools import pooling  # noqa: PLC0415
    from unveil.harness.store.artefacts import Store  # noqa: PLC0415
    from unveil.harness.words.names import Precision  # noqa: PLC0415

    kept = Store(str(store))
    source = "" if arch or isinstance(model, str | Path) else held(model)
    file = model if isinstance(model, str | Path) else in_a_file(model, kept)
    asked = request(
        file, arch, private, public, Access(access), _seconds(budget), with_defenses, order=str(order), size=size,
        trust=trust_program, source=source,
    )  # fmt: skip
    # another process, such as one that holds a target for an attack on its scores, does not have what is in memory here
    around = surroundings(kept, device, Precision.AUTO, False, isolated=not source, pool=pooling(None, None, threads))
    return report(
        asked,
        kept,
        lambda nodes, at, within: compute(nodes, at, around.ending(within), _log_step),
        log.info,
        private_pictures=private_pictures,
    )


def _log_step(node: Node, outcome: Outcome | None) -> None:
    if outcome is not None and outcome.status != "cached":
        log.info(
            "%s: %s, %.1f s%s", node.label, outcome.status, outcome.seconds, f": {outcome.error}" * bool(outcome.error)
        )


def _seconds(budget: str | float | None) -> float | None:
    from unveil.harness.running.effort import duration  # noqa: PLC0415 (as above)

    return duration(budget) if isinstance(budget, str) else budget


def request(  # noqa: PLR0913 (an option each)
    model: str | Path,
    arch: str | None,
    private: str | Path,
    public: str | Path,
    access: Access,
    budget: float | None,
    with_defenses: bool,
    *,
    order: str,
    size: int | None,
    trust: bool,
    source: str = "",
) -> Request:
    """What is to be audited, with every path absolute.

    Raises:
        PlanError: If a folder or the file is not there.
        WeightsError: If a file of weights is given without an architecture.
    """
    from unveil.harness.assets.weights import checksum  # noqa: PLC0415 (as above)
    from unveil.harness.models.program import kind_of  # noqa: PLC0415
    from unveil.harness.running.audit_plan import Request  # noqa: PLC0415

    file = Path(model).expanduser().resolve()
    for what, folder in (("private", private), ("public", public)):
        if not Path(folder).expanduser().is_dir():
            raise PlanError(
                f"there is no folder {str(folder)!r} of {what} pictures", "a folder of pictures", "correct the path"
            )
    name = f"{Path(model).name} ({checksum(file)[:8]})"
    if arch is None and not source:
        kind_of(file.read_bytes(), str(model))
    order = order if order in ("auto", "sorted") else str(Path(order).expanduser().resolve())
    mine, theirs = (str(Path(side).expanduser().resolve()) for side in (private, public))
    return Request(str(file), arch, mine, theirs, access, budget, with_defenses, order, size, trust, name, source)


def report(asked: Request, store: Store, work: Work, tell: Tell, *, private_pictures: bool) -> Report:
    """Runs an audit and writes its report beside its results.

    Args:
        asked: What is to be audited.
        store: Where everything is kept.
        work: Computes nodes.
        tell: Says what is about to happen.
        private_pictures: Whether the report shows pictures and names of real people.
    """
    from unveil.auditor import Auditor  # noqa: PLC0415 (torch takes seconds)

    return written(Auditor(asked, store, work, tell).audited(), private_pictures=private_pictures)


def written(done: Audited, *, private_pictures: bool) -> Report:
    """The report of an audit, beside its results."""
    from unveil.leaderboard.report.page import render  # noqa: PLC0415 (scipy and jinja take a while)
    from unveil.leaderboard.report.summary import summary  # noqa: PLC0415

    page = render(done.results, done.facts, private_pictures=private_pictures)
    plain = summary(done.results, done.facts, private_pictures=private_pictures)
    done.store.put_text(f"{done.folder}/{REPORT}", page)
    done.store.put_text(f"{done.folder}/{SUMMARY}", json.dumps(plain, indent=1) + "\n")
    return Report(done.results, done.facts, page, plain, f"{done.store.url}/{done.folder}")


def in_a_file(model: nn.Module, store: Store) -> Path:
    """The weights of a network in memory, as a file in the store that is named by what is in it.

    Raises:
        PlanError: If the store is no folder.
    """
    import hashlib  # noqa: PLC0415 (for this alone)

    from safetensors.torch import save  # noqa: PLC0415 (torch takes seconds)

    from unveil.harness.words import disk  # noqa: PLC0415 (as above)

    if store.local is None:
        raise PlanError(
            f"the store {store.url} is no folder, where the network's weights could be put",
            "a folder",
            "save its state_dict() to a file and name that",
        )
    content = save({name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()})
    file = store.local / "audits" / f"{hashlib.sha256(content).hexdigest()[:16]}.safetensors"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        disk.write(file.resolve(), content)
    return file


def held(model: nn.Module) -> str:
    """What a network in memory is known by, besides its weights."""
    from unveil.harness.models.in_memory import hold  # noqa: PLC0415 (torch takes seconds)

    return hold(model)
