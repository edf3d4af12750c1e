"""An MLflow database of our own: SQLite, with the files of its runs in a folder beside it, wherever both are moved.

MLflow writes down where files lie as absolute paths, which a folder that is renamed or copied leaves behind.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from unveil.harness.store.lease import Lease
from unveil.harness.words.errors import TrackingError

FOLDER = "mlflow-files"  # beside the database


def database(uri: str) -> Path | None:
    """The file of an SQLite database; None for any other tracking URI.

    Raises:
        TrackingError: If the database would be kept nowhere.
    """
    dialect, mark, place = uri.partition("://")
    if dialect.partition("+")[0] != "sqlite" or not mark:
        return None
    name = place.removeprefix("/").partition("?")[0]
    if name in {"", ":memory:"}:
        raise TrackingError(
            f"{uri} is kept in memory and lost at once", "a database in a file", "give --mlflow sqlite:///mlflow.db"
        )
    return Path(name).resolve()


def uri_of(file: Path) -> str:
    """The tracking URI of an SQLite database.

    Raises:
        TrackingError: If MLflow cannot be told its name.
    """
    if "?" in str(file):
        raise TrackingError(
            f"MLflow takes no database whose path has a question mark: {file}",
            "another path, or a tracking server",
            "give one, such as --mlflow sqlite:////tmp/mlflow.db",
        )
    return f"sqlite:///{file}"


def files(file: Path) -> str:
    """Where a database keeps the files of its runs, as a URI."""
    return (file.parent / FOLDER).as_uri()


@contextmanager
def alone(file: Path | None) -> Iterator[None]:
    """One run on this machine at a time writes into a database: two that made its tables at once would both fail.

    Args:
        file: The database; None for a server, which sees to that itself.

    Raises:
        OSError: If nothing can be written beside it.
    """
    if file is None:
        yield
        return
    held = Lease(file.with_name(f"{file.name}.lease"), f"logging to {file}")
    held.take()
    try:
        yield
    finally:
        held.give_back()


def follow(file: Path, experiment: str) -> None:
    """Lets an experiment whose database was moved or copied keep its files beside the database.

    What is logged from now on goes there. Runs that are known already are shown from there if their files came
    along, else from where they were. Files that somebody chose to keep elsewhere stay there.

    Args:
        file: The database; it need not exist yet.
        experiment: Name of the experiment.

    Raises:
        TrackingError: If it is no database.
    """
    if not file.is_file():
        return
    try:
        with closing(sqlite3.connect(file)) as opened, opened:
            for number, location in _places(opened, experiment):
                if _left_behind(location, file):
                    _move(opened, number, files(file))
    except sqlite3.OperationalError:
        raise  # it is locked, or cannot be written
    except sqlite3.DatabaseError as error:
        raise TrackingError(
            f"{file} is damaged, or no SQLite database: {error}", "a database", "move it away, and a new one is made"
        ) from error


def _places(opened: sqlite3.Connection, experiment: str) -> list[tuple[int, str]]:
    if not opened.execute("SELECT 1 FROM sqlite_master WHERE name = 'experiments'").fetchone():
        return []  # nothing was logged yet
    asked = "SELECT experiment_id, artifact_location FROM experiments WHERE name = ?"
    return [(int(number), str(place)) for number, place in opened.execute(asked, [experiment])]


def _left_behind(location: str, file: Path) -> bool:
    ours = location.startswith("file:") and location.rstrip("/").endswith(f"/{FOLDER}")
    return ours and location.rstrip("/") != files(file)


def _move(opened: sqlite3.Connection, experiment: int, here: str) -> None:
    opened.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", [here, experiment])
    for run, location in opened.execute(
        "SELECT run_uuid, artifact_uri FROM runs WHERE experiment_id = ?", [experiment]
    ).fetchall():
        there = f"{here}/{run}/artifacts"
        if str(location).endswith(f"/{FOLDER}/{run}/artifacts") and Path(unquote(urlsplit(there).path)).is_dir():
            opened.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", [there, run])
