"""Trained targets as registered models: safetensors with a signature. Knows no MLflow, but what its client is asked.

A pickle would be code, and is not written. What MLflow calls a flavor says how to build the network.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from unveil.harness.figures.rows import Results
from unveil.harness.running.mlflow_words import named

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from unveil.harness.store.artefacts import Store

WEIGHTS = "model.safetensors"
FOLDER = "model"  # among a run's files
NO_REGISTRY = {"FEATURE_DISABLED", "ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED"}  # what servers say that have none


def publishable(results: Results) -> set[str]:
    """Keys of the targets that may leave the store: a model tells of the people it was trained on."""
    free = {name for name, account in results.accounts.items() if account.publishable}
    kept = {row.keys["target"] for row in results.rows if "target" in row.keys and row.data not in free}
    return {row.keys["target"] for row in results.rows if "target" in row.keys} - kept


def register(client: MlflowClient, run: str, title: str, key: str, behind: Mapping[str, Any], store: Store) -> None:
    """A version of a registered model for a target, unless it is one already. A server without registry gets none.

    Args:
        client: MLflow's.
        run: Id of the target's run.
        title: Of the plan; it and the step's label are the model's name.
        key: Of the target's artefact, which tells its versions apart.
        behind: The target's provenance.
        store: Where its weights are.
    """
    name = named(f"{title}, {behind['label']}".replace(", ", " - ")).replace("/", "_").replace(":", "_")
    try:
        version = f"version {_known(client, name, key) or _version(client, name, run, key, behind, store)}"
    except Exception as error:
        if getattr(error, "error_code", "") not in NO_REGISTRY:
            raise
        version = "no registry"
    client.set_tag(run, "unveil.model", f"{name}, {version}")


def _known(client: MlflowClient, name: str, key: str) -> str | None:
    quoted = name.replace("'", "''")
    found = client.search_model_versions(f"name = '{quoted}'")
    return next((str(one.version) for one in found if one.tags.get("unveil.key") == key), None)


def _version(client: MlflowClient, name: str, run: str, key: str, behind: Mapping[str, Any], store: Store) -> str:
    if not client.search_registered_models("name = '{}'".format(name.replace("'", "''"))):
        client.create_registered_model(name, {"unveil.kind": "target"}, "A target of an audit by unveil.")
    with TemporaryDirectory() as folder:
        _write(Path(folder), run, key, behind, store)
        client.log_artifacts(run, folder, FOLDER)
    made = client.create_model_version(
        name, f"runs:/{run}/{FOLDER}", run, {"unveil.key": key}, await_creation_for=0, description=behind["label"]
    )
    return str(made.version)


def _write(folder: Path, run: str, key: str, behind: Mapping[str, Any], store: Store) -> None:
    from safetensors.torch import save_file  # noqa: PLC0415 (torch takes seconds)

    found = store.load(key)
    save_file({name: tensor.contiguous() for name, tensor in found.tensors.items()}, folder / WEIGHTS)
    shape, classes = found.record["shape"], found.record["classes"]
    flavor = {"data": WEIGHTS, "classes": classes, "shape": shape, "uses": behind["uses"]}
    described = {
        "artifact_path": FOLDER,
        "flavors": {"safetensors": flavor},
        "run_id": run,
        "signature": {"inputs": _tensor("pixels", shape), "outputs": _tensor("logits", [classes])},
        "utc_time_created": behind.get("when", ""),
    }
    (folder / "MLmodel").write_text(json.dumps(described, indent=1), encoding="utf-8")  # JSON is YAML


def _tensor(name: str, shape: list[int]) -> str:
    spec = {"name": name, "type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, *shape]}}
    return json.dumps([spec])
