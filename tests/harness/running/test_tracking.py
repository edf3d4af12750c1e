"""MLflow is a projection of the store: complete, repeatable, and never able to lose a result."""

import json
import re
import shutil
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from unveil.harness.figures.rows import Figure, Picture, PluginUsed, Results, Row
from unveil.harness.running import mlflow_database, tracking
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.words.account import Account
from unveil.harness.words.errors import TrackingError

# MLflow and what it imports warn about themselves
pytestmark = pytest.mark.filterwarnings("ignore")
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="  # one pixel


def row(defense, **more):
    figure = Figure(
        metric="attack_accuracy", column="top-1", judge="judge", unit="share", direction="higher leaks more",
        range=(0, 1), value=0.5, low=0.4, high=0.6, samples=10, identities=5,
    )  # fmt: skip
    given = {"status": "done", "figures": (figure,), "budget": {"attack queries": 7}, "keys": {"target": "t"}}
    given["access"] = "scores"
    return Row(data="people", model="net", defense=defense, attack="gmi", seed=0, **{**given, **more})


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """A database of MLflow's in which nothing is logged yet: it takes seconds to make."""
    from mlflow import MlflowClient  # noqa: PLC0415 (takes seconds)

    file = tmp_path_factory.mktemp("database") / "mlflow.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments()
    return file


def made(folder, database):
    store = Store(str(folder))
    store.save("t", Artefact({"curves": {"loss/ce": [2.0, 1.0, None]}}))
    shutil.copy(database, store.local)
    return store


@pytest.fixture
def store(tmp_path, database):
    return made(tmp_path / "store", database)


@pytest.fixture
def results():
    cell = {"data": "people", "model": "net", "attack": "gmi", "seed": 0, "png": PNG, "caption": "c", "people": ("a",)}
    uses = {"model": [{"use": "net", "settings": {"width": 8}}]}
    behind = {"kind": "target", "label": "target net", "uses": uses, "options": {}, "profile": {"cpu_s": 2.5}}
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
    assert again == tracking.Logged(first.run, fresh=False, link=first.link)

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
    assert (none.data.tags["unveil.access"], none.data.params["access"]) == ("scores", "scores")
    assert runs["broken x gmi, seed 0"].info.status == "FAILED"
    assert runs["broken x gmi, seed 0"].data.tags["unveil.error"] == "ValueError: no"
    curve = client.get_metric_history(runs["target net"].info.run_id, "loss/ce")
    assert [(point.step, point.value) for point in curve] == [(0, 2.0), (1, 1.0)]
    assert runs["target net"].data.metrics["profile/cpu_s"] == 2.5
    files = {name: {f.path for f in client.list_artifacts(run.info.run_id)} for name, run in runs.items()}
    every = {"plan.toml", "leaderboard.html", "results.json", "rows.json", "provenance.json", "figures.json"}
    assert files["Tiny"] == every
    assert {"reconstructions.png", "fisher.svg"} <= files["none x gmi, seed 0"]
    assert "fisher.svg" not in files["real x gmi, seed 0"]
    assert "reconstructions.png" not in files["real x gmi, seed 0"]  # a real person's picture is not sent anywhere


def judged(judge, value):
    told = {"metric": "attack_accuracy", "column": "top-1", "unit": "share", "direction": "higher leaks more"}
    return Figure(judge=judge, range=(0, 1), value=value, **told)


@pytest.fixture
def audited(store, results):
    """Logged: two judges, two defenses, one failed cell, and a target of data that may be published."""
    heard = [row(name, figures=(judged("judge", high), judged("second", 0.25))) for name, high in OPINIONS.items()]
    account = Account(parts={}, people={}, remarks=(), publishable=True)
    known = {"curves": {}, "classes": 3, "shape": [3, 8, 8]}
    (store.local / "artefacts" / "t.json").unlink()
    store = Store(store.url)
    store.save("t", Artefact(known, {"head.bias": torch.arange(3.0)}))
    given = results.model_copy(update={"rows": (*heard, results.rows[2]), "accounts": {"people": account}})
    uri = tracking.default_uri(store)
    return given, store, uri, tracking.log(given, "", store, uri)


OPINIONS = {"none": 0.75, "real": 0.5}


