"""Attacks that see scores or labels only, from the command line: what they can get at, and what they may spend."""

import dataclasses
import gc
import json
import pickle
from pathlib import Path

import pytest
import torch

from unveil.harness.plan.file import read
from unveil.harness.plan.node import Node, Use
from unveil.harness.running.matrix import expand
from unveil.harness.steps.isolation import Held, held_apart
from unveil.harness.store.artefact import Artefact
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import AccessError, BudgetSpentError, UnveilError
from unveil.harness.words.meter import Budget, Spent
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec
from unveil.harness.words.view import Access, View

SPY = '''
"""Guesses by scores, and looks around while at it."""
import gc
import json
import os
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
import torch
from torch.nn.modules.module import register_module_forward_hook
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from unveil.harness.words.classifier import Classifier
from unveil.harness.words import memo
from unveil.harness.words.errors import AccessError
from unveil.harness.types import Access, Data, Images, draw_normal
from unveil.harness.words.meter import Meter

SECRETS = Classifier | Data | Meter | torch.nn.Parameter


class Listening(TorchFunctionMode):
    def __init__(self):
        self.heard = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.heard += [a for a in args if isinstance(a, torch.nn.Parameter)]
        return func(*args, **(kwargs or {}))


class Tapping(TorchDispatchMode):
    def __init__(self):
        self.heard = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.heard += [func] if "convolution" in func.name() else []
        return func(*args, **(kwargs or {}))


def within(frame):
    found = []
    while frame is not None:
        found += [v for v in frame.f_locals.values() if isinstance(v, SECRETS)]
        frame = frame.f_back
    return found


def near(value):
    """What an object holds, one step away."""
    kept = list(value.values()) if isinstance(value, Mapping) else []
    return [*kept, *vars(value).values()] if hasattr(value, "__dict__") else kept


def looked_around(view, x):
    """The answer, and what was found of the target or of private pictures in this process, by way of finding."""
    found = {way: [] for way in ("hook", "profile", "saved", "traceback")}
    handle = register_module_forward_hook(lambda module, args, out: found["hook"].append(module))
    with Listening() as listening:
        scores = view.scores(x)
    handle.remove()
    with Tapping() as tapping:
        view.scores(x)
    sys.setprofile(lambda frame, event, arg: found["profile"].extend(within(frame)))
    try:
        view.scores(x)
    finally:
        sys.setprofile(None)
    x = x.clone().requires_grad_(True)
    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(found["saved"].append, lambda t: t):
        view.scores(x)
    try:
        view.logits(x)
    except AccessError as error:
        trace = error.__traceback__
        while trace is not None:
            for held in trace.tb_frame.f_locals.values():
                found["traceback"] += [v for v in near(held) if isinstance(v, SECRETS)]
            trace = trace.tb_next
    gc.collect()
    found["function mode"], found["dispatch mode"] = listening.heard, tapping.heard
    found["frames"] = [v for frame in sys._current_frames().values() for v in within(frame)]
    found["collector"] = [o for o in gc.get_objects() if isinstance(o, SECRETS)]
    cells = [o for o in gc.get_objects() if isinstance(o, types.CellType)]
    found["cells"] = [c for c in cells if c != types.CellType() and isinstance(c.cell_contents, SECRETS)]
    modules = [vars(m).values() for name, m in list(sys.modules.items()) if name.startswith("unveil")]
    held = [v for values in modules for v in list(values)]
    held += [v for one in held if not isinstance(one, type | types.ModuleType) for v in near(one)]
    held += [v for one in held if type(one).__name__.endswith("Desk") for v in near(one)]
    found["globals"] = [v for v in held if isinstance(v, SECRETS)]
    found["memos"] = [one for one in memo._all if len(one)]
    found["descriptors"] = [
        name for name in os.listdir("/proc/self/fd") if "safetensors" in _link(name) or "blobs" in _link(name)
    ] if os.path.isdir("/proc/self/fd") else []
    return scores, {way: len(things) for way, things in found.items()}


def _link(name):
    try:
        return os.readlink(f"/proc/self/fd/{name}")
    except OSError:
        return ""


@dataclass(frozen=True)
class Spy:
    """The best of a few random pictures by score."""

    tries: int = 4
    access: ClassVar[Access] = Access.SCORES

    def needs(self):
        return None

    def reconstruct(self, view, ingredients, labels, run):
        pictures = []
        for y in labels.tolist():
            e = draw_normal(run.generators("x", [(y, i) for i in range(self.tries)]), view.shape)
            x = (0.5 + 0.2 * e).clamp(0, 1)
            scores, found = looked_around(view, x)
            if "FOUND" in os.environ:
                Path(os.environ["FOUND"]).write_text(json.dumps(found))
            run.keep(f"scores {y}", scores)
            pictures.append(x[scores[:, y].argmax()])
        return Images(torch.stack(pictures), labels)
'''


