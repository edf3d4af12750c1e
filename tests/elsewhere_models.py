"""Models that somebody trained elsewhere: a few people in folders, and a plain PyTorch loop that learns them."""

from __future__ import annotations

import zlib
from pathlib import Path

import torch
from PIL import Image

from unveil.harness.assets import torchvision_ops

SIDE = 32
PEOPLE = ("ann", "bea", "cid", "dan", "eva", "fay")
IMAGENET = (torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))


def picture(person: str, number: int) -> torch.Tensor:
    """A blob before a wall ``(3, SIDE, SIDE)`` in 256 levels: colours and place are a person's."""
    look = torch.Generator().manual_seed(zlib.crc32(person.encode()))
    own = torch.Generator().manual_seed(zlib.crc32(f"{person} {number}".encode()))
    wall, skin = torch.rand(2, 3, 1, 1, generator=look)
    y, x = 0.2 + 0.6 * torch.rand(2, generator=look) + 0.03 * torch.randn(2, generator=own)
    line = torch.linspace(0, 1, SIDE)
    blob = torch.exp(-((line[:, None] - y) ** 2 + (line - x) ** 2) / 0.03)
    noise = 0.04 * torch.randn(3, SIDE, SIDE, generator=own)
    return ((wall + (skin - wall) * blob + noise).clamp(0, 1) * 255).round().to(torch.uint8)


def folders(root: Path, people: tuple[str, ...], each: int) -> Path:
    """A folder of pictures for each person."""
    for person in people:
        (root / person).mkdir(parents=True)
        for k in range(each):
            pixels = picture(person, k).permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(root / person / f"{k}.png")
    return root


def learnt(people: tuple[str, ...] = PEOPLE, each: int = 8, architecture: str = "test_resnet") -> torch.nn.Module:
    """A timm classifier of these people, in this order, by a loop that knows nothing of this package."""
    torchvision_ops.ensure()
    import timm  # noqa: PLC0415 (which may need what the line above mends)

    torch.manual_seed(0)
    model = timm.create_model(architecture, num_classes=len(people))
    x = torch.stack([picture(person, k) for person in people for k in range(each)]).float() / 255
    x, y = (x - IMAGENET[0]) / IMAGENET[1], torch.arange(len(people)).repeat_interleave(each)
    optimiser = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(15):
        for rows in torch.randperm(len(x)).split(16):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
    return model.eval()


class Wrapped(torch.nn.Module):
    """A network of somebody's own, which answers with a dictionary.

    Args:
        inner: What it asks.
    """

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits, among other things."""
        return {"aux": x.mean(), "logits": self.inner(x)}
