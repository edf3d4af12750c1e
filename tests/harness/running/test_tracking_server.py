"""Logging to a tracking server with PostgreSQL, as groups have one, from the command line."""

import importlib.util
import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
INITDB = shutil.which("initdb", path=os.pathsep.join([*map(str, DEBIAN), os.environ.get("PATH", "")]))


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as opened:
        return opened.getsockname()[1]


@contextmanager
def running(command, ready, **more):
    """A process with children of its own, from when it answers until the block ends."""
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, stdout=told, stderr=told, start_new_session=True, **more)
        try:
            last = time.monotonic() + 90
            while not (up := ready()) and process.poll() is None and time.monotonic() < last:
                time.sleep(0.3)
            told.seek(0)
            assert up, told.read().decode()
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def answers(port):
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def healthy(server):
    with suppress(OSError), urllib.request.urlopen(f"{server}/health", timeout=2) as answer:
        return answer.status == 200
    return False


@pytest.fixture(scope="module")
def postgres():
    """URI of a database in a folder of its own; root may not run one, so it is another user's."""
    if INITDB is None:
        pytest.skip("no PostgreSQL on this machine: apt-get install postgresql")
    if importlib.util.find_spec("psycopg") is None:
        pytest.skip("no psycopg: pip install psycopg[binary]")
    owner = None
    if os.getuid() == 0:
        owner = pwd.getpwnam("postgres" if "postgres" in {one.pw_name for one in pwd.getpwall()} else "nobody")
    who = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []} if owner else {}
    folder, port = Path(tempfile.mkdtemp(prefix="unveil-pg-")), free_port()
    try:
        if owner:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        who |= {"cwd": folder, "env": {"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"}}
        made = [INITDB, "-D", folder / "data", "-A", "trust", "-U", "unveil", "-E", "UTF8", "--no-sync"]
        subprocess.run(made, check=True, capture_output=True, timeout=120, **who)
        listen = ["-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}", "-p", str(port)]
        command = [Path(INITDB).with_name("postgres"), "-D", folder / "data", "-F", *listen]
        with running(command, lambda: answers(port), **who):
            yield f"postgresql://unveil:secret@127.0.0.1:{port}/postgres"
    finally:
        shutil.rmtree(folder)


@contextmanager
def tracking_server(database, folder):
    port = free_port()
    server = f"http://127.0.0.1:{port}"
    kept = ["--backend-store-uri", database, "--artifacts-destination", str(folder / "kept")]
    command = [sys.executable, "-m", "mlflow", "server", *kept, "--port", str(port), "--workers", "1"]
    quiet = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with running(command, lambda: healthy(server), cwd=folder, env=quiet):
        yield server


def test_a_server_with_postgresql_has_everything_once_and_in_words(project, postgres, tmp_path):
    from mlflow import MlflowClient  # noqa: PLC0415 (takes seconds)

    def log(uri):
        return project.call("log", "tiny.toml", "--store", "store", "--mlflow", uri)

    with tracking_server(postgres, tmp_path) as server:
        done = project.run(mlflow=server)
        assert (done.returncode, "not logged" in done.stderr) == (0, False), done.stderr
        (link,) = re.findall(rf"MLflow: open ({server}/#/\S+)", done.stderr)
        again = log(server)
        assert "was logged before" in again.stdout
        assert link in again.stdout
        straight = log(postgres)
        assert "was logged before" in straight.stdout
        assert "secret" not in straight.stdout + straight.stderr

        client = MlflowClient(tracking_uri=server)
        experiment = client.get_experiment_by_name("unveil")
        view = json.loads(experiment.tags[f"mlflow.sharedViewState.{link.rpartition('=')[2]}"])
        cells = client.search_runs([experiment.experiment_id], view["searchFilter"])
        assert {run.data.params["defense"] for run in cells} == {"none", "trouble"}
        assert all("attack_accuracy/top-1" in run.data.metrics for run in cells)
        assert {"figures.json", "reconstructions.png", "images"} <= {
            file.path for file in client.list_artifacts(cells[0].info.run_id)
        }
        (target, _) = client.search_runs([experiment.experiment_id], "tags.unveil.kind = 'target'")
        assert len(client.get_metric_history(target.info.run_id, "loss/ce")) == 3
        weights = client.download_artifacts(target.info.run_id, "model/model.safetensors")
        assert Path(weights).stat().st_size > 1000
        assert len(client.search_model_versions("")) == 2

        client.delete_experiment(experiment.experiment_id)
        deleted = log(server)
        assert (deleted.returncode, "has been deleted" in deleted.stderr) == (2, True)
    dead = log(server)
    assert (dead.returncode, "no answer: Connection refused" in dead.stderr) == (2, True)
