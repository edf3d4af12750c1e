"""Sweeps are rows, and a strength is picked on validation pictures alone."""

import json
import math
from pathlib import Path

import pytest

from unveil.harness.figures.rungs import rungs
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.plan.file import parse, read
from unveil.harness.running.assemble import results
from unveil.harness.running.estimate import estimate
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.matrix import expand, targets
from unveil.harness.running.pools import InlinePool
from unveil.harness.running.schedule import run_nodes
from unveil.harness.steps import classifiers
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.strength import pick
from unveil.harness.store.artefacts import Store
from unveil.harness.words.errors import PlanError, PluginError
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec

DIAL = '''
"""A defense whose effect is known."""
import dataclasses, math, os
from dataclasses import dataclass
from pathlib import Path
from unveil.harness.words.errors import TrainingError
from unveil.harness.types import Defense


@dataclass(frozen=True)
class Dial(Defense):
    """Levels 1 and 3 change nothing, 2 fails, 4 learns nothing."""

    level: int = -1
    limits: tuple[float, ...] = (math.inf,)
    note: str | None = "open"

    @property
    def open(self):
        return self.level < 0

    def ladder(self, classifier):
        return [dataclasses.replace(self, level=i, limits=(float(i), math.inf), note=None) for i in (1, 2, 3, 4)]

    def at_zero(self):
        return dataclasses.replace(self, level=0)

    def begin(self, classifier, epoch, epochs):
        here = Path(__file__).parent
        with (here / "trained").open("a") as log:
            log.write(f"{self.level}.{epoch} ")
        if (here / "stop").exists() and (self.level, epoch) == (3, 1):
            (here / "stop").unlink()
            raise KeyboardInterrupt

    def loss(self, terms, step):
        if self.level == 2:
            raise TrainingError("level 2 always diverges")
        return {"ce": terms["ce"] * 0.0} if self.level == 4 else terms
'''
HEAD = 'title = "t"\ndata = [{ use = "people" }]\ntargets = [{ use = "small_resnet" }]\n'
TAIL = 'evaluators = [{ use = "plain_cnn" }]\nattacks = [{ use = "random_latents" }]\nmetrics = [{ use = "utility" }]\n'


def plan(defenses):
    return parse(f"{HEAD}{TAIL}{defenses}", "a plan")


def compute(project, *wanted, store="store"):
    """Runs the nodes and what they need; returns the outcomes by label, and the store."""
    nodes = list(dict.fromkeys(node for want in wanted for node in want.lineage()))
    kept = Store(str(project.folder / store))
    outcomes = run_nodes(nodes, Surroundings(kept.url), InlinePool(), lambda node, outcome: None)
    return {node.label: outcomes[node.key] for node in nodes}, kept


def dialled(project, *, seed=0):
    """A plan with an open dial; its target and the nodes that pick and try its strength."""
    (project.folder / "dial.py").write_text(DIAL)
    project.edit("tiny.toml", 'use = "trouble.py:Trouble"\nname = "trouble"', 'use = "dial.py:Dial"\nname = "dial"')
    project.edit("tiny.toml", "epochs = 3", "epochs = 8\nlr = 0.02")
    file = read(str(project.folder / "tiny.toml"))
    (target,) = targets(file, file.plan.defenses[1]).values()
    strength = target.parents["strength 0"]
    return file, target, strength, strength.parents["ladder"]


