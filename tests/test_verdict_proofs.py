"""A broken attack, a cheating attack and a useless defense, through the whole engine, get the verdicts they deserve."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from unveil.harness.figures.rows import Figure, Results
from unveil.harness.plan.file import read
from unveil.harness.running.assemble import results as assemble
from unveil.harness.running.execute import Surroundings
from unveil.harness.running.matrix import expand
from unveil.harness.running.pools import InlinePool
from unveil.harness.running.schedule import run_nodes
from unveil.harness.store.artefacts import Store
from unveil.leaderboard.board import board
from unveil.leaderboard.figures import setups
from unveil.leaderboard.page import render
from unveil.leaderboard.verdict import Verdict, verdict

PLUGINS = '''
"""Tiles of colour, which are easy to learn and easy to find; and those who do no honest work."""
from dataclasses import dataclass
from typing import ClassVar
import torch
import torch.nn.functional as F
from unveil.harness.data.splits import Pictures, Shares, assemble
from unveil.harness.types import Access, Data, Defense, Images, Run


def tiled(z):
    return F.interpolate(z, scale_factor=4.0)


def draw(people, first, pictures):
    parts = []
    for person in range(first, first + people):
        own = torch.Generator().manual_seed(person)
        tiles = torch.rand(1, 3, 4, 4, generator=own) + 0.2 * torch.randn(pictures, 3, 4, 4, generator=own)
        parts.append(tiled(tiles) + 0.03 * torch.randn(pictures, 3, 16, 16, generator=own))
    pixels = (torch.cat(parts).clamp(0, 1) * 255).round().to(torch.uint8)
    names = tuple(f"person {person}" for person in range(first, first + people))
    return Pictures(pixels, torch.arange(people).repeat_interleave(pictures), names)


@dataclass(frozen=True)
class Tiles:
    """Twelve private people and sixty others."""

    def content(self):
        return {}

    def load(self, run: Run) -> Data:
        return assemble(draw(12, 0, 14), draw(60, 100, 8), Shares(0.2, 0.2, 0), publishable=True)


def keys_of(labels):
    return [(int(y), i) for y in labels for i in range(3)]


def start(view, keys, run):
    z = torch.stack([torch.rand(3, 4, 4, generator=g) for g in run.generators("z", keys)])
    return z, torch.tensor([y for y, _ in keys])


@dataclass(frozen=True)
class Search:
    """An honest attack: looks for tiles that the target is sure about."""

    access: ClassVar[Access] = Access.WHITE_BOX

    def needs(self):
        return None

    def reconstruct(self, view, ingredients, labels, run):
        z, wanted = start(view, keys_of(labels), run)
        z.requires_grad_(True)
        adam = torch.optim.Adam([z], 0.05)
        shaken = run.generator("shaken")  # so that what is found is no accident of single tiles
        for _ in range(60):
            x = tiled(z + 0.3 * torch.randn(z.shape, generator=shaken))
            loss = F.cross_entropy(view.logits(x), wanted, reduction="sum")
            (z.grad,) = torch.autograd.grad(loss, z)
            adam.step()
            z.data.clamp_(0, 1)
        return Images(tiled(z.detach()), wanted)


@dataclass(frozen=True)
class Luck:
    """The floor: any tiles."""

    access: ClassVar[Access] = Access.LABELS
    role: ClassVar[str] = "floor"

    def needs(self):
        return None

    def reconstruct(self, view, ingredients, labels, run):
        z, wanted = start(view, keys_of(labels), run)
        return Images(tiled(z), wanted)


@dataclass(frozen=True)
class Broken:
    """Returns noise."""

    access: ClassVar[Access] = Access.WHITE_BOX

    def needs(self):
        return None

    def reconstruct(self, view, ingredients, labels, run):
        keys = keys_of(labels)
        noise = [torch.rand(view.shape, generator=g) for g in run.generators("noise", keys)]
        return Images(torch.stack(noise), torch.tensor([y for y, _ in keys]))


@dataclass(frozen=True)
class Thief:
    """Returns private training pictures, which it gets from where the host got them."""

    access: ClassVar[Access] = Access.WHITE_BOX

    def needs(self):
        return None

    def reconstruct(self, view, ingredients, labels, run):
        train = Tiles().load(run).train
        loot = [train.pixels[train.labels == y][:3] for y in labels]
        return Images(torch.cat(loot), labels.repeat_interleave(3))


@dataclass(frozen=True)
class Lobotomy(Defense):
    """Forgets what was learnt: a head of random weights."""

    def finish(self, classifier, run):
        w = classifier.head.weight
        classifier.head.weight.data = torch.randn(w.shape, generator=run.generator("head")).to(w)
        return classifier
'''
PLAN = """
title = "Proofs"
pictures = 0
[data]
use = "proofs.py:Tiles"
[recipe]
epochs = 8
batch = 32
lr = 0.01
flip = false
shift = 0
[target]
use = "small_resnet"
width = 8
[[evaluators]]
use = "plain_cnn"
name = "judge"
width = 8
[[defenses]]
use = "none"
[[defenses]]
use = "proofs.py:Lobotomy"
name = "lobotomy"
[[attacks]]
use = "proofs.py:Search"
name = "search"
[[attacks]]
use = "proofs.py:Broken"
name = "broken"
[[attacks]]
use = "proofs.py:Thief"
name = "thief"
[[attacks]]
use = "proofs.py:Luck"
name = "luck"
[[attacks]]
use = "held_out_private"
[[metrics]]
use = "attack_accuracy"
[[metrics]]
use = "copies"
[[metrics]]
use = "nearest_private"
[[metrics]]
use = "memorisation_gap"
[[metrics]]
use = "utility"
"""
CONTROLS = {"luck", "held_out_private"}
Judged = Callable[..., tuple[Verdict, Results]]


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """All rows, computed once: what an attack comes out at does not depend on which others are in the plan."""
    folder = tmp_path_factory.mktemp("proofs")
    (folder / "proofs.py").write_text(PLUGINS)
    (folder / "plan.toml").write_text(PLAN)
    file, store = read(str(folder / "plan.toml")), Store(str(folder / "store"))
    matrix = expand(file)
    outcomes = run_nodes(matrix.nodes(), Surroundings(store.url), InlinePool(), lambda node, outcome: None)
    return assemble(file, matrix, outcomes, store)


@pytest.fixture(scope="module")
def judged(everything: Results) -> Judged:
    """The verdict on some attacks and defenses, their controls included."""
    assert {row.status for row in everything.rows} == {"done"}, [row.error for row in everything.rows]

    def some(*attacks: str, defenses: tuple[str, ...] = ("none", "lobotomy")) -> tuple[Verdict, Results]:
        wanted = tuple(r for r in everything.rows if r.attack in {*attacks, *CONTROLS} and r.defense in defenses)
        kept = everything.model_copy(update={"rows": wanted})
        (setup,) = setups(kept)
        return verdict(board(setup, kept.judges)), kept

    return some


def figure(results: Results, defense: str, attack: str, name: str) -> Figure:
    (found,) = [
        f for r in results.rows if (r.defense, r.attack) == (defense, attack) for f in r.figures if f.name == name
    ]
    return found


def value(results: Results, defense: str, attack: str, name: str) -> float:
    found = figure(results, defense, attack, name).value
    assert found is not None
    return found


TOP_1 = "attack_accuracy/top-1@judge"


def test_the_scene_is_sound(judged: Judged) -> None:
    said, results = judged("search", defenses=("none",))
    assert value(results, "none", "held_out_private", TOP_1) > 0.9
    assert value(results, "none", "luck", TOP_1) < 0.1
    assert value(results, "none", "search", TOP_1) > 0.5
    assert [p for p in said.points if p.tone in ("fault", "warning")] == []
    assert said.lead.endswith("There is no defense to compare with.")


def test_a_broken_attack_proves_nothing(judged: Judged) -> None:
    said, results = judged("broken", defenses=("none",))
    assert value(results, "none", "broken", TOP_1) < 0.1
    assert said.lead.endswith(
        "But that cannot be told apart from pure luck, so nothing can be concluded about any defense."
    )
    (warning,) = [p.text for p in said.points if p.tone == "warning"]
    assert warning.endswith("the attacks on the undefended target cannot be told apart from it: they prove nothing.")


def test_beside_a_good_attack_a_broken_one_is_named(judged: Judged) -> None:
    said, _ = judged("search", "broken", defenses=("none",))
    (warning,) = [p.text for p in said.points if p.tone == "warning"]
    assert warning == (
        "broken cannot be told apart from pure luck on the undefended target: it proves nothing and dilutes the "
        "averages."
    )
    assert "pure luck" not in said.lead


def test_a_cheating_attack_reaches_the_ceiling_and_is_exposed(judged: Judged) -> None:
    said, results = judged("thief", defenses=("none",))
    ceiling = value(results, "none", "held_out_private", TOP_1)
    assert value(results, "none", "thief", TOP_1) >= ceiling
    assert value(results, "none", "thief", "copies/private pictures") == 1
    assert value(results, "none", "thief", "nearest_private/SSIM") == pytest.approx(1)
    assert value(results, "none", "thief", "nearest_private/PSNR") == pytest.approx(58.9, abs=0.05)
    gap = figure(results, "none", "thief", "memorisation_gap/train - test@judge")
    assert gap.high is not None
    assert gap.high < 0
    assert said.lead.endswith("But thief returns private pictures themselves, so nothing can be concluded.")
    assert said.points[0].tone == "fault"
    assert said.points[0].text == (
        "thief returns private pictures themselves (100\u00a0% of its reconstructions are one, up to a grey level): it "
        "did not get them through the target. Either it reads private data, or the public pictures hold some. The "
        "experiment, not the defense, is at fault."
    )
    assert said.points[0].text in render(results).replace("&nbsp;", "\u00a0")


def test_neither_an_honest_attack_nor_the_ceiling_is_called_a_thief(judged: Judged) -> None:
    said, results = judged("search", "broken")
    assert value(results, "none", "search", "copies/private pictures") == 0
    assert value(results, "none", "held_out_private", "copies/private pictures") == 1
    assert not any("private pictures themselves" in text for text in (said.lead, *(p.text for p in said.points)))


def test_a_useless_defense_leaks_nothing_and_earns_no_praise(judged: Judged) -> None:
    said, results = judged("search")
    assert value(results, "lobotomy", "search", TOP_1) < 0.3 * value(results, "none", "search", TOP_1)
    assert said.lead.endswith("lobotomy is useless, no better than guessing, so what it leaks says nothing.")
    assert "leaks less" not in " ".join((said.lead, *(p.text for p in said.points)))
    (warning,) = [p.text for p in said.points if p.tone == "warning"]
    assert warning.startswith("lobotomy is useless: its utility, ")
    assert warning.endswith(
        "cannot be told apart from guessing (8\u00a0% among 12 people). What it leaks says nothing about protection."
    )
    assert not [p for p in said.points if p.tone == "less"]
