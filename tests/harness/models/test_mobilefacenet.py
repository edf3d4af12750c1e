"""The layers fit published checkpoints, and the study's checkpoint recognises faces."""

import os
from pathlib import Path

import pytest
import torch

from unveil.harness.data.folder import Folder
from unveil.harness.models.mobilefacenet import MobileFaceNet
from unveil.harness.training.fit import predict
from unveil.harness.types import Images, Run
from unveil.harness.words.errors import WeightsError

STUDY = Path(os.environ.get("UNVEIL_STUDY_DATA", Path(__file__).parents[4] / "shared" / "data"))


def test_size_and_what_trains():
    classifier = MobileFaceNet().build(7, (3, 64, 64), Run("x"))
    frozen, trainable = classifier.count()
    assert trainable == 129 * 7
    # conv weights, batch norms and slopes of table 1, added up by hand
    convs = 27 * 64 + 9 * 64 + 5 * (64 * 128 * 2 + 9 * 128) + (64 * 256 + 9 * 256 + 256 * 128)
    convs += 8 * (128 * 256 * 2 + 9 * 256) + (128 * 512 * 2 + 9 * 512) + 128 * 512 + 49 * 512 + 512 * 128
    norms = 2 * (64 * 2 + 5 * (128 * 2 + 64) + (256 * 2 + 128) + 8 * (256 * 2 + 128) + (512 * 2 + 128) + 512 * 2 + 128)
    slopes = 64 * 2 + 5 * 256 + 512 + 8 * 512 + 1024 + 512
    assert frozen == convs + norms + slopes
    out = classifier.run(torch.rand(2, 3, 64, 64))
    assert out.features.shape == (2, 128)
    assert out.logits.shape == (2, 7)
    assert out.stages["stage3"].shape == (2, 128, 7, 7)


def test_checkpoints_are_taken_in_order_and_strictly(tmp_path):
    body = MobileFaceNet().build(2, (3, 112, 112), Run("x")).stages.state_dict()
    renamed = {f"net.{i}": tensor for i, (name, tensor) in enumerate(body.items()) if "num_batches" not in name}
    torch.save(renamed, tmp_path / "face.pth")
    back = MobileFaceNet(str(tmp_path / "face.pth")).build(3, (3, 112, 112), Run("y"))
    assert all(torch.equal(tensor, body[name]) for name, tensor in back.stages.state_dict().items())
    torch.save({**renamed, "net.0": torch.zeros(1)}, tmp_path / "face.pth")
    with pytest.raises(WeightsError):
        MobileFaceNet(str(tmp_path / "face.pth")).build(3, (3, 112, 112), Run("y"))


@pytest.mark.slow
def test_it_recognises_faces_of_the_study():
    weights = STUDY / "weights" / "arcface_mobilefacenet_casia.pth"
    if not weights.exists():
        pytest.skip(f"no study data at {STUDY}")
    faces = STUDY / "lfw158"
    folder = Folder(
        str(faces / "private"), str(faces / "public-lfw-rest"), str(faces / "private.csv"),
        min_images=30, size=112, max_public=10,
    )  # fmt: skip
    data = folder.load(Run("x"))
    embed = MobileFaceNet(str(weights)).build(data.classes, (3, 112, 112), Run("x"))
    embed.head = torch.nn.Identity()

    def unit(images: Images) -> torch.Tensor:
        return torch.nn.functional.normalize(predict(embed, images), dim=1)

    own = unit(data.train)
    centres = torch.stack([own[data.train.labels == label].mean(0) for label in range(data.classes)])
    right = (unit(data.test) @ centres.T).argmax(1) == data.test.labels
    assert right.float().mean() > 0.98