def test_each_value_of_a_sweep_is_a_row_of_one_family(project):
    sweep = (
        '[[defenses]]\nuse = "mid"\nsweep = { beta = [0.003, 0.03] }\n'
        '[[defenses]]\nuse = ["tl_dmi", "ls"]\ntl_dmi = { freeze = "stem" }\n'
        'sweep = { tl_dmi = { freeze = [["stem", "stage1"]] } }\n[[attacks]]'
    )
    project.edit("tiny.toml", "[[attacks]]", sweep.replace('tl_dmi = { freeze = "stem" }\n', ""))
    matrix = expand(read(str(project.folder / "tiny.toml")))
    assert [(cell.defense, cell.family, str(cell.strength)) for cell in matrix.cells][2:] == [
        ("mid beta=0.003", "mid", "beta=0.003"),
        ("mid beta=0.03", "mid", "beta=0.03"),
        ("tl_dmi+ls freeze=stem,stage1", "tl_dmi+ls", "freeze=stem,stage1"),
    ]
    made = [use.make() for cell in matrix.cells[2:] for use in cell.nodes["target"].uses["defenses"]]
    assert [made[0].beta, made[1].beta, made[2].freeze] == [0.003, 0.03, ("stem", "stage1")]


@pytest.mark.parametrize(
    ("defenses", "told"),
    [
        ('[defense]\nuse = "mid"\nsweep = { beta = [0.1, 0.1] }', "two entries of defenses are called 'mid beta=0.1'"),
        ('[[defense]]\nuse = "mid"\nsweep = { beta = [0.1] }\n[[defense]]\nuse = "mid"', "are called 'mid'"),
        ('[defense]\nuse = "mid"\nbeta = 0.1\nsweep = { beta = [0.2] }', "'beta' is both set and swept"),
        ('[defense]\nuse = "mid"\nbeta = 0.1\ntune = 0.1\nsweep = { beta = [0.2] }', "'beta' is both set and swept"),
        ('[defense]\nuse = "mid"\nsweep = { beta = 0.2 }', "one setting with a list of values"),
        ('[defense]\nuse = "mid"\nsweep = { beta = [] }', "one setting with a list of values"),
        ('[defense]\nuse = "mid"\nsweep = { beta = [1], size = [2] }', "one setting with a list of values"),
        ('[defense]\nuse = "mid"\nsweep = { recipe = [1] }', "'recipe', which is no setting of mid"),
        ('[defense]\nuse = ["mid", "ls"]\nsweep = { beta = [1] }', "sweep names 'beta', which is not in the stack"),
        ('[defense]\nuse = ["mid", "ls"]\ntune = 0.1\nsweep = { mid = { beta = [1] } }', "the last defense"),
        ('[defense]\nuse = "mid"\ntune = 2', "less than 1"),
    ],
)
def test_a_sweep_that_cannot_be_is_refused(defenses, told):
    with pytest.raises(PlanError) as caught:
        plan(defenses)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("defense", "told"),
    [
        ('use = "mid"\ntune = 0.02\nsweep = { beta = [0.1, -1] }', "mid: beta = -1"),
        ('use = "mid"\nsweep = { bta = [0.1] }', "mid has no setting 'bta'; did you mean 'beta'?"),
        ('use = "none"\ntune = 0.02', "none has no ladder of strengths to pick from"),
        ('use = "trouble.py:Trouble"\nname = "again"\ntune = 0.02\nsweep = { nan = [true] }', "no strength zero"),
    ],
)
def test_what_cannot_be_picked_from_is_told_before_anything_runs(project, defense, told):
    project.edit("tiny.toml", 'use = "none"', defense)
    with pytest.raises(PluginError) as caught:
        expand(read(str(project.folder / "tiny.toml")))
    assert told in str(caught.value)


def test_the_strongest_rung_within_the_cost_is_picked():
    assert pick([0.9, 0.92, 0.5, 0.885, 0.87], 0.02) == 3  # beyond one that costs too much
    assert pick([0.9, 0.7], 0.02) == 0
    assert pick([0.3, None, 0.1 + 0.2 - 0.02], 0.02) == 2  # exactly the cost, whatever the rounding
    assert pick([0.3, None], 0.5) == 0


