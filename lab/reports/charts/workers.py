"""The chart of the user's own code: calls per second against workers, beside what the machine delivered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lab.cell.claims.estimates import Estimate
from lab.cell.targets import figures
from lab.judging import advice as judged
from lab.judging.advice import Advice
from lab.judging.verdicts import evidence_of
from lab.model.cell import CellResult
from lab.model.session import Session
from lab.reports.charts.chart import GRID, INK, MARKERS, MUTED, SERIES, Canvas, Chart, Panel, Stroke, place_of
from lab.reports.tables import columns
from lab.text import names, units
from lab.text.table import Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

#: No experiment of the lab's own has this chart; ``lab scale`` measures it.
NEEDS = ()

#: The most functions and builds that are drawn; the tables have all of them.
MOST_CASES, MOST_BUILDS = 6, 4
#: The functions that stand side by side.
_SIDE_BY_SIDE = 2

DELIVERED, IDEAL = "delivered", "ideal"
_EXECUTORS = ("threads", "threads, own state", "fork", "forkserver", "spawn", "interpreters")
_LETTERS = "TOFVSI"
#: The style of the lines of each build.
_STYLES: tuple[Any, ...] = ("-", "--", "-.", (0, (1, 1)))  # the stubs of matplotlib list each style

#: The distance between the lines of two executors, as a share of the axis, so that intervals do not hide each other.
_STEP = 0.012


@dataclass(frozen=True, kw_only=True)
class WorkerPoint:
    """The calls per second of workers of one kind."""

    #: The function.
    case: str
    #: The build in a few words, and the machine, where the session has several.
    build: str
    #: The limit of the cell, without its machine.
    cell: str
    #: ``threads``, ``fork`` …, ``delivered`` or ``ideal``.
    line: str
    #: How many workers.
    workers: int
    #: Calls (or items) per second with their interval.
    rate: Estimate
    #: What is counted: ``calls`` or ``items``.
    what: str


def points(session: Session) -> tuple[WorkerPoint, ...]:
    """Every point of the largest cell of each function and build. A line begins with one worker alone."""
    results = {result.cell.id: result for result in session.results}
    return tuple(
        point for advice in judged.largest(session) for point in _points(session, advice, results[advice.cell])
    )


def _points(session: Session, advice: Advice, result: CellResult) -> list[WorkerPoint]:
    evidence = evidence_of(advice.case.experiment, result)
    rounds, arms = evidence.rounds("round"), figures.measured_arms(evidence)
    alone = figures.rate(figures.BASE).estimate(rounds)
    counts = sorted({1, *(arm.workers for arm in arms)})
    if alone is None or len(counts) < 2:
        return []
    lines: dict[tuple[str, int], Estimate | None] = {
        (IDEAL, count): Estimate(count * alone.value, count * alone.low, count * alone.high, alone.size)
        for count in counts
    }
    if evidence.last("trial")["idle"] <= figures.WAITING_SHARE:
        lines |= {(DELIVERED, count): figures.delivered(count).estimate(rounds) for count in counts}
    for arm in arms:
        lines[_line(arm), 1] = alone
        rate, known = figures.rate(arm.name).estimate(rounds), lines.get((_line(arm), arm.workers))
        lines[_line(arm), arm.workers] = max(filter(None, (rate, known)), key=lambda each: each.value, default=None)
    build, case = place_of(result, columns.build_names(session)), advice.case.label
    cell = names.plain_words(replace(result.cell, machine=""))
    return [
        WorkerPoint(case=case, build=build, cell=cell, line=line, workers=workers, rate=rate, what=advice.case.counted)
        for (line, workers), rate in sorted(lines.items(), key=lambda entry: (_order(entry[0][0]), entry[0][1]))
        if rate is not None
    ]


def _line(arm: figures.Workers) -> str:
    if arm.executor == "thread":
        return _EXECUTORS[arm.own]
    return "interpreters" if arm.executor == "interpreter" else arm.executor


def _order(line: str) -> int:
    return (IDEAL, DELIVERED, *_EXECUTORS).index(line)


def charts(session: Session) -> tuple[Chart, ...]:
    """A chart for every two functions, with a panel for each."""
    by_case: dict[str, list[WorkerPoint]] = {}
    for point in points(session):
        by_case.setdefault(point.case, []).append(point)
    cases = list(by_case)
    drawn = cases[:MOST_CASES]
    groups = [drawn[start : start + _SIDE_BY_SIDE] for start in range(0, len(drawn), _SIDE_BY_SIDE)]
    left_out = cases[MOST_CASES:]
    return tuple(
        _chart(number, [by_case[case] for case in group], left_out if number == len(groups) else ())
        for number, group in enumerate(groups, 1)
    )


def _chart(number: int, panels: Sequence[Sequence[WorkerPoint]], left_out: Sequence[str]) -> Chart:
    shown = [[point for point in panel if point.build in _builds(panel)[:MOST_BUILDS]] for panel in panels]
    everything = [point for panel in panels for point in panel]
    counted = everything[0].what
    rows = tuple(
        (
            point.case,
            point.build,
            point.line,
            f"{point.workers}",
            units.quantity(point.rate.value, ""),
            _interval(point),
        )
        for point in everything
    )
    waits = all(point.line != DELIVERED for point in everything)
    reading = (
        f"{counted.capitalize()} per second of so many workers, with 95 % intervals. On the dotted line every worker"
        " does as much as one worker alone."
    )
    if not waits:
        reading += f" The line '{DELIVERED}' is what the machine really gave to so many workers that compute."
    if left_out:
        reading += f" The tables also have {units.counted(len(left_out), 'function')} that {_is(left_out)} not drawn."
    return Chart(
        name=f"workers-{number}",
        title=f"{counted.capitalize()} per second against workers: {', '.join(panel[0].case for panel in panels)}",
        reading=reading,
        description=" ".join(_described(panel) for panel in panels),
        table=Table(
            title=f"{counted.capitalize()} per second",
            head=("function", "build", "line", "workers", f"{counted}/s", "95 % interval"),
            rows=rows,
        ),
        height=(400, 340 * len(panels) + 110),
        draw=lambda canvas: _draw(canvas, shown),
        panels=tuple(_panel(panel, build) for panel in shown for build in _builds(panel)),
        key=", ".join(f"{letter} {name}" for name, letter in _letters(everything).items())
        + "; ' ideal, | interval; lines of equal workers stand side by side",
    )


def _is(things: Sequence[object]) -> str:
    return "is" if len(things) == 1 else "are"


def _builds(panel: Sequence[WorkerPoint]) -> list[str]:
    return list(dict.fromkeys(point.build for point in panel))


def _letters(everything: Sequence[WorkerPoint]) -> dict[str, str]:
    """The lines that occur, each with its letter in a terminal."""
    letters = dict(zip((DELIVERED, *_EXECUTORS), f"D{_LETTERS}", strict=True))
    return {line: letter for line, letter in letters.items() if any(point.line == line for point in everything)}


def _interval(point: WorkerPoint) -> str:
    return units.interval(point.rate.low, point.rate.high, "")


def _described(panel: Sequence[WorkerPoint]) -> str:
    parts = []
    for build in _builds(panel):
        of_build = [point for point in panel if point.build == build]
        alone = next(point for point in of_build if point.workers == 1)
        most = max(point.workers for point in of_build)
        ends = [f"{point.line} {units.quantity(point.rate.value, '')}" for point in of_build if point.workers == most]
        one = units.quantity(alone.rate.value, "")
        parts.append(
            f"{alone.case} on {build} with {alone.cell}: 1 worker makes {one} {alone.what} per second;"
            f" {most} workers: {', '.join(ends)}."
        )
    return " ".join(parts)


def _top(panel: Sequence[WorkerPoint]) -> float:
    """The largest number that the axis has to show."""
    return max(point.rate.high if math.isfinite(point.rate.high) else point.rate.value for point in panel) or 1.0


def _shifted(point: WorkerPoint, most: int) -> float:
    """Where a point stands: the lines begin at the same point, and then go side by side."""
    if point.workers == 1:
        return 1
    return point.workers + (_order(point.line) - 3) * _STEP * most


def _panel(panel: Sequence[WorkerPoint], build: str) -> Panel:
    group = [point for point in panel if point.build == build]
    most, top = max(point.workers for point in panel), _top(panel)
    letters = _letters(group)
    ideal = [point for point in group if point.line == IDEAL]
    strokes = [Stroke(xs=tuple(point.workers for point in ideal), ys=tuple(_values(ideal)), marker="'")]
    for point in group:
        if point.line == IDEAL:
            continue
        x, series = _shifted(point, most), None if point.line == DELIVERED else _order(point.line) - 2
        strokes.append(
            Stroke(xs=(x, x), ys=(max(point.rate.low, 0), min(point.rate.high, top)), marker="|", series=series)
        )
        strokes.append(Stroke(xs=(x,), ys=(point.rate.value,), marker=letters[point.line], series=series))
    counts = sorted({point.workers for point in panel})
    return Panel(
        title=f"{group[0].case}, {build}, {group[0].cell}: {group[0].what} per second",
        strokes=tuple(strokes),
        rows=16,
        x_label="workers",
        x_ticks=tuple((count, f"{count}") for count in counts),
        y_range=(0, 1.08 * top),
    )


def _values(group: Sequence[WorkerPoint]) -> list[float]:
    return [point.rate.value for point in group]


def _draw(canvas: Canvas, panels: Sequence[Sequence[WorkerPoint]]) -> None:
    builds = list(dict.fromkeys(point.build for panel in panels for point in panel))
    axes_of = canvas.panels(len(panels), left=64, legend=_legend(panels, builds))
    for axes, panel in zip(axes_of, panels, strict=True):
        most, top = max(point.workers for point in panel), _top(panel)
        for build in _builds(panel):
            style = _STYLES[builds.index(build) % len(_STYLES)]
            for line in dict.fromkeys(point.line for point in panel):
                group = [point for point in panel if (point.build, point.line) == (build, line)]
                _draw_line(canvas, axes, group, style, most, top)
        cells = " or ".join(dict.fromkeys(point.cell for point in panel))
        axes.set_title(f"{panel[0].case}, {cells}", loc="left", fontsize=12, color=INK)
        axes.set_xlabel("workers")
        axes.set_ylabel(f"{panel[0].what} per second")
        counts = sorted({point.workers for point in panel})
        axes.set_xticks(counts, [f"{count}" for count in counts])
        axes.set_xlim(1 - 5 * _STEP * most, most * (1 + 6 * _STEP))
        axes.set_ylim(0, 1.08 * top)
        axes.yaxis.set_major_formatter(lambda value, _: units.quantity(value, "").removesuffix(".00"))
        axes.grid(axis="y", color=GRID, linewidth=0.8)


def _draw_line(canvas: Canvas, axes: Axes, group: Sequence[WorkerPoint], style: Any, most: int, top: float) -> None:
    """One line with its intervals; the ideal one has neither intervals nor marks."""
    if not group:
        return
    line = group[0].line
    if line == IDEAL:
        axes.plot([point.workers for point in group], _values(group), ":", color=MUTED, linewidth=1.4)
        return
    colour, marker = _look(line)
    places = [_shifted(point, most) for point in group]
    axes.plot(places, _values(group), linestyle=style, color=colour, linewidth=1.6, alpha=0.75)
    lows, highs = ([max(point.rate.low, 0) for point in group], [min(point.rate.high, top) for point in group])
    axes.vlines(places, lows, highs, color=colour, linewidth=2)
    for place, point in zip(places, group, strict=True):
        rate = f"{units.quantity(point.rate.value, '')} {point.what}/s ({_interval(point)})"
        tip = f"{line}, {units.counted(point.workers, 'worker')}, {point.build}: {rate}"
        canvas.dot(axes, place, point.rate.value, tip, color=colour, marker=marker, markersize=6)


def _look(line: str) -> tuple[str, str]:
    """The colour and the marker of a line."""
    number = _order(line) - 2
    return (INK, MARKERS[0]) if line == DELIVERED else (SERIES[number], MARKERS[number + 1])


def _legend(panels: Sequence[Sequence[WorkerPoint]], builds: Sequence[str]) -> list[tuple[Line2D, str]]:
    from matplotlib.lines import Line2D

    entries = [(Line2D([], [], color=MUTED, linestyle=":", linewidth=1.4), IDEAL)]
    for line in _letters([point for panel in panels for point in panel]):
        colour, marker = _look(line)
        entries.append((Line2D([], [], color=colour, marker=marker), line))
    if len(builds) > 1:
        entries += [
            (Line2D([], [], color=MUTED, linestyle=_STYLES[number % len(_STYLES)]), build)
            for number, build in enumerate(builds)
        ]
    return entries
