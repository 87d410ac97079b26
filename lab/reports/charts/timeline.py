"""Who ran on which CPU when: the story of an experiment as lanes, one for each thread of each process."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

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
from lab.text.names import printable
from lab.text.table import Table

#: Experiments whose story is worth drawing: title, and how to read it.
_STORIES = {
    "pool": (
        "Pool(3): ten tasks in waves",
        "A bar is a task, in the lane of the worker that ran it: never more than three at once.",
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

#: The experiments that tell them.
NEEDS = tuple(_STORIES)

#: So many events of a story are drawn, from its beginning; the raw data has them all.
MOST_EVENTS = 60

#: More lanes than this are no picture any more; the table has them all.
MOST_LANES = 16
_LANE_PIXELS = 26
_LONGEST_LANE = 18
#: A bar of a smaller share of the axis has no outline.
_NARROW = 0.02


@dataclass(frozen=True, kw_only=True)
class Event:
    """A moment in a lane, or (``since`` given) something that lasted until then; in milliseconds."""

    lane: str
    at: float
    since: float | None
    cpu: int | None
    text: str


def events(result: CellResult, experiment: str) -> tuple[Event, ...]:
    """The story of one experiment in one cell as it is drawn: its first events, in the order of time."""
    data = (one.data for one in result.records_of(experiment) if one.kind == "event")
    first = heapq.nsmallest(MOST_EVENTS, data, key=lambda one: 1e3 * one["at"])  # there may be very many
    return tuple(
        Event(
            lane=f"pid {one['pid']}" + ("" if one["thread"] == "MainThread" else f" {printable(one['thread'])}"),
            at=1e3 * one["at"],
            since=1e3 * one["since"] if isinstance(one.get("since"), int | float) else None,
            cpu=one["cpu"],
            text=printable(one["text"]),
        )
        for one in first
    )


def charts(session: Session) -> tuple[Chart, ...]:
    """A chart for each of the stories that a session has, with the fewest CPUs and with the most."""
    found = []
    for experiment, (title, reading) in _STORIES.items():
        told = [(one, events(one, experiment)) for one in measured(session)]
        shown = extremes([(one, story) for one, story in told if story])
        if shown:
            found.append(_chart(experiment, title, reading, [(cell_of(one), story) for one, story in shown]))
    return tuple(found)


_Stories = Sequence[tuple[str, Sequence[Event]]]


def _chart(experiment: str, title: str, reading: str, stories: _Stories) -> Chart:
    rows = tuple(
        (
            where,
            f"{one.at:.1f}",
            "" if one.since is None else f"{one.at - one.since:.1f}",
            one.lane,
            _cpu(one),
            one.text,
        )
        for where, story in stories
        for one in story
    )
    lanes = sum(len(_lanes(story)) for _, story in stories)
    height = _LANE_PIXELS * lanes + 66 * len(stories) + 24
    return Chart(
        name=f"timeline-{experiment}",
        title=title,
        reading=f"{reading} The colour, and the number on a bar, are the CPU that it ended on.",
        description=" ".join(_described(where, story) for where, story in stories),
        table=Table(title="Events", head=("cell", "ms", "took ms", "who", "CPU", "what happens"), rows=rows),
        height=(height, height),
        draw=lambda canvas: _draw(canvas, stories),
        panels=tuple(_panel(where, story) for where, story in stories),
        key="a digit is the CPU (above 9 its last one); [ and a row of them is what lasted, a single one a moment",
    )


def _described(where: str, story: Sequence[Event]) -> str:
    cpus = sorted({one.cpu for one in story if one.cpu is not None})
    on = f"on CPU {', '.join(map(str, cpus))}" if cpus else "on CPUs that were not known"
    return f"{where}: {len(_all_lanes(story))} threads of processes {on}, in {story[-1].at:.0f} ms."


def _all_lanes(story: Sequence[Event]) -> list[str]:
    return list(dict.fromkeys(one.lane for one in sorted(story, key=_began)))


def _lanes(story: Sequence[Event]) -> list[str]:
    return _all_lanes(story)[:MOST_LANES]


def _short(lane: str) -> str:
    return lane if len(lane) <= _LONGEST_LANE else lane[: _LONGEST_LANE - 1] + "…"


def _began(one: Event) -> float:
    return one.at if one.since is None else one.since


def _cpu(one: Event) -> str:
    return "?" if one.cpu is None else str(one.cpu)


def _colour(cpu: int | None) -> str:
    return MUTED if cpu is None else SERIES[cpu % len(SERIES)]


def _panel(where: str, story: Sequence[Event]) -> Panel:
    lanes = {lane: -number for number, lane in enumerate(_lanes(story))}
    return Panel(
        title=where,
        strokes=tuple(stroke for one in story if one.lane in lanes for stroke in _strokes(one, lanes[one.lane])),
        rows=len(lanes) + 4,
        x_label="ms",
        y_ticks=tuple((level, _short(lane)) for lane, level in lanes.items()),
        y_range=(1.0 - len(lanes), 0.0),
    )


def _strokes(one: Event, level: int) -> list[Stroke]:
    """A digit for a moment; a row of them, behind a bracket, for what lasted."""
    marker = _cpu(one)[-1]
    if one.since is None:
        return [Stroke(xs=(one.at,), ys=(level,), marker=marker, series=one.cpu)]
    return [
        Stroke(xs=(one.since, one.at), ys=(level, level), marker=marker, series=one.cpu),
        Stroke(xs=(one.since,), ys=(level,), marker="[", series=one.cpu),
    ]


def _draw(canvas: Canvas, stories: _Stories) -> None:
    from matplotlib.patches import Patch

    seen = sorted({one.cpu for _, story in stories for one in story if one.cpu is not None})[: len(SERIES)]
    panels = canvas.panels(
        len(stories),
        left=16 + 6.6 * max(len(_short(lane)) for _, story in stories for lane in _lanes(story)),
        weights=[len(_lanes(story)) for _, story in stories],
        legend=[(Patch(color=_colour(cpu)), f"CPU {cpu}") for cpu in seen],
    )
    for axes, (where, story) in zip(panels, stories, strict=True):
        lanes = {lane: -number for number, lane in enumerate(_lanes(story))}
        first, end = min(map(_began, story)), max(one.at for one in story)
        begun = {(one.lane, one.since) for one in story}  # a bar shows that moment already
        times = [[moment for one in story if one.lane == lane for moment in (_began(one), one.at)] for lane in lanes]
        axes.hlines([*lanes.values()], [*map(min, times)], [*map(max, times)], color=GRID, linewidth=2, zorder=0.8)
        for one in (one for one in story if one.lane in lanes):
            level, colour = lanes[one.lane], _colour(one.cpu)
            tip = f"{one.at:.1f} ms, {one.lane}, CPU {_cpu(one)}: {one.text}"
            if one.since is None and (one.lane, one.at) in begun:
                continue
            if one.since is None:
                canvas.dot(axes, one.at, level, tip, color=colour, marker="o", markersize=5)
                continue
            corner, took = (one.since, level - 0.31), one.at - one.since
            edge = PAPER if took > _NARROW * (end - first) else colour  # else a short bar would be all edge
            canvas.bar(axes, corner, took, 0.62, tip, facecolor=colour, edgecolor=edge, zorder=2.2)
            if one.at - one.since > 0.03 * (end - first):
                middle = (one.at + one.since) / 2
                axes.text(
                    middle, level, _cpu(one), color=PAPER, ha="center", va="center_baseline", fontsize=10, zorder=2.4
                )
        axes.set_yticks(list(lanes.values()), [_short(lane) for lane in lanes])
        axes.set_ylim(0.4 - len(lanes), 0.6)
        axes.set_xlim(first - 0.03 * (end - first), end + 0.03 * (end - first) + 0.1)
        axes.set_title(where, loc="left", fontsize=12, color=INK)
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("ms since the experiment began")
