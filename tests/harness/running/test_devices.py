"""Precision and compiled networks: what the options mean, that they do something, and that no name depends on them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from unveil.harness.plan.file import read
from unveil.harness.running.devices import surroundings
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.matrix import expand
from unveil.harness.running.pools import InlinePool
from unveil.harness.running.schedule import run_nodes
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.training import probe
from unveil.harness.words.errors import PlanError
from unveil.harness.words.names import Precision
from unveil.harness.words.run import Run


@pytest.mark.parametrize(("wanted", "mixed"), [("auto", False), ("full", False), ("mixed", True), ("probe", False)])
def test_auto_is_full_on_the_cpu(wanted: str, mixed: bool, tmp_path: Any) -> None:
    around = surroundings(Store(str(tmp_path)), "cpu", Precision(wanted), compiled=False)
    assert around.probing is (wanted == "probe")
    assert (around.mixed_precision, around.compiled, around.isolated) == (mixed, False, True)


def test_auto_is_what_the_plan_says_and_no_name_depends_on_it(project: Any) -> None:
    path = project.folder / "tiny.toml"
    before = {node.key for node in expand(read(str(path))).nodes()}
    path.write_text(f'precision = "mixed"\n{path.read_text()}')
    file = read(str(path))
    assert {node.key for node in expand(file).nodes()} == before
    asked = (Precision.AUTO, Precision.FULL, Precision.PROBE)
    assert [file.plan.rounding(one) for one in asked] == [Precision.MIXED, Precision.FULL, Precision.PROBE]
    path.write_text(path.read_text().replace('precision = "mixed"', ""))
    assert read(str(path)).plan.rounding(Precision.AUTO) is Precision.AUTO


def test_mixed_precision_is_bfloat16_on_the_cpu_too() -> None:
    x = torch.ones(2, 3)
    for mixed, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        with Run("test", mixed_precision=mixed).autocast():
            assert (x @ x.T).dtype is dtype


def computed(project: Any, *kinds: str, **how: bool) -> tuple[Artefact, dict[str, Any]]:
    """What the last of those steps gives, computed in that way in a store of its own, and its provenance."""
    every = expand(read(str(project.folder / "tiny.toml"))).nodes()
    nodes = [node for node in every if node.kind in kinds]
    store = Store(str(project.folder / "-".join(how)))
    outcomes = run_nodes(nodes, Surroundings(store.url, **how), InlinePool(), lambda node, outcome: None)  # type: ignore[arg-type]
    assert all(outcome.good for outcome in outcomes.values()), outcomes
    wanted = next(node.key for node in nodes if node.kind == kinds[-1])
    return store.load(wanted), store.provenance(wanted)


def test_precision_changes_the_numbers_and_no_name(project: Any) -> None:
    (full, told), (mixed, also) = (
        computed(project, "data", "target"),
        computed(project, "data", "target", mixed_precision=True),
    )
    assert told["identity"] == also["identity"]
    assert (told["precision"], also["precision"], also["compiled"]) == ("full", "mixed", False)
    name = next(name for name in full.tensors if name.endswith("weight"))
    assert not torch.equal(full.tensors[name], mixed.tensors[name])


@pytest.mark.parametrize("kind", ["target", "attack"])
def test_a_step_that_gains_is_mixed_and_says_so(kind: str, project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def gains(trial: probe.Trial) -> float:
        trial()  # what it asks of a target is not the attack's
        return 2.0

    monkeypatch.setattr(probe, "units", lambda: True)
    monkeypatch.setattr(probe, "gain", gains)
    kinds = ("data", "target", "attack")[: 2 if kind == "target" else 3]
    (full, plain), (found, told) = computed(project, *kinds), computed(project, *kinds, probing=True)
    assert (plain["precision"], told["precision"]) == ("full", "mixed")
    assert plain["identity"] == told["identity"]
    assert full.record.get("budget") == found.record.get("budget")


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
    assert "do without compiling" in found.value.todo


@pytest.mark.slow
def test_a_missing_compiler_ends_the_command(project: Any) -> None:
    cache = {"CXX": "/no/such/compiler", "TORCHINDUCTOR_CACHE_DIR": str(project.folder / "cache")}
    ended = project.call("run", "tiny.toml", "--store", "store", "--mlflow", "off", "--compile", **cache)
    assert ended.returncode == 2, ended.stderr
    assert "torch.compile does not work on cpu here" in ended.stderr
    assert not (project.folder / "store" / "artefacts").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch warns of itself while it compiles
def test_a_compiled_attack_finds_the_same_and_says_so(project: Any) -> None:
    try:
        torch.compile(lambda x: (x * 2).sin())(torch.zeros(8))
    except Exception as error:
        pytest.skip(f"torch.compile does not work here: {type(error).__name__}")
    kinds = ("data", "target", "attack")
    (plain, told), (fast, also) = computed(project, *kinds), computed(project, *kinds, compiled=True)
    assert (told["compiled"], also["compiled"]) == (False, True)
    assert told["identity"] == also["identity"]
    gap = (plain.tensors["pixels"].int() - fast.tensors["pixels"].int()).abs()
    assert gap.max() <= 1  # of 255: rounding
