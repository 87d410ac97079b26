"""The chart of events: who ran on which CPU when, with a lane for each thread of each process."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from lab.cell.claims.wording import shortened
from lab.messages import printable
from lab.model.cell import CellResult
from lab.model.session import Session
from lab.reports.charts.chart import (
    GRID,
    INK,
    MUTED,
    PAPER,
    SERIES,
    Canvas,
    Chart,
    Panel,
    Stroke,
    cell_of,
    extremes,
    measured,
)
from lab.text.table import Table

#: Experiments whose events are drawn -> the title of the chart, and how to read the chart.
_STORIES = {
    "pool": (
        "Pool(3): ten tasks in waves",
        "A bar is a task in the lane of the worker that ran it. Never more than three tasks run at the same time.",
    ),
    "queue": (
        "Queue: a writer, a reader that never ends, and one that a sentinel ends",
        "A bar in a reader's lane is a letter on its way, from put() to get().",
    ),
    "threads": (
        "Threads: who is running, and where it came from",
        "Dots are moments at which a thread, or a child process, said who it is.",
    ),
}

#: The experiments that have such a chart.
NEEDS = tuple(_STORIES)

#: Only the first events are drawn, at most this many; the raw data has all events.
MOST_EVENTS = 60

#: The most lanes that are drawn; the table has all lanes.
MOST_LANES = 16
_LANE_PIXELS = 26
_X_LABEL = "ms since the experiment began"
_Y_LABEL = "thread or process"
_LONGEST_LANE = 18
#: A bar of a smaller share of the axis has no outline.
_NARROW = 0.02


@dataclass(frozen=True, kw_only=True)
class Event:
    """A moment in a lane, or something that lasted until that moment."""

    #: The name of the thread, or of its process where the thread has none: ``writer``, ``worker 2``, ``process 1``.
    lane: str
    #: The id of the process.
    pid: int
    #: The moment, in milliseconds since the experiment began.
    at: float
    #: When it began, if it lasted, in milliseconds since the experiment began.
    since: float | None
    #: The CPU at that moment; ``None`` if it is not known.
    cpu: int | None
    #: What happens.
    text: str


def events(result: CellResult, experiment: str) -> tuple[Event, ...]:
    """The first events of one experiment in one cell, in the order of time."""
    data = (event.data for event in result.records_of(experiment) if event.kind == "event")
    first = heapq.nsmallest(MOST_EVENTS, data, key=lambda event: 1e3 * event["at"])  # there may be very many
    unnamed = list(dict.fromkeys(event["pid"] for event in first if event["thread"] == "MainThread"))
    processes = {pid: f"process {number}" for number, pid in enumerate(unnamed, 1)}
    if len(unnamed) == 1:
        processes[unnamed[0]] = "parent"  # the children have names
    return tuple(
        Event(
            lane=processes[event["pid"]] if event["thread"] == "MainThread" else printable(event["thread"]),
            pid=event["pid"],
            at=1e3 * event["at"],
            since=1e3 * event["since"] if isinstance(event.get("since"), int | float) else None,
            cpu=event["cpu"],
            text=printable(event["text"]),
        )
        for event in first
    )


def charts(session: Session) -> tuple[Chart, ...]:
    """A chart for each experiment with events, in the cells with the fewest CPUs and with the most CPUs."""
    drawn = []
    for experiment, (title, reading) in _STORIES.items():
        stories = [(result, events(result, experiment)) for result in measured(session)]
        shown = extremes([(result, story) for result, story in stories if story])
        if shown:
            drawn.append(_chart(experiment, title, reading, [(cell_of(result), story) for result, story in shown]))
    return tuple(drawn)


_Stories = Sequence[tuple[str, Sequence[Event]]]


def _chart(experiment: str, title: str, reading: str, stories: _Stories) -> Chart:
    rows = tuple(
        (
            where,
            f"{event.at:.1f}",
            "" if event.since is None else f"{event.at - event.since:.1f}",
            event.lane,
            str(event.pid),
            _cpu(event),
            event.text,
        )
        for where, story in stories
        for event in story
    )
    lanes = sum(len(_lanes(story)) for _, story in stories)
    height = _LANE_PIXELS * lanes + 66 * len(stories) + 24
    return Chart(
        name=f"timeline-{experiment}",
        title=title,
        reading=f"{reading} The colour and the number on a bar are the CPU on which it ended.",
        description=" ".join(_described(where, story) for where, story in stories),
        table=Table(title="Events", head=("cell", "ms", "took ms", "who", "pid", "CPU", "what happens"), rows=rows),
        height=(height, height),
        draw=lambda canvas: _draw(canvas, stories),
        panels=tuple(_panel(where, story) for where, story in stories),
        key="digit: the CPU (above 9 its last digit). [ and a row of digits: a period. single digit: a moment",
    )


def _described(where: str, story: Sequence[Event]) -> str:
    cpus = sorted({event.cpu for event in story if event.cpu is not None})
    on = f"on CPU {', '.join(map(str, cpus))}" if cpus else "on CPUs that were not known"
    return f"{where}: {len(_all_lanes(story))} threads of processes {on}, in {story[-1].at:.0f} ms."


def _all_lanes(story: Sequence[Event]) -> list[str]:
    return list(dict.fromkeys(event.lane for event in sorted(story, key=_began)))


def _lanes(story: Sequence[Event]) -> list[str]:
    return _all_lanes(story)[:MOST_LANES]


def _began(event: Event) -> float:
    return event.at if event.since is None else event.since


def _cpu(event: Event) -> str:
    return "?" if event.cpu is None else str(event.cpu)


def _colour(cpu: int | None) -> str:
    return MUTED if cpu is None else SERIES[cpu % len(SERIES)]


def _panel(where: str, story: Sequence[Event]) -> Panel:
    lanes = {lane: -number for number, lane in enumerate(_lanes(story))}
    return Panel(
        title=where,
        strokes=tuple(
            stroke for event in story if event.lane in lanes for stroke in _strokes(event, lanes[event.lane])
        ),
        rows=len(lanes) + 4,
        x_label=f"{_X_LABEL}; each lane: a {_Y_LABEL}",
        y_ticks=tuple((level, shortened(lane, _LONGEST_LANE)) for lane, level in lanes.items()),
        y_range=(1.0 - len(lanes), 0.0),
    )


def _strokes(event: Event, level: int) -> list[Stroke]:
    """A digit for a moment; a bracket and a row of digits for something that lasted."""
    marker = _cpu(event)[-1]
    if event.since is None:
        return [Stroke(xs=(event.at,), ys=(level,), marker=marker, series=event.cpu)]
    return [
        Stroke(xs=(event.since, event.at), ys=(level, level), marker=marker, series=event.cpu),
        Stroke(xs=(event.since,), ys=(level,), marker="[", series=event.cpu),
    ]


def _draw(canvas: Canvas, stories: _Stories) -> None:
    from matplotlib.patches import Patch

    seen = sorted({event.cpu for _, story in stories for event in story if event.cpu is not None})[: len(SERIES)]
    panels = canvas.panels(
        len(stories),
        left=36 + 6.6 * max(len(shortened(lane, _LONGEST_LANE)) for _, story in stories for lane in _lanes(story)),
        weights=[len(_lanes(story)) for _, story in stories],
        legend=[(Patch(color=_colour(cpu)), f"CPU {cpu}") for cpu in seen],
    )
    for axes, (where, story) in zip(panels, stories, strict=True):
        lanes = {lane: -number for number, lane in enumerate(_lanes(story))}
        first, end = min(map(_began, story)), max(event.at for event in story)
        begun = {(event.lane, event.since) for event in story}  # a bar shows that moment already
        times = [
            [moment for event in story if event.lane == lane for moment in (_began(event), event.at)] for lane in lanes
        ]
        axes.hlines([*lanes.values()], [*map(min, times)], [*map(max, times)], color=GRID, linewidth=2, zorder=0.8)
        for event in (event for event in story if event.lane in lanes):
            level, colour = lanes[event.lane], _colour(event.cpu)
            tip = f"{event.at:.1f} ms, {event.lane}, CPU {_cpu(event)}: {event.text}"
            if event.since is None and (event.lane, event.at) in begun:
                continue
            if event.since is None:
                canvas.dot(axes, event.at, level, tip, color=colour, marker="o", markersize=5)
                continue
            corner, took = (event.since, level - 0.31), event.at - event.since
            edge = PAPER if took > _NARROW * (end - first) else colour  # else a short bar would be all edge
            canvas.bar(axes, corner, took, 0.62, tip, facecolor=colour, edgecolor=edge, zorder=2.2)
            if event.at - event.since > 0.03 * (end - first):
                middle = (event.at + event.since) / 2
                axes.text(
                    middle, level, _cpu(event), color=PAPER, ha="center", va="center_baseline", fontsize=10, zorder=2.4
                )
        axes.set_yticks(list(lanes.values()), [shortened(lane, _LONGEST_LANE) for lane in lanes])
        axes.set_ylim(0.4 - len(lanes), 0.6)
        axes.set_xlim(first - 0.03 * (end - first), end + 0.03 * (end - first) + 0.1)
        axes.set_title(where, loc="left", fontsize=12, color=INK)
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(_X_LABEL)
        axes.set_ylabel(_Y_LABEL)
