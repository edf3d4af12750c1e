"""Pictures too many for memory: no step ever looks at a whole set at once, and every number stays what it is."""

import os
from pathlib import Path

import pytest

import unveil
from unveil.harness.audit import prepare
from unveil.harness.data import contact
from unveil.harness.steps import data as datasets
from unveil.harness.steps.bench import Bench
from unveil.harness.words import pixels
from unveil.metrics import copies, image_features, nearest_anchor

MOST = 256  # pictures that a step may look at at once; every set here has more
MODELS = '''
"""The mean of each quarter of a picture."""
from dataclasses import dataclass
import torch
from torch import nn
from unveil.harness.data.splits import Shares, assemble
from unveil.harness.types import Classifier, Data, Run
from blobs import draw


@dataclass(frozen=True)
class Crowd:
    """Blobs of colour, one colour a person, and what each is at heart."""

    def content(self):
        return {}

    def load(self, run: Run) -> Data:
        import dataclasses
        data = assemble(draw(3, 0, 300), draw(6, 100, 50), Shares(0.35, 0.45, 0), publishable=True)
        firsts = torch.tensor([int((data.train.labels == y).nonzero()[0]) for y in range(3)])
        return dataclasses.replace(data, anchors=data.train.at(firsts))


@dataclass(frozen=True)
class Toy:
    """Reads means."""

    def content(self):
        return {"weights": "by hand"}

    def build(self, classes, shape, run):
        parts = {"read": nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten())}
        return Classifier(parts, nn.Identity(), classes=classes, mean=(0.0,) * 3, std=(1.0,) * 3)
'''
SMALL = {"width": 4, "steps": 2, "batch": 8}
GAN = {"use": "wgan_gp", "start": "z100", **SMALL}
PLAN = {
    "title": "Crowd",
    "pictures": 1,
    "identities": 2,
    "recipe": {"epochs": 1, "batch": 64, "views": 2},
    "data": {"use": "crowd.py:Crowd"},
    "target": {"use": "small_resnet", "width": 4, "pretrain": {"epochs": 1}},
    "evaluators": [
        {"use": "plain_cnn", "width": 4, "others": others, "name": others} for others in ("identities", "nobody")
    ],
    "defenses": [{"use": "tl_dmi", "freeze": "stem"}],
    "attacks": [
        {"use": "gmi", "restarts": 2, "steps": 1, "prior": GAN},
        {"use": "kedmi", "draws": 2, "steps": 1, "prior": {"use": "inversion_gan", "start": "z100", **SMALL}},
        {"use": "plgmi", "restarts": 2, "steps": 1, "prior": {"use": "conditional_gan", **SMALL}},
        {
            **{"use": "lomma", "base": {"use": "gmi", "restarts": 2, "steps": 1, "prior": GAN}},
            **{"students": [{"use": "small_resnet", "width": 4}], "student_epochs": 1},
        },
        {"use": "public_lookalikes", "batch": 64},
        {"use": "pixel_adversarial", "steps": 1},
        {"use": "held_out_private", "samples": 3},
    ],
    "metrics": [
        *(
            {"use": use}
            for use in ("attack_accuracy", "utility", "knn_distance", "copies", "nearest_private", "exposure")
        ),
        *({"use": use} for use in ("diversity", "memorisation_gap", "nearest_anchor")),
        {"use": "fid", "minimum": 2},
        {"use": "verification", "embedder": {"use": "crowd.py:Toy"}, "strangers": 280},
        {"use": "delta_face", "embedder": {"use": "crowd.py:Toy"}},
        {"use": "knowledge_extraction", "student": {"use": "small_resnet", "width": 4}, "epochs": 1, "minimum": 1},
        {"use": "fisher", "samples": 2},
    ],
}


@pytest.fixture
def crowd(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    monkeypatch.syspath_prepend(str(project.folder))
    (project.folder / "crowd.py").write_text(MODELS)
    monkeypatch.setattr(image_features, "_network", lambda name, run: lambda x: x.mean((2, 3)))
    monkeypatch.setattr(copies, "REALS", 128)
    monkeypatch.setattr(nearest_anchor, "CHUNK", 128)
    return project


@pytest.fixture
def looked_at(monkeypatch):
    """How many pictures were read from where they are kept, each time."""
    seen, read = [], pixels.Chosen.__getitem__

    def watched(self, index):
        found = read(self, index)
        seen.append(len(found))
        return found

    monkeypatch.setattr(pixels.Chosen, "__getitem__", watched)
    return seen


def test_a_matrix_never_looks_at_a_whole_set_and_gives_the_same_rows_as_in_memory(crowd, looked_at, monkeypatch):
    in_memory = [row.plain() for row in unveil.run(PLAN, store="memory", isolated=False).rows]
    looked_at.clear()
    monkeypatch.setattr(pixels, "HELD", 0)
    results = unveil.run(PLAN, store="files", isolated=False)
    audit = prepare(PLAN, "files")
    assert contact.sheet(datasets.read(audit.matrix.cells[0].nodes["data"], Bench(audit.store)))
    assert 0 < max(looked_at) <= MOST
    assert {row.status for row in results.rows} == {"done"}, [row.error for row in results.rows if row.error]
    scored = {figure.metric for row in results.rows for figure in row.figures if figure.reason is None}
    assert scored >= {metric["use"] for metric in PLAN["metrics"]}
    assert [row.plain() for row in results.rows] == in_memory


def test_a_file_that_is_cut_short_while_it_is_read_is_made_anew_in_the_same_run(project, monkeypatch, caplog):
    monkeypatch.chdir(project.folder)
    monkeypatch.setenv("TROUBLE", str(project.folder / "guess.py"))  # which is there: no trouble
    unveil.run("tiny.toml", store="undisturbed")
    monkeypatch.setattr(pixels, "HELD", 0)
    cut = []

    def cutting(node, outcome):
        if node.kind == "target" and outcome is None and not cut:
            cut.extend(path for path in Path("store").glob("blobs/*/*") if path.stat().st_size > 30_000)
            for path in cut:
                os.truncate(path, 20_000)

    results = unveil.run("tiny.toml", store="store", listener=cutting)
    assert cut
    assert {row.status for row in results.rows} == {"done"}
    assert "is damaged: set aside" in caplog.text
    assert project.rows() == project.rows("undisturbed")
