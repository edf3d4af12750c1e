"""Every table and the figure of README.md, from stored rows: the page's own intervals, tests and trade-off.

    python tables.py                                        # prints them, from results/rows.json.xz
    python tables.py runs/reports/*/rows.json               # from runs of one's own
    python tables.py --write                                # puts them into README.md and draws leakage.svg

Shares are in percent, with 95 % intervals over people. Two p-values: of one comparison, and with Holm's correction
over all comparisons of the question by that measure. A star: the second is at most 5 %, and the interval leaves out
zero. Where there is no p-value, a star means only that the interval leaves out zero.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from figure import drawing
from measures import ATTACK, JUDGES, MEASURES, UTILITY, Target, Test, by_judge, full, percent, read, tests, told

from unveil.leaderboard.estimates import difference
from unveil.leaderboard.paired import detectable
from unveil.leaderboard.tradeoff import COSTS, Answer, Tradeoff, tradeoff

HERE = Path(__file__).parent
Table = list[list[str]]
LUCK, LOOKALIKES, REAL = "random_latents", "public_lookalikes", "held_out_private"
TL_DMI, RIVALS = ("tl_dmi share=0.07", "tl_dmi share=0.25"), ("mid", "bido", "ls")
STACKS = {"tl_dmi+bido": (TL_DMI[1], "bido"), "tl_dmi+mid": (TL_DMI[1], "mid")}


def summary(found: Sequence[Target]) -> Table:
    """The answer in short: single defenses without a price, and the strongest; a star where none is told apart."""
    lines = [["target", "defense", "utility", *MEASURES]]
    made = {measure: second(found, measure) for measure in MEASURES.values()}
    for t in found:
        for d in ("none", "mid", "ls", TL_DMI[1], "tl_dmi+mid"):
            stars = [" *" if d != "none" and of[f"{t.name}/{d}/none"].clear else "" for of in made.values()]
            cells = [full(t.of(d, measure)) + star for measure, star in zip(made, stars, strict=True)]
            lines.append([t.name, d, percent(t.of(d, UTILITY).value), *cells])
    return lines


def targets(found: Sequence[Target]) -> Table:
    """The undefended targets, and what controls score."""
    lines = [["target", "utility", "measure", ATTACK, "luck", "look-alikes", "real pictures"]]
    for t in found:
        for name, measure in MEASURES.items():
            cells = [full(t.of("none", measure, a)) for a in (ATTACK, LUCK, LOOKALIKES, REAL)]
            lines.append([t.name, full(t.of("none", UTILITY)), name, *cells])
    return lines


def beaten(found: Sequence[Target]) -> Table:
    """Question 1: the attack against luck and look-alikes, judge by judge."""
    lines = [["target", "judge", "set", ATTACK, "minus luck", "p", "minus look-alikes", "p"]]
    for closed in (False, True):
        names = {judge: by_judge(judge, closed=closed) for judge in JUDGES}
        pairs = {
            f"{t.name}/{judge}/{control}": (t.of("none", name), t.of("none", name, control))
            for t in found for judge, name in names.items() for control in (LUCK, LOOKALIKES)
        }  # fmt: skip
        made = tests(pairs)
        for t in found:
            for judge, name in names.items():
                gaps = [cell for c in (LUCK, LOOKALIKES) for cell in told(made[f"{t.name}/{judge}/{c}"])]
                lines.append([t.name, judge, "closed" if closed else "open", full(t.of("none", name)), *gaps])
    return lines


def confirmed(found: Sequence[Target]) -> Table:
    """Question 1: what share of a judge's closed-set successes each judge confirms in the open set."""
    lines = [["target", "closed-set successes of", *(f"confirmed by {judge}" for judge in JUDGES)]]
    for t in found:
        names = {
            (c.about.confirmed.judge, c.about.confirmed_by.judge): name
            for name, c in t.columns.items() if c.about.confirmed and c.about.confirmed_by
        }  # fmt: skip
        lines += [[t.name, judge, *(full(t.of("none", names[judge, by])) for by in JUDGES)] for judge in JUDGES]
    return lines


def second(found: Sequence[Target], measure: str) -> dict[str, Test]:
    """Question 2 by one measure: every defense against none, and TL-DMI against MID, BiDO and LS."""
    pairs = {f"{t.name}/{d}/none": (t.of(d, measure), t.of("none", measure)) for t in found for d in t.defenses}
    pairs |= {
        f"{t.name}/{mine}/{other}": (t.of(mine, measure), t.of(other, measure))
        for t in found for mine in TL_DMI for other in RIVALS
    }  # fmt: skip
    return tests(pairs)


