"""The chart of hand-overs: how long one thread keeps the interpreter before another thread gets it."""

from __future__ import annotations

import collections
import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.cell.claims.estimates import median, quantile
from lab.cell.experiments import switching
from lab.judging.verdicts import evidence_of
from lab.model.session import Session
from lab.reports.charts.chart import GRID, INK, SERIES, Canvas, Chart, Panel, Stroke, cell_of, extremes, measured
from lab.text import units
from lab.text.table import Table

if TYPE_CHECKING:
    from matplotlib.patches import Patch

#: The experiment that measures hand-overs.
NEEDS = ("switching",)

#: Number of bins per decade.
_BINS = 16

#: Switch interval -> the character that shows it in a terminal.
_LETTERS = dict(zip((interval for interval, _ in switching.INTERVALS), "abc", strict=True))


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The times between hand-overs in one cell at one switch interval."""

    #: The id of the cell.
    cell: str
    #: The cell in a few words, for headings.
    where: str
    #: The switch interval, in seconds.
    interval: float
    #: The times between hand-overs in seconds, ascending.
    gaps: tuple[float, ...]

    @functools.cached_property
    def bins(self) -> dict[int, float]:
        """The share of the gaps in each bin that is not empty; bin n begins at 10 ** (n / 16) seconds."""
        counts = collections.Counter(math.floor(_BINS * math.log10(gap)) for gap in self.gaps)
        return {place: counts[place] / len(self.gaps) for place in sorted(counts)}


def distributions(session: Session) -> tuple[Distribution, ...]:
    """The distributions measured with a GIL, in the cell with the fewest CPUs and in the cell with the most CPUs."""
    with_gil = [result for result in measured(session) if result.python["gil_enabled"]]
    cells = [(result, evidence_of("switching", result).rounds("round")) for result in with_gil]
    shown = []
    for result, rounds in extremes([(result, rounds) for result, rounds in cells if rounds]):
        where = cell_of(result)
        for interval, _ in switching.INTERVALS:
            gaps = tuple(sorted(gap for gap in switching.gaps_at(interval, rounds) if gap > 0))
            if gaps:
                shown.append(Distribution(cell=result.cell.id, where=where, interval=interval, gaps=gaps))
    return tuple(shown)


def charts(session: Session) -> tuple[Chart, ...]:
    """The chart, if hand-overs were measured."""
    shown_gaps = distributions(session)
    if not shown_gaps:
        return ()
    rows = tuple(
        (
            each.where,
            units.seconds(each.interval),
            str(len(each.gaps)),
            *(units.seconds(quantile(each.gaps, share)) for share in (0.05, 0.5, 0.95)),
        )
        for each in shown_gaps
    )
    cells = _by_cell(shown_gaps)
    return (
        Chart(
            name="hand-overs",
            title="Hand-overs: how long a thread keeps the interpreter",
            reading="Two threads contend for the GIL. The dashed lines are the switch intervals that were set. On one"
            " CPU a thread that wakes must also wait for the scheduler.",
            description=" ".join(
                f"{each.where}: half of the hand-overs at {units.seconds(each.interval)} took less than"
                f" {units.seconds(median(each.gaps))}."
                for each in shown_gaps
            ),
            table=Table(
                title="Times between hand-overs",
                head=("cell", "switch interval", "hand-overs", "5 %", "median", "95 %"),
                rows=rows,
            ),
            height=(230 * len(cells) + 24, 210 * len(cells) + 48),
            draw=lambda canvas: _draw(canvas, shown_gaps),
            panels=tuple(_panel(group, _range(shown_gaps)) for group in cells),
            key=", ".join(f"{letter} at {units.seconds(interval)}" for interval, letter in _LETTERS.items()),
        ),
    )


def edge(place: int) -> float:
    """Where a bin begins, in milliseconds."""
    return 1e3 * float(10 ** (place / _BINS))


def _by_cell(shown_gaps: Sequence[Distribution]) -> list[list[Distribution]]:
    """A list of distributions for each cell. Cells are told apart by id, because two cells may have the same name."""
    return [
        [each for each in shown_gaps if each.cell == cell] for cell in dict.fromkeys(each.cell for each in shown_gaps)
    ]


def _panel(group: Sequence[Distribution], reach: tuple[float, float]) -> Panel:
    strokes = []
    for number, each in enumerate(group):
        for place, share in each.bins.items():
            x = (place + 0.5) / _BINS + 3
            stroke = Stroke(xs=(x, x), ys=(0, 100 * share), marker=_LETTERS[each.interval], series=number)
            strokes.append(stroke)
    low, high = reach
    shown = [tick for tick in (0.1, 1, 5, 15, 50, 200) if 1e3 * low <= tick <= 1e3 * high]
    return Panel(
        title=group[0].where,
        strokes=tuple(strokes),
        rows=12,
        x_label="ms between hand-overs; height: % of hand-overs",
        x_ticks=tuple((math.log10(tick), f"{tick:g}") for tick in shown),
    )


def _draw(canvas: Canvas, shown_gaps: Sequence[Distribution]) -> None:
    cells = _by_cell(shown_gaps)
    low, high = _range(shown_gaps)
    panels = canvas.panels(len(cells), left=52, weights=[1] * len(cells), legend=_legend(shown_gaps))
    for axes, group in zip(panels, cells, strict=True):
        for each in group:
            colour, name = _colour(each.interval), units.seconds(each.interval)
            for place, share in each.bins.items():
                left, width = edge(place), edge(place + 1) - edge(place)
                tip = f"at {name}: {100 * share:.0f} % took {left:.2g} to {left + width:.2g} ms"
                canvas.bar(axes, (left, 0), width, 100 * share, tip, facecolor=colour, alpha=0.8, linewidth=0)
            axes.axvline(1e3 * each.interval, color=colour, linestyle="--", linewidth=1.4)
        highest = max(max(each.bins.values()) for each in group)
        axes.set_ylim(0, 105 * highest)
        axes.set_xscale("log")
        axes.set_xlim(0.8e3 * min(low, 0.001), 1.3e3 * max(high, 0.02))
        ticks = [tick for tick in (0.01, 0.1, 1, 5, 15, 50, 100, 500, 1000) if 0.8e3 * low <= tick <= 1.3e3 * high]
        axes.set_xticks(ticks or [1, 5, 15], [f"{tick:g}" for tick in ticks or [1, 5, 15]])
        axes.set_xticks([], minor=True)
        axes.set_title(group[0].where, loc="left", fontsize=12, color=INK)
        axes.set_ylabel("% of hand-overs")
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.set_xlabel("ms between hand-overs")


def _range(shown_gaps: Sequence[Distribution]) -> tuple[float, float]:
    """The shortest and the longest gap, in seconds."""
    return min(each.gaps[0] for each in shown_gaps), max(each.gaps[-1] for each in shown_gaps)


def _colour(interval: float) -> str:
    return SERIES[[known for known, _ in switching.INTERVALS].index(interval)]


def _legend(shown_gaps: Sequence[Distribution]) -> list[tuple[Patch, str]]:
    from matplotlib.patches import Patch

    intervals = dict.fromkeys(each.interval for each in shown_gaps)
    return [(Patch(color=_colour(interval)), f"interval {units.seconds(interval)}") for interval in intervals]