NOSY = """
from dataclasses import dataclass
from typing import ClassVar
from unveil.harness.words.memo import Memo
from unveil.harness.types import Direction, Measurement, Metric

_seen = Memo(2)


@dataclass(frozen=True)
class Nosy(Metric):
    about: ClassVar[str] = "attack"
    needs_evaluator: ClassVar[bool] = False

    def measure(self, evidence):
        train = evidence.data.train
        mean = _seen.get(evidence.data.checksum, lambda: train.pixels.mean())
        return [Measurement("brightness", "level", Direction.DESCRIBES, 0, 1, value=float(mean), samples=len(train))]
"""


@pytest.fixture
def spying(project):
    (project.folder / "spy.py").write_text(SPY)
    project.edit("tiny.toml", 'use = "guess.py:Guess"\nname = "guess"', 'use = "spy.py:Spy"')
    project.edit("tiny.toml", '[[defenses]]\nuse = "trouble.py:Trouble"\nname = "trouble"\n', "")
    return project


def test_the_target_is_elsewhere_and_answers_the_same_bits(spying):
    """The spy, which does find a target that is in its process, finds none; and the numbers are the same.

    Nor is anything left of what metrics remembered of private pictures when they judged the attack before.
    """
    (spying.folder / "nosy.py").write_text(NOSY)
    metrics = '[[metrics]]\nuse = "nosy.py:Nosy"\n[[metrics]]\nuse = "knn_distance"\n'
    spying.edit("tiny.toml", "[[attacks]]", '[[attacks]]\nuse = "guess.py:Guess"\n[[attacks]]')
    spying.edit("tiny.toml", '[[metrics]]\nuse = "utility"', metrics + '[[metrics]]\nuse = "utility"')
    inside = spying.call("run", "tiny.toml", "--store", "inside", "--mlflow", "off", "--in-process", FOUND="inside.txt")
    apart = spying.run("apart", FOUND="apart.txt")
    assert (inside.returncode, apart.returncode) == (0, 0), inside.stderr + apart.stderr
    here, there = (json.loads((spying.folder / name).read_text()) for name in ("inside.txt", "apart.txt"))
    ways = {"hook", "profile", "traceback", "function mode", "dispatch mode", "frames", "collector", "globals"}
    ways.add("memos")
    assert {way for way, count in here.items() if count} >= ways - {"frames"}, "no way of looking is blind"
    assert not any(there.values()), there
    assert spying.rows("inside") == spying.rows("apart")
    _, row = json.loads(spying.rows("apart"))
    assert row["budget"]["attack queries"] == 12 * 4


@pytest.mark.slow
def test_a_budget_ends_an_attack_that_does_not_stop(spying):
    free = attack_node(spying)
    spying.edit("tiny.toml", 'use = "spy.py:Spy"', 'use = "spy.py:Spy"\nmax_queries = 3')
    limited = attack_node(spying)
    assert free.identity != limited.identity
    assert free.randomness == limited.randomness
    done = spying.run()
    (row,) = json.loads(spying.rows())
    assert row["status"] == "failed"
    told = "8 queries of the target are spent, 4 more were asked for, and the budget is 9 (3 for each of 3 identities)"
    assert told in row["error"]
    assert "raise max_queries in the plan" in done.stdout
    spying.edit("tiny.toml", "max_queries = 3", "max_queries = 16")
    assert spying.run().returncode == 0
    (row,) = json.loads(spying.rows())
    assert (row["budget"]["attack queries"], row["budget"]["attack queries allowed"]) == (48, 48)
    assert not row["notes"]


