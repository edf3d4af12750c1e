"""Every attack that asks its target anything, at a scale, with the bare loop that its rate is held against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bare_loops import (
    STUDENTS,
    Loops,
    Scale,
    World,
    by_answers,
    by_latents,
    by_layers,
    by_neighbours,
    by_pixels,
    by_stages,
    by_styles,
    by_surrogates,
    by_views,
)

from unveil.attacks.align_mi import AlignMI
from unveil.attacks.brep_mi import BREPMI, FIRST
from unveil.attacks.c2f_mi import C2FMI
from unveil.attacks.gmi import GMI
from unveil.attacks.if_gmi import IFGMI
from unveil.attacks.kedmi import KEDMI
from unveil.attacks.lokt import LOKT
from unveil.attacks.lomma import LOMMA
from unveil.attacks.mirror import Mirror
from unveil.attacks.mirror_white_box import MirrorWhiteBox
from unveil.attacks.pixel_adversarial import PixelAdversarial
from unveil.attacks.plgmi import PLGMI
from unveil.attacks.ppa import PPA
from unveil.attacks.public_lookalikes import PublicLookalikes
from unveil.attacks.rlb_mi import RLBMI
from unveil.attacks.smile import SMILE
from unveil.attacks.vmi import VMI
from unveil.harness.types import Spec

ASKING_NOTHING = {"random_latents", "held_out_private"}


def trials(scale: Scale) -> dict[str, tuple[Any, Callable[[World, Any], Loops]]]:
    """Attacks of that scale by name, and what makes their bare loops."""
    each, steps, whole = scale.each, scale.steps, {"batch": max(scale.samples, 8)}
    gmi, kedmi = {"restarts": each, "steps": steps, **whole}, {"steps": steps, **whole}
    students = {"students": STUDENTS, "reference": 1}
    return {
        "gmi": (GMI(**gmi), by_latents),
        "kedmi": (KEDMI(**kedmi), by_latents),
        "lomma gmi": (LOMMA(Spec("gmi", gmi), **students), by_latents),
        "lomma kedmi": (LOMMA(Spec("kedmi", kedmi), **students), by_latents),
        "plgmi": (PLGMI(**gmi), by_views),
        "ppa": (PPA(pool=each, candidates=each, keep=each, steps=steps, **whole), by_styles),
        "mirror_white_box": (
            MirrorWhiteBox(presamples=max(each, 2), restarts=each, samples=each, steps=steps, **whole),
            by_styles,
        ),
        "mirror": (
            Mirror(
                presamples=200, samples=1, population=40, generations=6, confidence=1.0, batch=max(scale.samples, 200)
            ),
            by_answers,
        ),
        "brep_mi": (BREPMI(queries=FIRST + 33 * 8, first_queries=FIRST), by_answers),
        "pixel_adversarial": (PixelAdversarial(samples=each, steps=steps, **whole), by_pixels),
        "if_gmi": (
            IFGMI(pool=each, candidates=each, stages=(steps - steps // 2, steps // 2), radii=(), **whole),
            by_stages,
        ),
        "align_mi": (AlignMI(Spec("gmi", gmi), neighbours=4), by_neighbours),
        "vmi": (VMI(samples=1, steps=steps, step_batch=each, **whole), by_layers),
        "lokt": (LOKT(models=STUDENTS, restarts=each, steps=steps, **whole), by_surrogates),
        "smile": (
            SMILE(
                trunk=STUDENTS[0],
                pretrained=False,
                samples=200,
                epochs=1,
                student_batch=50,
                steps=steps,
                queries=steps,
                pictures=each,
                batch=max(scale.samples, 200),
            ),
            by_answers,
        ),
        "c2f_mi": (
            C2FMI(
                embedder=STUDENTS[0],
                pretrained=False,
                pictures=256,
                inverse_width=64,
                inverse_epochs=1,
                samples=1,
                starts=10,
                steps=steps,
                founders=5,
                population=40,
                generations=6,
                batch=max(scale.samples, 256),
            ),
            by_answers,
        ),
        "rlb_mi": (RLBMI(samples=each, episodes=4 * steps, replay_batch=2 * steps, hidden=64, **whole), by_answers),
        "public_lookalikes": (PublicLookalikes(), by_answers),
    }
