"""What a device finds against what the CPU finds, in full precision: networks, attacks, priors, training, plans."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from unveil.harness.conformance import tiny
from unveil.harness.plan import settings
from unveil.harness.training.fit import fit, predict
from unveil.harness.types import Images, View
from unveil.harness.words.arithmetic import steady
from unveil.harness.words.run import Run
from unveil.harness.words.spec import Spec

Told = tuple[str, str, str]
TESTS = Path(__file__).resolve().parents[1] / "tests"
HERE = torch.device("cpu")
MODELS = (
    Spec("plain_cnn"), Spec("small_resnet"), Spec("timm", {"architecture": "resnet10t"}),
    Spec("timm", {"architecture": "starnet_s050"}), Spec("facenet"), Spec("fr_feature", {"weights": "none"}),
    Spec("faceres", {"weights": "none"}), Spec("mobilefacenet", {"weights": "none"}),
)  # fmt: skip
PRIORS = {
    "wgan_gp": {"width": 8}, "inversion_gan": {"width": 8}, "conditional_gan": {"width": 8},
    "style_gan": {"width": 8, "latent": 16, "mapping_layers": 2, "augment": 0.5},
}  # fmt: skip
# Bounds. Networks: relative to the largest entry. Attacks and priors: mean difference of pixels in [0, 1]; a step that
# hangs on a comparison may go another way. Training: of logits after 15 epochs, relative. Plans: difference of figures.
NETWORK, PIXELS, TRAINED, FIGURE = 1e-3, 0.02, 0.1, 0.1
KINKS = 3.0  # times as far as float32 is from float64 on the CPU


def compared(device: torch.device, *, small: bool) -> Iterator[Told]:
    """Everything, one after the other; what fails is told."""
    jobs: list[tuple[str, Callable[[], Told]]] = []
    jobs += [(model.use, lambda model=model: network(model, device)) for model in MODELS]
    worlds = beside("attacks/worlds.py")
    jobs += [(name, lambda name=name: attack(name, worlds, device)) for name in worlds.CASES]
    jobs += [(name, lambda name=name: prior(name, device)) for name in PRIORS]
    jobs += [("training", lambda: training(device))]
    parts = beside("every_part.py")
    first = parts.ATTACKS.strip().splitlines()[0]
    jobs += [
        (
            "plan of attacks",
            lambda: plan("matrix", 'use = "none"', parts.ATTACKS if not small else first, parts, device),
        )
    ]
    defenses = "\n".join(line for line in parts.DEFENSES.strip().splitlines() if _usable(line))
    jobs += [
        ("plan of defenses", lambda: plan("defenses", defenses if not small else 'use = "mid"', first, parts, device))
    ]
    for name, job in jobs:
        try:
            with steady():
                yield job()
        except Exception as error:  # the others go on
            traceback.print_exc()
            yield name, "FAILED", f"{type(error).__name__}: {error}".replace("\n", " ")[:160]


def beside(path: str) -> ModuleType:
    """A module of the tests, which are no package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, TESTS / path)
    assert spec
    assert spec.loader
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _usable(line: str) -> bool:
    return "dp_sgd" not in line or importlib.util.find_spec("opacus") is not None


def told(name: str, found: float, bound: float, what: str) -> Told:
    """A line: the difference, and whether it is within its bound."""
    return name, f"{found:.1e}", f"{what}; {'within' if found <= bound else 'OVER'} {bound:g}"


