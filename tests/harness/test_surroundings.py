"""Precision and compiled networks: what the options mean, that they do something, and that no name depends on them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unveil.harness.cli.surroundings import Precision, surroundings
from unveil.harness.errors import PlanError
from unveil.harness.execute import Surroundings
from unveil.harness.graph import expand
from unveil.harness.plan import read
from unveil.harness.pools import InlinePool
from unveil.harness.run import Run
from unveil.harness.schedule import run_nodes
from unveil.harness.store import Store


@pytest.mark.parametrize(("wanted", "mixed"), [("auto", False), ("full", False), ("mixed", True)])
def test_auto_is_full_on_the_cpu(wanted: str, mixed: bool, tmp_path: Any) -> None:
    around = surroundings(Store(str(tmp_path)), "cpu", Precision(wanted), compiled=False)
    assert (around.mixed_precision, around.compiled, around.isolated) == (mixed, False, True)


def test_mixed_precision_is_bfloat16_on_the_cpu_too() -> None:
    x = torch.ones(2, 3)
    for mixed, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        with Run("test", mixed_precision=mixed).autocast():
            assert (x @ x.T).dtype is dtype


def test_precision_changes_the_numbers_and_no_name(project: Any) -> None:
    nodes = [
        node for node in expand(read(str(project.folder / "tiny.toml"))).nodes() if node.kind in ("data", "target")
    ]
    kept = {}
    for precision in ("full", "mixed"):
        store = Store(str(project.folder / precision))
        around = Surroundings(store.url, mixed_precision=precision == "mixed")
        run_nodes(nodes, around, InlinePool(), lambda node, outcome: None)
        kept[precision] = store
    (target, *_) = (node.key for node in nodes if node.kind == "target")
    for precision, store in kept.items():
        facts = store.provenance(target)
        assert (facts["precision"], facts["compiled"]) == (precision, False)
    full, mixed = (store.load(target).tensors for store in kept.values())
    name = next(name for name in full if name.endswith("weight"))
    assert not torch.equal(full[name], mixed[name])


def test_only_passes_with_gradients_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", lambda fn: lambda x: fn(x) + 1)
    fn = Run("test", compiled=True).compile(torch.square)
    x = torch.tensor([3.0])
    assert fn(x).item() == 10
    with torch.no_grad():
        assert fn(x).item() == 9
    assert Run("test").compile(torch.square) is torch.square


def test_where_nothing_can_be_compiled_it_is_said_before_anything_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    def broken(fn: Any) -> Any:
        raise RuntimeError("no working C++ compiler\nlong advice")

    monkeypatch.setattr(torch, "compile", broken)
    with pytest.raises(
        PlanError, match="does not work on cpu here: RuntimeError: no working C\\+\\+ compiler"
    ) as found:
        surroundings(Store(str(tmp_path)), "cpu", Precision.AUTO, compiled=True)
    assert "long advice" not in str(found.value)
    assert "leave --compile out" in found.value.todo


@pytest.mark.slow
def test_a_missing_compiler_ends_the_command(project: Any) -> None:
    cache = {"CXX": "/no/such/compiler", "TORCHINDUCTOR_CACHE_DIR": str(project.folder / "cache")}
    ended = project.call("run", "tiny.toml", "--store", "store", "--mlflow", "off", "--compile", **cache)
    assert ended.returncode == 2, ended.stderr
    assert "torch.compile does not work on cpu here" in ended.stderr
    assert not (project.folder / "store" / "artefacts").exists()


@pytest.mark.slow
def test_a_compiled_run_says_so(project: Any) -> None:
    ended = project.call("run", "tiny.toml", "--store", "store", "--mlflow", "off", "--compile")
    if "torch.compile does not work" in ended.stderr:
        pytest.skip("torch.compile does not work here")
    assert ended.returncode == 0, ended.stderr
    results = (project.folder / "store" / "reports" / "tiny" / "results.json").read_text()
    assert '"compiled": true' in results
