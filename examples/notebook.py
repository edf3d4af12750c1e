"""An audit in a notebook: run this file as it is, or open it in Jupyter (each ``# %%`` is a cell)."""

# %% [markdown]
# A classifier that tells three people apart is trained without and with label smoothing, attacked, and judged.
# The "people" are blobs of colour, so that this takes seconds. Put your own data in their place.

# %%
from pathlib import Path

import unveil

# %% [markdown]
# A plugin is a class in a file. In a notebook, `%%writefile blobs.py` at the top of a cell writes one. (A class that
# lives in a cell alone is refused: its code is part of what a result is known by, and must be found again.)

# %%
Path("blobs.py").write_text(
    '''
from dataclasses import dataclass

import torch

from unveil.harness.data.splits import Pictures, Shares, assemble
from unveil.harness.words.pixels import to_uint8
from unveil.harness.types import Data, Dataset, Run


@dataclass(frozen=True)
class Blobs(Dataset):
    """Blobs of colour, one colour and place for each person."""

    people: int = 3

    def load(self, run: Run) -> Data:
        return assemble(draw("private", self.people), draw("public", 6), Shares(0.2, 0.2, 0), publishable=True)


def draw(side: str, people: int) -> Pictures:
    pixels = [picture(f"{side} {person}", k) for person in range(people) for k in range(10)]
    names = tuple(f"{side} {i}" for i in range(people))
    return Pictures(to_uint8(torch.stack(pixels)), torch.arange(people).repeat_interleave(10), names)


def picture(person: str, number: int) -> torch.Tensor:
    look, own = Run(person).generator("look"), Run(person).generator("picture", number)
    wall, skin = torch.rand(2, 3, 1, 1, generator=look)
    y, x = 0.2 + 0.6 * torch.rand(2, generator=look) + 0.05 * torch.randn(2, generator=own)
    line = torch.linspace(0, 1, 32)
    blob = torch.exp(-((line[:, None] - y) ** 2 + (line - x) ** 2) / 0.04)
    return (wall + (skin - wall) * blob + 0.02 * torch.randn(3, 32, 32, generator=own)).clamp(0, 1)
''',
    encoding="utf-8",
)

# %% [markdown]
# A plan is a TOML file, a preset such as `"quick"`, or a dictionary of the same shape.

# %%
prior = {"use": "wgan_gp", "width": 4, "steps": 20, "batch": 8}
plan = {
    "title": "Blobs in a notebook",
    "pictures": 2,
    "recipe": {"epochs": 4, "batch": 16},
    "data": {"use": "blobs.py:Blobs"},
    "target": {"use": "small_resnet", "width": 4},
    "evaluator": {"use": "plain_cnn", "width": 4},
    "defenses": [{"use": "none"}, {"use": "ls", "alpha": -0.1}],
    "attacks": [
        {"use": "gmi", "steps": 20, "restarts": 2, "prior": prior},
        {"use": "random_latents", "samples": 2, "prior": prior},
    ],
    "metrics": [{"use": "attack_accuracy"}, {"use": "utility"}],
}
results = unveil.run(plan, store="runs")

# %% [markdown]
# In Jupyter, `results` alone shows a table. `frame()` is a pandas frame with one line for each figure of each cell.

# %%
frame = results.frame()
top = frame[(frame.metric == "attack_accuracy") & (frame.column == "top-1")]
print(top[["defense", "attack", "access", "value", "low", "high"]].to_string(index=False))

# %% [markdown]
# Everything computed is in the store: the same call again takes a moment, and another defense computes only its column.

# %%
plan["defenses"].append({"use": "tl_dmi", "freeze": "stem"})
results = unveil.run(plan, store="runs")
print(sorted({row.defense for row in results.rows}))