def against_none(found: Sequence[Target]) -> Table:
    """Question 2: every defense against the undefended target."""
    lines = [
        ["target", "defense", "utility", "lost", "open set", "against none", "p", "closed set", "against none", "p"]
    ]
    made = {measure: second(found, measure) for measure in MEASURES.values()}
    for t in found:
        for d in ["none", *t.defenses]:
            lost = difference(t.of("none", UTILITY), t.of(d, UTILITY)) if d != "none" else None
            line = [t.name, d, percent(t.of(d, UTILITY).value), full(lost) if lost else ""]
            for measure, made_of in made.items():
                line += [full(t.of(d, measure)), *(told(made_of[f"{t.name}/{d}/none"]) if d != "none" else ("", ""))]
            lines.append(line)
    return lines


def closed_judges(found: Sequence[Target]) -> Table:
    """Question 2: the same in the closed set, judge by judge."""
    lines = [["target", "defense", *(cell for judge in JUDGES for cell in (judge, "against none", "p"))]]
    made = {judge: second(found, by_judge(judge, closed=True)) for judge in JUDGES}
    for t in found:
        for d in ["none", *t.defenses]:
            line = [t.name, d]
            for judge, of in made.items():
                value = full(t.of(d, by_judge(judge, closed=True)))
                line += [value, *(told(of[f"{t.name}/{d}/none"]) if d != "none" else ("", ""))]
            lines.append(line)
    return lines


def against_others(found: Sequence[Target]) -> Table:
    """Question 2: TL-DMI minus MID, BiDO and LS, whatever their utility."""
    lines = [["target", "TL-DMI", "minus", "utility", "open set", "p", "closed set", "p"]]
    made = [second(found, measure) for measure in MEASURES.values()]
    for t in found:
        for mine in TL_DMI:
            for other in RIVALS:
                useful = difference(t.of(mine, UTILITY), t.of(other, UTILITY))
                cells = [cell for of in made for cell in told(of[f"{t.name}/{mine}/{other}"])]
                lines.append([t.name, mine, other, full(useful) if useful else "", *cells])
    return lines


def traded(t: Target, measure: str) -> Tradeoff:
    """The page's comparison at equal utility."""
    return tradeoff(t.setup.rows, ATTACK, t.columns[measure], t.columns[UTILITY])


def answer(found: Answer) -> str:
    """A number, or why there is none, in few words."""
    if found.estimate is not None:
        return full(found.estimate) + (" *" if found.decided else "")
    words = found.reason.partition("\n")[0]
    known = {"not reached": words.removeprefix("not reached: it "), "too near": "near its end", "no strength": "failed"}
    return next((short for start, short in known.items() if words.startswith(start)), words)


def equal_utility(found: Sequence[Target]) -> Table:
    """Question 2: leakage below none at stated costs, along each family's curve."""
    cells = [f"{name}, {100 * cost:g} points" for name in MEASURES for cost in COSTS]
    lines = [["target", "family", *cells]]
    for t in found:
        made = [traded(t, measure) for measure in MEASURES.values()]
        lines += [
            [t.name, family.name, *(answer(m.below[family.name, cost]) for m in made for cost in COSTS)]
            for family in made[0].families
        ]
    return lines


def equal_others(found: Sequence[Target]) -> Table:
    """Question 2: TL-DMI minus others at the same utility, where both curves reach it."""
    lines = [["target", "TL-DMI minus", "points of utility", *MEASURES]]
    for t in found:
        made = [traded(t, measure) for measure in MEASURES.values()]
        for other in (*RIVALS, "rolss"):
            for cost in COSTS:
                gaps = [m.gaps["tl_dmi", other, cost] for m in made]
                if any(gap.estimate for gap in gaps):
                    lines.append([t.name, other, f"{100 * cost:g}", *map(answer, gaps)])
    return lines


def ratios(found: Sequence[Target]) -> Table:
    """Question 2: points of leakage lost for each point of utility lost."""
    lines = [["target", "defense", *MEASURES]]
    for t in found:
        made = [traded(t, measure) for measure in MEASURES.values()]
        lines += [[t.name, d, *(ratio(m, d) for m in made)] for d in t.defenses]
    return lines