def test_what_was_left_open_is_picked_and_told(project):
    file, target, strength, ladder = dialled(project)
    matrix = expand(file)
    outcomes, store = compute(project, *matrix.nodes())
    assert {outcome.status for outcome in outcomes.values()} == {"done"}
    tried = store.record(ladder.key)["tried"]
    assert [one["name"] for one in tried] == [
        "strength zero", *(f"level={i}, limits=[{i}.0, 'Infinity'], note=None" for i in (1, 2, 3, 4))
    ]  # fmt: skip
    assert "level 2 always diverges" in tried[2]["error"]
    assert tried[1]["people"] == tried[3]["people"] == tried[0]["people"]
    record = store.record(strength.key)
    assert (record["chosen"], record["settings"]["level"]) == (3, 3)
    (defense,) = classifiers.defenses(target, Bench(store))  # tuples, infinity and None come back as they were
    assert (defense.level, defense.limits, defense.note) == (3, (3.0, math.inf), None)

    found = rungs(strength, store)
    assert [rung.picked for rung in found] == [False, False, False, True, False]
    assert found[3].cost == 0
    assert found[4].cost > 0.02
    assert found[0].low < found[0].accuracy < found[0].high or found[0].accuracy == 1
    row = next(row for row in results(file, matrix, by_key(matrix, outcomes), store).rows if row.defense == "dial")
    told = row.facts["dial.py:Dial picked on validation"]
    assert told.count("->") == 1
    assert "-> level=3" in told
    assert ": failed; " in told

    undefended = next(cell.nodes["target"] for cell in matrix.cells if cell.defense == "none")
    weights = [store.load(node.key).tensors for node in (undefended, target)]
    assert [name for name in weights[0] if not weights[0][name].equal(weights[1][name])] == []  # level 3 does nothing
    outcomes, _ = compute(project, *matrix.nodes())
    assert {outcome.status for outcome in outcomes.values()} == {"cached"}


def by_key(matrix, outcomes):
    return {node.key: outcomes[node.label] for node in matrix.nodes()}


def test_an_interrupted_ladder_goes_on_to_the_same_record(project):
    _, _, strength, ladder = dialled(project)
    compute(project, strength, store="whole")
    (project.folder / "trained").unlink()
    (project.folder / "stop").touch()
    with pytest.raises(KeyboardInterrupt):
        compute(project, strength, store="cut")
    (project.folder / "trained").unlink()
    compute(project, strength, store="cut")
    trained = (project.folder / "trained").read_text().split()
    assert trained[0] == "3.1"  # neither the rungs before it nor its own first epoch again
    records = [Store(str(project.folder / name)).record(ladder.key) for name in ("whole", "cut")]
    assert records[0] == records[1]


def test_test_pictures_change_no_pick(project, tmp_path_factory):
    other = type(project)(tmp_path_factory.mktemp("other"))
    other.edit("blobs.py", "        return assemble(", "        import dataclasses\n        data = assemble(")
    blank = "\n        black = type(data.test)(data.test.pixels * 0, data.test.labels)"
    blank += "\n        return dataclasses.replace(data, test=black)\n"
    path = other.folder / "blobs.py"
    path.write_text(path.read_text().rstrip() + blank)
    records, tests = [], []
    for one in (project, other):
        _, target, strength, ladder = dialled(one)
        _, store = compute(one, strength)
        records.append((store.record(ladder.key), store.record(strength.key)))
        tests.append(datasets.read(target.parents["data"], Bench(store)).test.pixels.sum())
    assert tests[0] > 0
    assert tests[1] == 0
    assert records[0] == records[1]


