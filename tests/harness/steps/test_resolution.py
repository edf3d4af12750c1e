"""Target, judge, prior and metrics take their own part and size of the same pictures."""

import dataclasses

import numpy as np
import pytest
import torch

import unveil
from unveil.harness.data.splits import label
from unveil.harness.plan.file import from_mapping
from unveil.harness.running.matrix import expand
from unveil.harness.steps.cropped import cropped
from unveil.harness.steps.sizes import sized
from unveil.harness.store.artefacts import Store
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import DataError, PlanError
from unveil.harness.words.images import Data, Images
from unveil.harness.words.metric import Evidence
from unveil.harness.words.pixels import Chosen, brought_to
from unveil.harness.words.resolution import at_size
from unveil.harness.words.run import Run
from unveil.metrics.copies import Copies
from unveil.metrics.knn_distance import KNNDistance

DATA = '''
"""Private pictures of 24 x 20 pixels and public ones of 22 x 22, and nobody to validate on."""
from dataclasses import dataclass
import torch
from unveil.harness.data.splits import Pictures, Shares, assemble
from unveil.harness.types import Data, Run


def draw(people, first, pictures, height, width):
    generator = torch.Generator().manual_seed(first)
    pixels = torch.randint(0, 256, (people * pictures, 3, height, width), generator=generator, dtype=torch.uint8)
    labels = torch.arange(people).repeat_interleave(pictures)
    return Pictures(pixels, labels, tuple(f"person {first + number}" for number in range(people)))


@dataclass(frozen=True)
class Two:
    """Two sizes."""

    def content(self):
        return {}

    def load(self, run: Run) -> Data:
        shares = Shares(0.2, 0.0, 0)
        return assemble(draw(3, 0, 6, 20, 24), draw(6, 50, 6, 22, 22), shares, publishable=True)
'''
GMI = {"use": "gmi", "steps": 2, "restarts": 1, "prior": {"use": "wgan_gp", "width": 4, "steps": 2, "batch": 4}}
PLAN = {
    "title": "Sizes",
    "pictures": 2,
    "recipe": {"epochs": 2, "batch": 16},
    "data": {"use": "two.py:Two"},
    "target": {"use": "small_resnet", "width": 4, "size": 16, "crop": [4, 2, 16, 16]},
    "evaluator": {"use": "plain_cnn", "width": 4, "name": "judge", "size": 28, "reject": 1.0},
    "defenses": [{"use": "none"}],
    "attacks": [{**GMI, "resolution": 16}, {"use": "held_out_private", "resolution": 16}],
    "metrics": [
        {"use": "attack_accuracy"},
        {"use": "utility"},
        {"use": "copies"},
        {"use": "nearest_private"},
        {"use": "knn_distance", "name": "face", "crop": [6, 5, 12, 10]},
    ],
}


class Eye(Classifier):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        super().__init__({"all": torch.nn.Flatten()}, torch.nn.Identity(), classes=2, mean=(0, 0, 0), std=(1, 1, 1))


class Eyes:
    def build(self, classes, shape, run):
        self.shape = shape
        return Eye()


def ruler(height: int, width: int) -> torch.Tensor:
    """Red says how far a pixel is from the left, as a share of the width; green how far from the top."""
    down, across = torch.meshgrid(torch.arange(height) / height, torch.arange(width) / width, indexing="ij")
    return torch.stack([across, down, 0 * down])[None]


def test_a_crop_shows_the_same_part_of_pictures_of_any_size():
    model = Eyes()
    eye = sized(model, 2, (3, 20, 24), [6, 5, 12, 10], Run("test"))
    assert model.shape == (3, 10, 12), "built for what it looks at"
    near = eye.normalise(ruler(20, 24))
    assert torch.allclose(near[0, 0, 0], torch.arange(6, 18) / 24)
    assert torch.allclose(near[0, 1, :, 0], torch.arange(5, 15) / 20)
    far = eye.normalise(ruler(40, 48))
    assert far.shape == near.shape
    assert float((far - near).abs().max()) < 0.03, "the same part, twice as large"
    whole = sized(model, 2, (3, 20, 24), None, Run("test"))
    assert torch.equal(whole.normalise(ruler(20, 24)), ruler(20, 24))
    assert whole.normalise(ruler(10, 10)).shape == (1, 3, 20, 24), "never at a size that it was not built for"
    with pytest.raises(DataError, match="24 x 20 pixels"):
        sized(model, 2, (3, 20, 24), [20, 0, 8, 8], Run("test"))


