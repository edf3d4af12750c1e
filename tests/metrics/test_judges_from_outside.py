"""Judges from outside: who knows the truth, who always says yes, who guesses, who grades, and who has a sheet."""

import csv
import json
import re
import subprocess
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from unveil.harness.conformance import check
from unveil.harness.figures.intervals import to_figure
from unveil.harness.figures.rows import Row
from unveil.harness.plan import settings as plugin_settings
from unveil.harness.types import Data, Evidence, Images
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import JudgeError, PluginError
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec
from unveil.metrics.comparers import Embeddings, enrolled
from unveil.metrics.questions import GENUINE, IMPOSTOR, RECONSTRUCTION, draw
from unveil.metrics.verification import Verification

JUDGES = '''
from dataclasses import dataclass
from typing import ClassVar
import numpy as np

@dataclass(frozen=True)
class Knows:
    """Sees the number of the person, which is in the first pixel of every picture."""
    yes_or_no: ClassVar[bool] = True

    def compare(self, pictures, people, pairs, run):
        return np.array([float(pictures[i, 0, 0, 0] == people[p][0, 0, 0, 0]) for i, p in pairs])

@dataclass(frozen=True)
class Says:
    """Says the same of everything."""
    answer: float = 1.0
    yes_or_no: ClassVar[bool] = True

    def compare(self, pictures, people, pairs, run):
        return np.full(len(pairs), self.answer)

@dataclass(frozen=True)
class Grades:
    """Says how near the first pixels are."""
    same: bool = False
    yes_or_no: ClassVar[bool] = False

    def compare(self, pictures, people, pairs, run):
        if self.same:
            return np.full(len(pairs), 7.0)
        return np.array([-255 * float(abs(pictures[i, 0, 0, 0] - people[p][0, 0, 0, 0])) for i, p in pairs])

@dataclass(frozen=True)
class Guesses:
    """Tosses a coin."""
    yes_or_no: ClassVar[bool] = True

    def compare(self, pictures, people, pairs, run):
        return np.random.default_rng(0).integers(0, 2, len(pairs)).astype(float)
'''


@pytest.fixture
def judge(tmp_path):
    (tmp_path / "judges.py").write_text(JUDGES)
    return lambda name, **settings: Spec(f"{tmp_path / 'judges.py'}:{name}", settings)


def shown(who, labels=None, seed=0):
    """Pictures that name their person in the first pixel and hold noise elsewhere."""
    who = torch.as_tensor(who)
    pixels = torch.randint(256, (len(who), 3, 12, 12), generator=torch.Generator().manual_seed(seed))
    pixels[:, 0, 0, 0] = who
    return Images(pixels / 255, who if labels is None else torch.as_tensor(labels))


@pytest.fixture(scope="module")
def data():
    private, public = np.arange(12), np.arange(100, 130)
    parts = [shown(np.repeat(private, n), seed=n) for n in (5, 1, 3)]
    strangers = shown(np.repeat(public, 2), np.repeat(np.arange(30), 2), seed=9)
    return Data(*parts, strangers, tuple(map(str, private)), "known", "none are public")


@pytest.fixture(scope="module")
def half():
    """Four reconstructions of each person, of which two show somebody else."""
    who = np.repeat(np.arange(12), 4)
    return shown(np.where(np.arange(48) % 4 < 2, who, 200), who, seed=5)


def evidence(data, fakes, run="test"):
    nobody = Classifier({"body": nn.BatchNorm2d(3)}, nn.Identity(), classes=data.classes)
    return Evidence(data, nobody, None, fakes, Run(run))


def by_column(measurements):
    for m in measurements:
        to_figure("verification", None, m)
    return {m.about.column: m for m in measurements}


def test_one_who_knows_gives_the_truth(judge, data, half, measured):
    found = by_column(measured(Verification(comparer=judge("Knows")), evidence(data, half)))
    assert list(found) == ["verified", "genuine accepted", "other people accepted"]
    assert found["verified"].values.mean() == 0.5
    assert found["verified"].samples == 48
    assert found["genuine accepted"].values.tolist() == [1.0] * 48
    assert found["other people accepted"].values.max() == 0.0


