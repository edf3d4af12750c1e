"""Every table of README.md, from stored rows.

python tables.py                              # prints the page, from results/
python tables.py --write                      # puts its tables into README.md
python tables.py --keep runs/reports/white/results.json --write
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "people-second-wave"))

from rows import Check, Study  # noqa: E402

JUDGES = ("fr_feature", "faceres", "arcface")
CHECKS = [
    Check("1. IF-GMI minus PPA", "white", ("none", "if_gmi"), ("none", "ppa")),
    Check("2. AlignMI minus its base", "white", ("none", "align_mi"), ("none", "mirror_white_box")),
    Check("3. SMILE minus MIRROR", "scores", ("none", "smile"), ("none", "mirror")),
    Check("3. C2FMI minus MIRROR", "scores", ("none", "c2f_mi"), ("none", "mirror")),
    Check("4. LoFt minus none, PPA", "defenses", ("loft", "ppa"), ("none", "ppa")),
    Check("4. MIDRE minus none, PPA", "defenses", ("midre", "ppa"), ("none", "ppa")),
    Check("4. PPA that erases minus PPA, MIDRE", "erasing", ("midre", "ppa that erases"), ("midre", "ppa")),
]

if __name__ == "__main__":
    Study(HERE, JUDGES, CHECKS, mean=True).write(__doc__)
