"""What the controls say: what luck gives, what real photographs give, and how easily the recognisers are fooled."""

from __future__ import annotations

from dataclasses import dataclass

from unveil.harness.words.names import Role
from unveil.leaderboard.judges import CEILING_MIN, FLOOR_MAX
from unveil.leaderboard.report.attackers import Given
from unveil.leaderboard.report.phrases import counted
from unveil.leaderboard.report.recovery import Recovery, recovery
from unveil.leaderboard.wording import full, number

TITLES = {Role.FLOOR: "Luck", Role.CEILING: "Real photographs", Role.GULLIBILITY: "Other pictures"}
NAMED = {"public_lookalikes": "Look-alikes", "pixel_adversarial": "Noise that pleases the model"}
SHOWN = {
    "random_latents": "Pictures that the same kind of generator makes without asking the model",
    "held_out_private": "Photographs of these very people that no training has seen",
    "pixel_adversarial": "Noise that the model, and no human, takes for the person",
    "public_lookalikes": "Photographs of other people, those whom the model takes for the person",
}
"""What the built-in controls show; of others the facts may say what they stand for."""


@dataclass(frozen=True)
class Control:
    """One control on the given model.

    Attributes:
        name: Of the control.
        role: What it is for.
        found: What it would recover; None if it has no number.
        fault: Whether it says that the audit, and not the model, is wrong.
        text: What follows from it.
    """

    name: str
    role: Role
    found: Recovery | None
    fault: bool
    text: str

    @property
    def title(self) -> str:
        """For a reader."""
        return NAMED.get(self.name, TITLES[self.role])

    @property
    def shows(self) -> str:
        """What its pictures are, of a built-in control; else empty."""
        return SHOWN.get(self.name, "")


def controls(model: Given) -> tuple[Control, ...]:
    """All that were run, in the order of a page."""
    board = model.board
    if board is None:
        return ()
    roles = board.setup.roles
    best = max(
        (f.share.value for b in model.boards for a in b.setup.attacks if (f := recovery(b, model.defense, a))),
        default=0.0,
    )
    return tuple(
        _control(name, roles[name], recovery(board, model.defense, name), best) for name in board.setup.controls
    )


def _control(name: str, role: Role, found: Recovery | None, best: float) -> Control:
    if found is None:
        return Control(name, role, None, False, "It has no number, so what it would have told is not known.")
    fault = _fault(role, found, best)
    said = _SAID[role][fault]
    return Control(name, role, found, fault, f"{_first(found)} {said}")


def _first(found: Recovery) -> str:
    return f"{full(found.share, 'share')} of them are accepted, most of one person’s for {counted(found)}."


def _fault(role: Role, found: Recovery, best: float) -> bool:
    if role == Role.CEILING:
        return found.share.value < CEILING_MIN
    if role == Role.FLOOR:
        return found.share.value > FLOOR_MAX
    return best > 0 and found.share.value > best / 2


_SAID = {
    Role.FLOOR: {
        False: "What an attack gets beyond this, it gets from the model.",
        True: f"That is more than {number(FLOOR_MAX, 'share')}: the recognisers see people where there are none.",
    },
    Role.CEILING: {
        False: "So the recognisers know these people when they see them.",
        True: f"That is less than {number(CEILING_MIN, 'share')}: the recognisers hardly know these people themselves.",
    },
    Role.GULLIBILITY: {
        False: "So the recognisers are not easily fooled by these.",
        True: "That is more than half of what the strongest attack gets: part of its success may be such a likeness, "
        "and nothing that the model gave away.",
    },
}