def test_a_metric_has_one_name_whoever_judged(audited):
    _, _, uri, logged = audited
    client, number = experiment(uri)

    def asked(query):
        metric, found = "attack_accuracy/top-1", client.search_runs([number], query)
        return {(run.data.params["defense"], run.data.params["judge"]): run.data.metrics[metric] for run in found}

    cells = f"tags.`mlflow.parentRunId` = '{logged.run}' AND params.judge = 'judge'"
    assert asked(cells) == {("none", "judge"): 0.75, ("real", "judge"): 0.5}
    assert asked("tags.unveil.judge = 'second'") == {("none", "second"): 0.25, ("real", "second"): 0.25}
    table = json.loads(Path(client.download_artifacts(logged.run, "figures.json")).read_text(encoding="utf-8"))
    place = table["columns"].index
    lines = {(line[place("defense")], line[place("judge")], line[place("value")]) for line in table["data"]}
    assert lines == {(name, *said) for name, own in OPINIONS.items() for said in (("judge", own), ("second", 0.25))}


def test_the_link_opens_a_view_of_one_matrix(audited):
    _, _, uri, logged = audited
    client, number = experiment(uri)
    tags = client.get_experiment(number).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert "Model training" in tags["mlflow.note.content"].partition("\n")[0]
    assert logged.link.startswith(f"http://127.0.0.1:5000/#/experiments/{number}/runs?workflowType=machine_learning&")
    shown = json.loads(tags[f"mlflow.sharedViewState.{logged.link.rpartition('viewStateShareKey=')[2]}"])
    order = [f"{shown['orderByKey']} {'ASC' if shown['orderByAsc'] else 'DESC'}"]
    found = client.search_runs([number], shown["searchFilter"], order_by=order)
    assert [run.data.params["defense"] for run in found] == ["none", "real", "broken"]
    known = {f"params.`{name}`" for run in found for name in run.data.params}
    known |= {f"metrics.`{name}`" for run in found for name in run.data.metrics}
    assert set(shown["selectedColumns"]) <= known
    assert shown["groupBy"]["groupByKeys"] == [{"mode": "param", "groupByData": "attack"}]


def test_what_somebody_wrote_about_the_experiment_stays(audited):
    results, store, uri, _ = audited
    client, number = experiment(uri)
    client.set_experiment_tag(number, "mlflow.note.content", "mine")
    tracking.log(results.model_copy(update={"rows": results.rows[:1]}), "", store, uri)
    assert client.get_experiment(number).tags["mlflow.note.content"] == "mine"


def test_a_target_is_a_registered_model_once(audited, tmp_path):
    from mlflow.models import Model  # noqa: PLC0415 (takes seconds)

    results, store, uri, _ = audited
    tracking.log(results.model_copy(update={"rows": results.rows[:1]}), "", store, uri)
    client, _ = experiment(uri)
    (version,) = client.search_model_versions("")
    assert (version.name, version.tags["unveil.key"]) == ("Tiny - target net", "t")
    folder = Path(client.download_artifacts(version.run_id, "model"))
    assert {file.name for file in folder.iterdir()} == {"MLmodel", "model.safetensors"}
    assert load_file(folder / "model.safetensors")["head.bias"].tolist() == [0, 1, 2]
    described = Model.load(str(folder))
    assert [spec.shape for spec in described.signature.inputs] == [(-1, 3, 8, 8)]
    assert [spec.shape for spec in described.signature.outputs] == [(-1, 3)]


def test_a_target_of_real_people_is_no_registered_model(store, results):
    uri = tracking.default_uri(store)
    tracking.log(results, "", store, uri)
    assert not experiment(uri)[0].search_model_versions("")


