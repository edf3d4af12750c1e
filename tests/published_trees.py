"""What the published presets need, small and made: trees with the true file formats, lists, and networks' files."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from unveil.attacks.priors.style_layers import Layout
from unveil.attacks.priors.style_networks import StyleGAN2
from unveil.harness.models.ir import IR, IR152, IR50At112
from unveil.harness.training.global_rng import seeded
from unveil.harness.words.run import Run

faces: Any = None  # what makes trees, see conftest.py
PEOPLE = (8, 8, 8, 5, 4)  # pictures of each person of the made CelebA: the first three are private


def celeba(root: Path) -> dict[str, str]:
    """CelebA with the three lists that publications share, and a folder cut anew; what is to be in the environment."""
    faces.celeba(root / "celeba", PEOPLE)
    lines = [line.split() for line in (root / "celeba" / "identity_CelebA.txt").read_text().splitlines()]
    lists: dict[str, list[str]] = {"trainset": [], "testset": [], "ganset": []}
    seen = dict.fromkeys(range(3), 0)
    for number, (name, person) in enumerate(lines):
        label = int(person) - 11
        faces.noise(root / "celeba" / "img_celeba_hd" / name, 7000 + number, 224, 224)
        if label in seen:
            seen[label] += 1
            lists["testset" if seen[label] > 6 else "trainset"].append(f"{name} {label}")
        else:
            lists["ganset"].append(f"{name} 0")
    for name, rows in lists.items():
        faces.write(root / "lists" / f"{name}.txt", rows)
    return {"UNVEIL_CELEBA": str(root / "celeba"), "UNVEIL_CELEBA_LISTS": str(root / "lists")}


def facescrub(root: Path) -> dict[str, str]:
    """FaceScrub and some thumbnails of FFHQ; what is to be in the environment."""
    faces.facescrub(root / "facescrub", people=2, pictures=8)
    faces.ffhq(root / "ffhq")
    return {"UNVEIL_FACESCRUB": str(root / "facescrub"), "UNVEIL_FFHQ": str(root / "ffhq")}


def style_file(root: Path) -> dict[str, str]:
    """A converted StyleGAN2 of 1024 pixels with few channels; what is to be in the environment."""
    layout = Layout(1024, z_dim=8, w_dim=8, mapping_layers=2, channel_base=2048, channel_max=8, clamp=256)
    with seeded(Run("made")):
        state = StyleGAN2(layout).state_dict()
    told = json.dumps(dataclasses.asdict(layout))
    file = root / "ffhq.safetensors"
    save_file({f"generator.{name}": t.contiguous() for name, t in state.items()}, file, metadata={"generator": told})
    return {"UNVEIL_FFHQ_STYLEGAN2": str(file)}


def backbone(model: IR, file: Path) -> str:
    """A backbone as face.evoLVe releases it: IR at 112 pixels, by its released names, without a head."""
    with seeded(Run(file.name)):
        network = model.bare(2)
    torch.save(model.released(network).get_submodule("feature").state_dict(), file)
    return str(file)


def backbones(root: Path) -> dict[str, str]:
    """Made weights of both MS1M networks, of their true sizes; what is to be in the environment."""
    return {
        "UNVEIL_MS1M_IR152": backbone(IR152(), root / "ir152.pth"),
        "UNVEIL_MS1M_IR50": backbone(IR50At112(), root / "ir50.pth"),
    }
