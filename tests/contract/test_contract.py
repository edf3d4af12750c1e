"""Whatever is registered, by this package or another one, is tried out here: being registered is being tested."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from unveil.attacks.priors.style_critic import StyleCritic
from unveil.attacks.priors.style_layers import Layout
from unveil.attacks.priors.style_networks import StyleGAN2
from unveil.harness.conformance import check
from unveil.harness.models.mobile_head_file import write
from unveil.harness.models.mobile_networks import Head
from unveil.harness.plan import plugins
from unveil.harness.training.global_rng import seeded
from unveil.harness.words.run import Run

# Settings for what has none by default, or shows what it does only with them.
SETTINGS = {
    ("models", "timm"): [{"architecture": "resnet10t"}],
    ("models", "facenet"): [],  # below, at length
    ("models", "faceres"): [],
    ("models", "program"): [],  # finished models, which nobody can build from nothing: test_given_target tries them out
    ("models", "in_memory"): [],
    ("models", "ir152"): [],  # large, as are the next two
    ("models", "ir50_64"): [],
    ("models", "ir50_112"): [],
    ("defenses", "tl_dmi"): [{}, {"freeze": "stage2"}, {"share": 0.2, "statistics": False}, {"layer": 4}],
    ("defenses", "bido"): [{}, {"measure": "coco", "stages": ["stage2", "pool"], "sigma": 0.3}],
    ("defenses", "rolss"): [{}, {"scale": 0.2}, {"keep_epochs": 1}],
    ("defenses", "dp_sgd"): [{}, {"epsilon": "accounted", "noise_multiplier": 0.5, "delta": 0.01, "accountant": "prv"}],
    ("defenses", "mid"): [{}, {"beta": 1.0, "size": 3, "noise": "mean"}],
    ("defenses", "ls"): [{}, {"alpha": 0.2, "schedule": "constant"}],
    ("defenses", "midre"): [{}, {"largest": 0.8, "fill": (0.0, 0.5, 1.0)}],
    ("defenses", "loft"): [{}, {"rank": 1, "activation": "relu"}, {"adapt_epochs": 1, "adapt_lr": 0.01}],
    ("defenses", "trap_mid"): [{}, {"weight": 0.5, "blend": 0.1}],
    ("defenses", "at_at"): [{"steps": 2}, {"weight": 0.5, "radius": 0.01, "step_size": 0.004, "steps": 1}],
    ("defenses", "ssd"): [{}, {"epsilon": 5.0, "temperature": 1.0}],
    ("defenses", "noisy_scores"): [{}, {"sigma": 3.0, "noise": "laplace"}],
    ("defenses", "truncated_scores"): [{}, {"top": 1}],
    ("defenses", "rounded_scores"): [{}, {"temperature": 2.0, "decimals": 1, "top": 2}],
    ("priors", "wgan_gp"): [
        {},
        {"start": "digiface", "train_generator": False, "flip": True},
        {"start": {"use": "style_gan"}, "train_generator": False},
        {"start": "wgan_gp", "learn_from": "wgan_gp"},
    ],
    ("priors", "inversion_gan"): [
        {},
        {"start": "digiface", "train_generator": False, "flip": True},
        {"start": "wgan_gp", "learn_from": "wgan_gp"},
    ],
    ("priors", "conditional_gan"): [{}, {"learn_from": "wgan_gp"}],
    ("priors", "t_acgan"): [{"unlabelled": 1}],
    ("priors", "style_gan"): [{}, {"augment": 0.6, "flip": True, "noise": False}],
    ("attacks", "align_mi"): [
        {"base": "gmi", "neighbours": 2},
        {"base": {"use": "lomma", "variant": "logit"}, "variant": "erase", "neighbours": 2},
    ],
    ("attacks", "ppdg_mi"): [
        {"share": 0.5},
        {"base": "kedmi"},
        {"base": "plgmi"},
        {"base": {"use": "lomma", "variant": "logit"}, "variant": "mmd"},
        {"base": "ppa", "variant": "pw"},
        {"base": {"use": "rlb_mi", "samples": 2}, "variant": "ct"},
        {"base": "brep_mi"},
    ],
    ("attacks", "if_gmi"): [{"stages": (2, 1)}, {"stages": (1, 2), "radii": (), "fresh_colours": True}],
    ("attacks", "lokt"): [{}, {"judged_by": "discriminator"}],
    ("attacks", "query_averaging"): [
        {"base": {"use": "rlb_mi"}, "neighbours": 3},
        {"base": {"use": "brep_mi"}, "neighbours": 2, "mean": "geometric"},
    ],
    ("attacks", "smile"): [{"trunk": {"use": "small_resnet", "width": 4}, "pretrained": False, "student_batch": 2}],
    ("attacks", "c2f_mi"): [
        {"embedder": {"use": "small_resnet", "width": 4}, "pretrained": False, "founders": 2, "starts": 3, "top": 2}
    ],
    ("attacks", "kedmi"): [{}, {"clamp": True}],
    ("attacks", "lomma"): [
        {},
        {"base": "kedmi"},
        {"variant": "aug"},
        {"base": "plgmi"},
        {"base": "plgmi", "variant": "aug"},
        {"base": "plgmi", "variant": "logit"},
    ],
    ("metrics", "confusion"): [],  # needs somebody from outside: tests/metrics/test_multimodal_llm.py
    ("metrics", "knowledge_extraction"): [{"student": {"use": "small_resnet", "width": 4}}],
}
SLOW = {("metrics", name): [{"minimum": 8}] for name in ("fid", "kid", "prdc")} | {
    ("models", "facenet"): [{}],
    ("models", "faceres"): [{}],
    ("models", "ir152"): [{}],
    ("models", "ir50_64"): [{}],
    ("models", "ir50_112"): [{}],
    ("priors", "mobile_style"): [{"head": "learnt", "pictures": 4}, {}],
}


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


@pytest.fixture
def style_file(tmp_path):
    """A converted StyleGAN2, small and untrained."""
    sizes = {"resolution": 64, "z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 256, "channel_max": 8}
    with seeded(Run("style file")):
        parts = {"generator": StyleGAN2(Layout(**sizes)), "critic": StyleCritic(Layout(**sizes))}
    tensors = {f"{part}.{key}": value for part, net in parts.items() for key, value in net.state_dict().items()}
    path = tmp_path / "style.safetensors"
    save_file(tensors, path, dict.fromkeys(parts, json.dumps(sizes)))
    return {"file": str(path), "trained_on": "random numbers"}


@pytest.fixture
def head_file(tmp_path):
    """A head for MobileStyleGAN, small and untrained; the network itself is an asset."""
    with seeded(Run("head file")):
        head = Head(512, (4,))
    write(tmp_path / "head.safetensors", head, "arcface", 32, {})
    return {"head": str(tmp_path / "head.safetensors")}


@pytest.fixture
def published(made_faces, tmp_path, request):
    """The files of a published data set, and settings that make do with few people."""
    name = request.node.callspec.params["name"]
    getattr(made_faces, name)(tmp_path / name)
    few = {"celeba": {"people": 3}, "facescrub": {"people": 2}, "ffhq": {"partial": True}, "lfw": {"min_images": 4}}
    return {"root": str(tmp_path / name), **few[name]}


FILES = {
    ("datasets", "folder"): "folder",
    ("datasets", "celeba"): "published",
    ("datasets", "facescrub"): "published",
    ("datasets", "ffhq"): "published",
    ("datasets", "lfw"): "published",
    ("priors", "stylegan2_ada"): "style_file",
    ("priors", "mobile_style"): "head_file",
}


def conforms(kind, name, settings):
    report = check(name, kind, settings, Path.cwd())
    assert report.ok, str(report)
    unchecked = [finding.detail for finding in report.findings if finding.ok is None and "asset" in finding.detail]
    if unchecked:
        pytest.skip(unchecked[0])


@pytest.mark.parametrize(("kind", "name", "settings"), list(cases(SETTINGS)))
def test_it_conforms(kind, name, settings, request):
    if (kind, name) in FILES:
        settings = request.getfixturevalue(FILES[kind, name])
    conforms(kind, name, settings)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name", "settings"), list(cases(SLOW)))
def test_it_conforms_at_length(kind, name, settings):
    conforms(kind, name, settings)


def test_every_kind_is_tried():
    assert {case.values[0] for case in cases(SETTINGS)} == set(plugins.KINDS)