def test_one_who_always_says_the_same_is_no_judge(judge, data, half, measured):
    always, never = (
        by_column(measured(Verification(comparer=judge("Says", answer=a)), evidence(data, half))) for a in (1.0, 0.0)
    )
    assert "accepts 100 % of" in always["verified"].reason
    assert "clearly more than 1 %" in always["verified"].reason
    assert always["other people accepted"].values.mean() == 1.0, "what makes it useless is shown"
    assert "cannot tell them apart" in never["verified"].reason
    guesses = by_column(measured(Verification(comparer=judge("Guesses"), rates=(0.1,)), evidence(data, half)))
    assert "clearly more than 10 %" in guesses["verified"].reason


def test_grades_have_thresholds_at_rates_that_the_pairs_resolve(judge, data, half, measured):
    metric = Verification(comparer=judge("Grades"), rates=(0.1, 0.01))
    found = by_column(measured(metric, evidence(data, half)))
    assert found["verified at FAR 10 %"].values.mean() == 0.5
    assert found["genuine accepted at FAR 10 %"].values.mean() == 1.0
    assert -255 < found["threshold at FAR 10 %"].value < 0
    assert found["area under the ROC"].value == 1.0
    assert "do not resolve" in found["verified at FAR 1 %"].reason
    same = by_column(measured(Verification(comparer=judge("Grades", same=True), rates=(0.1,)), evidence(data, half)))
    assert "cannot tell them apart" in same["verified at FAR 10 %"].reason
    assert same["area under the ROC"].value == 0.5


def test_questions_are_few_even_and_blind(data, half):
    people = enrolled(data.train)
    q = draw(data, people, half, 24)
    assert [(q.kind == kind).sum() for kind in (GENUINE, IMPOSTOR, RECONSTRUCTION)] == [24, 24, 24]
    for kind in (GENUINE, RECONSTRUCTION):
        assert np.bincount(q.claimed[q.kind == kind], minlength=12).tolist() == [2] * 12
        assert (q.claimed[q.kind == kind] == q.shown[q.kind == kind]).all()
    others = q.kind == IMPOSTOR
    assert (q.claimed[others] != q.shown[others]).all()
    assert set(np.bincount(q.claimed[others], minlength=12)) <= {1, 2, 3}
    assert (q.shown[others] >= 12).sum() == 12
    assert len(np.unique(q.shown[others])) == 24, "everybody else once before anybody twice"
    drawn_pixels = (q.pictures[:, 0, 0, 0] * 255).round().int().numpy()
    for kind in (GENUINE, IMPOSTOR):
        who = q.shown[q.kind == kind]
        assert (drawn_pixels[q.kind == kind] == np.where(who < 12, who, who + 88)).all()
    # The place of a question tells nothing of its kind: neither block nor order of people.
    thirds = [np.bincount(part, minlength=3) for part in np.split(q.kind, 3)]
    assert all(count.min() >= 3 for count in thirds)
    assert (np.diff(q.claimed[q.kind == RECONSTRUCTION]) < 0).any()
    assert (q.pairs[:, 0] == np.arange(72)).all()


def test_real_pairs_are_the_same_for_all_attacks_and_order_does_not_matter(data, half):
    people = enrolled(data.train)
    other = Images(half.pixels.flip(3), half.labels)
    mixed = half[torch.randperm(48, generator=torch.Generator().manual_seed(2))]
    one, two, same = (draw(data, people, fakes, 24) for fakes in (half, other, mixed))
    for kind in (GENUINE, IMPOSTOR):
        assert torch.equal(one.pictures[one.kind == kind], two.pictures[two.kind == kind])
    assert torch.equal(one.pictures, same.pictures)
    assert (one.claimed == same.claimed).all()


def test_impostors_alone_where_nobody_is_public(data, half):
    alone = Data(data.train, data.validation, data.test, data.public[:0], data.names, "alone", data.disjoint)
    q = draw(alone, enrolled(alone.train), half, 30)
    others = q.kind == IMPOSTOR
    assert others.sum() == 30
    assert (q.shown[others] < 12).all()


