"""Judges by gallery: cosines by hand, a threshold at a stated rate, and a whole plan with an embedder in a file."""

import math

import pytest
import torch
from torch import nn

from unveil.harness.figures.intervals import to_figure
from unveil.harness.plan.file import parse, read
from unveil.harness.running.assemble import results
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.matrix import expand
from unveil.harness.running.pools import InlinePool
from unveil.harness.running.schedule import run_nodes
from unveil.harness.steps import classifiers
from unveil.harness.steps.bench import Bench
from unveil.harness.steps.enrolment import answers, enrol
from unveil.harness.steps.evaluator import by_cosine, clean, gather, trust
from unveil.harness.steps.rejection import threshold
from unveil.harness.store.artefacts import Store
from unveil.harness.types import Data, Images, Run
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import DataError, JudgeError, PlanError

RUN = Run("x")
EMBEDDER = '''
from dataclasses import dataclass
from torch import nn
from unveil.harness.words.classifier import Classifier


class Reads(nn.Module):
    """The mean colour, about grey."""

    def forward(self, x):
        return x.mean((2, 3)) - 0.5


@dataclass(frozen=True)
class Colour:
    """Embeds a picture by its colour."""

    learnt: bool = True

    def content(self):
        return {"learnt": "by hand"} if self.learnt else {}

    def build(self, classes, shape, run):
        return Classifier({"read": Reads()}, nn.Linear(3, classes), classes=classes, mean=(0.0,) * 3, std=(1.0,) * 3)
'''
GALLERY = 'use = "colour.py:Colour"\nname = "judge"\ngallery = true\nothers = "identities"\nreject = 0.1'


class Reads(nn.Module):
    def forward(self, x):
        return x[:, 0, 0, :]


def pictures(rows, labels):
    return Images(torch.tensor(rows, dtype=torch.float32)[:, None, None, :], torch.tensor(labels))


def embedder():
    return Classifier({"read": Reads()}, nn.Linear(2, 9), classes=9, mean=(0.0,), std=(1.0,))


def test_people_are_the_mean_direction_of_their_pictures():
    judge = embedder()
    enrol(judge, pictures([[2, 0], [0, 0.5], [0, -3], [4, -4]], [0, 0, 1, 1]), 2, RUN)
    half = 1 / math.sqrt(2)  # person 0 is halfway between (1, 0) and (0, 1), length has no say
    probes = pictures([[9, 9], [0, -0.1], [1, -1], [-1, 0]], [0, 1, 1, 0])
    cos = math.cos(math.radians(22.5))  # person 1 is between straight down and 45 degrees
    expected = torch.tensor([[1, -0.3827], [-half, cos], [0, cos], [-half, -0.3827]])
    torch.testing.assert_close(judge.logits(probes.pixels), expected, atol=1e-4, rtol=0)
    torch.testing.assert_close(answers(judge, probes, RUN, "trust"), judge.logits(probes.pixels))
    assert answers(judge, probes[:0], RUN, "trust").shape == (0, 2)


@pytest.mark.parametrize(("share", "between"), [(0.25, (0.7, 0.8)), (0.3, (0.7, 0.8)), (0.5, (0.2, 0.7)), (0.0, None)])
def test_the_threshold_lets_a_stated_share_of_strangers_pass(share, between):
    """The third column is somebody public: who is like that person may still be like a private one."""
    cosines = torch.tensor([[0.8, 0, 0.9], [0.1, 0.7, 0], [0, 0.2, 1], [-0.5, -1, 0.9]])
    tau = threshold(cosines, 2, share)
    assert tau == pytest.approx(sum(between) / 2 if between else 0.8)
    assert (cosines[:, :2].max(1).values > tau).float().mean() <= share


def test_a_gallery_answers_nobody_below_the_threshold_and_is_trusted_by_held_out_pictures():
    judge = embedder()
    enrol(judge, pictures([[1, 0], [0, 1]], [0, 1]), 2, RUN)
    away = pictures([[math.cos(math.radians(a)), math.sin(math.radians(a))] for a in (30, -50, -70, 200)], [5, 6, 7, 8])
    judge.outputs, how = by_cosine(answers(judge, away, RUN, "trust"), 2, 0.25)
    tau = (math.cos(math.radians(30)) + math.cos(math.radians(50))) / 2
    expected = f"below a cosine of {tau:.3f} (false-accept rate 25 %, 1 of 4 pictures of strangers)"
    assert how.endswith(expected)
    test = pictures([[1, 0.1], [1, 0.9], [0.1, 1], [1, 0.2]], [0, 0, 1, 1])  # right, unsure, right, the other person
    some = Data(test, test, test, away, ("a", "b"), "sum", "by construction")
    bare = answers(judge, test, RUN, "trust")
    accepted, floor = (
        to_figure("trust", None, m) for m in trust(judge.logits(test.pixels), judge.logits(away.pixels), some, away)
    )
    closed, calibration = (to_figure("trust", None, m) for m in clean(bare, some, gallery=True))
    assert (accepted.value, floor.value, closed.value) == (0.5, 0.25, 0.75)
    assert (calibration.value, calibration.reason) == (None, "a cosine is no probability")
    with pytest.raises(DataError, match="threshold could be set on"):
        by_cosine(bare[:0], 2, 0.01)


