"""A small plan with every part that needs no foreign weights, for comparing what two devices make of it."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

from unveil.harness.figures.rows import Row
from unveil.harness.plan.file import read
from unveil.harness.running.assemble import results
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.matrix import expand
from unveil.harness.running.pools import InlinePool
from unveil.harness.running.schedule import run_nodes
from unveil.harness.store.artefacts import Store

TESTS = Path(__file__).parent
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
    "LABELLED": f'{{ use = "t_acgan", unlabelled = 1, {GAN} }}',
    "TAUGHT": "epochs = 2, student_batch = 4",
    "COARSE": "inverse_width = 8, inverse_epochs = 1, starts = 3, steps = 2, founders = 2",
    "STYLE": f'{{ use = "style_gan", latent = 8, mapping_layers = 2, augment = 0.5, {GAN} }}',
}
ATTACKS = """
use = "gmi", restarts = 2, steps = 4, prior = WGAN
use = "kedmi", draws = 2, steps = 4, prior = INVERSION
use = "lomma", name = "a", samples = 2, steps = 3, students = [STUDENT], student_epochs = 1, prior = WGAN
use = "lomma", name = "b", base = "kedmi", variant = "logit", samples = 2, steps = 3, prior = INVERSION
use = "lomma", name = "c", base = "plgmi", steps = 3, students = [STUDENT], student_epochs = 1, prior = CONDITIONAL
use = "plgmi", restarts = 2, steps = 3, prior = CONDITIONAL
use = "ppa", pool = 8, candidates = 3, keep = 2, steps = 3, views = 2, prior = STYLE
use = "if_gmi", pool = 8, candidates = 2, stages = [2, 1], radii = [], prior = STYLE
use = "vmi", samples = 2, steps = 3, step_batch = 3, flow_steps = 2, flow_width = 4, prior = STYLE
use = "mirror_white_box", presamples = 8, restarts = 3, samples = 2, steps = 3, views = 2, prior = STYLE
use = "mirror", presamples = 20, samples = 2, population = 8, generations = 3, prior = STYLE
use = "align_mi", base = { use = "gmi", restarts = 1, steps = 3, prior = WGAN }, neighbours = 2
use = "ppdg_mi", base = { use = "gmi", restarts = 2, steps = 3, prior = WGAN }, views = 1, tune_steps = 2
use = "query_averaging", base = { use = "brep_mi", queries = 200, first_queries = 64, prior = WGAN }, neighbours = 2
use = "smile", samples = 9, trunk = STUDENT, pretrained = false, TAUGHT, steps = 3, queries = 6, prior = STYLE
use = "lokt", restarts = 2, steps = 3, models = [STUDENT], samples = 4, student_epochs = 1, prior = LABELLED
use = "c2f_mi", embedder = STUDENT, pretrained = false, COARSE, population = 4, generations = 3, prior = STYLE
use = "rlb_mi", episodes = 8, replay_batch = 3, hidden = 8, prior = WGAN
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
use = "midre"
use = "loft"
use = "trap_mid"
use = "at_at", steps = 2
use = "ssd"
use = "noisy_scores"
use = "truncated_scores"
use = ["tl_dmi", "bido"], tl_dmi = { freeze = "stage2" }
use = "tl_dmi", name = "auto"
"""


def beside(path: str) -> ModuleType:
    """A module of the tests, which are no package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, TESTS / path)
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def table(kind: str, lines: str) -> str:
    """TOML of one inline table a line."""
    for name, part in PARTS.items():
        lines = lines.replace(name, part)
    return f"{kind} = [{{ {' }, { '.join(line for line in lines.splitlines() if line)} }}]\n"


def write(folder: Path, defenses: str, attacks: str, metrics: str) -> None:
    """The plan, and the data set that it names."""
    (folder / "blobs.py").write_text(beside("conftest.py").DATA)
    head = table("defenses", defenses) + table("attacks", attacks) + table("metrics", metrics)
    (folder / "plan.toml").write_text(head + PLAN)


def rows(folder: Path, device: str, *, mixed: bool = False, isolated: bool = False) -> tuple[Row, ...]:
    """All rows of the plan in that folder."""
    file, store = read(str(folder / "plan.toml")), Store(str(folder / f"{device} {mixed}".replace(":", " ")))
    matrix = expand(file)
    around = Surroundings(store.url, device, mixed, isolated=isolated)
    outcomes = run_nodes(matrix.nodes(), around, InlinePool(), lambda node, outcome: None)
    return results(file, matrix, outcomes, store).rows


def errors(rows: tuple[Row, ...]) -> list[str]:
    """Of the rows that are not done."""
    return [f"{row.defense} x {row.attack}: {row.error}" for row in rows if row.status != "done"]


def apart(here: Row, there: Row) -> list[tuple[str, float]]:
    """Unit of each figure, and by how much the two rows' differ; infinite where only one of them has it."""
    pairs = list(zip(here.figures, there.figures, strict=True))
    assert all((a.name, a.reason) == (b.name, b.reason) for a, b in pairs)
    return [(a.unit, _gap(a.value, b.value)) for a, b in pairs]


def _gap(a: float | None, b: float | None) -> float:
    if a is None or b is None:
        return 0.0 if a is b else math.inf
    return abs(a - b)


def alike(here: Row, there: Row) -> bool:
    """Whether all figures are equal, up to rounding: an optimiser may sum in another order on another device."""
    pairs = list(zip(here.figures, there.figures, strict=True))
    assert all((a.name, a.reason) == (b.name, b.reason) for a, b in pairs)
    return all(a.value == b.value or math.isclose(a.value, b.value, rel_tol=1e-4, abs_tol=1e-6) for a, b in pairs)
