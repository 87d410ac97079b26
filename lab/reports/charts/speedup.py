"""The chart of speed-ups: threads and processes by number of CPUs, beside what the machine delivered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.cell.claims.estimates import Estimate
from lab.judging import proofs, speedups
from lab.model.session import Session
from lab.reports.charts.chart import GRID, INK, MARKERS, MUTED, SERIES, Canvas, Chart, Panel, Stroke, measured, place_of
from lab.reports.tables import columns
from lab.text import names, units
from lab.text.table import Table

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

#: The experiment whose rounds the chart shows.
NEEDS = ("gil",)

#: The name of the capacity probe in the chart.
CAPACITY = "delivered"

_EXECUTORS = (CAPACITY, "processes", "threads", "100 threads")
_COLOURS = (INK, *SERIES[:3])
_LETTERS = "DPTC"

#: The distance between two executors with the same number of CPUs, as a share of the axis.
_STEP = 0.025


@dataclass(frozen=True, kw_only=True)
class SpeedupPoint:
    """The speed-up of one executor in one cell."""

    #: The build in a few words, and the machine, where the session has several.
    build: str
    #: What ran the payload: ``threads``, ``processes`` …
    executor: str
    #: The limit of the cell in a few words.
    cell: str
    #: The number of CPUs of the cell; a fraction under a quota.
    cpus: float
    #: The speed-up with its interval.
    speed_up: Estimate


def points(session: Session) -> tuple[SpeedupPoint, ...]:
    """Every measured speed-up, build by build."""
    speedup_points = []
    build_names = columns.build_names(session)
    for result in measured(session):
        delivered = speedups.capacity(result)
        speedup_points += [
            SpeedupPoint(
                build=place_of(result, build_names),
                executor=name,
                cell=names.limit_words(result.cell),
                cpus=proofs.rate_of(result) or 0.0,
                speed_up=speed_up,
            )
            for name, speed_up in [
                (CAPACITY, delivered),
                *((row.arm, row.speed_up) for row in speedups.of_cell(result)),
            ]
            if speed_up is not None and name in _EXECUTORS
        ]
    return tuple(sorted(speedup_points, key=lambda point: (point.build, _EXECUTORS.index(point.executor), point.cpus)))


def charts(session: Session) -> tuple[Chart, ...]:
    """The chart, if any speed-up was measured."""
    speedup_points = points(session)
    if not speedup_points:
        return ()
    builds = len({point.build for point in speedup_points})
    rows = tuple(
        (point.build, point.executor, point.cell, units.ratio(point.speed_up.value), _interval(point))
        for point in speedup_points
    )
    return (
        Chart(
            name="speed-up",
            title="Speed-up: what threads and processes gain from further CPUs",
            reading="Speed-up against a single process, with 95 % intervals. On the dashed line every CPU counts in"
            " full. The line 'delivered' is what the machine really gave: nothing can be faster.",
            description=_described(speedup_points),
            table=Table(
                title="Speed-ups",
                head=("build", "executor", "limit", "speed-up", "95 % interval"),
                rows=rows,
            ),
            height=(380, 330 * builds + 60),
            draw=lambda canvas: _draw(canvas, speedup_points),
            panels=tuple(
                _panel(build, speedup_points) for build in dict.fromkeys(point.build for point in speedup_points)
            ),
            key=f"{', '.join(f'{letter} {name}' for letter, name in zip(_LETTERS, _EXECUTORS, strict=True))}; ' ideal,"
            " | interval",
        ),
    )


def _interval(point: SpeedupPoint) -> str:
    return units.interval(point.speed_up.low, point.speed_up.high, "")


def _described(speedup_points: Sequence[SpeedupPoint]) -> str:
    parts = []
    for build in dict.fromkeys(point.build for point in speedup_points):
        most = max(point.cpus for point in speedup_points if point.build == build)
        at_most = [point for point in speedup_points if point.build == build and point.cpus == most]
        values = ", ".join(f"{point.executor} {units.ratio(point.speed_up.value)}" for point in at_most)
        parts.append(f"{build} with {units.cpus(most)}: {values}.")
    return " ".join(parts)


def _panel(build: str, speedup_points: Sequence[SpeedupPoint]) -> Panel:
    group = [point for point in speedup_points if point.build == build]
    most, top = max(point.cpus for point in speedup_points), _top(speedup_points)
    least = min(point.cpus for point in speedup_points) - 4 * _STEP * max(most, 1)
    strokes = [Stroke(xs=(least, 1, max(most, 1.001)), ys=(1, 1, max(most, 1.001)), marker="'")]
    for point in group:
        number = _EXECUTORS.index(point.executor)
        x, series = point.cpus + (number - 1.5) * _STEP * max(most, 1), number - 1 if number else None
        low, high = max(point.speed_up.low, 0), min(point.speed_up.high, top)
        strokes.append(Stroke(xs=(x, x), ys=(low, high), marker="|", series=series))
        strokes.append(Stroke(xs=(x,), ys=(point.speed_up.value,), marker=_LETTERS[number], series=series))
    return Panel(
        title=build,
        strokes=tuple(strokes),
        rows=16,
        x_label="CPUs",
        x_ticks=tuple((cpus, f"{cpus:g}") for cpus in sorted({point.cpus for point in speedup_points})),
        y_range=(0, 1.08 * top),
    )


def _top(speedup_points: Sequence[SpeedupPoint]) -> float:
    """The largest number that the axis has to show."""
    return max(
        1.0, *(max(point.cpus, point.speed_up.high) for point in speedup_points if point.speed_up.high < float("inf"))
    )


def _draw(canvas: Canvas, speedup_points: Sequence[SpeedupPoint]) -> None:
    builds = list(dict.fromkeys(point.build for point in speedup_points))
    top = _top(speedup_points)
    most = max(point.cpus for point in speedup_points)
    panels = canvas.panels(len(builds), left=48, legend=_legend(speedup_points))
    for axes, build in zip(panels, builds, strict=True):
        axes.plot([0, 1, max(most, 1.001)], [1, 1, max(most, 1.001)], "--", color=MUTED, linewidth=1.2)
        step = _STEP * max(most, 1)
        for number, executor in enumerate(_EXECUTORS):
            group = [point for point in speedup_points if point.build == build and point.executor == executor]
            shift, colour = (number - 1.5) * step, _COLOURS[number]
            places = [point.cpus + shift for point in group]
            axes.plot(places, [point.speed_up.value for point in group], color=colour, linewidth=1.6, alpha=0.75)
            lows = [max(point.speed_up.low, 0) for point in group]
            highs = [min(point.speed_up.high, top) for point in group]
            axes.vlines(places, lows, highs, color=colour, linewidth=2)
            for place, point in zip(places, group, strict=True):
                tip = f"{executor}, {point.cell}: {units.ratio(point.speed_up.value)} ({_interval(point)})"
                canvas.dot(axes, place, point.speed_up.value, tip, color=colour, marker=MARKERS[number], markersize=7)
        axes.set_title(build, loc="left", fontsize=12, color=INK)
        axes.set_xlabel("CPUs")
        axes.set_ylabel("speed-up")
        axes.set_xticks(
            sorted({point.cpus for point in speedup_points}),
            [f"{cpus:g}" for cpus in sorted({point.cpus for point in speedup_points})],
        )
        axes.set_xlim(min(point.cpus for point in speedup_points) - 4 * step, most + 4 * step)
        axes.set_ylim(0, 1.08 * top)
        axes.grid(axis="y", color=GRID, linewidth=0.8)


def _legend(speedup_points: Sequence[SpeedupPoint]) -> list[tuple[Line2D, str]]:
    from matplotlib.lines import Line2D

    ideal = Line2D([], [], color=MUTED, linestyle="--", linewidth=1.2)
    executors = {point.executor for point in speedup_points}
    return [(ideal, "ideal")] + [
        (Line2D([], [], color=_COLOURS[number], marker=MARKERS[number]), executor)
        for number, executor in enumerate(_EXECUTORS)
        if executor in executors
    ]
