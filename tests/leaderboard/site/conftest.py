"""Small matrices, a site of some of them, a browser that is asked what it shows, and axe-core where it can be had."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from unveil.harness.figures.exhibit import Exhibit
from unveil.harness.figures.rows import Judge, Results, Row
from unveil.harness.figures.standing import Standing
from unveil.harness.words.names import ACCEPTS_PRIVATE, TAKES_STRANGERS
from unveil.leaderboard.site import folder
from unveil.leaderboard.site.build import build

AXE = "4.10.3"
AXE_SHA256 = "0f2b4d7dcdf7d1219df8d1959ad68e565f51d14c3f0d88bb71cd59abeb956292"
CACHE = Path(os.environ.get("UNVEIL_TEST_CACHE", Path.home() / ".cache" / "unveil-tests"))
HOSTILE = "<img src=x onerror=alert(1)>&\"'`{{7*7}}</script>"
LEAK = {"none": 0.6, "mid": 0.3, "mid beta=1": 0.15}
Make = Callable[..., Results]


def _module(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def make(sample: ModuleType) -> Make:
    """Makes small results; the same arguments give the same numbers."""
    return lambda **given: _results(sample, **given)


def _results(
    sample: ModuleType,
    defenses: tuple[str, ...] = ("none", "mid"),
    attacks: tuple[str, ...] = ("gmi", "kedmi"),
    judges: tuple[str, ...] = ("first", "second"),
    title: str = "A matrix",
    data: str = "people",
    facts: dict[str, str] | None = None,
    effort: float = 1.0,
    **row: Any,
) -> Results:
    def figures(defense: str, attack: str) -> tuple[Any, ...]:
        leak = LEAK.get(defense, 0.4) * (0.8 if attack == "kedmi" else 1) * effort
        judged = [
            sample.share("attack_accuracy", "top-1", leak * (1 - 0.1 * i), f"{defense}{attack}{i}", judge=judge)
            for i, judge in enumerate(judges)
        ]
        return (*judged, sample.share("utility", "top-1", 0.9, f"{defense}u", useful=True))

    told = {"data": data, "model": "net", "seed": 0, "status": "done", "access": "white-box", **row}
    rows = tuple(
        Row(defense=d, attack=a, family=d.partition(" ")[0], figures=figures(d, a),
            keys={"target": sample.key("target", d), "attack": sample.key(d, a)}, **told)
        for d in defenses for a in attacks
    )  # fmt: skip
    trust = (
        sample.share("trust", ACCEPTS_PRIVATE, 0.95, "c", useful=True),
        sample.share("trust", TAKES_STRANGERS, 0.03, "f"),
    )  # fmt: skip
    return Results(
        title=title, plan=f'title = "{title}"', datasets={data: facts or {"private people": "40"}}, rows=rows,
        judges=tuple(Judge(data=data, name=name, model="cnn", knows="40 people", figures=trust) for name in judges),
    )  # fmt: skip


@pytest.fixture(scope="session")
def exhibits(make: Make, sample: ModuleType) -> list[Exhibit]:
    """Two that share a ranking, one with hostile names, pictures and a control, and one that was refuted."""
    evil = make(defenses=("none", HOSTILE), attacks=(HOSTILE,), title=HOSTILE, data=HOSTILE, facts={HOSTILE: HOSTILE})
    *public, real = [p.model_copy(update={"data": "people", "model": "net"}) for p in sample.pictures()]
    pictures = [*public, real.model_copy(update={"defense": "mid", "attack": "gmi"})]
    luck = make(defenses=("none", "mid"), attacks=("random_latents",), effort=0.02, role="floor", access="labels").rows
    first = make(defenses=("none", "mid", "mid beta=1"), title="First")
    first = first.model_copy(update={"pictures": tuple(pictures), "rows": (*first.rows, *luck)})
    second = make(defenses=("none", "bido"), title="Second")
    second = second.model_copy(update={"rows": (*second.rows, *luck[:1])})
    refuted = Standing("refuted", 3, 4, (f"{HOSTILE} said 9 %, found 60 %",), 1, "somebody")
    wrong = make(title="Wrong").model_copy(update={"protocol": 1})
    return [Exhibit("first", first), Exhibit("second", second), Exhibit("evil", evil), Exhibit("wrong", wrong, refuted)]


@pytest.fixture(scope="session")
def files(exhibits: list[Exhibit]) -> dict[str, bytes]:
    return build(exhibits, title=f"Site {HOSTILE}")


@pytest.fixture(scope="session")
def site(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same in a folder."""
    place = tmp_path_factory.mktemp("site")
    folder.write(place, files)
    return place


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A browser that stays open; see `devtools.Browser`."""
    settings = _module(Path(__file__).parent.parent / "conftest.py", "leaderboard_settings")
    if settings.CHROMIUM is None:
        pytest.skip("no Chromium or Chrome on this machine")
    devtools = _module(Path(__file__).parent.parent / "devtools.py", "devtools")
    with devtools.Browser(settings.CHROMIUM, settings.FLAGS, tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, from the cache or from npm."""
    packed = CACHE / f"axe-core-{AXE}.tgz"
    if not packed.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", f"axe-core@{AXE}", "--ignore-scripts", "--silent", "--pack-destination", str(CACHE)]
        try:
            subprocess.run(command, capture_output=True, timeout=60, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"axe-core is neither in {CACHE} nor to be had from npm: {type(error).__name__}")
    assert hashlib.sha256(packed.read_bytes()).hexdigest() == AXE_SHA256
    with tarfile.open(packed) as archive:
        member = archive.extractfile("package/axe.min.js")
        assert member
        return member.read().decode()
