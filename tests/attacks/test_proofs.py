"""What must hold of every attack, whatever it does: its neighbours, a kill and another run change nothing."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from unveil.harness.plan import plugins
from unveil.harness.types import Budget, Images, Role
from unveil.harness.words.run import Run

LABELS = torch.tensor([0, 2])


def test_every_registered_attack_has_its_world(worlds: ModuleType) -> None:
    found = {name: plugins.load("attacks", name, Path()) for name in plugins.registered("attacks")}
    tried = {type(case.attack) for case in worlds.CASES.values()}
    assert tried == {cls for cls in found.values() if plugins.role(cls) != Role.CEILING}


def of(images: Images, label: int) -> torch.Tensor:
    return images.pixels[images.labels == label]


@pytest.mark.parametrize("company", [[2], [2, 0], [1, 2], [2, 1, 0]], ids=str)
def test_who_is_attacked_beside_them_changes_nothing(case: Any, company: list[int]) -> None:
    """To 1e-4, not to the bit: matrix kernels sum in an order that depends on the size of the batch."""
    usual = case.attacked(LABELS, Run("test"))
    other = case.attacked(torch.tensor(company), Run("test"))
    assert len(other) == len(company) * len(usual) // 2
    for label in {2, *company} & {0, 2}:
        torch.testing.assert_close(of(other, label), of(usual, label), atol=1e-4, rtol=0)


def test_the_same_run_gives_the_same_bits_and_another_seed_others(case: Any) -> None:
    first, again, other = (case.attacked(LABELS, Run(seed)) for seed in ("a", "a", "b"))
    assert torch.equal(first.pixels, again.pixels)
    assert torch.equal(first.labels, again.labels)
    assert torch.equal(first.pixels, other.pixels) != case.draws


def test_a_kill_anywhere_changes_no_bit_and_no_count(
    case: Any, worlds: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("unveil.attacks.loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    whole, counted = case.view(), worlds.Moves()
    expected = case.attacked(LABELS, Run("test", shown=counted), whole)
    for moves in sorted({1, counted.made // 2, counted.made - 1} & {*range(1, counted.made + 1)}):
        scratch = tmp_path / str(moves)
        with pytest.raises(KeyboardInterrupt):
            case.attacked(LABELS, Run("test", scratch=scratch, shown=worlds.Moves(moves)))
        heir, taken_up = case.view(), Run("test", scratch=scratch)
        resumed = case.attacked(LABELS, taken_up, heir)
        assert torch.equal(resumed.pixels, expected.pixels), f"killed at move {moves} of {counted.made}"
        assert heir.spent == whole.spent


def test_a_long_run_does_leave_checkpoints(
    case: Any, worlds: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without which the test above would only show that an attack starts anew."""
    monkeypatch.setattr("unveil.attacks.loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    counted = worlds.Moves()
    case.attacked(LABELS, Run("test", scratch=tmp_path, shown=counted))
    assert (len(list(tmp_path.iterdir())) > 0) == (counted.made > 1)


@pytest.mark.parametrize("share", [0.9, 0.15])
@pytest.mark.parametrize("limited", ["queries", "gradients"])
def test_a_budget_is_kept_and_everybody_still_has_pictures(case: Any, limited: str, share: float) -> None:
    """Cut to a share of what it takes unhindered, an attack stops where it must and returns what it has by then."""
    free = case.view()
    unhindered = Run("test")
    usual = case.attacked(LABELS, unhindered, free)
    spent = getattr(free.spent, limited)
    most = max(1, int(spent * share) // len(LABELS))
    limits = Budget(**{limited: most}, identities=len(LABELS))
    run, view = Run("test"), case.view(limits)
    images = case.attacked(LABELS, run, view)
    assert images.labels.tolist() == usual.labels.tolist()
    assert images.pixels.isfinite().all()
    assert getattr(view.spent, limited) <= most * len(LABELS)
    told = view.spent.refused or run.notes != unhindered.notes
    assert told == (spent > 0), "a reader of the row must be told, and only if it was stopped"
    if spent == 0:
        assert torch.equal(images.pixels, usual.pixels)
        return
    together = case.attacked(LABELS, Run("test"), case.view(limits), batch=100)
    torch.testing.assert_close(together.pixels, images.pixels, atol=1e-4, rtol=0)  # whoever shares a batch