def test_answers_are_checked(judge, data, half, tmp_path, measured):
    (tmp_path / "bad.py").write_text(
        JUDGES.replace("np.full(len(pairs), self.answer)", "np.full(len(pairs) - (self.answer > 0), self.answer)")
    )
    for answer, why in ((0.3, "shape"), (-0.5, "0 or 1")):
        spec = Spec(f"{tmp_path / 'bad.py'}:Says", {"answer": answer})
        with pytest.raises(JudgeError, match=why):
            measured(Verification(comparer=spec), evidence(data, half))
    found = measured(Verification(comparer=judge("Knows")), evidence(data, Images(half.pixels[:, :1], half.labels)))
    assert all("beside private pictures of shape" in m.reason for m in found)


def test_a_plan_names_a_file_beside_it(judge, tmp_path):
    spec = judge("Says", answer=0.0)
    for value in ("judges.py:Says", {"use": "judges.py:Says", "answer": 0.0}):
        made = plugin_settings.make("metrics", Spec("verification", {"comparer": value}), tmp_path)
        assert made.comparer.use == spec.use
    assert made.comparer == spec
    assert str(tmp_path) not in str(plugin_settings.question(Spec("verification"), made)), (
        "no identity knows where the file lies"
    )
    assert plugin_settings.make("metrics", Spec("verification", plugin_settings.dump(made)), Path("/")) == made
    (tmp_path / "no.py").write_text(JUDGES.replace("    yes_or_no: ClassVar[bool] = True\n", ""))
    with pytest.raises(PluginError, match="lacks yes_or_no"):
        plugin_settings.make("comparers", Spec(f"{tmp_path / 'no.py'}:Knows"), tmp_path)


def test_the_judge_in_the_documentation_judges(data, half, tmp_path, measured):
    text = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
    section = text[text.index("## Judges from outside") :]
    source, plan = (re.search(rf"```{kind}\n(.*?)```", section, re.DOTALL)[1] for kind in ("python", "toml"))
    knows = 'return "yes" if picture[0, 0, 0] == person[0, 0, 0, 0] else "no"'
    (tmp_path / "my_judge.py").write_text(source.replace("raise NotImplementedError", knows))
    settings = {key: value for key, value in tomllib.loads(plan)["metrics"][0].items() if key != "use"}
    metric = plugin_settings.make("metrics", Spec("verification", settings), tmp_path)
    found = by_column(measured(metric, evidence(data, half)))
    assert found["verified"].values.mean() == 0.5
    judge = plugin_settings.make("comparers", metric.needs()["comparer"].comparer, tmp_path)
    assert judge.content() == {"model": "its name and version"}


def test_it_conforms_with_a_judge_that_scores(tmp_path):
    source = JUDGES.replace("pictures[i, 0, 0, 0] - people[p][0, 0, 0, 0]", "pictures[i].mean() - people[p].mean()")
    (tmp_path / "tones.py").write_text(source)
    settings = {"comparer": "tones.py:Grades", "rates": [0.1], "questions": 200}
    report = check("verification", "metrics", settings, tmp_path)
    assert report.ok, str(report)
    assert not [finding for finding in report.findings if finding.ok is None], str(report)


def test_embeddings_are_a_comparer_like_any_other(data):
    """Similarities with the mean of a person's unit vectors, pair by pair."""

    class Reads(nn.Module):
        def forward(self, x):
            return x[:, 0, 0, :] - 0.5

    network = Classifier({"r": Reads()}, nn.Identity(), classes=2, mean=(0.0,) * 3, std=(1.0,) * 3)
    people, pairs = enrolled(data.train), np.array([[0, 3], [5, 3], [5, 0]])
    found = Embeddings(network, "mean").compare(data.test.pixels, people, pairs, Run("x"))

    def unit(x):
        x = x[:, 0, 0, :].double().numpy() - 0.5
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    for (row, person), score in zip(pairs, found, strict=True):
        centre = unit(people[person]).mean(0)
        assert score == pytest.approx(unit(data.test.pixels)[row] @ centre / np.linalg.norm(centre), abs=1e-6)


