"""The data sets that come from assets: synthetic people, ORL, MNIST."""

import pytest
import torch

from unveil.harness.assets import fetch as assets
from unveil.harness.data.mnist import MNIST
from unveil.harness.data.orl import ORL
from unveil.harness.data.people import People
from unveil.harness.models.dcgan import DCGAN, load_digiface
from unveil.harness.words.errors import AssetError, DataError
from unveil.harness.words.run import Run

RUN = Run("test")
SMALL = {"private": 4, "pictures": 6, "public": 3, "public_pictures": 2}


def needs(name: str) -> None:
    try:
        assets.path(name)
    except AssetError as error:
        pytest.skip(f"asset {name} cannot be had: {error.what}")


@pytest.fixture(scope="module")
def people():
    needs("digiface")
    return People(**SMALL).load(RUN)


def private(data):
    """All private pictures by person."""
    parts = (data.train, data.validation, data.test)
    labels = torch.cat([part.labels for part in parts])
    order = labels.argsort(stable=True)
    return torch.cat([part.pixels for part in parts])[order], labels[order]


def test_people_shape(people):
    assert (len(people.train), len(people.validation), len(people.test), len(people.public)) == (16, 4, 4, 6)
    assert people.train.shape == (3, 64, 64)
    assert people.names == ("person 000", "person 001", "person 002", "person 003")
    assert people.public.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert people.disjoint.startswith("by construction")
    assert people.publishable


def test_people_depend_on_the_settings_alone(people):
    assert People(**SMALL).load(Run("another node")).checksum == people.checksum
    assert People(**SMALL, seed=1).load(RUN).checksum != people.checksum


def test_people_stay_when_more_are_asked_for(people):
    more = People(**SMALL | {"private": 5, "public": 4}).load(RUN)
    for part in ("train", "validation", "test", "public"):
        ours, theirs = getattr(people, part), getattr(more, part)
        old = theirs.labels < (3 if part == "public" else 4)
        # a picture's place in a batch may move its last bit
        assert (theirs.pixels[old] - ours.pixels).abs().max() <= 1 / 255 + 1e-6


def test_pictures_of_a_person_are_nearest_to_each_other(people):
    pixels, labels = private(people)
    apart = torch.cdist(pixels.flatten(1), pixels.flatten(1))
    same = labels[:, None] == labels[None, :]
    own = apart[same & (apart > 0)].mean()
    assert own < 0.7 * apart[~same].mean()


def test_anchors_are_the_truth(people):
    hidden, shown = People(**SMALL).anchors()
    assert hidden.shape == (4, 100)
    assert shown.shape == (3, 100)
    with torch.no_grad():
        faces = load_digiface()(hidden)
    assert (people.anchors - faces).abs().max() < 0.6 / 255
    pixels, labels = private(people)
    nearest = torch.cdist(pixels.flatten(1), faces.flatten(1)).argmin(1)
    assert (nearest == labels).float().mean() > 0.9


def test_no_spread_no_noise_is_the_anchor_itself():
    needs("digiface")
    still = People(**SMALL, spread=0.001, exposure=0.0, noise=0.0)  # not less: equal pictures would count once
    with torch.no_grad():
        faces = load_digiface()(still.anchors()[0])
    pixels, labels = private(still.load(RUN))
    assert (pixels - faces[labels]).abs().max() < 3 / 255


def test_people_of_another_size():
    needs("digiface")
    data = People(**SMALL | {"size": 32, "public": 1, "private": 2}).load(RUN)
    assert data.train.shape == (3, 32, 32)
    assert data.anchors.shape == (2, 3, 32, 32)


def test_too_few_pictures_for_the_shares():
    needs("digiface")
    with pytest.raises(DataError, match="person 000: 3"):
        People(**SMALL | {"pictures": 3}, test=0.7).load(RUN)


def test_generator_is_frozen_and_in_range():
    needs("digiface")
    network = load_digiface()
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert sum(p.numel() for p in DCGAN().parameters()) == 3_576_704
    x = network(torch.zeros(2, 100))
    assert x.shape == (2, 3, 64, 64)
    assert x.min() >= 0
    assert x.max() <= 1


@pytest.mark.parametrize("plugin", [People(), ORL(), MNIST()])
def test_identity_needs_no_download(plugin, monkeypatch, tmp_path):
    monkeypatch.setenv("UNVEIL_CACHE", str(tmp_path))
    content = plugin.content()
    assert all(len(value) == 64 for value in content.values())
    assert not list(tmp_path.iterdir())


def test_orl():
    needs("orl")
    data = ORL(channels=1).load(RUN)
    assert (data.classes, data.names[0], data.names[-1]) == (30, "s01", "s30")
    assert (len(data.train), len(data.validation), len(data.test), len(data.public)) == (180, 30, 90, 100)
    assert data.train.shape == (1, 64, 64)
    assert not data.publishable
    assert data.disjoint.startswith("by construction")


def test_mnist():
    needs("mnist")
    data = MNIST(pictures=10).load(RUN)
    assert data.names == ("digit 0", "digit 1", "digit 2", "digit 3", "digit 4")
    assert (len(data.train), len(data.validation), len(data.test), len(data.public)) == (35, 5, 10, 50)
    assert data.train.shape == (1, 32, 32)
    assert data.publishable
    # ink of a 0 encloses an empty middle, a 1 has it there
    middle = torch.stack([data.train.pixels[data.train.labels == d].mean(0)[0, 15:17, 15:17].mean() for d in (0, 1)])
    assert middle[0] < 0.2 < middle[1]
