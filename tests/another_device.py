"""Compares what the CPU finds with what another device finds; that one is pretended (``elsewhere.py``).

Run by ``test_another_device.py`` in a process of its own: ``python another_device.py attacks|defenses|matrix FOLDER``.
"""

from __future__ import annotations

import importlib.util
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
from unveil.harness.types import Run, View  # noqa: E402
from unveil.harness.words import desk  # noqa: E402

parts = beside("every_part.py")
LABELS = torch.tensor([0, 2])


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


def planned(folder: Path, defenses: str, attacks: str, metrics: str) -> list[str]:
    """What differs, of a whole plan: data, judges, pretraining, targets, priors, attacks, metrics."""
    parts.write(folder, defenses, attacks, metrics)
    here = parts.rows(folder, "cpu")
    with there():
        other = parts.rows(folder, elsewhere.DEVICE.type)
    bad = parts.errors((*here, *other))
    return bad or [f"{a.defense} x {a.attack}" for a, b in zip(here, other, strict=True) if not parts.alike(a, b)]


def defenses(folder: Path) -> list[str]:
    """Under one attack."""
    return planned(folder, parts.DEFENSES, parts.ATTACKS.strip().splitlines()[0], parts.METRICS)


def matrix(folder: Path) -> list[str]:
    """All attacks with their priors, and all metrics that need no weights, on the undefended target."""
    return planned(folder, parts.DEFENSES.strip().splitlines()[0], parts.ATTACKS, parts.METRICS + parts.MORE_METRICS)


if __name__ == "__main__":
    private_learner.torch.Generator = Generator
    found = {"attacks": attacks, "defenses": defenses, "matrix": matrix}[sys.argv[1]](Path(sys.argv[2]))
    elsewhere.leave("\n".join(found))
