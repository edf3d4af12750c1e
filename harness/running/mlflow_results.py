"""Results as they were logged to MLflow, read back: for a site that is made where the store is not."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from unveil.harness.figures.exhibit import Exhibit
from unveil.harness.figures.rows import Results
from unveil.harness.running import mlflow_database, mlflow_experiment, tracking
from unveil.harness.words.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

FILE = "results.json"
PAGE = "leaderboard.html"  # holds the same but the pictures, of runs that were logged without the file
EMBEDDED = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
MATRICES = "tags.`unveil.kind` = 'matrix' and attributes.status = 'FINISHED'"


def read(uri: str) -> list[Exhibit]:
    """Every matrix that was logged, the newest of each title.

    Args:
        uri: MLflow tracking URI.

    Raises:
        TrackingError: If nothing was logged there, or whatever a server or a database may do.
    """
    todo = "correct the URI, or log results there with `unveil log`"
    file = mlflow_database.database(uri)
    if file is not None and not file.is_file():
        raise TrackingError(f"there is no MLflow database {file}", "a database that results were logged to", todo)
    with tracking.in_words(uri, "read from", "a site is made of what was logged there"):
        client = tracking.connect(uri)
        known = client.get_experiment_by_name(mlflow_experiment.NAME)
        runs = client.search_runs([known.experiment_id], MATRICES, order_by=["start_time DESC"]) if known else []
        if not runs:
            raise TrackingError("no results were logged there", "an experiment with matrices", todo)
        newest = {run.info.run_name: run for run in reversed(runs)}
        return [_exhibit(client, newest[name]) for name in sorted(newest)]


def _exhibit(client: MlflowClient, run: Run) -> Exhibit:
    name = str(run.info.run_name)
    there = {one.path for one in client.list_artifacts(run.info.run_id)}
    with tempfile.TemporaryDirectory() as folder:
        if FILE in there:
            text = Path(client.download_artifacts(run.info.run_id, FILE, folder)).read_text(encoding="utf-8")
        elif PAGE in there:
            page = Path(client.download_artifacts(run.info.run_id, PAGE, folder)).read_text(encoding="utf-8")
            text = found[1] if (found := EMBEDDED.search(page)) else ""
        else:
            text = ""
    try:
        return Exhibit(name, Results.model_validate_json(text))
    except ValidationError as error:
        raise TrackingError(
            f"run {run.info.run_id} ({name}) holds no results that this version of unveil can read",
            f"{FILE}, as `unveil log` writes it",
            "delete that run, and log the results again",
        ) from error
