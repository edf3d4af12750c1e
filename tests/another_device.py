"""Compares what the CPU finds with what another device finds; that one is pretended (``elsewhere.py``).

Run by ``test_another_device.py`` in a process of its own: ``python another_device.py attacks|defenses|matrix FOLDER``.
"""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from unittest.mock import patch

TESTS = Path(__file__).parent


def beside(path: str) -> ModuleType:
    """A module of the tests, which are no package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, TESTS / path)
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


elsewhere = beside("elsewhere.py")  # before anything computes a gradient

import torch  # noqa: E402

from unveil.defenses import private_learner  # noqa: E402
from unveil.harness.figures.rows import Row  # noqa: E402
from unveil.harness.plan.file import read  # noqa: E402
from unveil.harness.running.assemble import results  # noqa: E402
from unveil.harness.running.execute import Surroundings  # noqa: E402
from unveil.harness.running.matrix import expand  # noqa: E402
from unveil.harness.running.pools import InlinePool  # noqa: E402
from unveil.harness.running.schedule import run_nodes  # noqa: E402
from unveil.harness.store.artefacts import Store  # noqa: E402
from unveil.harness.types import Run, View  # noqa: E402
from unveil.harness.words import desk  # noqa: E402

LABELS = torch.tensor([0, 2])
PLAN = """
title = "Another device"
pictures = 2
[data]
use = "blobs.py:Blobs"
[recipe]
epochs = 2
batch = 16
[target]
use = "small_resnet"
width = 4
pretrain = { epochs = 1 }
[[evaluators]]
use = "plain_cnn"
name = "judge"
width = 4
others = "nobody"
"""
METRICS = """
use = "attack_accuracy"
use = "utility"
"""
MORE_METRICS = """
use = "knn_distance"
use = "memorisation_gap"
use = "diversity"
use = "copies"
use = "exposure"
use = "fisher", samples = 2
use = "nearest_private"
use = "knowledge_extraction", student = { use = "small_resnet", width = 4 }
"""
GAN = "width = 2, steps = 3, batch = 8"
PARTS = {
    "STUDENT": '{ use = "plain_cnn", width = 4 }',
    "WGAN": f'{{ use = "wgan_gp", {GAN} }}',
    "INVERSION": f'{{ use = "inversion_gan", {GAN} }}',
    "CONDITIONAL": f'{{ use = "conditional_gan", {GAN} }}',
    "STYLE": f'{{ use = "style_gan", latent = 8, mapping_layers = 2, augment = 0.5, {GAN} }}',
}
ATTACKS = """
use = "gmi", restarts = 2, steps = 4, prior = WGAN
use = "kedmi", draws = 2, steps = 4, prior = INVERSION
use = "lomma", name = "a", samples = 2, steps = 3, students = [STUDENT], student_epochs = 1, prior = WGAN
use = "lomma", name = "b", base = "kedmi", variant = "logit", samples = 2, steps = 3, prior = INVERSION
use = "plgmi", restarts = 2, steps = 3, prior = CONDITIONAL
use = "ppa", pool = 8, candidates = 3, keep = 2, steps = 3, views = 2, prior = STYLE
use = "mirror_white_box", presamples = 8, restarts = 3, samples = 2, steps = 3, views = 2, prior = STYLE
use = "mirror", presamples = 20, samples = 2, population = 8, generations = 3, prior = STYLE
use = "brep_mi", queries = 200, first_queries = 64, prior = WGAN
use = "random_latents", samples = 2, prior = WGAN
use = "public_lookalikes", samples = 2
use = "pixel_adversarial", samples = 2, steps = 3
use = "held_out_private"
"""
DEFENSES = """
use = "none"
use = "tl_dmi", freeze = "stage2"
use = "tl_dmi", name = "tl_dmi, share", share = 0.2, statistics = false
use = "mid"
use = "bido"
use = "bido", name = "coco", measure = "coco"
use = "ls"
use = "rolss"
use = "dp_sgd", epsilon = 100.0
use = "rounded_scores"
use = ["tl_dmi", "bido"], tl_dmi = { freeze = "stage2" }
use = "tl_dmi", name = "auto"
"""


class Generator(torch._C.Generator):
    """DP-SGD draws its noise where it adds it: a generator of the other device is one of the CPU's that may pass."""

    def __new__(cls, device: object = "cpu") -> Generator:
        made: Generator = super().__new__(cls)
        elsewhere.ITS_GENERATORS.extend([made] if torch.device(str(device)).type == elsewhere.DEVICE.type else [])
        return made


