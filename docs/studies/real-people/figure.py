"""Leakage against utility, one mark a target and defense, as an SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from measures import UTILITY, Target

from unveil.leaderboard.axes import Axis
from unveil.leaderboard.scatter import SHAPES

WIDTH, HEIGHT, LEFT, PANEL = 760, 360, 60, 540
COLOURS = ("#0a559f", "#b3540f", "#2c7a3f")  # of targets
STYLE = "text{font:12px sans-serif;fill:#1b1a18}.h{font-weight:600}.g{stroke:#dad6cd}.f{stroke:#5d5951;fill:none}"


def drawing(found: Sequence[Target], measures: Mapping[str, str]) -> str:
    """One panel a measure, one above the other, and the key beside them."""
    tall = HEIGHT * len(measures)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {tall}" role="img">',
        "<title>Leakage under PPA against utility, for each target and defense</title>",
        f'<style>{STYLE}</style><rect width="{WIDTH}" height="{tall}" fill="#fff"/>',
    ]
    for i, (name, measure) in enumerate(measures.items()):
        parts += [f'<g transform="translate(0 {i * HEIGHT})">', *_panel(found, name, measure), "</g>"]
    return "\n".join([*parts, *_key(found), "</svg>\n"])


def _panel(found: Sequence[Target], name: str, measure: str) -> list[str]:
    points = [(i, t, d) for i, t in enumerate(found) for d in ("none", *t.defenses)]
    top = max(t.of(d, measure).ends[1] for _, t, d in points)
    useful = [t.of(d, UTILITY).value for _, t, d in points]
    x = Axis(min(useful) - 0.03, max(useful) + 0.03, LEFT, PANEL)
    y = Axis(0.0, top, HEIGHT - 50, 34)
    parts = [f'<text class="h" x="{LEFT}" y="20">PPA, accuracy by the mean of judges, {escape(name)}</text>']
    for at, label in y.ticks("share"):
        parts.append(f'<path class="g" d="M{LEFT} {at}H{PANEL}"/>{_text(LEFT - 6, at + 4, label, "end")}')
    for at, label in x.ticks("share"):
        parts.append(f'<path class="f" d="M{at} {y.start}v5"/>{_text(at, y.start + 19, label, "middle")}')
    parts.append(f'<path class="f" d="M{LEFT} 34V{y.start}H{PANEL}"/>')
    parts.append(_text((LEFT + PANEL) / 2, y.start + 38, "utility: accuracy on held-out pictures", "middle"))
    return parts + [_mark(t, d, measure, x, y, COLOURS[i % len(COLOURS)], _shapes(found)[d]) for i, t, d in points]


def _mark(t: Target, defense: str, measure: str, x: Axis, y: Axis, colour: str, shape: str) -> str:
    leak, at = t.of(defense, measure), x(t.of(defense, UTILITY).value)
    low, high = (y(end) for end in leak.ends)
    return (
        f"<g><title>{escape(f'{t.name}, {defense}')}</title>"
        f'<path d="M{at} {low}V{high}" stroke="{colour}" opacity=".35"/>'
        f'<path transform="translate({at} {y(leak.value)})" d="{shape}" fill="{colour}" stroke="#fff"/></g>'
    )


def _key(found: Sequence[Target]) -> list[str]:
    left, parts = PANEL + 24, []
    for i, t in enumerate(found):
        parts.append(
            f'<rect x="{left - 6}" y="{40 + 20 * i}" width="12" height="12" fill="{COLOURS[i % len(COLOURS)]}"/>'
        )
        parts.append(_text(left + 12, 50 + 20 * i, t.name))
    for i, (defense, shape) in enumerate(_shapes(found).items(), start=len(found) + 1):
        parts.append(f'<path transform="translate({left} {46 + 20 * i})" d="{shape}" fill="#5d5951"/>')
        parts.append(_text(left + 12, 50 + 20 * i, defense))
    return parts


def _shapes(found: Sequence[Target]) -> dict[str, str]:
    names = dict.fromkeys(["none", *(d for t in found for d in t.defenses)])
    return dict(zip(names, SHAPES, strict=False))


def _text(x: float, y: float, words: str, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'
