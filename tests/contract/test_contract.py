"""Whatever is registered, by this package or another one, is tried out here: being registered is being tested."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from unveil.harness import plugins
from unveil.harness.conformance import check

# Settings for what has none by default, or shows what it does only with them.
SETTINGS = {
    ("models", "timm"): [{"architecture": "resnet10t"}],
    ("defenses", "tl_dmi"): [{}, {"freeze": "stage2"}, {"share": 0.2, "statistics": False}],
    ("defenses", "bido"): [{}, {"measure": "coco", "stages": ["stage2", "pool"], "sigma": 0.3}],
    ("defenses", "rolss"): [{}, {"scale": 0.2}],
    ("defenses", "mid"): [{}, {"beta": 1.0, "size": 3, "noise": "mean"}],
    ("defenses", "ls"): [{}, {"alpha": 0.2, "schedule": "constant"}],
    ("defenses", "rounded_scores"): [{}, {"temperature": 2.0, "decimals": 1, "top": 2}],
    ("priors", "wgan_gp"): [{}, {"start": "digiface", "train_generator": False, "flip": True}],
    ("priors", "inversion_gan"): [{}, {"start": "digiface", "train_generator": False, "flip": True}],
    ("attacks", "kedmi"): [{}, {"clamp": True}],
}
SLOW = {("metrics", "fid"): [{"minimum": 8}]}


def cases(table):
    for kind in plugins.KINDS:
        for name in plugins.registered(kind):
            for settings in table.get((kind, name), [{}] if table is SETTINGS else []):
                words = "-".join([kind, name, *(f"{key}={value}" for key, value in settings.items())])
                yield pytest.param(kind, name, settings, id=words)


@pytest.fixture
def folder(tmp_path):
    """Two roots with a few people's pictures."""
    for side in ("private", "public"):
        for person in range(3):
            for number in range(5):
                path = tmp_path / side / f"{side} {person}" / f"{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                generator = torch.Generator().manual_seed(100 * person + number + (side == "public") * 10_000)
                pixels = torch.randint(256, (24, 20, 3), generator=generator, dtype=torch.uint8)
                Image.fromarray(pixels.numpy()).save(path)
    return {"private": str(tmp_path / "private"), "public": str(tmp_path / "public")}


def conforms(kind, name, settings):
    report = check(name, kind, settings, Path.cwd())
    assert report.ok, str(report)
    unchecked = [finding.detail for finding in report.findings if finding.ok is None and "asset" in finding.detail]
    if unchecked:
        pytest.skip(unchecked[0])


@pytest.mark.parametrize(("kind", "name", "settings"), list(cases(SETTINGS)))
def test_it_conforms(kind, name, settings, request):
    if (kind, name) == ("datasets", "folder"):
        settings = request.getfixturevalue("folder")
    conforms(kind, name, settings)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name", "settings"), list(cases(SLOW)))
def test_it_conforms_at_length(kind, name, settings):
    conforms(kind, name, settings)


def test_every_kind_is_tried():
    assert {case.values[0] for case in cases(SETTINGS)} == set(plugins.KINDS)
