"""One network may guide, select or be attacked, never the one that judges, under whatever name it comes."""

import dataclasses
import hashlib
import shutil

import pytest
import torch

from unveil.harness.assets.fetch import ASSETS
from unveil.harness.models.mobilefacenet import stages
from unveil.harness.plan.file import read
from unveil.harness.running import independence
from unveil.harness.running.matrix import expand
from unveil.harness.training.global_rng import seeded
from unveil.harness.types import Run
from unveil.harness.words.errors import JudgeError

GUIDED = '''
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar
from torch import nn
import torch
from unveil.harness.models.mobilefacenet import stages
from unveil.harness.types import Access, GivenModel, LocalPath, LocalSpec, Spec, TrainedPrior, WrappedAttack
from unveil.harness.words.classifier import Classifier
from blobs import Blobs


@dataclass(frozen=True)
class Bare:
    """The same network, put together by hand; does not say what it reads."""

    def build(self, classes, shape, run):
        body = nn.ModuleDict({f"part{i}": m for i, m in enumerate(stages().values())})
        tensors = torch.load(Path(__file__).with_name("a.pt")).values()
        names = [n for n in body.state_dict() if not n.endswith("num_batches_tracked")]
        body.load_state_dict(dict(zip(names, tensors, strict=True)), strict=False)
        return Classifier(body, nn.Linear(128, classes), classes=classes)


@dataclass(frozen=True)
class Judge(Bare):
    """Only judges."""

    judges_only: ClassVar[bool] = True

    def content(self):
        return {"by": "hand"}


@dataclass(frozen=True)
class Guided:
    """Wants a model, and may keep one in its settings."""

    model: LocalSpec | None = None
    held: LocalSpec | None = None
    access: ClassVar[Access] = Access.WHITE_BOX

    def needs(self):
        return {} if self.model is None else {"guide": GivenModel(self.model)}

    def reconstruct(self, view, ingredients, labels, run):
        raise NotImplementedError


@dataclass(frozen=True)
class Wrapping:
    """Wants another attack."""

    attack: LocalSpec
    access: ClassVar[Access] = Access.WHITE_BOX

    def needs(self):
        return {"inner": WrappedAttack(self.attack)}

    def reconstruct(self, view, ingredients, labels, run):
        raise NotImplementedError


@dataclass(frozen=True)
class Chosen(Blobs):
    """People who were chosen by an embedder."""

    by: str = ""

    def content(self):
        return {"by": self.by}
'''
PLAN = """
title = "t"
metrics = [{{ use = "attack_accuracy" }}{metrics}]
defenses = [{{ use = "none" }}]
[data]
{data}
[target]
{target}
[[evaluators]]
name = "judge"
others = "nobody"
{judge}
[[attacks]]
name = "one"
{attack}
"""
PLAIN = {
    "metrics": "",
    "data": 'use = "blobs.py:Blobs"',
    "target": 'use = "small_resnet"\nwidth = 4',
    "judge": 'use = "mobilefacenet"\nweights = "a.pt"\ngallery = true',
    "attack": 'use = "guess.py:Guess"',
}
FACE = 'use = "mobilefacenet", weights = "{}"'


def drawn(name):
    """Random weights of a MobileFaceNet, as a checkpoint has them."""
    with seeded(Run(name)):
        state = torch.nn.ModuleDict(stages()).state_dict()
    return {f"arcface.{n}": t for n, t in state.items() if not n.endswith("num_batches_tracked")}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """One network in three files, and another one."""
    place, state = tmp_path_factory.mktemp("checkpoints"), drawn("a")
    torch.save(state, place / "a.pt")
    shutil.copy(place / "a.pt", place / "renamed.pth")
    torch.save({"model": {n: t.half() for n, t in state.items()}}, place / "half.pt")
    torch.save(drawn("b"), place / "other.pt")
    return place


@pytest.fixture
def folder(project, checkpoints, monkeypatch):
    monkeypatch.setenv("UNVEIL_CACHE", str(project.folder / "cache"))
    monkeypatch.syspath_prepend(project.folder)
    (project.folder / "guided.py").write_text(GUIDED)
    for file in checkpoints.iterdir():
        (project.folder / file.name).symlink_to(file)
    return project.folder


