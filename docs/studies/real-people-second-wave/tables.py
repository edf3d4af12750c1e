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
CHECKS: list[Check] = []

if __name__ == "__main__":
    Study(HERE, JUDGES, CHECKS, mean=True).write(__doc__)
