"""The race atlas: which statement loses updates at which switch interval, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

from lab.judging.race_atlas import Field, fields
from lab.model.cell import CellResult
from lab.model.session import Session
from lab.reports.charts.chart import INK, MUTED, Canvas, Chart, build_of, measured
from lab.reports.tables.race_atlas import percentage
from lab.text import names, units
from lab.text.table import Table

#: The experiment that makes one.
NEEDS = ("race-atlas",)


def charts(session: Session) -> tuple[Chart, ...]:
    """A heat map for each cell that has an atlas."""
    found = [(result, fields(result)) for result in measured(session)]
    return tuple(
        _chart(number, result, mine) for number, (result, mine) in enumerate((one for one in found if one[1]), 1)
    )


def _chart(number: int, result: CellResult, mine: Sequence[Field]) -> Chart:
    where = f"{build_of(result)}, {names.asked_words(result.cell)}"
    rows = tuple(
        (
            one.statement,
            units.seconds(one.interval_seconds),
            f"{one.made}",
            f"{one.lost}",
            units.share(one.share),
            f"{one.hand_overs}",
        )
        for one in mine
    )
    losing = list(dict.fromkeys(one.statement for one in mine if one.lost))
    statements = len({one.statement for one in mine})
    height = 34 * statements + 110
    return Chart(
        name=f"race-atlas-{number}",
        title=f"Race atlas: which statements lose updates ({where})",
        reading="The share of updates that two threads lost, without a lock. None lost is not a promise: it depends on"
        " where this Python hands over.",
        description=f"{len(losing)} of {statements} statements lost updates: {'; '.join(losing) or 'none'}.",
        table=Table(
            title="Updates lost",
            head=("statement", "switch interval", "updates", "lost", "share", "hand-overs"),
            rows=rows,
        ),
        height=(height, height),
        draw=lambda canvas: _draw(canvas, mine),
    )


def _draw(canvas: Canvas, mine: Sequence[Field]) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex
    from matplotlib.patches import Rectangle

    statements = list(dict.fromkeys(one.statement for one in mine))
    (axes,) = canvas.panels(1, left=12 + 6.6 * max(len(_short(one)) for one in statements))
    intervals = sorted({one.interval_seconds for one in mine})
    most = max((one.share for one in mine), default=0.0) or 1.0
    for one in mine:
        column, row = intervals.index(one.interval_seconds), statements.index(one.statement)
        strength = one.share / most
        colour = to_hex(colormaps["YlOrRd"](0.15 + 0.85 * strength)) if one.lost else "none"
        square = Rectangle((column, row), 0.96, 0.9, facecolor=colour, edgecolor=MUTED, linewidth=0.8)
        axes.add_patch(square)
        canvas.mark(square, f"{one.statement} at {units.seconds(one.interval_seconds)}: {one.lost} of {one.made} lost")
        written = INK if not one.lost else "#fffffe" if strength > 0.6 else "#1a1a1a"
        axes.text(
            column + 0.48, row + 0.45, percentage(one.share), color=written, ha="center", va="center", fontsize=11
        )
    axes.set_xlim(0, len(intervals))
    axes.set_ylim(len(statements), 0)
    axes.set_xticks([number + 0.48 for number in range(len(intervals))], [units.seconds(one) for one in intervals])
    axes.set_yticks([number + 0.45 for number in range(len(statements))], [_short(one) for one in statements])
    axes.tick_params(length=0)
    axes.set_xlabel("switch interval")
    axes.spines[:].set_visible(False)


def _short(statement: str) -> str:
    return statement if len(statement) <= 28 else statement[:27] + "…"
