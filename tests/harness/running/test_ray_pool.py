"""A real Ray cluster on this machine: the same rows, whatever machine is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import unveil
from unveil.harness.audit import prepare
from unveil.harness.running.devices import surroundings
from unveil.harness.running.pools import pooling
from unveil.harness.words.errors import PlanError
from unveil.harness.words.names import Precision

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Ray warns of itself

# Notes each epoch that begins; in the second one it says, the first time, which process it is, and goes on no further
DEFENSE = """
import os, time
from dataclasses import dataclass
from pathlib import Path
from unveil.harness.types import Defense

HERE = Path(__file__).parent

@dataclass(frozen=True)
class Waits(Defense):
    def begin(self, classifier, epoch, epochs):
        with (HERE / "epochs").open("a") as file:
            file.write(str(epoch))
        if epoch == 1 and not (HERE / "there").exists():
            (HERE / "part").write_text(str(os.getpid()))
            (HERE / "part").rename(HERE / "there")
            time.sleep(600)
"""


@pytest.fixture
def cluster(project: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    utilities = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed: pip install 'unveil[ray]'")
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("RAY_DEDUP_LOGS", "0")
    made = utilities.Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def ancestors(process: int) -> Iterator[int]:
    while process > 1:
        yield process
        process = int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def lose_the_machine(cluster: Any, folder: Path, lost: list[Any]) -> None:
    """Takes the node away that the step is on, as soon as it is there."""
    while not (folder / "there").exists():
        time.sleep(0.1)
    behind = set(ancestors(int((folder / "there").read_text())))
    (node,) = [one for one in cluster.worker_nodes if one.all_processes["raylet"][0].process.pid in behind]
    cluster.remove_node(node, allow_graceful=False)
    lost.append(node)


def test_a_machine_lost_in_mid_training_costs_no_row(cluster: Any, project: Any) -> None:
    (project.folder / "trouble.py").write_text(DEFENSE)
    project.edit("tiny.toml", "trouble.py:Trouble", "trouble.py:Waits")
    lost: list[Any] = []
    thief = threading.Thread(target=lose_the_machine, args=[cluster, project.folder, lost])
    thief.start()
    pool = pooling("ray", address=cluster.address)
    results = unveil.run("tiny.toml", "ray", pool=pool)
    thief.join()
    assert len(lost) == 1
    assert [row.status for row in results.rows] == ["done", "done"]
    assert (project.folder / "epochs").read_text() == "0112"  # it went on where the other machine was
    unveil.run("tiny.toml", "inline")
    assert project.rows("ray") == project.rows("inline")


def test_what_dies_by_itself_is_a_failed_step_and_other_code_is_refused(cluster: Any, project: Any) -> None:
    project.edit("trouble.py", 'os.environ["TROUBLE_HOW"]', '"kill"')
    project.edit("trouble.py", 'Path(os.environ.get("TROUBLE", __file__))', 'Path(__file__).with_name("marker")')
    audit, pool = prepare("tiny.toml", "ray"), pooling("ray", address=cluster.address)
    assert all(node.key for node in audit.matrix.nodes())
    project.edit("guess.py", "5 * slope", "6 * slope")  # after the plan was read
    around = surroundings(audit.store, "auto", Precision.AUTO, compiled=False, pool=pool)
    rows = {row.defense: row for row in audit.results(around, lambda node, outcome: None, pool).rows}
    assert "killed by SIGKILL" in str(rows["trouble"].error)
    assert "guess on small_resnet with none: the code here is not that of the plan" in str(rows["none"].error)


def test_where_no_cluster_answers_it_is_said(project: Any) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'unveil[ray]'")
    with pytest.raises(PlanError, match=r"no Ray cluster at '127\.0\.0\.1:1'"):
        unveil.run(project.folder / "tiny.toml", project.folder / "store", pool=pooling("ray", address="127.0.0.1:1"))
    assert not (project.folder / "store" / "artefacts").exists()
