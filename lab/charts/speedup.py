"""The speed-up of threads and processes against the CPUs they had, beside what the machine delivered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab import cores, units
from lab.charts.chart import GRID, INK, MARKERS, MUTED, SERIES, Canvas, Chart, build_of, measured
from lab.model import Session
from lab.stats import Estimate
from lab.summary import Table, rate, title_of

#: The capacity probe, under the name by which the chart shows it.
CAPACITY = "delivered by the machine"

_EXECUTORS = (CAPACITY, "processes", "threads", "100 threads")


@dataclass(frozen=True, kw_only=True)
class Point:
    """The speed-up of one executor in one cell of ``cpus`` CPUs (a fraction under a quota)."""

    build: str
    executor: str
    cell: str
    cpus: float
    speed_up: Estimate


def points(session: Session) -> tuple[Point, ...]:
    """Every speed-up that was measured, build by build."""
    found = []
    for result in measured(session):
        where = {"build": build_of(result), "cell": title_of(result), "cpus": rate(result) or 0.0}
        delivered = cores.delivered(result)
        pairs = [(CAPACITY, delivered)] + [(row.arm, row.speed_up) for row in cores.rows(result)]
        found += [
            Point(executor=name, speed_up=one, **where)  # type: ignore[arg-type] - mypy does not see what the dict holds
            for name, one in pairs
            if one is not None and name in _EXECUTORS
        ]
    return tuple(sorted(found, key=lambda one: (one.build, _EXECUTORS.index(one.executor), one.cpus)))


def charts(session: Session) -> tuple[Chart, ...]:
    """The chart, when any speed-up was measured."""
    found = points(session)
    if not found:
        return ()
    builds = len({one.build for one in found})
    rows = tuple(
        (one.build, one.executor, one.cell, units.ratio(one.speed_up.value), *_interval(one.speed_up)) for one in found
    )
    return (
        Chart(
            name="speed-up",
            title="Speed-up: what threads and processes gain from further CPUs",
            reading="Against one process, with 95 % intervals. On the dashed line every CPU counts in full; what the"
            " machine really delivered is the bar to reach, since nothing can be quicker than that.",
            description=_described(found),
            table=Table(
                title="Speed-ups",
                head=("build", "executor", "CPUs", "speed-up", "95 % interval"),
                rows=rows,
            ),
            height=(380, 330 * builds + 60),
            draw=lambda canvas: _draw(canvas, found),
        ),
    )


def _interval(one: Estimate) -> tuple[str]:
    return (units.interval(one.low, one.high, ""),)


def _described(found: Sequence[Point]) -> str:
    parts = []
    for build in dict.fromkeys(one.build for one in found):
        most = max(one.cpus for one in found if one.build == build)
        at_most = [one for one in found if one.build == build and one.cpus == most]
        said = ", ".join(f"{one.executor} {units.ratio(one.speed_up.value)}" for one in at_most)
        parts.append(f"{build} with {units.cpus(most)}: {said}.")
    return " ".join(parts)


def _draw(canvas: Canvas, found: Sequence[Point]) -> None:
    builds = list(dict.fromkeys(one.build for one in found))
    top = max(1.0, *(max(one.cpus, one.speed_up.high) for one in found if one.speed_up.high < float("inf")))
    most = max(one.cpus for one in found)
    for axes, build in zip(canvas.panels(len(builds)), builds, strict=True):
        axes.plot([0, 1, max(most, 1.001)], [1, 1, max(most, 1.001)], "--", color=MUTED, linewidth=1.2, label="ideal")
        step = 0.025 * max(most, 1)
        for number, executor in enumerate(_EXECUTORS):
            mine = [one for one in found if one.build == build and one.executor == executor]
            if not mine:
                continue
            colour = INK if executor == CAPACITY else SERIES[number - 1]
            shift = (number - 1.5) * step
            places = [one.cpus + shift for one in mine]
            axes.plot(places, [one.speed_up.value for one in mine], color=colour, linewidth=1.6, alpha=0.75)
            for place, one in zip(places, mine, strict=True):
                low, high = max(one.speed_up.low, 0), min(one.speed_up.high, top)
                axes.vlines(place, low, high, color=colour, linewidth=2)
                (dot,) = axes.plot([place], [one.speed_up.value], MARKERS[number], color=colour, markersize=7)
                value, *interval = units.ratio(one.speed_up.value), *_interval(one.speed_up)
                canvas.mark(dot, f"{executor}, {one.cell} CPUs: {value} ({interval[0]})")
            axes.plot([], [], f"{MARKERS[number]}-", color=colour, label=executor)
        axes.set_title(build, loc="left", fontsize=12, color=INK)
        axes.set_xlabel("CPUs")
        axes.set_ylabel("speed-up")
        axes.set_xticks(sorted({one.cpus for one in found}))
        axes.set_xlim(min(one.cpus for one in found) - 4 * step, most + 4 * step)
        axes.set_ylim(0, 1.08 * top)
        axes.grid(axis="y", color=GRID, linewidth=0.8)
    handles, labels = canvas.figure.axes[0].get_legend_handles_labels()
    columns = 2 if canvas.narrow else 5
    canvas.figure.legend(handles, labels, loc="outside upper left", ncols=columns, frameon=False)