def network(model: Spec, device: torch.device) -> Told:
    """Logits and the gradient of pixels."""
    made = settings.make("models", model, Path())
    side = 112 if model.use in ("facenet", "faceres", "fr_feature", "mobilefacenet") else 64
    classifier = made.build(5, (3, side, side), Run("equality")).eval().requires_grad_(False)
    x = torch.rand(4, 3, side, side, generator=torch.Generator().manual_seed(0))

    def answers(where: torch.device, kind: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        net, pixels = classifier.to(where, kind), x.to(where, kind).requires_grad_(True)
        logits = net.logits(pixels)
        (slope,) = torch.autograd.grad(logits.logsumexp(1).sum(), pixels)
        return logits.detach().double().cpu(), slope.double().cpu()

    def apart(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> list[float]:
        pairs = zip(one, other, strict=True)
        return [float((a - b).abs().max() / a.abs().max().clamp(min=1e-12)) for a, b in pairs]

    exact, here, there = answers(HERE, torch.float64), answers(HERE), answers(device)
    logits, slope = apart(here, there)
    # a slope jumps where a unit crosses zero: what float32 alone does to it, here, is no fault of the device
    bound = max(NETWORK, KINKS * apart(exact, here)[1])
    worst, limit = max(((logits, NETWORK), (slope, bound)), key=lambda pair: pair[0] / pair[1])
    return told(f"network {model.settings.get('architecture', model.use)}", worst, limit, "of logits or slopes")


def attack(name: str, worlds: Any, device: torch.device) -> Told:
    """Every attack in its own small world."""
    case, labels = worlds.CASES[name], torch.tensor([0, 2])
    here = case.attacked(labels, Run("test"))
    run = Run("test", device=device)
    target = View(case.world.target().to(device), case.attack.access, case.world.shape)
    there = case.attacked(labels, run, target)
    gap = (here.pixels - there.pixels.cpu()).abs()
    return told(f"attack {name}", float(gap.mean()), PIXELS, f"mean of pixels, most {float(gap.max()):.1e}")


def prior(name: str, device: torch.device) -> Told:
    """Pictures after a few steps of training."""
    plugin = settings.make("priors", Spec(name, {"steps": 4, "batch": 8, **PRIORS[name]}), Path())

    def pictures(where: torch.device) -> Tensor:
        net = plugin.build(tiny.CLASSES, tiny.SHAPE)
        view = View(tiny.target().to(where), plugin.access, tiny.SHAPE) if plugin.access else None
        plugin.fit(net, tiny.public(32), view, Run("equality", where))
        z = net.sample(Run("latents").generators("z", [(i,) for i in range(4)]))
        with torch.no_grad():
            drawn: Tensor = net.eval().synthesize(z.to(where)).float().cpu()
        return drawn

    gap = (pictures(HERE) - pictures(device)).abs()
    return told(f"prior {name}", float(gap.mean()), PIXELS, f"mean of pixels, most {float(gap.max()):.1e}")


def training(device: torch.device) -> Told:
    """Logits of a target after 15 epochs."""
    data = tiny.data()

    def logits(where: torch.device) -> Tensor:
        net = tiny.untrained("target", width=8)
        fit(net, (), data.train, data.validation, tiny.LONGER, Run("equality", where))
        return predict(net, Images(data.test.pixels, data.test.labels), device=where)

    here, there = logits(HERE), logits(device)
    return told("training", float((here - there).abs().max() / here.abs().max()), TRAINED, "of logits, 15 epochs")


def plan(name: str, defenses: str, attacks: str, parts: Any, device: torch.device) -> Told:
    """All figures of a plan on both."""
    with tempfile.TemporaryDirectory() as folder:
        parts.write(Path(folder), defenses, attacks, parts.METRICS + parts.MORE_METRICS * (name == "matrix"))
        here = parts.rows(Path(folder), "cpu")
        there = parts.rows(Path(folder), str(device)) if device != HERE else parts.rows(Path(folder), "cpu")
    failed = parts.errors((*here, *there))
    if failed:
        print("\n".join(failed), flush=True)
        return f"plan of {name}", "FAILED", f"{len(failed)} cells, such as {failed[0]}"[:160]
    gaps = [gap for a, b in zip(here, there, strict=True) for unit, gap in parts.apart(a, b) if unit == "share"]
    near = sum(gap <= FIGURE for gap in gaps) / max(1, len(gaps))
    return f"plan of {name}", f"{near:.1%}", f"of {len(gaps)} shares in {len(here)} cells differ by at most {FIGURE}"
