"""Fine-tunes a timm network on 30 people of the ORL faces, in plain PyTorch, as somebody new to unveil might.

It writes ``orl/private`` (a folder for each of 30 people), ``orl/public`` (ten other people) and ``orl/model.pt``, and
says how to audit that. A minute or two on two cores. Only the pictures and the first weights come by way of unveil.
"""

import sys
from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional as F

from unveil.harness.assets import fetch, torchvision_ops

torchvision_ops.ensure()
import timm  # noqa: E402 (some installations of torchvision need the line above)

SIDE, EPOCHS, BATCH = 64, int(sys.argv[1]) if len(sys.argv) > 1 else 8, 30
SIZE = 112  # the network takes larger pictures than these: it was made for such
OUT = Path("orl")

# 40 people, ten pictures each: 30 are the company's, the others are anybody
for person in range(1, 41):
    side = OUT / ("private" if person <= 30 else "public") / f"s{person:02d}"
    side.mkdir(parents=True, exist_ok=True)
    for k in range(1, 11):
        picture = Image.open(fetch.path("orl") / f"s{person}" / f"{k}.pgm").convert("RGB")
        picture.crop((0, 10, 92, 102)).resize((SIDE, SIDE)).save(side / f"{k}.png")


def pixels(file: Path) -> torch.Tensor:
    """A picture as the network takes it: from -1 to 1, and larger."""
    raw = torch.frombuffer(bytearray(Image.open(file).tobytes()), dtype=torch.uint8)
    x = raw.view(1, SIDE, SIDE, 3).permute(0, 3, 1, 2).float() / 127.5 - 1
    return F.interpolate(x, (SIZE, SIZE), mode="bilinear")[0]


people = sorted(folder.name for folder in (OUT / "private").iterdir())
x = torch.stack([pixels(OUT / "private" / name / f"{k}.png") for name in people for k in range(1, 11)])
y = torch.arange(len(people)).repeat_interleave(10)

torch.manual_seed(0)
model = timm.create_model("tf_efficientnet_lite0", num_classes=len(people))
first = torch.load(fetch.path("efficientnet-lite0"), map_location="cpu", weights_only=True)  # ImageNet weights
names = [name for name in model.state_dict() if not name.endswith("num_batches_tracked")]
plain = [value for name, value in first.items() if not name.endswith("num_batches_tracked")]
model.load_state_dict({n: v for n, v in zip(names, plain, strict=True) if "classifier" not in n}, strict=False)

optimiser = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.01)
for epoch in range(EPOCHS):
    right = 0
    for rows in torch.randperm(len(x)).split(BATCH):
        batch = x[rows].flip(3) if torch.rand(()) < 0.5 else x[rows]
        logits = model(batch)
        optimiser.zero_grad()
        F.cross_entropy(logits, y[rows]).backward()
        optimiser.step()
        right += int((logits.argmax(1) == y[rows]).sum())
    print(f"epoch {epoch + 1}: {right / len(x):.0%} of the pictures named rightly while learning")

model.eval()
with torch.no_grad():
    answers = torch.cat([model(part).argmax(1) for part in x.split(BATCH)])
print(f"in the end: {float((answers == y).float().mean()):.0%}")

torch.save({"epoch": EPOCHS, "state_dict": model.state_dict()}, OUT / "model.pt")
print("now: unveil audit --model orl/model.pt --arch tf_efficientnet_lite0 --private orl/private --public orl/public")