@pytest.fixture
def sheet(tmp_path):
    return Verification(comparer=Spec("answer_sheet", {"folder": str(tmp_path / "asked"), "beside": 2}), questions=12)


def fill(path, answer):
    with path.open() as file:
        rows = list(csv.reader(file))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([rows[0], *((number, answer(number)) for number, _ in rows[1:])])


def test_a_sheet_is_written_filled_and_read(sheet, data, half, tmp_path, measured):
    judge = plugin_settings.make("comparers", sheet.comparer, tmp_path)
    before = judge.content()
    found = measured(sheet, evidence(data, half))
    assert len(found) == 3
    assert all("36 of 36 questions in" in m.reason for m in found)
    assert judge.content() == before, "an empty sheet says nothing"
    (folder,) = (tmp_path / "asked").iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    assert len(list(folder.glob("*.png"))) == 36

    def looks(number):
        """Whether the first pixels of the first and of the last picture agree, as someone who looks would see."""
        picture = np.asarray(Image.open(folder / f"{number}.png"))
        side = (picture.shape[1] - 16) // 3
        assert picture.shape == (side, 3 * side + 16, 3)
        return "Yes" if picture[0, 0, 0] == picture[0, 2 * side + 16, 0] else "0"

    fill(folder / "answers.csv", lambda number: looks(number) if number < "0030" else "")
    assert "7 of 36" in measured(sheet, evidence(data, half))[0].reason
    part = judge.content()
    fill(folder / "answers.csv", looks)
    assert len({str(before), str(part), str(judge.content())}) == 3
    columns = by_column(measured(sheet, evidence(data, half, "another run")))
    assert columns["genuine accepted"].values.mean() == 1.0
    assert columns["other people accepted"].values.mean() == 0.0
    truth = draw(data, enrolled(data.train), half, 12)
    own = truth.kind == RECONSTRUCTION
    expected = (truth.pictures[own][:, 0, 0, 0] * 255).round().numpy() == truth.shown[own]
    assert columns["verified"].values.tolist() == expected.astype(float).tolist()
    fill(folder / "answers.csv", lambda number: "perhaps")
    with pytest.raises(JudgeError, match="perhaps"):
        judge.content()


def test_no_sheet_in_a_repository(sheet, data, half, tmp_path, measured):
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    with pytest.raises(JudgeError, match="inside the git repository"):
        measured(sheet, evidence(data, half))
    assert not (tmp_path / "asked").exists()


@pytest.mark.slow
def test_a_plan_goes_on_where_its_sheets_were_filled(project):
    """Twice the same plan: first it asks, then it reads; nothing but the judge's part is done anew."""
    judge = '[[metrics]]\nuse = "verification"\nquestions = 10\ncomparer = { use = "answer_sheet", folder = "asked" }\n'
    project.edit("tiny.toml", '[[metrics]]\nuse = "utility"\n', judge)
    first = project.run()
    assert first.returncode == 0, first.stderr

    def figures():
        rows = [Row.model_validate(row) for row in json.loads(project.rows())]
        return [{f.column: f for f in row.figures if f.metric == "verification"} for row in rows]

    assert all("questions in" in row["verified"].reason for row in figures())
    sheets = list((project.folder / "asked").glob("*/answers.csv"))
    assert len(sheets) == 1, "the defense did nothing, and equal questions are asked once"
    for path in sheets:
        fill(path, lambda number: "no" if int(number) % 2 else "yes")
    second = project.run()
    assert second.returncode == 0, second.stderr
    labels = re.findall(r"^\[\d+/\d+\] (.*): [\d.]+ s$", second.stderr, re.MULTILINE)
    assert labels[0] == "comparer answer_sheet"
    assert len(labels) == 3
    assert all(label.startswith("verification of guess") for label in labels[1:])
    assert all("genuine" in row["verified"].reason or "impostor" in row["verified"].reason for row in figures())
    assert all(row["other people accepted"].value is not None for row in figures())
    page = (project.folder / "store/reports/tiny/leaderboard.html").read_text()
    assert "other people accepted" in page