def ratio(found: Tradeoff, defense: str) -> str:
    """The published ratio, unless the drop in utility cannot be told from none."""
    e = found.deltas[defense].ratio.estimate
    if e is None or e.low is None or e.high is None:
        return "no cost that can be told"
    return f"{e.value:.2f} [{e.low:.2f}, {e.high:.2f}]"


def stacks(found: Sequence[Target]) -> Table:
    """Question 4: each stack minus the part that leaks less."""
    lines = [["target", "stack", "set", "better part", "utility", "leakage", "p"]]
    for name, measure in MEASURES.items():
        best = {(t.name, stack): least(t, parts, measure) for t in found for stack, parts in STACKS.items()}
        pairs = {(t.name, s): (t.of(s, measure), t.of(best[t.name, s], measure)) for t in found for s in STACKS}
        made = tests({"/".join(pair): values for pair, values in pairs.items()})
        for t in found:
            for s in STACKS:
                useful = difference(t.of(s, UTILITY), t.of(best[t.name, s], UTILITY))
                cells = [full(useful) if useful else "", *told(made[f"{t.name}/{s}"])]
                lines.append([t.name, s, name, best[t.name, s], *cells])
    return lines


def least(t: Target, defenses: Sequence[str], measure: str) -> str:
    """The one that leaks least."""
    leaks = {d: t.of(d, measure).value for d in defenses}
    return min(leaks, key=leaks.__getitem__)


def hard(found: Sequence[Target]) -> Table:
    """What makes real people hard: undefended targets against each other."""
    lines = [["target", "minus", "utility", "open set", "p", "closed set", "p"]]
    pairs = [(a, b) for i, a in enumerate(found) for b in found[:i]]
    made = [
        tests({f"{a.name}/{b.name}": (a.of("none", m), b.of("none", m)) for a, b in pairs}) for m in MEASURES.values()
    ]
    for a, b in pairs:
        useful = difference(a.of("none", UTILITY), b.of("none", UTILITY))
        cells = [cell for of in made for cell in told(of[f"{a.name}/{b.name}"])]
        lines.append([a.name, b.name, full(useful) if useful else "", *cells])
    return lines


def power(found: Sequence[Target]) -> Table:
    """Smallest true difference from none that one comparison would find in 8 of 10 repetitions, over the defenses."""
    lines = [["target", *MEASURES, *(f"closed set, {judge}" for judge in JUDGES)]]
    names = [*MEASURES.values(), *(by_judge(judge, closed=True) for judge in JUDGES)]
    for t in found:
        line = [t.name]
        for measure in names:
            gaps = [difference(t.of(d, measure), t.of("none", measure)) for d in t.defenses]
            sizes = [size for gap in gaps if gap and (size := detectable(gap))]
            line.append(f"{percent(min(sizes))} to {percent(max(sizes))}")
        lines.append(line)
    return lines


TABLES: dict[str, Callable[[Sequence[Target]], Table]] = {
    "summary": summary, "targets": targets, "beaten": beaten, "confirmed": confirmed, "against none": against_none,
    "closed set by judge": closed_judges, "against others": against_others, "equal utility": equal_utility,
    "equal utility, others": equal_others, "ratios": ratios, "stacks": stacks, "hard": hard, "power": power,
}  # fmt: skip


def markdown(table: Table) -> str:
    """As README.md has it."""
    head, *body = ([cell or " " for cell in line] for line in table)
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *body])


def blocks(found: Sequence[Target]) -> Iterator[tuple[str, str]]:
    """Each table's name, and the table between its two comments."""
    for name, make in TABLES.items():
        yield name, f"<!-- table: {name} -->\n{markdown(make(found))}\n<!-- end -->"


def main() -> None:
    """Prints the tables, or puts them into README.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=Path, nargs="*", default=[HERE / "results" / "rows.json.xz"])
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    found = read(asked.rows)
    if not asked.write:
        sys.stdout.write("\n\n".join(block for _, block in blocks(found)) + "\n")
        return
    page = HERE / "README.md"
    text = page.read_text(encoding="utf-8")
    for name, block in blocks(found):
        before, mark, rest = text.partition(f"<!-- table: {name} -->")
        text = before + (block + rest.partition("<!-- end -->")[2] if mark else "")
    page.write_text(text, encoding="utf-8")
    (HERE / "leakage.svg").write_text(drawing(found, MEASURES), encoding="utf-8")


if __name__ == "__main__":
    main()
