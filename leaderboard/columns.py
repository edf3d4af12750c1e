"""The figures that rows have in common: what a matrix of the page is about."""

from __future__ import annotations

from dataclasses import dataclass

from unveil.harness.figures.rows import Figure
from unveil.harness.words.names import HEADLINE, Quantity
from unveil.leaderboard.wording import listing

TOP = Quantity(quantity=HEADLINE[1])


@dataclass(frozen=True)
class Column:
    """A figure that rows have in common.

    Attributes:
        metric: Metric.
        about: What it measured.
        judge: Evaluator, if one judged.
        unit: Unit.
        direction: What a higher value means.
        limits: Smallest and largest possible value.
        counted: Whether only equal numbers of pictures compare.
        judges: Whose mean it is, of a figure that the page makes of several judges'.
    """

    metric: str
    about: Quantity
    judge: str | None
    unit: str
    direction: str
    limits: tuple[float, float]
    counted: bool = False
    judges: tuple[str, ...] = ()

    @classmethod
    def of(cls, figure: Figure) -> Column:
        """The column a figure belongs to."""
        f = figure
        return cls(f.metric, f.about, f.judge, f.unit, f.direction, f.range, f.counted)

    @property
    def column(self) -> str:
        """Name of what it measured."""
        return self.about.column

    @property
    def leads(self) -> bool:
        """Whether it is the figure that leads a page, whoever judges."""
        return self.metric == HEADLINE[0] and self.about == TOP

    @property
    def name(self) -> str:
        """As ``Figure.name``."""
        return f"{self.metric}/{self.column}" + (f"@{self.judge}" if self.judge else "")

    @property
    def title(self) -> str:
        """For a reader."""
        if self.judges:
            return f"{self.metric} · {self.column} · mean of {len(self.judges)} fit judges"
        return f"{self.metric} · {self.column}" + (f" · judged by {self.judge}" if self.judge else "")

    @property
    def judged(self) -> str:
        """By whom, in words; empty where nobody judges."""
        if self.judges:
            return f"judged by {listing(self.judges)}, on average"
        return f"judged by {self.judge}" if self.judge else ""

    @property
    def is_share(self) -> bool:
        """Whether it is shown in percent."""
        return self.unit == "share"