def test_searches_in_the_documentation_find_something(audited, monkeypatch):
    _, store, uri, _ = audited
    client, number = experiment(uri)
    page = (Path(__file__).parents[3] / "docs" / "mlflow.md").read_text(encoding="utf-8")
    (queries,) = re.findall(r"^```text\n(.*?)^```", page, re.M | re.S)
    assert not [query for query in queries.splitlines() if not client.search_runs([number], query)]
    (program,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    (store.local.parent / "runs").symlink_to(store.local)
    monkeypatch.chdir(store.local.parent)
    monkeypatch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", None)  # the program sets it for all
    names = {}
    exec(compile(program, "docs/mlflow.md", "exec"), names)
    assert names["worst"].to_dict() == {"real": 0.5, "none": 0.75}


def test_a_step_that_was_collected_since_is_no_reason_to_log_nothing(store, results):
    (store.local / "artefacts" / "t.json").unlink()
    assert tracking.log(results, "", Store(store.url), tracking.default_uri(store)).fresh


def test_other_rows_are_another_run(store, results):
    uri = tracking.default_uri(store)
    first = tracking.log(results, "", store, uri)
    other = results.model_copy(update={"rows": results.rows[:1]})
    assert tracking.log(other, "", store, uri).run != first.run


def experiment(uri):
    from mlflow import MlflowClient  # noqa: PLC0415 (takes seconds)

    client = MlflowClient(tracking_uri=uri)
    return client, client.get_experiment_by_name("unveil").experiment_id


def places(uri):
    """Where the files of each parent run lie, by the name of the run."""
    client, number = experiment(uri)
    found = client.search_runs([number], filter_string="tags.`unveil.rows` != ''")
    return [run.info.artifact_uri for run in found], [len(client.list_artifacts(run.info.run_id)) for run in found]


@pytest.mark.parametrize("how", ["renamed", "copied"])
def test_a_store_that_moved_keeps_its_files_to_itself(how, results, database, tmp_path):
    old, new = made(tmp_path / "old [1]", database), Store(str(tmp_path / "nü new"))
    first = tracking.log(results, "<html>", old, tracking.default_uri(old))
    before = sorted(path for path in old.local.rglob("*") if path.is_file() and path.name != "mlflow.db")
    (shutil.move if how == "renamed" else shutil.copytree)(old.local, new.local)

    uri = tracking.default_uri(new)
    assert tracking.log(results, "<html>", new, uri) == tracking.Logged(first.run, fresh=False, link=first.link)
    tracking.log(results.model_copy(update={"rows": results.rows[:1]}), "<html>", new, uri)
    found, files = places(uri)
    assert [place.startswith((new.local / "mlflow-files").as_uri()) for place in found] == [True, True]
    assert files == [6, 6]
    assert old.local.exists() == (how == "copied")
    left = sorted(path for path in old.local.rglob("*") if path.is_file() and path.name != "mlflow.db")
    assert left == (before if how == "copied" else [])


def test_a_database_without_its_files_shows_old_runs_where_they_are(store, results, tmp_path):
    tracking.log(results, "<html>", store, tracking.default_uri(store))
    shutil.copy(store.local / "mlflow.db", tmp_path / "alone.db")
    uri = f"sqlite:///{tmp_path / 'alone.db'}"
    tracking.log(results.model_copy(update={"rows": results.rows[:1]}), "<html>", store, uri)
    (new, old), files = places(uri)
    assert files == [6, 6]
    assert old.startswith((store.local / "mlflow-files").as_uri())
    assert new.startswith((tmp_path / "mlflow-files").as_uri())


def test_files_that_somebody_keeps_elsewhere_stay_there(store, results, tmp_path):
    from mlflow import MlflowClient  # noqa: PLC0415 (takes seconds)

    uri = tracking.default_uri(store)
    MlflowClient(tracking_uri=uri).create_experiment("unveil", artifact_location=(tmp_path / "big disk").as_uri())
    tracking.log(results, "<html>", store, uri)
    assert places(uri)[0][0].startswith((tmp_path / "big disk").as_uri())


def test_a_deleted_experiment_is_named_with_the_way_back(store, results):
    uri = tracking.default_uri(store)
    tracking.log(results, "", store, uri)
    client, number = experiment(uri)
    client.delete_experiment(number)
    with pytest.raises(TrackingError, match="has been deleted") as found:
        tracking.log(results, "", store, uri)
    assert f"mlflow experiments restore -x {number}" in found.value.todo
    client.restore_experiment(number)
    assert not tracking.log(results, "", store, uri).fresh


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((500, b"no"), "no answer: ResponseError('too many 500 error responses')"),
        ((503, b"later"), "no answer: ResponseError('too many 503 error responses')"),
        ((403, b"no"), "403"),
        ((200, b"<html>log in</html>"), "not in a valid JSON format"),
        ((200, b"{}"), "what answers there is no MLflow server"),
        ((200, b"\xff\0"), "not in a valid JSON format"),
    ],
)
def test_a_server_that_is_none_is_told_in_words(answer, said, store, results, capfd):
    class Answers(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(answer[0])
            self.send_header("Retry-After", "3600")
            self.end_headers()
            self.wfile.write(answer[1])

        do_POST = do_GET  # noqa: N815 (named by the library)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(TrackingError) as found:
            tracking.log(results, "", store, f"http://me:secret@127.0.0.1:{server.server_port}")
        server.shutdown()
    assert said in str(found.value)
    assert "http://me:***@127.0.0.1" in str(found.value)
    assert "secret" not in str(found.value)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://127.0.0.1:9", "no answer: Connection refused"),
        ("nosuch://x", "unsupported URI"),
        ("off", "'off' is no place"),
        ("sqlite://", "kept in memory"),
        ("sqlite:///:memory:?cache=shared", "kept in memory"),
        ("sqlite:////dev", "unable to open database file"),
        ("sqlite:////dev/null/x.db", "'/dev/null'"),
        ("mssql+none://me:secret@nowhere/x", "***"),
    ],
)
def test_a_place_that_is_none_is_told_in_words(uri, said, store, results):
    with pytest.raises(TrackingError, match="not logged to MLflow at") as found:
        tracking.log(results, "", store, uri)
    assert said in str(found.value)
    assert "secret" not in str(found.value)


