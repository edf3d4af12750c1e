"""How long a run takes in which everything is known already: what somebody waits who only wants the page again."""

import dataclasses
from pathlib import Path

import pytest

from unveil.harness.audit import Audit, prepare
from unveil.harness.figures.rows import Results
from unveil.harness.running.devices import surroundings
from unveil.harness.store.artefact import Artefact
from unveil.harness.words.names import Precision

DATA = Path(__file__).parent.parent / "examples" / "notebook.py"
PRIOR = {"use": "wgan_gp", "width": 4, "steps": 2, "batch": 8}
PLAN = {
    "title": "All known",
    "pictures": 0,
    "recipe": {"epochs": 1, "batch": 16},
    "data": {"use": "blobs.py:Blobs"},
    "target": {"use": "small_resnet", "width": 4},
    "evaluators": [{"use": "plain_cnn", "width": 4, "name": "a"}, {"use": "plain_cnn", "width": 5, "name": "b"}],
    "defenses": [{"use": "ls", "schedule": "constant", "sweep": {"alpha": [-0.01]}}],
    "attacks": [{"use": "gmi", "steps": 2, "restarts": 1, "prior": PRIOR}, {"use": "random_latents", "prior": PRIOR}],
    "metrics": [{"use": "attack_accuracy"}, {"use": "utility"}],
}


def quiet(audit: Audit) -> Results:
    around = surroundings(audit.store, "cpu", Precision.FULL, compiled=False)
    results = audit.results(around, lambda *_: None)
    assert {row.status for row in results.rows} == {"done"}, [row.error for row in results.rows][:1]
    return results


def known(plan: dict, folder: Path) -> Audit:
    """A plan whose steps are all in the store: each holds what the smallest plan's step of its kind computed."""
    small = prepare({**PLAN, "pictures": plan["pictures"]}, folder / "small")
    quiet(small)
    like = {}
    for node in small.matrix.nodes():
        like[node.kind, node.options.get("name"), node.options.get("judge")] = small.store.load(node.key)
    audit = prepare(plan, folder / "large")
    for node in audit.matrix.nodes():
        made: Artefact = like[node.kind, node.options.get("name"), node.options.get("judge")]
        behind = {**made.provenance, "identity": node.identity}
        audit.store.save(node.key, dataclasses.replace(made, provenance=behind))
    return audit


@pytest.mark.parametrize("cells", [100, 1000])
def test_a_run_that_computes_nothing(benchmark, cells, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = DATA.read_text(encoding="utf-8")
    Path("blobs.py").write_text(source.split("'''")[1], encoding="utf-8")
    values = [round(-0.001 * (i + 1), 4) for i in range(cells // 2)]
    plan = {**PLAN, "defenses": [{**PLAN["defenses"][0], "sweep": {"alpha": values}}]}
    known(plan, tmp_path)
    rounds = {"rounds": 1 if cells > 100 else 3, "iterations": 1}
    benchmark.pedantic(lambda: quiet(prepare(plan, tmp_path / "large")), **rounds)
    if benchmark.stats is not None:
        benchmark.extra_info["ms per cell"] = round(1000 * benchmark.stats.stats.min / cells, 2)