def expanded(folder, **changes):
    (folder / "plan.toml").write_text(PLAN.format(**PLAIN | changes))
    return expand(read(str(folder / "plan.toml")))


def bare(spec):
    return "use = " + spec.partition("use = ")[2].replace(", ", "\n")


GUIDES = {
    "target": {"target": bare(FACE.format("renamed.pth")) + "\nfrozen = false"},
    "target in half precision": {"target": bare(FACE.format("half.pt"))},
    "target by another plugin": {"target": 'use = "guided.py:Bare"'},
    "wanted by the attack": {"attack": f'use = "guided.py:Guided"\nmodel = {{ {FACE.format("half.pt")} }}'},
    "kept by the attack": {"attack": f'use = "guided.py:Guided"\nheld = {{ {FACE.format("renamed.pth")} }}'},
    "in a wrapped attack": {
        "attack": 'use = "guided.py:Wrapping"\nattack = { use = "guided.py:Wrapping", attack = '
        f'{{ use = "guided.py:Guided", model = {{ {FACE.format("renamed.pth")} }} }} }}'
    },
    "a surrogate": {"attack": f'use = "lomma"\nstudents = [{{ {FACE.format("half.pt")} }}]'},
}


METRIC = {
    "metrics": f', {{ use = "verification", embedder = {{ {FACE.format("a.pt")} }} }}',
    "judge": 'use = "plain_cnn"\nwidth = 4',
}


@pytest.mark.parametrize("guide", GUIDES)
def test_what_guides_is_no_evaluator(folder, guide):
    with pytest.raises(JudgeError, match="evaluator 'judge' judges with the weights of mobilefacenet"):
        expanded(folder, **GUIDES[guide])


@pytest.mark.parametrize("guide", ["target in half precision", "in a wrapped attack"])
def test_what_guides_compares_no_pictures(folder, guide):
    with pytest.raises(JudgeError, match="metric 'verification' judges with the weights of mobilefacenet"):
        expanded(folder, **METRIC, **GUIDES[guide])


def test_a_data_set_says_by_whom_its_people_were_chosen(folder):
    """An asset is the same as its package's member, and nothing has to be fetched to know that."""
    asset, own = ASSETS["fr_feature"], hashlib.sha256((folder / "a.pt").read_bytes()).hexdigest()
    judge = 'use = "fr_feature"\nweights = "asset"\ngallery = true'
    for checksum, judging in ((own, PLAIN["judge"]), (asset.member_sha256, judge), (asset.package_sha256, judge)):
        chosen = f'use = "guided.py:Chosen"\nby = "chosen by {checksum}"'
        with pytest.raises(JudgeError, match=r"and data Chosen brings the same, as Chosen"):
            expanded(folder, data=chosen, judge=judging)
    expanded(folder, data=f'use = "guided.py:Chosen"\nby = "{own}"', judge=judge)


def test_a_file_from_a_package_is_looked_into_where_the_package_is_not_here(folder, monkeypatch):
    own = hashlib.sha256((folder / "a.pt").read_bytes()).hexdigest()
    known = {"x": dataclasses.replace(ASSETS["fr_feature"], member_sha256=own)}
    monkeypatch.setattr(independence, "ASSETS", known)
    with pytest.raises(JudgeError, match="evaluator 'judge' judges with"):
        expanded(folder, **GUIDES["target in half precision"])


@pytest.mark.parametrize(
    "where",
    [{"target": 'use = "guided.py:Judge"'}, {"attack": 'use = "lomma"\nstudents = [{ use = "guided.py:Judge" }]'}],
)
def test_what_has_no_gradients_only_judges(folder, where):
    with pytest.raises(JudgeError, match="is made of Judge, which has no gradients"):
        expanded(folder, **where)
    expanded(folder, judge='use = "guided.py:Judge"\ngallery = true')


def test_others_may_judge_and_judges_may_be_alike(folder):
    same = f', {{ use = "delta_face", embedder = {{ {FACE.format("renamed.pth")} }} }}'
    other = FACE.format("other.pt")
    found = expanded(
        folder, metrics=same, target=bare(other), attack=f'use = "guided.py:Guided"\nmodel = {{ {other} }}'
    )
    assert len(found.cells) == 1
