"""The race atlas: which statement loses updates at which switch interval, as a heat map."""

from __future__ import annotations

from collections.abc import Sequence

from lab.cell.claims.wording import shortened
from lab.judging.race_atlas import Field, fields
from lab.model.cell import CellResult
from lab.model.session import Session
from lab.reports.charts.chart import INK, MUTED, Canvas, Chart, build_of, measured
from lab.reports.tables.race_atlas import percentage
from lab.text import names, units
from lab.text.table import Table

#: The experiment that measures the atlas.
NEEDS = ("race-atlas",)


#: The most characters of a statement beside the map.
_LONGEST_STATEMENT = 28


def charts(session: Session) -> tuple[Chart, ...]:
    """A heat map for each cell that has an atlas."""
    cells = [(result, fields(result)) for result in measured(session)]
    with_atlas = [(result, cell_fields) for result, cell_fields in cells if cell_fields]
    return tuple(_chart(number, *cell) for number, cell in enumerate(with_atlas, 1))


def _chart(number: int, result: CellResult, atlas_fields: Sequence[Field]) -> Chart:
    where = f"{build_of(result)}, {names.asked_words(result.cell)}"
    rows = tuple(
        (
            field.statement,
            units.seconds(field.interval_seconds),
            f"{field.made}",
            f"{field.lost}",
            units.share(field.share),
            f"{field.hand_overs}",
        )
        for field in atlas_fields
    )
    losing = list(dict.fromkeys(field.statement for field in atlas_fields if field.lost))
    statements = len({field.statement for field in atlas_fields})
    height = 34 * statements + 110
    return Chart(
        name=f"race-atlas-{number}",
        title=f"Race atlas: which statements lose updates ({where})",
        reading="The share of updates that two threads lost without a lock. A share of 0 is no promise: it depends on"
        " where this Python hands over to another thread.",
        description=f"{len(losing)} of {statements} statements lost updates: {'; '.join(losing) or 'none'}.",
        table=Table(
            title="Updates lost",
            head=("statement", "switch interval", "updates", "lost", "share", "hand-overs"),
            rows=rows,
        ),
        height=(height, height),
        draw=lambda canvas: _draw(canvas, atlas_fields),
    )


def _draw(canvas: Canvas, atlas_fields: Sequence[Field]) -> None:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex
    from matplotlib.patches import Rectangle

    statements = list(dict.fromkeys(field.statement for field in atlas_fields))
    labels = [shortened(statement, _LONGEST_STATEMENT) for statement in statements]
    (axes,) = canvas.panels(1, left=12 + 6.6 * max(map(len, labels)))
    intervals = sorted({field.interval_seconds for field in atlas_fields})
    most = max((field.share for field in atlas_fields), default=0.0) or 1.0
    for field in atlas_fields:
        column, row = intervals.index(field.interval_seconds), statements.index(field.statement)
        strength = field.share / most
        colour = to_hex(colormaps["YlOrRd"](0.15 + 0.85 * strength)) if field.lost else "none"
        square = Rectangle((column, row), 0.96, 0.9, facecolor=colour, edgecolor=MUTED, linewidth=0.8)
        axes.add_patch(square)
        canvas.mark(
            square, f"{field.statement} at {units.seconds(field.interval_seconds)}: {field.lost} of {field.made} lost"
        )
        written = INK if not field.lost else "#fffffe" if strength > 0.6 else "#1a1a1a"
        axes.text(
            column + 0.48, row + 0.45, percentage(field.share), color=written, ha="center", va="center", fontsize=11
        )
    axes.set_xlim(0, len(intervals))
    axes.set_ylim(len(statements), 0)
    axes.set_xticks(
        [number + 0.48 for number in range(len(intervals))], [units.seconds(interval) for interval in intervals]
    )
    axes.set_yticks([number + 0.45 for number in range(len(statements))], labels)
    axes.tick_params(length=0)
    axes.set_xlabel("switch interval")
    axes.spines[:].set_visible(False)
