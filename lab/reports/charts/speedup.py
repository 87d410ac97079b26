"""The speed-up of threads and processes against the CPUs they had, beside what the machine delivered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lab.cell.claims.estimates import Estimate
from lab.judging import proofs, speedups
from lab.model.session import Session
from lab.reports.charts.chart import GRID, INK, MARKERS, MUTED, SERIES, Canvas, Chart, Panel, Stroke, build_of, measured
from lab.text import names, units
from lab.text.table import Table

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

#: The experiment whose rounds it is made of.
NEEDS = ("gil",)

#: The capacity probe, under the name by which the chart shows it.
CAPACITY = "delivered"

_EXECUTORS = (CAPACITY, "processes", "threads", "100 threads")
_COLOURS = (INK, *SERIES[:3])
_LETTERS = "DPTC"

#: What lies between two executors with as many CPUs, as a share of the axis.
_STEP = 0.025


@dataclass(frozen=True, kw_only=True)
class SpeedupPoint:
    """The speed-up of one executor in one cell of ``cpus`` CPUs (a fraction under a quota)."""

    build: str
    executor: str
    cell: str
    cpus: float
    speed_up: Estimate


def points(session: Session) -> tuple[SpeedupPoint, ...]:
    """Every speed-up that was measured, build by build."""
    found = []
    for result in measured(session):
        delivered = speedups.capacity(result)
        found += [
            SpeedupPoint(
                build=build_of(result),
                executor=name,
                cell=names.limit_words(result.cell),
                cpus=proofs.rate_of(result) or 0.0,
                speed_up=one,
            )
            for name, one in [(CAPACITY, delivered), *((row.arm, row.speed_up) for row in speedups.of_cell(result))]
            if one is not None and name in _EXECUTORS
        ]
    return tuple(sorted(found, key=lambda one: (one.build, _EXECUTORS.index(one.executor), one.cpus)))


def charts(session: Session) -> tuple[Chart, ...]:
    """The chart, when any speed-up was measured."""
    found = points(session)
    if not found:
        return ()
    builds = len({one.build for one in found})
    rows = tuple((one.build, one.executor, one.cell, units.ratio(one.speed_up.value), _interval(one)) for one in found)
    return (
        Chart(
            name="speed-up",
            title="Speed-up: what threads and processes gain from further CPUs",
            reading="Against one process, with 95 % intervals. On the dashed line every CPU counts in full; what the"
            " machine really delivered is the line to reach: nothing can be quicker than that.",
            description=_described(found),
            table=Table(
                title="Speed-ups",
                head=("build", "executor", "limit", "speed-up", "95 % interval"),
                rows=rows,
            ),
            height=(380, 330 * builds + 60),
            draw=lambda canvas: _draw(canvas, found),
            panels=tuple(_panel(build, found) for build in dict.fromkeys(one.build for one in found)),
            key=f"{', '.join(f'{letter} {name}' for letter, name in zip(_LETTERS, _EXECUTORS, strict=True))}; ' ideal,"
            " | interval",
        ),
    )


def _interval(one: SpeedupPoint) -> str:
    return units.interval(one.speed_up.low, one.speed_up.high, "")


def _described(found: Sequence[SpeedupPoint]) -> str:
    parts = []
    for build in dict.fromkeys(one.build for one in found):
        most = max(one.cpus for one in found if one.build == build)
        at_most = [one for one in found if one.build == build and one.cpus == most]
        said = ", ".join(f"{one.executor} {units.ratio(one.speed_up.value)}" for one in at_most)
        parts.append(f"{build} with {units.cpus(most)}: {said}.")
    return " ".join(parts)


def _panel(build: str, found: Sequence[SpeedupPoint]) -> Panel:
    mine = [one for one in found if one.build == build]
    most, top = max(one.cpus for one in found), _top(found)
    least = min(one.cpus for one in found) - 4 * _STEP * max(most, 1)
    strokes = [Stroke(xs=(least, 1, max(most, 1.001)), ys=(1, 1, max(most, 1.001)), marker="'")]
    for one in mine:
        number = _EXECUTORS.index(one.executor)
        x, series = one.cpus + (number - 1.5) * _STEP * max(most, 1), number - 1 if number else None
        low, high = max(one.speed_up.low, 0), min(one.speed_up.high, top)
        strokes.append(Stroke(xs=(x, x), ys=(low, high), marker="|", series=series))
        strokes.append(Stroke(xs=(x,), ys=(one.speed_up.value,), marker=_LETTERS[number], series=series))
    return Panel(
        title=build,
        strokes=tuple(strokes),
        rows=16,
        x_label="CPUs",
        x_ticks=tuple((cpus, f"{cpus:g}") for cpus in sorted({one.cpus for one in found})),
        y_range=(0, 1.08 * top),
    )


def _top(found: Sequence[SpeedupPoint]) -> float:
    """The largest number that the axis has to show."""
    return max(1.0, *(max(one.cpus, one.speed_up.high) for one in found if one.speed_up.high < float("inf")))


def _draw(canvas: Canvas, found: Sequence[SpeedupPoint]) -> None:
    builds = list(dict.fromkeys(one.build for one in found))
    top = _top(found)
    most = max(one.cpus for one in found)
    panels = canvas.panels(len(builds), left=48, legend=_legend(found))
    for axes, build in zip(panels, builds, strict=True):
        axes.plot([0, 1, max(most, 1.001)], [1, 1, max(most, 1.001)], "--", color=MUTED, linewidth=1.2)
        step = _STEP * max(most, 1)
        for number, executor in enumerate(_EXECUTORS):
            mine = [one for one in found if one.build == build and one.executor == executor]
            shift, colour = (number - 1.5) * step, _COLOURS[number]
            places = [one.cpus + shift for one in mine]
            axes.plot(places, [one.speed_up.value for one in mine], color=colour, linewidth=1.6, alpha=0.75)
            lows = [max(one.speed_up.low, 0) for one in mine]
            highs = [min(one.speed_up.high, top) for one in mine]
            axes.vlines(places, lows, highs, color=colour, linewidth=2)
            for place, one in zip(places, mine, strict=True):
                tip = f"{executor}, {one.cell}: {units.ratio(one.speed_up.value)} ({_interval(one)})"
                canvas.dot(axes, place, one.speed_up.value, tip, color=colour, marker=MARKERS[number], markersize=7)
        axes.set_title(build, loc="left", fontsize=12, color=INK)
        axes.set_xlabel("CPUs")
        axes.set_ylabel("speed-up")
        axes.set_xticks(
            sorted({one.cpus for one in found}), [f"{cpus:g}" for cpus in sorted({one.cpus for one in found})]
        )
        axes.set_xlim(min(one.cpus for one in found) - 4 * step, most + 4 * step)
        axes.set_ylim(0, 1.08 * top)
        axes.grid(axis="y", color=GRID, linewidth=0.8)


def _legend(found: Sequence[SpeedupPoint]) -> list[tuple[Line2D, str]]:
    from matplotlib.lines import Line2D

    ideal = Line2D([], [], color=MUTED, linestyle="--", linewidth=1.2)
    there = {one.executor for one in found}
    return [(ideal, "ideal")] + [
        (Line2D([], [], color=_COLOURS[number], marker=MARKERS[number]), executor)
        for number, executor in enumerate(_EXECUTORS)
        if executor in there
    ]