def test_a_database_that_is_in_use_is_told_in_words(store, results):
    uri = tracking.default_uri(store)
    tracking.log(results, "", store, uri)
    with closing(sqlite3.connect(store.local / "mlflow.db")) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(TrackingError, match="database is locked"):
            tracking.log(results, "", store, uri)


def test_two_runs_write_into_a_database_one_after_the_other(store, results, caplog):
    file = store.local / "mlflow.db"
    with ThreadPoolExecutor(1) as pool:
        with mlflow_database.alone(file):
            other = pool.submit(tracking.log, results, "", store, f"sqlite:///{file}")
            while "another run" not in caplog.text and not other.done():
                time.sleep(0.01)
            with closing(sqlite3.connect(file)) as opened:
                assert opened.execute("SELECT count(*) FROM runs").fetchone() == (0,)
        assert other.result().fresh
    assert not list(store.local.glob("*.lease"))


@pytest.mark.slow
def test_a_server_that_is_down_loses_nothing(project):
    done = project.run(mlflow="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert "not logged to MLflow at http://127.0.0.1:9" in done.stderr
    assert [r["status"] for r in json.loads(project.rows())] == ["done", "done"]
    replay = project.call("log", "tiny.toml", "--store", "store", "--mlflow", "sqlite:///later.db")
    assert replay.returncode == 0, replay.stderr
    assert "logged: run " in replay.stdout


@pytest.mark.parametrize("evil", ["../../x", "x" * 900, "<script>\0\n{{ 1 }}"])
def test_whatever_a_plugin_is_called_and_says_is_logged(evil, store, results):
    """MLflow takes names for paths, and refuses the whole batch if one is none."""
    from mlflow import MlflowClient  # noqa: PLC0415 (takes seconds)

    figure = results.rows[0].figures[0].model_copy(update={"metric": evil, "judge": evil})
    told = {"defense": evil, "figures": (figure,), "facts": {evil: evil * 1000}, "budget": {evil: 1}}
    bad = results.rows[0].model_copy(update={**told, "status": "failed", "error": evil * 10_000})
    used = (PluginUsed(kind="attacks", name=evil, origins=(evil, "evil 1.0")),)
    uri = tracking.default_uri(store)
    logged = tracking.log(results.model_copy(update={"rows": (bad,), "plugins": used, "title": evil}), "", store, uri)
    kept = MlflowClient(tracking_uri=uri).get_run(logged.run)
    (origin,) = (value for name, value in kept.data.params.items() if name.startswith("plugin attacks"))
    assert origin.startswith(f"{evil}; "[:200])
    assert not [path for path in store.local.parent.rglob("passwd*")]


@pytest.mark.parametrize("code", ["ENDPOINT_NOT_FOUND", "PERMISSION_DENIED"])
def test_a_server_without_registry_gets_the_rest(code, audited, monkeypatch):
    from mlflow import MlflowClient  # noqa: PLC0415 (takes seconds)
    from mlflow.exceptions import MlflowException  # noqa: PLC0415
    from mlflow.protos import databricks_pb2  # noqa: PLC0415

    results, store, uri, _ = audited

    def refused(*_, **__):
        raise MlflowException("no such thing here", error_code=getattr(databricks_pb2, code))

    monkeypatch.setattr(MlflowClient, "search_model_versions", refused)
    other = results.model_copy(update={"rows": results.rows[:1]})
    if code == "PERMISSION_DENIED":  # there is one, and something is wrong with it
        with pytest.raises(TrackingError, match="no such thing here"):
            tracking.log(other, "", store, uri)
        return
    assert tracking.log(other, "", store, uri).fresh
    client, number = experiment(uri)
    found = client.search_runs([number], "tags.unveil.kind = 'target'")
    assert sorted(run.data.tags["unveil.model"].partition(", ")[2] for run in found) == ["no registry", "version 1"]