@contextmanager
def there() -> Iterator[None]:
    """On the other device. Targets refuse subclasses of tensors, which its tensors are."""
    with elsewhere.pretended(), patch.object(desk, "Tensor", elsewhere.Elsewhere):
        yield


def attacks(_: Path) -> list[str]:
    """What differs, of every attack in its own small world."""
    wrong = []
    worlds = beside("attacks/worlds.py")
    for name, case in worlds.CASES.items():
        here = case.attacked(LABELS, Run("test"))
        with there():
            run = Run("test", device=elsewhere.DEVICE)
            target = View(case.world.target().to(run.device), case.attack.access, case.world.shape)
            found = case.attacked(LABELS, run, target)
        assert type(found.pixels) is torch.Tensor, f"{name} returned {type(found.pixels)}"
        wrong += [] if torch.equal(here.pixels, found.pixels) else [name]
    return wrong


def table(kind: str, lines: str) -> str:
    """TOML of one inline table a line."""
    for name, part in PARTS.items():
        lines = lines.replace(name, part)
    return f"{kind} = [{{ {' }, { '.join(line for line in lines.splitlines() if line)} }}]\n"


def rows(folder: Path, device: str) -> tuple[Row, ...]:
    """All rows of the plan in that folder."""
    file, store = read(str(folder / "plan.toml")), Store(str(folder / device))
    matrix = expand(file)
    around = Surroundings(store.url, device, isolated=False)
    outcomes = run_nodes(matrix.nodes(), around, InlinePool(), lambda node, outcome: None)
    return results(file, matrix, outcomes, store).rows


def planned(folder: Path, defenses: str, attacks: str, metrics: str) -> list[str]:
    """What differs, of a whole plan: data, judges, pretraining, targets, priors, attacks, metrics."""
    (folder / "blobs.py").write_text(beside("conftest.py").DATA)
    head = table("defenses", defenses) + table("attacks", attacks) + table("metrics", metrics)
    (folder / "plan.toml").write_text(head + PLAN)
    here = rows(folder, "cpu")
    with there():
        other = rows(folder, elsewhere.DEVICE.type)
    bad = [f"{row.defense} x {row.attack}: {row.error}" for row in (*here, *other) if row.status != "done"]
    return bad or [f"{a.defense} x {a.attack}" for a, b in zip(here, other, strict=True) if not alike(a, b)]


def alike(here: Row, there: Row) -> bool:
    """Whether all figures are equal, up to rounding: some optimisers sum in another order on other devices."""
    pairs = list(zip(here.figures, there.figures, strict=True))
    assert all((a.name, a.reason) == (b.name, b.reason) for a, b in pairs)
    return all(a.value == b.value or math.isclose(a.value, b.value, rel_tol=1e-4, abs_tol=1e-6) for a, b in pairs)


def defenses(folder: Path) -> list[str]:
    """Under one attack."""
    return planned(folder, DEFENSES, ATTACKS.strip().splitlines()[0], METRICS)


def matrix(folder: Path) -> list[str]:
    """All attacks with their priors, and all metrics that need no weights, on the undefended target."""
    return planned(folder, DEFENSES.strip().splitlines()[0], ATTACKS, METRICS + MORE_METRICS)


if __name__ == "__main__":
    private_learner.torch.Generator = Generator
    found = {"attacks": attacks, "defenses": defenses, "matrix": matrix}[sys.argv[1]](Path(sys.argv[2]))
    elsewhere.leave("\n".join(found))