def test_pictures_are_resized_once_in_8_bits():
    x = torch.randint(0, 256, (5, 3, 12, 16), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    images = Images(x, torch.arange(5))
    small = at_size(images, (8, 8))
    assert small.stored.dtype == torch.uint8
    assert torch.equal(small.levels(slice(None)), brought_to(x, (8, 8)))
    assert at_size(images, (12, 16)) is images
    flat = torch.full((1, 3, 12, 16), 77, dtype=torch.uint8)
    assert (brought_to(flat, (5, 7)) == 77).all()


def test_parts_of_different_sizes_are_brought_to_the_first():
    one, two = (torch.full((2, 3, *shape), value, dtype=torch.uint8) for shape, value in (((8, 6), 9), ((4, 4), 200)))
    both = Chosen((one, two))
    assert both[torch.tensor([3, 0])].shape == (2, 3, 8, 6)
    assert both[torch.tensor([3, 0])][:, 0, 0, 0].tolist() == [200, 9]
    assert label(["b", "a"], ("b", "a"))[0].tolist() == [0, 1]


def test_everybody_takes_their_own_size(tmp_path, monkeypatch):
    (tmp_path / "two.py").write_text(DATA)
    monkeypatch.chdir(tmp_path)
    results = unveil.run(PLAN, store="store")
    assert [row.error for row in results.rows] == [None, None]
    assert results.rows[0].facts["epoch kept"].startswith("the last: no private pictures")
    assert "epoch chosen on validation" not in results.rows[0].facts
    assert {"works at 16 x 16 pixels", "face looks at 12 x 10 pixels from 6, 5"} <= set(results.rows[0].notes)
    assert all(figure.reason is None for row in results.rows for figure in row.figures if figure.metric == "face")
    assert next(iter(results.datasets.values()))["picture size"] == "3 x 20 x 24, public 3 x 22 x 22"
    store = Store("store")
    gmi, ceiling = (store.load(row.keys["attack"]).tensors["pixels"] for row in results.rows)
    assert gmi.shape[1:] == ceiling.shape[1:] == (3, 16, 16)
    assert store.record(results.rows[0].keys["prior"])["shape"] == [3, 16, 16]
    shown = {figure.quantity: figure.value for figure in results.rows[1].figures if figure.metric == "copies"}
    assert shown == {"private pictures": 1.0}, "private pictures at the attack's size are private pictures"


def test_a_crop_and_a_resolution_are_part_of_the_question(tmp_path, monkeypatch):
    (tmp_path / "two.py").write_text(DATA)
    monkeypatch.chdir(tmp_path)

    def keys(**changes):
        return {node.label: node.key for node in expand(from_mapping({**PLAN, **changes})).nodes()}

    asked = keys()
    bare = keys(target={name: value for name, value in PLAN["target"].items() if name != "crop"})
    assert bare["target small_resnet with none"] != asked["target small_resnet with none"]
    assert bare["prior wgan_gp"] == asked["prior wgan_gp"]
    larger = keys(attacks=[{**GMI, "resolution": 32}, PLAN["attacks"][1]])
    assert larger["prior wgan_gp"] != asked["prior wgan_gp"]
    assert larger["target small_resnet with none"] == asked["target small_resnet with none"]
    with pytest.raises(PlanError, match="0 x 16 pixels large"):
        keys(target={**PLAN["target"], "crop": [1, 1, 0, 16]})


FACE = [2, 1, 4, 3]  # of pictures of 8 x 6 pixels


def painted(face: int, around: int, scale: int = 1) -> torch.Tensor:
    """A picture of one grey with a face of two others."""
    x = torch.full((1, 3, 6, 8), around, dtype=torch.uint8)
    x[..., 1:4, 2:6] = face
    x[..., 2, 3] = 255
    return x.repeat_interleave(scale, 2).repeat_interleave(scale, 3)


def whole(judge: Classifier | None = None, scale: int = 1) -> Evidence:
    """A person's picture, and two reconstructions, so many times as large: one has the face, one what is around it."""
    private, nobody = Images(painted(60, 10), torch.tensor([0])), Images(painted(1, 1)[:0], torch.tensor([]).long())
    data = Data(private, nobody, private, nobody, ("ann",), "checksum", "by name", anchors=private.pixels)
    made = torch.cat([painted(60, 200, scale), painted(90, 10, scale)])
    return Evidence(data, Eye(), judge, Images(made, torch.tensor([0, 0])), Run("test"))


def test_a_metrics_own_part_is_all_that_it_sees():
    evidence = cropped(whole(scale=2), FACE)
    assert evidence.data.train.shape == (3, 3, 4)
    assert evidence.reconstructions.shape == (3, 6, 8), "the same part of larger pictures"
    assert torch.equal(evidence.data.train.levels(slice(None)), painted(60, 10)[..., 1:4, 2:6])
    assert evidence.data.anchors.shape == (1, 3, 3, 4)
    assert evidence.data.checksum != "checksum", "nothing that is remembered of whole pictures is taken for these"
    assert cropped(whole(), None).data.checksum == "checksum"
    with pytest.raises(DataError, match="8 x 6 pixels"):
        cropped(whole(), [6, 0, 4, 4])
    floats = dataclasses.replace(whole(), reconstructions=Images(torch.rand(2, 3, 12, 16), torch.zeros(2)))
    assert cropped(floats, FACE).reconstructions.shape == (3, 6, 8)


@pytest.mark.parametrize(("crop", "copies"), [(None, [0, 0]), (FACE, [1, 0]), ([2, 0, 4, 4], [0, 0])])
def test_what_is_outside_of_it_counts_for_nothing(crop, copies):
    (found,) = Copies().measure(cropped(whole(), crop))
    assert found.values.tolist() == copies


def test_an_evaluator_is_shown_the_metrics_part_in_place_of_its_own():
    """By hand: faces of 60 and 90 with one bright pixel; what lies around them counts for nothing."""
    judge = sized(Eyes(), 2, (3, 6, 8), [0, 0, 4, 3], Run("test"))
    made = whole(judge)
    alike = KNNDistance().measure(cropped(made, FACE))[0].values
    away = 3 * 11 * (30 / 255) ** 2
    assert alike == pytest.approx(np.array([0, away]), abs=1e-6)
    own = KNNDistance().measure(made)[0].values
    assert not np.allclose(own, alike, atol=0.1), "without it, the evaluator's own part"
    assert judge.window == (0, 0, 0.5, 0.5), "which it keeps"


def test_metrics_that_show_the_target_pictures_have_no_part_of_their_own(tmp_path, monkeypatch):
    (tmp_path / "two.py").write_text(DATA)
    monkeypatch.chdir(tmp_path)
    for use in ("utility", "fisher"):
        with pytest.raises(PlanError, match=f"the metric '{use}' has crop(.|\n)*the target's own stands in its entry"):
            expand(from_mapping({**PLAN, "metrics": [{"use": use, "crop": [0, 0, 8, 8]}]}))


def test_a_metrics_part_is_a_question_of_its_own_and_none_where_it_has_none(tmp_path, monkeypatch):
    (tmp_path / "two.py").write_text(DATA)
    monkeypatch.chdir(tmp_path)

    def asked(crop):
        metric = {"use": "knn_distance", **crop}
        nodes = expand(from_mapping({**PLAN, "metrics": [metric]})).nodes()
        return next(node for node in nodes if node.kind == "measure")

    plain, part = asked({}), asked({"crop": [0, 0, 8, 8]})
    assert (dict(plain.options), plain.randomness) == ({"name": "knn_distance", "judge": "judge"}, part.randomness)
    assert plain.identity != part.identity


def test_reconstructions_larger_than_the_data_are_shown_unshrunk(tmp_path, monkeypatch):
    """An attack at 48 pixels on data of 24 x 20: what evaluator and metrics are given still has 48."""
    (tmp_path / "two.py").write_text(DATA)
    monkeypatch.chdir(tmp_path)
    shown, measured = set(), []
    normalise, measure = Classifier.normalise, Copies.measure

    def look(self, x):
        shown.add((self.size, tuple(x.shape[-2:])))
        return normalise(self, x)

    def given(self, evidence):
        measured.append(evidence.reconstructions.shape)
        return measure(self, evidence)

    monkeypatch.setattr(Classifier, "normalise", look)
    monkeypatch.setattr(Copies, "measure", given)
    larger = {"attacks": [{**GMI, "resolution": 48}], "metrics": [{"use": "attack_accuracy"}, {"use": "copies"}]}
    (row,) = unveil.run({**PLAN, "pictures": 0, "recipe": {"epochs": 1, "batch": 16}, **larger}, store="store").rows
    assert row.error is None
    assert Store("store").load(row.keys["attack"]).tensors["pixels"].shape[1:] == (3, 48, 48)
    assert measured == [(3, 48, 48)]
    assert {(28, (48, 48)), (16, (48, 48))} <= shown, "judge and target make their own pictures, of all 48"
    assert {shape for _, shape in shown} == {(48, 48), (20, 24), (22, 22)}, "and nobody made others in between"
