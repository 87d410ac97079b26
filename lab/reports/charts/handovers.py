"""How long one thread keeps the interpreter before another gets it: the distribution at each switch interval."""

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

#: The experiment that measures them.
NEEDS = ("switching",)

#: Bins a decade.
_BINS = 16

#: Switch interval -> the character that shows it in a terminal.
_LETTERS = dict(zip((interval for interval, _ in switching.INTERVALS), "abc", strict=True))


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """The times between hand-overs in one cell at one switch interval, in seconds, ascending."""

    cell: str
    where: str
    interval: float
    gaps: tuple[float, ...]

    @functools.cached_property
    def bins(self) -> dict[int, float]:
        """The share of the gaps in each bin that holds any; bin n begins at 10 ** (n / 16) seconds."""
        found = collections.Counter(math.floor(_BINS * math.log10(gap)) for gap in self.gaps)
        return {place: found[place] / len(self.gaps) for place in sorted(found)}


def distributions(session: Session) -> tuple[Distribution, ...]:
    """Every distribution that was measured with a GIL, with the fewest CPUs and with the most."""
    with_gil = [one for one in measured(session) if one.python["gil_enabled"]]
    taken = [(one, evidence_of("switching", one).rounds("round")) for one in with_gil]
    found = []
    for result, rounds in extremes([(one, rounds) for one, rounds in taken if rounds]):
        where = cell_of(result)
        for interval, _ in switching.INTERVALS:
            gaps = tuple(sorted(gap for gap in switching.gaps_at(interval, rounds) if gap > 0))
            if gaps:
                found.append(Distribution(cell=result.cell.id, where=where, interval=interval, gaps=gaps))
    return tuple(found)


def charts(session: Session) -> tuple[Chart, ...]:
    """The chart, when hand-overs were measured."""
    found = distributions(session)
    if not found:
        return ()
    rows = tuple(
        (
            one.where,
            units.seconds(one.interval),
            str(len(one.gaps)),
            *(units.seconds(quantile(one.gaps, share)) for share in (0.05, 0.5, 0.95)),
        )
        for one in found
    )
    cells = _by_cell(found)
    return (
        Chart(
            name="hand-overs",
            title="Hand-overs: how long a thread keeps the interpreter",
            reading="Two threads contend for the GIL. The dashed lines are the switch intervals that were set; on one"
            " CPU the thread that wakes waits for the scheduler's turn besides.",
            description=" ".join(
                f"{one.where}: half of the hand-overs at {units.seconds(one.interval)} took less than"
                f" {units.seconds(median(one.gaps))}."
                for one in found
            ),
            table=Table(
                title="Times between hand-overs",
                head=("cell", "switch interval", "hand-overs", "5 %", "median", "95 %"),
                rows=rows,
            ),
            height=(230 * len(cells) + 24, 210 * len(cells) + 48),
            draw=lambda canvas: _draw(canvas, found),
            panels=tuple(_panel(mine, _range(found)) for mine in cells),
            key=", ".join(f"{letter} at {units.seconds(one)}" for one, letter in _LETTERS.items()),
        ),
    )


def edge(place: int) -> float:
    """Where a bin begins, in milliseconds."""
    return 1e3 * float(10 ** (place / _BINS))


def _by_cell(found: Sequence[Distribution]) -> list[list[Distribution]]:
    """A list for each cell: builds may be called alike, and limits too where they are of two machines."""
    return [[one for one in found if one.cell == cell] for cell in dict.fromkeys(one.cell for one in found)]


def _panel(mine: Sequence[Distribution], reach: tuple[float, float]) -> Panel:
    strokes = []
    for number, one in enumerate(mine):
        for place, share in one.bins.items():
            x = (place + 0.5) / _BINS + 3
            stroke = Stroke(xs=(x, x), ys=(0, 100 * share), marker=_LETTERS[one.interval], series=number)
            strokes.append(stroke)
    low, high = reach
    shown = [one for one in (0.1, 1, 5, 15, 50, 200) if 1e3 * low <= one <= 1e3 * high]
    return Panel(
        title=mine[0].where,
        strokes=tuple(strokes),
        rows=12,
        x_label="ms between hand-overs; up: % of them",
        x_ticks=tuple((math.log10(one), f"{one:g}") for one in shown),
    )


def _draw(canvas: Canvas, found: Sequence[Distribution]) -> None:
    cells = _by_cell(found)
    low, high = _range(found)
    panels = canvas.panels(len(cells), left=52, weights=[1] * len(cells), legend=_legend(found))
    for axes, mine in zip(panels, cells, strict=True):
        for one in mine:
            colour, name = _colour(one.interval), units.seconds(one.interval)
            for place, share in one.bins.items():
                left, width = edge(place), edge(place + 1) - edge(place)
                tip = f"at {name}: {100 * share:.0f} % took {left:.2g} to {left + width:.2g} ms"
                canvas.bar(axes, (left, 0), width, 100 * share, tip, facecolor=colour, alpha=0.8, linewidth=0)
            axes.axvline(1e3 * one.interval, color=colour, linestyle="--", linewidth=1.4)
        highest = max(max(one.bins.values()) for one in mine)
        axes.set_ylim(0, 105 * highest)
        axes.set_xscale("log")
        axes.set_xlim(0.8e3 * min(low, 0.001), 1.3e3 * max(high, 0.02))
        ticks = [one for one in (0.01, 0.1, 1, 5, 15, 50, 100, 500, 1000) if 0.8e3 * low <= one <= 1.3e3 * high]
        axes.set_xticks(ticks or [1, 5, 15], [f"{one:g}" for one in ticks or [1, 5, 15]])
        axes.set_xticks([], minor=True)
        axes.set_title(mine[0].where, loc="left", fontsize=12, color=INK)
        axes.set_ylabel("% of hand-overs")
        axes.grid(axis="y", color=GRID, linewidth=0.8)
        axes.set_xlabel("ms between hand-overs")


def _range(found: Sequence[Distribution]) -> tuple[float, float]:
    """The shortest and the longest gap, in seconds."""
    return min(one.gaps[0] for one in found), max(one.gaps[-1] for one in found)


def _colour(interval: float) -> str:
    return SERIES[[one for one, _ in switching.INTERVALS].index(interval)]


def _legend(found: Sequence[Distribution]) -> list[tuple[Patch, str]]:
    from matplotlib.patches import Patch

    there = dict.fromkeys(one.interval for one in found)
    return [(Patch(color=_colour(one)), f"interval {units.seconds(one)}") for one in there]
