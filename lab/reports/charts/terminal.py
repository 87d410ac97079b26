"""Charts in a terminal, drawn by plotext with characters that mean the same without colour."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tabulate import tabulate

from lab.errors import MissingExtraError
from lab.messages import printable
from lab.model.session import Session
from lab.reports.charts.chart import Chart, Panel
from lab.reports.tables import highlights, scale

#: The narrowest terminal for a chart. In a narrower terminal the lines are broken.
NARROWEST = 40
#: The widest chart; a wider chart would not be easier to read.
WIDEST = 110

_COLOURS = ("blue", "orange", "green", "magenta", "cyan", "red", "gold", "violet")


def text(chart: Chart, width: int, *, colour: bool) -> str:
    """The chart as lines of at most ``width`` columns (but at least 40). Raises MissingExtraError without plotext."""
    width = min(max(width, NARROWEST), WIDEST)
    head = _wrapped(chart.title, width)
    parts = [head, _wrapped(chart.reading if not chart.panels else f"{chart.key}", width)]
    if chart.panels:
        parts += [_panel(panel, width, colour=colour) for panel in chart.panels]
    else:
        parts.append(_table(chart, width))
    return "\n".join(parts) + "\n"


def findings(session: Session, headline: Sequence[str], width: int) -> str:
    """The surprises and the refuted claims in words, with what to do about them."""
    width = min(max(width, NARROWEST), WIDEST)
    parts = [*(_wrapped(line, width) for line in headline)]
    sections = [("Surprises", highlights.surprises(session)), ("Refuted here", highlights.refuted(session))]
    if scale.is_own_code(session):
        sections = [("Causes found", highlights.causes(session))]
    for title, lessons in sections:
        parts += ["", f"{title}: none"] if not lessons else ["", title]
        for lesson in lessons:
            parts.append(_item(f"- {lesson.claim}: “{lesson.statement}”", width))
            parts += [_item(f"    at {', '.join(labels)}: {reason}", width) for reason, labels in lesson.places]
            parts += [_item(f"    do: {lesson.advice}", width)] * bool(lesson.advice)
    return "\n".join(parts) + "\n"


def _item(line: str, width: int) -> str:
    indent = len(line) - len(line.lstrip()) + 2
    return textwrap.fill(printable(line), width, subsequent_indent=" " * indent, break_on_hyphens=False)


def _wrapped(line: str, width: int) -> str:
    return textwrap.fill(printable(line), width, break_on_hyphens=False)


def _table(chart: Chart, width: int) -> str:
    """The chart's table. If it is too wide, its first column becomes narrower."""
    table = chart.table
    widths = [max(len(row[place]) for row in (table.head, *table.rows)) for place in range(len(table.head))]
    room = max(8, width - sum(widths[1:]) - 2 * len(widths))
    widest: list[int | None] = [room, *[None] * (len(widths) - 1)]
    text = tabulate(table.rows, headers=table.head, disable_numparse=True, tablefmt="plain", maxcolwidths=widest)
    return "\n".join(printable(line[:width]) for line in text.split("\n"))


def _panel(panel: Panel, width: int, *, colour: bool) -> str:
    try:
        import plotext
    except ModuleNotFoundError as error:
        raise MissingExtraError("charts", "report", error) from error
    plotext.clear_figure()  # plotext has one figure for the whole module
    plotext.theme("clear")
    plotext.limit_size(False, False)
    plotext.plotsize(width, panel.rows)
    for stroke in panel.strokes:
        tint = _COLOURS[stroke.series % len(_COLOURS)] if colour and stroke.series is not None else None
        draw = plotext.plot if len(stroke.xs) > 1 else plotext.scatter
        draw(list(stroke.xs), list(stroke.ys), marker=stroke.marker, color=tint)
    if panel.x_ticks:
        plotext.xticks([place for place, _ in panel.x_ticks], [printable(name) for _, name in panel.x_ticks])
    if panel.y_ticks:
        plotext.yticks([place for place, _ in panel.y_ticks], [printable(name) for _, name in panel.y_ticks])
    if panel.y_range and panel.y_range[0] < panel.y_range[1]:
        plotext.ylim(*panel.y_range)
    plotext.xlabel(printable(panel.x_label))
    drawn = plotext.build()
    lines = (drawn if colour else plotext.uncolorize(drawn)).splitlines()
    return "\n".join([_wrapped(panel.title, width), *(line.rstrip() for line in lines)])
