"""The one experiment that all audits are logged to: found or made, and described. Knows no MLflow, but its client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from unveil.harness.running import mlflow_database, mlflow_view
from unveil.harness.words.errors import TrackingError

if TYPE_CHECKING:
    from mlflow import MlflowClient

NAME = "unveil"


def found(client: MlflowClient, uri: str) -> str:
    """Id of the experiment, made if it is not there, and described.

    Raises:
        TrackingError: If it was deleted, or nobody answers as MLflow does.
    """
    number = _found_or_made(client, uri)
    tag(client, number, mlflow_view.experiment_tags(number))
    return number


def tag(client: MlflowClient, experiment: str, tags: Mapping[str, str]) -> None:
    """Sets the tags that are not there: what somebody wrote stays."""
    there = client.get_experiment(experiment).tags
    for name, value in tags.items():
        if name not in there:
            client.set_experiment_tag(experiment, name, value)


def _found_or_made(client: MlflowClient, uri: str) -> str:
    known = client.get_experiment_by_name(NAME)
    if known is None:
        # a database of our own keeps its files beside it; a server decides for itself
        file = mlflow_database.database(uri)
        return str(client.create_experiment(NAME, artifact_location=file and mlflow_database.files(file)))
    if not known.experiment_id:
        raise TrackingError("what answers there is no MLflow server", "an MLflow server", "correct the URI")
    if known.lifecycle_stage == "deleted":
        raise TrackingError(
            f"its experiment {NAME!r} has been deleted",
            "an experiment that is not deleted, or none of that name",
            f"restore it (MLFLOW_TRACKING_URI={uri} mlflow experiments restore -x {known.experiment_id}), or remove it "
            f"for good (mlflow gc --backend-store-uri {uri} --experiment-ids {known.experiment_id})",
        )
    return str(known.experiment_id)