def test_depths_are_shared_by_a_stack_and_cost_no_second_training(project):
    entries = '[[defenses]]\nuse = "tl_dmi"\n[[defenses]]\nuse = ["tl_dmi", "bido"]\n[[attacks]]'
    project.edit("tiny.toml", "[[attacks]]", entries)
    file = read(str(project.folder / "tiny.toml"))
    cells = {cell.defense: cell.nodes["target"] for cell in expand(file).cells}
    alone, stacked = cells["tl_dmi"], cells["tl_dmi+bido"]
    assert alone.parents["strength 0"] == stacked.parents["strength 0"]
    outcomes, store = compute(project, alone, stacked)
    assert all(outcome.good for outcome in outcomes.values()), outcomes
    picked = store.record(alone.parents["strength 0"].key)["settings"]["freeze"]
    tried = [
        one["settings"]["freeze"] for one in store.record(alone.parents["strength 0"].parents["ladder"].key)["tried"]
    ]
    assert tried == ["", "stem", "stage1", "stage2", "stage3"]  # with stage4, only the head would be left
    bench = Bench(store)
    for target in (alone, stacked):
        assert classifiers.defenses(target, bench)[0].freeze == picked
        data = datasets.read(target.parents["data"], bench)
        frozen = classifiers.untrained(target, bench, data.classes, data.train.shape, Run("shape only")).frozen_depth
        assert frozen == tried.index(picked)
    project.edit("tiny.toml", 'use = "tl_dmi"', 'use = "tl_dmi"\ntune = 0.9')
    (again,) = targets(file := read(str(project.folder / "tiny.toml")), file.plan.defenses[2]).values()
    outcomes, _ = compute(project, again.parents["strength 0"])
    assert outcomes["ladder of tl_dmi"].status == "cached"
    assert outcomes["strength of tl_dmi"].status == "done"


def test_a_ladder_is_estimated_by_targets(project):
    file, _, strength, ladder = dialled(project)
    undefended = next(cell.nodes["target"] for cell in expand(file).cells if cell.defense == "none")
    _, store = compute(project, undefended)
    steps = {step.key: step for step in estimate(expand(file), store)}
    assert steps[ladder.key].seconds == pytest.approx(6 * steps[undefended.key].seconds)
    assert steps[ladder.key].source == "6 targets of the same model"
    assert steps[strength.key].seconds == 0


@pytest.mark.parametrize("settings", [{"level": 1, "limits": [math.inf, -math.inf, 2.0], "note": None}, {}])
def test_settings_come_back_from_a_dump(tmp_path, settings):
    (tmp_path / "dial.py").write_text(DIAL)
    dial = plugin_settings.make("defenses", Spec("dial.py:Dial", settings), tmp_path)
    dumped = json.loads(json.dumps(plugin_settings.dump(dial), allow_nan=False))
    assert plugin_settings.make("defenses", Spec("dial.py:Dial", dumped), tmp_path) == dial
    text = plugin_settings.make("defenses", Spec("dial.py:Dial", {"note": "Infinity"}), tmp_path)
    assert text.note == "Infinity"  # text stays text


def test_tune_says_what_to_put_into_a_plan(project):
    dialled(project)
    done = project.call("tune", "dial", "--plan", "tiny.toml", "--store", "store", "--cost", "2")
    assert done.returncode == 0, done.stderr
    assert "level 2 always diverges" in done.stdout.replace("\n", " ")
    entry = done.stdout[done.stdout.index("[[defenses]]") :]
    (part,) = plan(entry).defenses
    assert part.label == "dial"
    assert part.stack[0].settings == {"level": 3, "limits": [3.0, math.inf]}
    done = project.call("tune", "mid", "--plan", "tiny.toml", "--store", "store", "--set", "beta=1e-9,0.01", "--json")
    (answer,) = json.loads(done.stdout)
    assert [rung["settings"]["beta"] for rung in answer["rungs"]["mid"]] == [0.0, 1e-9, 0.01]
    assert {rung["picked"] for rung in answer["rungs"]["mid"]} == {True, False}
    assert not Path(project.folder / "store/reports").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("midd",), "there is no defense 'midd'; did you mean 'mid'?"),
        (("mid", "--set", "beta"), "write it as --set beta=0.003,0.01,0.03"),
        (("mid", "--set", "name=1"), "'name', which is no setting of mid"),
        (("none",), "none has no ladder"),
    ],
)
def test_tune_explains_what_it_cannot_do(project, words, told):
    done = project.call("tune", *words, "--plan", "tiny.toml")
    assert done.returncode == 2
    assert told in done.stderr.replace("\n", " ")
