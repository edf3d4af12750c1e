"""MLflow is a projection of the store: complete, repeatable, and never able to lose a result."""

import json

import pytest

from unveil.harness import tracking
from unveil.harness.rows import Figure, Picture, Results, Row
from unveil.harness.store import Artefact, Store

# MLflow and what it imports warn about themselves
pytestmark = pytest.mark.filterwarnings("ignore")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="  # one pixel


def row(defense, **more):
    figure = Figure(
        metric="attack_accuracy", column="top-1", judge="judge", unit="share", direction="higher leaks more",
        range=(0, 1), value=0.5, low=0.4, high=0.6, samples=10, identities=5,
    )  # fmt: skip
    given = {"status": "done", "figures": (figure,), "budget": {"attack queries": 7}, "keys": {"target": "t"}}
    return Row(data="people", model="net", defense=defense, attack="gmi", seed=0, **{**given, **more})


@pytest.fixture
def store(tmp_path):
    store = Store(str(tmp_path / "store"))
    store.save("t", Artefact({"curves": {"loss/ce": [2.0, 1.0, None]}}))
    return store


@pytest.fixture
def results():
    cell = {"data": "people", "model": "net", "attack": "gmi", "seed": 0, "png": PNG, "caption": "c", "people": ("a",)}
    uses = {"model": [{"use": "net", "settings": {"width": 8}}]}
    behind = {"kind": "target", "label": "target net", "uses": uses, "options": {}}
    return Results(
        title="Tiny",
        plan='title = "Tiny"',
        rows=(row("none"), row("real"), row("broken", status="failed", error="ValueError: no", figures=(), budget={})),
        pictures=(
            Picture(defense="none", publishable=True, **cell),
            Picture(defense="real", publishable=False, **cell),
        ),
        provenance={"t": behind},
    )


def test_everything_is_logged_once(store, results, tmp_path):
    from mlflow import MlflowClient  # noqa: PLC0415 (takes seconds)

    uri = tracking.default_uri(store)
    charts = {results.rows[0].cell: "<svg/>"}
    first = tracking.log(results, "<html>", store, uri, charts)
    again = tracking.log(results, "<html>", store, uri)
    assert first.fresh
    assert again == tracking.Logged(first.run, fresh=False)

    client = MlflowClient(tracking_uri=uri)
    (experiment,) = [e for e in client.search_experiments() if e.name == "unveil"]
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"Tiny", "none x gmi, seed 0", "real x gmi, seed 0", "broken x gmi, seed 0", "target net"}
    none = runs["none x gmi, seed 0"]
    assert none.data.tags["mlflow.parentRunId"] == first.run
    assert none.data.metrics["attack_accuracy/top-1 by judge"] == 0.5
    assert none.data.metrics["attack_accuracy/top-1 by judge low"] == 0.4
    assert none.data.metrics["attack queries"] == 7
    assert none.data.params["model.net.width"] == "8"
    assert runs["broken x gmi, seed 0"].info.status == "FAILED"
    assert runs["broken x gmi, seed 0"].data.tags["unveil.error"] == "ValueError: no"
    curve = client.get_metric_history(runs["target net"].info.run_id, "loss/ce")
    assert [(point.step, point.value) for point in curve] == [(0, 2.0), (1, 1.0)]
    files = {name: {f.path for f in client.list_artifacts(run.info.run_id)} for name, run in runs.items()}
    assert files["Tiny"] == {"plan.toml", "leaderboard.html", "rows.json", "provenance.json"}
    assert {"reconstructions.png", "fisher.svg"} <= files["none x gmi, seed 0"]
    assert "fisher.svg" not in files["real x gmi, seed 0"]
    assert "reconstructions.png" not in files["real x gmi, seed 0"]  # a real person's picture is not sent anywhere


def test_other_rows_are_another_run(store, results):
    uri = tracking.default_uri(store)
    first = tracking.log(results, "", store, uri)
    other = results.model_copy(update={"rows": results.rows[:1]})
    assert tracking.log(other, "", store, uri).run != first.run


@pytest.mark.slow
def test_a_server_that_is_down_loses_nothing(project):
    done = project.run(mlflow="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert "not logged to MLflow at http://127.0.0.1:9" in done.stderr
    assert [r["status"] for r in json.loads(project.rows())] == ["done", "done"]
    replay = project.call("log", "tiny.toml", "--store", "store", "--mlflow", "sqlite:///later.db")
    assert replay.returncode == 0, replay.stderr
    assert "logged: run " in replay.stdout
