"""Where matrices that are to be shown together come from: stores, reports, results files, bundles and MLflow."""

from __future__ import annotations

import zipfile
from pathlib import Path

from pydantic import ValidationError

from unveil.harness.figures import standing
from unveil.harness.figures.exhibit import Exhibit
from unveil.harness.figures.rows import Results
from unveil.harness.running.reports import Reports, first_fault
from unveil.harness.store import bundle
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import StoreError

RESULTS = "results.json"
MLFLOW = "mlflow:"
WANTED = "a report, a results.json, a bundle, a store, mlflow:URI, a plan file or a preset"


def is_place(source: str) -> bool:
    """Whether results lie there; else it is a plan that was run. A folder may be called as a preset is."""
    path = Path(source)
    if path.is_dir():
        return (path / RESULTS).exists() or (path / "reports").is_dir()
    return source.startswith(MLFLOW) or "://" in source or (path.is_file() and path.suffix != ".toml")


def found(source: str) -> list[Exhibit]:
    """All matrices of one place, by name.

    Args:
        source: A folder of a report or a store, a results file, a bundle, the URL of a store, or ``mlflow:`` and a
            tracking URI.

    Raises:
        UnveilError: If there are none, or what is there cannot be read.
    """
    if source.startswith(MLFLOW):
        from unveil.harness.running import mlflow_results  # noqa: PLC0415 (takes seconds)

        return mlflow_results.read(source.removeprefix(MLFLOW))
    if "://" in source:
        return of_store(Store(source))
    path = Path(source)
    if path.is_file():
        return [_of_bundle(path) if zipfile.is_zipfile(path) else _of_file(path)]
    if (path / RESULTS).is_file():
        return [_of_file(path / RESULTS)]
    return of_store(Store(source))


def of_store(store: Store) -> list[Exhibit]:
    """All reports in a store.

    Raises:
        StoreError: If there are none, or one cannot be read.
    """
    names = [name for name in store.files.names("reports") if store.get_text(f"reports/{name}/{RESULTS}") is not None]
    if not names:
        raise StoreError(f"there are no results in {store.url}", WANTED, "run a plan there, or correct the path")
    return [of_report(store, f"reports/{name}") for name in sorted(names)]


def of_report(store: Store, folder: str, results: Results | None = None) -> Exhibit:
    """One report in a store.

    Args:
        store: The store.
        folder: Of the report.
        results: What is in it, if that was read already.

    Raises:
        StoreError: If it cannot be read.
    """
    name = folder.rpartition("/")[2]
    told = results or Reports(store, name).read(folder, "run the plan, or import the bundle, again")
    return Exhibit(name, told, standing.read(store.get_text(f"{folder}/{standing.FILE}")))


def _of_bundle(path: Path) -> Exhibit:
    read = bundle.read(path)
    return Exhibit(read.name or path.stem, _parsed(read.texts.get(RESULTS, ""), path))


def _of_file(path: Path) -> Exhibit:
    beside = path.with_name(standing.FILE)
    name = path.resolve().parent.name if path.name == RESULTS else path.stem
    told = standing.read(beside.read_text(encoding="utf-8")) if path.name == RESULTS and beside.is_file() else None
    return Exhibit(name, _parsed(path.read_bytes(), path), told)


def _parsed(text: str | bytes, path: Path) -> Results:
    try:
        return Results.model_validate_json(text)
    except ValidationError as error:
        raise StoreError(
            f"{str(path)!r} holds no results that this version of unveil can read: {first_fault(error)}",
            WANTED,
            "name another file, or run the plan again with this version",
        ) from error