UNLIMITED = Budget()


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A store with an untrained target, its node, and the target itself."""
    use = Use("models", Spec("small_resnet", {"width": 4}), str(Path.cwd()))
    node = Node("target", "target", {"model": (use,)})
    store = Store(str(tmp_path_factory.mktemp("store")))
    classifier = use.make().build(5, (3, 16, 16), Run("weights"))
    store.save(node.key, Artefact({"classes": 5, "shape": [3, 16, 16]}, classifier.state_dict()))
    return store, node, classifier


def held(stored, access, budget=UNLIMITED):
    store, node, _ = stored
    return Held(store.url, node, access, (3, 16, 16), budget, "cpu", torch.get_num_threads())


def test_every_part_of_a_view_works_across_the_pipe(stored):
    budget = Budget(queries=4, identities=2)
    here = View(stored[2], Access.SCORES, (3, 16, 16), budget)
    x = torch.rand(3, 3, 16, 16, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)
    with held_apart(held(stored, Access.SCORES, budget), 5) as desk:
        view = View.at(desk)
        assert (view.access, view.shape, view.classes, view.budget) == (Access.SCORES, (3, 16, 16), 5, budget)
        assert torch.equal(view.scores(x), here.scores(x))
        assert torch.equal(view.scores(x.contiguous()), here.scores(x))
        assert view.spent == Spent(6)
        for ask in (view.labels, view.logits, view.features_and_logits):
            with pytest.raises(AccessError, match="declares scores access"):
                ask(x)
        with pytest.raises(
            BudgetSpentError, match=r"6 queries .* 3 more .* budget is 8 \(4 for each of 2 identities\)"
        ):
            view.scores(x)
        view.ration(1, 8, view.spent)
        view.scores(x[:1])
        view.resume(Spent(8))
        assert view.spent == Spent(8, refused=True)
        assert not [one for one in gc.get_referents(desk, *vars(desk).values()) if isinstance(one, torch.nn.Module)]
        process = desk._process
        assert process.is_alive()
    assert not process.is_alive()


def test_whatever_is_written_into_the_pipe_gets_no_more(stored):
    """The access, the counts and the budget are kept on the other side."""
    with held_apart(held(stored, Access.LABELS, Budget(2)), 5) as desk:
        desk.access = Access.WHITE_BOX
        x = torch.rand(1, 3, 16, 16)
        for part in ("scores", "logits", "features"):
            with pytest.raises(AccessError, match="declares labels access"):
                desk.ask(part, x)
        desk.ration(100, 1, Spent(-50), Spent(-50))
        with pytest.raises(UnveilError, match="the target raised"):
            desk._call({"nonsense": 1})
        desk.ask("labels", x)
        desk.ask("labels", x)
        desk.resume(Spent(0))
        with pytest.raises(BudgetSpentError):
            desk.ask("labels", x)


class Payload:
    """A pickle that leaves a file behind wherever it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("wrapped", ["pickle", "json", "pixels"])
def test_no_pickle_is_ever_read_on_the_far_side(stored, tmp_path, wrapped):
    """Raw bytes past the desk's own words: as a question, inside one, and in the place of pixels."""
    mark = tmp_path / "executed"
    payload = pickle.dumps(Payload(mark))
    with held_apart(held(stored, Access.LABELS), 5) as desk:
        x = torch.rand(1, 3, 16, 16)
        before = desk.ask("labels", x)[0]
        if wrapped == "pixels":
            desk._pipe.send_bytes(json.dumps({"ask": "labels", "shape": [1, 3, 16, 16]}).encode())
        desk._pipe.send_bytes(payload if wrapped != "json" else json.dumps({"ask": payload.decode("latin1")}).encode())
        with pytest.raises(UnveilError):
            desk._heard(desk._pipe)
        assert torch.equal(desk.ask("labels", x)[0], before), "it goes on as if nothing had been"
    assert not mark.exists()
    pickle.loads(payload).close()
    assert mark.exists(), "the payload does work where it is read"


def test_counts_that_are_no_numbers_loosen_nothing(stored):
    with held_apart(held(stored, Access.LABELS, Budget(2)), 5) as desk:
        desk.ask("labels", torch.rand(2, 3, 16, 16))
        for spent in ({"queries": float("nan")}, {"queries": float("-inf")}, {"queries": -1}):
            desk._call({"resume": spent})
            desk._call({"ration": [1, 1, spent, spent]})
            with pytest.raises(BudgetSpentError):
                desk.ask("labels", torch.rand(1, 3, 16, 16))
        for nonsense in ({"resume": {"queries": "0"}}, {"ration": [1, 0, {}, {}]}, {"resume": {"most": 9}}, []):
            with pytest.raises(UnveilError):
                desk._call(nonsense)
        with pytest.raises(BudgetSpentError):
            desk.ask("labels", torch.rand(1, 3, 16, 16))


def test_a_target_that_cannot_be_loaded_says_why(stored):
    nobody = dataclasses.replace(held(stored, Access.LABELS), target=Node("target", "another", options={"other": 1}))
    with held_apart(nobody, 5) as desk, pytest.raises(UnveilError, match="missing or damaged"):
        desk.ask("labels", torch.rand(1, 3, 16, 16))


def attack_node(project):
    (cell,) = expand(read(str(project.folder / "tiny.toml"))).cells
    return cell.nodes["attack"]
