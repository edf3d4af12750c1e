"""Target, judge, prior and metrics take their own size from the same pictures."""

import pytest
import torch

import unveil
from unveil.harness.data.splits import label
from unveil.harness.plan.file import from_mapping
from unveil.harness.running.matrix import expand
from unveil.harness.steps.sizes import sized
from unveil.harness.store.artefacts import Store
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import DataError, PlanError
from unveil.harness.words.images import Images
from unveil.harness.words.pixels import Chosen, brought_to
from unveil.harness.words.resolution import at_size
from unveil.harness.words.run import Run

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
    "metrics": [{"use": "attack_accuracy"}, {"use": "utility"}, {"use": "copies"}, {"use": "nearest_private"}],
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
    assert "works at 16 x 16 pixels" in results.rows[0].notes
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
