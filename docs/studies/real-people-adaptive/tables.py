"""Every table of README.md, from stored rows, with the page's own intervals and tests.

python tables.py                              # prints them, from results/rows.json.xz
python tables.py runs/reports/adaptive/rows.json
python tables.py --write                      # puts them into README.md
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "real-people"))

from measures import JUDGES, MEASURES, OPEN, UTILITY, Target, by_judge, full, percent, read, tests, told  # noqa: E402

Table = list[list[str]]
ATTACKS = ("ppa", "ppa, cross-entropy", "lomma", "mirror")
STAGES = ("stem", "stage1", "stage2", "stage3", "stage4")


def one(found: Sequence[Target], attack: str) -> Target:
    """The rows of an attack; attacks that see equally much stand together."""
    return next(t for t in found if attack in t.setup.attacks + t.setup.controls)


def depths(found: Sequence[Target]) -> list[str]:
    """The frozen targets of which there are rows, the least frozen first."""
    defenses = one(found, "ppa").setup.defenses
    return [d for stage in STAGES for d in defenses if d.endswith(f"={stage}")]


def measured(found: Sequence[Target], defense: str, attack: str) -> bool:
    """Whether there is a row: time was over before every attack on every target."""
    return (defense, attack) in one(found, attack).setup.measured


def targets(found: Sequence[Target]) -> Table:
    """What each target is good for, and what every attack takes of it."""
    lines = [["defense", "attack", "utility", *MEASURES, *(f"open set, {judge}" for judge in JUDGES)]]
    names = [*MEASURES.values(), *(by_judge(judge, closed=False) for judge in JUDGES)]
    for d in ("none", *depths(found)):
        for a in (*ATTACKS, "random_latents", "public_lookalikes"):
            if not measured(found, d, a):
                continue
            t = one(found, a)
            lines.append([d, a, percent(t.of(d, UTILITY, a).value), *(full(t.of(d, name, a)) for name in names)])
    return lines


def fallen(found: Sequence[Target]) -> Table:
    """Question 3: each depth against no defense, attack by attack."""
    lines = [["defense", "attack", "utility", *(cell for name in MEASURES for cell in (name, "p"))]]
    made = {
        name: tests(
            {
                f"{d}/{a}": (one(found, a).of(d, name, a), one(found, a).of("none", name, a))
                for d in depths(found) for a in ATTACKS if measured(found, d, a)
            }
        )
        for name in MEASURES.values()
    }  # fmt: skip
    for d in depths(found):
        for a in (a for a in ATTACKS if measured(found, d, a)):
            t = one(found, a)
            lost = percent(t.of(d, UTILITY, a).value - t.of("none", UTILITY, a).value)
            lines.append([d, a, lost, *(cell for of in made.values() for cell in told(of[f"{d}/{a}"]))])
    return lines


def shares(t: Target, task: str) -> dict[str, float]:
    """Of all Fisher information of the undefended target, what lies in each stage."""
    row = next(r for r in t.setup.rows if (r.defense, r.attack) == ("none", "ppa"))
    mine = {f.layer: f.value or 0.0 for f in row.figures if f.metric == "fisher" and f.task == task and f.layer}
    return {stage: sum(v for layer, v in mine.items() if layer.split(".")[0] == stage) for stage in STAGES}


def fisher(found: Sequence[Target]) -> Table:
    """Question 5: what is frozen, by Fisher information, and what freezing it changed."""
    t = one(found, "ppa")
    inversion, classification = shares(t, "inversion"), shares(t, "classification")
    lines = [
        ["frozen up to", "share of inversion's", "share of classification's", "utility", "ppa, open set, minus none"]
    ]
    for d in depths(found):
        frozen = STAGES[: STAGES.index(d.partition("=")[2]) + 1]
        told_of = [percent(sum(of[s] for s in frozen)) for of in (inversion, classification)]
        gap = percent(t.of(d, OPEN).value - t.of("none", OPEN).value)
        lines.append([frozen[-1], *told_of, percent(t.of(d, UTILITY).value), gap])
    return lines


TABLES: dict[str, Callable[[Sequence[Target]], Table]] = {"targets": targets, "fallen": fallen, "fisher": fisher}


def markdown(table: Table) -> str:
    """As Markdown has it."""
    lines = [table[0], ["---"] * len(table[0]), *table[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Prints or writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", type=Path, default=[HERE / "results" / "rows.json.xz"])
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    found, page = read(asked.rows), HERE / "README.md"
    text = page.read_text(encoding="utf-8")
    for name, make in TABLES.items():
        block = f"<!-- table: {name} -->\n{markdown(make(found))}\n<!-- end -->"
        if asked.write:
            text = re.sub(rf"<!-- table: {name} -->.*?<!-- end -->", lambda _, b=block: b, text, flags=re.DOTALL)
        else:
            sys.stdout.write(f"{block}\n\n")
    if asked.write:
        page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
