"""Steps as jobs: with submitit's local executor, and in a real Slurm of one node that the test starts."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import unveil
from unveil.harness.audit import prepare
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.limits import Limits
from unveil.harness.running.pools import Pooling, PoolKind, pooling
from unveil.harness.running.slurm_pool import LocalQueue, Slurm, SlurmPool
from unveil.harness.words.errors import PlanError

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")
CONFIGURED = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
SlurmUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
# In the second epoch: says that it is there, and goes on as soon as the file "on" appears
DEFENSE = """
import time
from dataclasses import dataclass
from pathlib import Path
from unveil.harness.types import Defense

HERE = Path(__file__).parent

@dataclass(frozen=True)
class Waits(Defense):
    def begin(self, classifier, epoch, epochs):
        with (HERE / "epochs").open("a") as file:
            file.write(str(epoch))
        if epoch == 1:
            (HERE / "there").touch()
            while not (HERE / "on").exists():
                time.sleep(0.01)
"""


@pytest.fixture
def small(project: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A project of six steps."""
    pytest.importorskip("submitit", reason="submitit is not installed: pip install 'unveil[slurm]'")
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    project.edit("tiny.toml", '[[defenses]]\nuse = "none"\n', "")
    project.edit("tiny.toml", "pictures = 2", "pictures = 0")
    return project


@pytest.fixture(scope="module")
def slurm() -> Iterator[None]:
    """A cluster of one node, which this process's commands find."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or os.geteuid():
        pytest.skip(f"no Slurm to start: {', '.join(missing)} missing (slurm-wlm, munge)" if missing else "not root")
    folder = Path(tempfile.mkdtemp(prefix="slurm"))  # names of sockets are short
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        try:
            _start(folder)
            yield
        finally:
            for name in ("slurmd", "slurmctld", "munge"):
                if (pid := folder / f"{name}.pid").exists():
                    os.kill(int(pid.read_text()), signal.SIGTERM)
            time.sleep(2)
            shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path) -> None:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], other.getsockname()[1]
    told = {"host": socket.gethostname(), "folder": folder, "ports": ports, "cpus": os.cpu_count()}
    (folder / "slurm.conf").write_text(CONFIGURED.format(**told))
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o600)
    places = {"socket": "sock", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    munge = ["munged", "--force", *(f"--{name}={folder}/munge.{end}" for name, end in places.items())]
    for command in (munge, ["slurmctld"], ["slurmd"]):
        subprocess.run(command, check=True, timeout=60)
    for _ in range(60):
        asked = subprocess.run(["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True, check=False)
        if asked.stdout.strip() == "idle":
            return
        time.sleep(1)
    raise AssertionError(f"Slurm did not start: {asked.stdout}{asked.stderr}")


def rows_of(project: Any, pool: Any) -> list[str]:
    """Statuses, computed in an opened pool of one's own."""
    audit = prepare("tiny.toml", "jobs")
    results = audit.results(Surroundings(audit.store.url), lambda node, outcome: None, pool)
    audit.keep(results)
    return [row.status for row in results.rows]


@pytest.mark.slow
def test_jobs_give_the_rows_of_one_process_and_leave_nothing(small: Any) -> None:
    with SlurmPool(small.folder / "jobs" / "slurm", 2, 1, Limits(), {}, LocalQueue()) as pool:
        assert rows_of(small, pool) == ["done"]
    unveil.run("tiny.toml", "inline")
    assert small.rows("jobs") == small.rows("inline")
    assert list((small.folder / "jobs" / "slurm").iterdir()) == []


@pytest.mark.slow
def test_a_job_that_is_killed_is_a_failed_step(small: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("unveil.harness.running.slurm_pool.ASK", 1.0)
    monkeypatch.setattr("unveil.harness.running.slurm_pool.LATE", 1.0)
    small.edit("trouble.py", "os.kill(os.getpid()", "os.kill(os.getppid()")  # the job's own process
    monkeypatch.setenv("TROUBLE", str(small.folder / "marker"))
    monkeypatch.setenv("TROUBLE_HOW", "kill")
    with SlurmPool(small.folder / "jobs" / "slurm", 1, 1, Limits(), {}, LocalQueue()) as pool:
        audit = prepare("tiny.toml", "jobs")
        (row,) = audit.results(Surroundings(audit.store.url), lambda node, outcome: None, pool).rows
    assert row.status == "failed"
    assert "ended without a result" in str(row.error)


def _signal(folder: Path) -> None:
    while not (folder / "there").exists():
        time.sleep(0.05)
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    time.sleep(0.5)
    (folder / "on").touch()


@pytest.mark.slow
def test_a_real_queue_computes_and_stops_at_a_checkpoint(small: Any, slurm: None) -> None:
    (small.folder / "trouble.py").write_text(DEFENSE)
    small.edit("tiny.toml", "trouble.py:Trouble", "trouble.py:Waits")
    sender = threading.Thread(target=_signal, args=[small.folder])
    sender.start()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            unveil.run("tiny.toml", "jobs", pool=pooling("slurm", 2, options=["job_name=tried"]))
    finally:
        signal.signal(signal.SIGINT, before)
        sender.join()
    (saved,) = (small.folder / "jobs" / "scratch").glob("*/training.pt")
    assert torch.load(saved, weights_only=True)["epoch"] == 2
    assert subprocess.run(["squeue", "--noheader"], capture_output=True, check=True).stdout == b""
    assert [row.status for row in unveil.run("tiny.toml", "jobs", pool="slurm", jobs=2).rows] == ["done"]
    assert (small.folder / "epochs").read_text() == "012"
    unveil.run("tiny.toml", "inline")
    assert small.rows("jobs") == small.rows("inline")


def test_what_a_queue_needs_is_asked_for_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = pooling("slurm", options=["partition=gpu", "time=60"], threads=4)
    assert asked == Pooling(PoolKind.SLURM, 64, 4, options={"partition": "gpu", "time": "60"})
    assert (asked.device("auto"), asked.device("cuda")) == ("cpu", "cuda")
    with pytest.raises(PlanError, match="--slurm 'gpu'"):
        pooling("slurm", options=["gpu"])
    with pytest.raises(PlanError, match="--slurm with the pool processes"):
        pooling("processes", options=["a=b"])
    with pytest.raises(PlanError, match="--address with the pool inline"):
        pooling(address="auto")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PlanError, match=r"no sbatch here|submitit, which is not installed"):
        SlurmPool(tmp_path, 1, 1, Limits(), {}, Slurm())


def test_an_option_that_sbatch_does_not_know_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed: pip install 'unveil[slurm]'")
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    with pytest.raises(PlanError, match="partitoin"):
        SlurmPool(tmp_path, 1, 1, Limits(), {"partitoin": "gpu"}, Slurm())
