"""Every table of README.md, from stored rows.

python tables.py                              # prints them, from results/
python tables.py --write                      # puts them into README.md
"""

from __future__ import annotations

import argparse
import json
import lzma
import math
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from unveil.leaderboard.paired import sign_flip

HERE = Path(__file__).parent
JUDGES = ("plain_cnn", "starnet", "efficientnet")
Rows = Mapping[tuple[str, str], Mapping[str, Any]]

CHECKS = [
    ("1. AlignMI with crops and turns, minus GMI", "align", ("none", "align_mi gmi (taa)"), ("none", "gmi")),
    ("1. AlignMI with noise, minus GMI", "align", ("none", "align_mi gmi (paa)"), ("none", "gmi")),
    ("2. LOKT minus BREP-MI", "labels", ("none", "lokt"), ("none", "brep_mi")),
    ("3. SSD (epsilon 0.5) minus none, MIRROR", "black", ("ssd epsilon=0.5", "mirror"), ("none", "mirror")),
    ("4. TL-DMI minus none, MIRROR", "white", ("tl_dmi", "mirror"), ("none", "mirror")),
    ("5. LoFt of rank 20 minus none, GMI", "ladders", ("loft rank=20", "gmi"), ("none", "gmi")),
    ("5. LoFt of rank 10 minus none, GMI", "white", ("loft", "gmi"), ("none", "gmi")),
    ("5. LoFt of rank 10 minus none, MIRROR", "white", ("loft", "mirror"), ("none", "mirror")),
    ("5. CALoR minus LoFt, GMI", "white", ("calor", "gmi"), ("loft", "gmi")),
    ("6. MIDRE minus none, GMI", "white", ("midre", "gmi"), ("none", "gmi")),
    ("6. MIDRE of up to .7 minus none, GMI", "ladders", ("midre largest=0.7", "gmi"), ("none", "gmi")),
    ("6. MIDRE minus none, PPA", "white", ("midre", "ppa"), ("none", "ppa")),
    ("Trap-MID minus none, GMI", "white", ("trap_mid", "gmi"), ("none", "gmi")),
    ("Trap-MID minus none, MIRROR", "white", ("trap_mid", "mirror"), ("none", "mirror")),
    ("7. IF-GMI minus PPA", "features", ("none", "if_gmi"), ("none", "ppa")),
    ("PPDG-MI minus GMI (a second round)", "ppdg", ("none", "ppdg_mi gmi (gan)"), ("none", "gmi")),
    ("Noise on the answers minus none, MIRROR", "black", ("noisy_scores", "mirror"), ("none", "mirror")),
    ("SSD (epsilon 0.5) minus noise, MIRROR", "black", ("ssd epsilon=0.5", "mirror"), ("noisy_scores", "mirror")),
]


def rows(plan: str) -> Rows:
    """The rows of a plan that are done, by defense and attack."""
    told = json.loads(lzma.decompress((HERE / "results" / f"{plan}.json.xz").read_bytes()))
    return {(row["defense"], row["attack"]): row for row in told if row["status"] == "done"}


def figure(row: Mapping[str, Any], metric: str, judge: str | None = None, *, closed: bool = False) -> Mapping[str, Any]:
    """One of its figures: top-1."""
    return next(
        one
        for one in row["figures"]
        if (one["metric"], one["quantity"], one["closed"]) == (metric, "top-1", closed)
        and judge in {None, one["judge"]}
    )


def told(one: Mapping[str, Any]) -> str:
    """In percent, with its interval."""
    return f"{100 * one['value']:.0f} [{100 * one['low']:.0f}, {100 * one['high']:.0f}]"


def found(plan: str) -> list[list[str]]:
    """What every attack takes of every target of a plan."""
    lines = [["defense", "attack", "utility", *JUDGES, "closed set, plain_cnn", "exact judge"]]
    for (defense, attack), row in rows(plan).items():
        judged = [told(figure(row, "attack_accuracy", judge)) for judge in JUDGES]
        closed = told(figure(row, "attack_accuracy", JUDGES[0], closed=True))
        exact, utility = told(figure(row, "nearest_anchor")), told(figure(row, "utility"))
        lines.append([defense, attack, utility, *judged, closed, exact])
    return lines


def checks() -> list[list[str]]:
    """Paired over people, in points: what the first finds more than the second."""
    lines = [["difference, points", *JUDGES, "p, plain_cnn"]]
    for name, plan, more, less in CHECKS:
        a, b = (rows(plan)[which] for which in (more, less))
        gaps = [apart(figure(a, "attack_accuracy", judge), figure(b, "attack_accuracy", judge)) for judge in JUDGES]
        lines.append([name, *map(between, gaps), f"{sign_flip(gaps[0]):.2g}"])
    return lines


def apart(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[float]:
    """The difference of each person."""
    return [a["per_identity"][who] - b["per_identity"][who] for who in sorted(a["per_identity"])]


def between(gaps: list[float]) -> str:
    """Their mean with Student's 95 % interval."""
    mean, half = np.mean(gaps), stdtrit(len(gaps) - 1, 0.975) * np.std(gaps, ddof=1) / math.sqrt(len(gaps))
    return f"{100 * mean:+.0f} [{100 * (mean - half):+.0f}, {100 * (mean + half):+.0f}]"


def markdown(table: list[list[str]]) -> str:
    """As a page has it."""
    lines = [f"| {' | '.join(cells)} |" for cells in table]
    return "\n".join([lines[0], "|" + "---|" * len(table[0]), *lines[1:]]) + "\n"


def main() -> None:
    """Prints the tables, or writes them into the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    page = HERE / "README.md"
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"<!-- table: ([^>]+) -->", text):
        table = markdown(checks() if name == "checks" else found(name))
        text = re.sub(
            rf"(<!-- table: {name} -->\n).*?(<!-- end -->)", lambda m, t=table: m[1] + t + m[2], text, flags=re.DOTALL
        )
    if parser.parse_args().write:
        page.write_text(text, encoding="utf-8")
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