def test_a_network_that_answers_no_numbers_enrols_nobody():
    with pytest.raises(JudgeError, match="1 of 2 pictures"):
        enrol(embedder(), pictures([[1, 0], [math.nan, 1]], [0, 1]), 2, RUN)


def test_in_a_gallery_nobody_is_not_one_person():
    some = pictures([[1, i] for i in range(40)], [i // 8 for i in range(40)])
    known = Data(some[:16], some[:16], some[:16], some[16:], ("a", "b"), "sum", "by construction")
    assert gather(known, "nobody", 5, RUN).classes == 3
    alone = gather(known, "nobody", 5, RUN, gallery=True)
    assert (alone.classes, alone.knows, set(alone.train.labels.tolist())) == (2, "2 private people", {0, 1})


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("recipe = { epochs = 3 }", "a gallery trains nothing"),
        ('others = "nobody"\nreject = 1.0', "can say 'nobody here'"),
        ('others = "none"\nreject = 0.05', "others = 'none' alone"),
    ],
)
def test_settings_that_a_gallery_cannot_have_are_refused(project, wrong, why):
    project.edit("tiny.toml", 'name = "judge"', f'name = "judge"\ngallery = true\n{wrong}')
    with pytest.raises(PlanError, match=why):
        parse((project.folder / "tiny.toml").read_text(), "tiny.toml")


@pytest.fixture
def plan(project):
    (project.folder / "colour.py").write_text(EMBEDDER)
    project.edit("tiny.toml", 'use = "plain_cnn"\nname = "judge"\nwidth = 4', GALLERY)
    project.edit("tiny.toml", '[[defenses]]\nuse = "trouble.py:Trouble"\nname = "trouble"\n', "")
    return project


def test_a_gallery_needs_trained_weights_and_no_recipe(plan):
    def identity():
        (node,) = expand(read(str(plan.folder / "tiny.toml"))).judges.values()
        return node.identity

    before = identity()
    plan.edit("tiny.toml", "epochs = 3", "epochs = 4")
    assert identity() == before
    plan.edit("tiny.toml", "gallery = true", "gallery = true\nlearnt = false")
    with pytest.raises(JudgeError, match="'judge' is a gallery, and Colour has no trained weights"):
        identity()


def test_a_plan_is_judged_by_a_gallery(plan):
    """What it says is read back from the store; all columns of an evaluator are there."""
    file, store = read(str(plan.folder / "tiny.toml")), Store(str(plan.folder / "store"))
    matrix = expand(file)
    outcomes = run_nodes(matrix.nodes(), Surroundings(store.url, "cpu", isolated=False), InlinePool(), lambda *_: None)
    found = results(file, matrix, outcomes, store)
    (judge,), (row,) = found.judges, found.rows
    assert row.status == "done", row.error
    assert judge.knows.startswith("3 private people and 3 public people; enrolled, not trained; says")
    columns = "accepts held-out private", "takes a stranger for a private person", "closed-set top-1"
    assert tuple(figure.column for figure in judge.figures[:3]) == columns
    assert [figure.reason is None for figure in judge.figures] == [True, True, True, False]
    assert judge.figures[0].value > 0.8  # colours that are far apart
    told = {figure.column for figure in row.figures if figure.reason is None}
    assert {"top-1", "top-5", "closed-set top-1", "nobody here"} <= told
    assert "closed-set successes of closed-set top-1 (judge) confirmed by judge" in {f.column for f in row.figures}
    (node,) = matrix.judges.values()
    loaded = classifiers.read(node, Bench(store), RUN)
    x = torch.rand(5, 3, 16, 16)
    logits = loaded.logits(x)
    assert logits.shape == (5, 7)  # three private people, three public ones, nobody
    assert (logits[:, :6].abs() <= 1.0001).all()
    assert (logits[:, 6] == logits[0, 6]).all()
    assert (loaded.features(x).norm(dim=1) - 1).abs().max() < 1e-5
