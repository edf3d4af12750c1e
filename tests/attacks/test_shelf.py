"""Finished pictures of a search that has nothing else to draw them of: laid by, and there again after a kill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from unveil.attacks import loop
from unveil.attacks.if_gmi import IFGMI
from unveil.harness.types import Access, Images, Ingredients, Run, View
from unveil.harness.words import pixels
from unveil.harness.words.classifier import Classifier
from unveil.harness.words.errors import UnveilError
from unveil.harness.words.pixels import to_uint8

LABELS, SHAPE = torch.tensor([0, 1, 2]), (1, 4, 4)
ATTACK = IFGMI(pool=20, candidates=2, stages=(2, 2), crop_scale=(0.5, 1.0), batch=2)


@pytest.fixture
def attacked(worlds: ModuleType, style_target: Classifier) -> Callable[[Run], Images]:
    """Pictures of three parts of two each."""
    had = Ingredients(worlds.Blocks(SHAPE), Images(torch.zeros(1, *SHAPE), torch.tensor([-1])))

    def attack(run: Run) -> Images:
        return ATTACK.reconstruct(View(style_target, Access.WHITE_BOX, SHAPE), had, LABELS, run)

    return attack


@pytest.fixture
def many(monkeypatch: Any) -> None:
    monkeypatch.setattr(pixels, "HELD", 0)
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", 1e9)


@pytest.mark.usefixtures("many")
def test_pictures_are_laid_by_and_no_checkpoint_holds_them(attacked: Any, tmp_path: Path, monkeypatch: Any) -> None:
    made = attacked(Run("test", scratch=tmp_path))
    assert {path.name for path in tmp_path.glob("if_gmi pictures *.pt")} == {
        f"if_gmi pictures {i}.pt" for i in range(3)
    }
    monkeypatch.setattr(pixels, "HELD", 2**28)
    plain = Run("test")
    few = attacked(plain)
    assert torch.equal(made.levels(slice(None)), to_uint8(few.pixels))
    assert made.labels.tolist() == few.labels.tolist()
    assert plain.kept["latents"].shape == (6, 16)  # styles, not pictures once more


@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("harm", ["none", "a part is gone", "a part is damaged"])
def test_a_search_that_was_stopped_goes_on_from_what_was_laid_by(attacked: Any, tmp_path: Path, harm: str) -> None:
    """Or says that it cannot, while the step can still begin anew."""
    whole = attacked(Run("test", scratch=tmp_path / "whole")).levels(slice(None))
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        attacked(Run("test", scratch=folder, interrupted=_after(folder)))
    first = folder / "if_gmi pictures 0.pt"
    assert first.exists()
    if harm == "a part is gone":
        first.unlink()
    elif harm == "a part is damaged":
        first.write_bytes(first.read_bytes()[:-100])
    run = Run("test", scratch=folder)
    if harm != "none":
        with pytest.raises(UnveilError, match=r"part 0 of a search, .*gone or damaged"):
            attacked(run)
        assert run.misfits()  # so that whoever computes the step begins it anew
    assert torch.equal(attacked(Run("test", scratch=folder)).levels(slice(None)), whole)


def _after(folder: Path) -> Callable[[], bool]:
    """Whether the first two parts are laid by."""
    return (folder / "if_gmi pictures 1.pt").exists
