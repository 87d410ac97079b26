"""The tables of the race atlas."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lab.judging.race_atlas import Field, fields
from lab.model.cell import CellResult, Status
from lab.model.session import Session
from lab.reports.tables import columns as build_columns
from lab.text import names as naming
from lab.text import units
from lab.text.table import Table

#: The mark of a bytecode after which another thread can run.
MARK = "*"


def percentage(share: float) -> str:
    """A share that may be very small, with two figures; ``0`` only if the share is zero."""
    value = 100 * share
    if not value:
        return "0"
    return "<0.01 %" if value < 0.01 else f"{value:.2g} %" if value < 10 else f"{value:.0f} %"


def race_atlas_tables(session: Session) -> list[Table]:
    """A table of lost updates for each limit, and one table of where another thread can run."""
    measured = ((result, fields(result)) for result in session.results if result.status is Status.MEASURED)
    cells = [(result, cell_fields) for result, cell_fields in measured if cell_fields]
    limits = dict.fromkeys(result.cell.limit_label for result, _ in cells)
    names = build_columns.build_names(session)
    tables = [_losses_table([cell for cell in cells if cell[0].cell.limit_label == limit], names) for limit in limits]
    return [*tables, _bytecodes_table(cells, names)] if tables else []


def _losses_table(cells: Sequence[tuple[CellResult, Sequence[Field]]], names: Mapping[str, str]) -> Table:
    """Statements x (builds x switch intervals)."""
    columns = []
    for result, cell_fields in cells:
        for interval in dict.fromkeys(field.interval_seconds for field in cell_fields):
            head = f"{_build(result, names)},\n{_gil(result)},\n{units.seconds(interval)}"
            columns.append(
                (head, {field.statement: field for field in cell_fields if field.interval_seconds == interval})
            )
    statements = dict.fromkeys(field.statement for _, cell_fields in cells for field in cell_fields)
    rows = tuple((name, *(_entry(column.get(name)) for _, column in columns)) for name in statements)
    legend = (
        "12 % in 340: 12 % of the updates went wrong, during at least 340 hand-overs. 0 in 340: no update went wrong,"
        " so at most 3 of 340 such hand-overs do harm."
    )
    times = "The time in the head of a column is the switch interval."
    if not all(result.python["gil_enabled"] for result, _ in cells):
        times += " Without a GIL no thread asks for a hand-over, so the switch interval has no effect."
    return Table(
        title=f"Race atlas, {naming.asked_words(cells[0][0].cell)}",
        head=("statement", *(head for head, _ in columns)),
        rows=rows,
        notes=(legend, times),
    )


def _entry(field: Field | None) -> str:
    return "-" if field is None else f"{percentage(field.share)} in {field.hand_overs}"


def _build(result: CellResult, names: Mapping[str, str]) -> str:
    return names[result.cell.build] or str(result.python["release"])


def _gil(result: CellResult) -> str:
    return f"GIL {'on' if result.python['gil_enabled'] else 'off'}"


def _bytecodes_table(cells: Iterable[tuple[CellResult, Sequence[Field]]], names: Mapping[str, str]) -> Table:
    """Each statement as Python, and as bytecode on each build. Builds with the same bytecode share a row."""
    builds_by_code: dict[str, dict[str, list[str]]] = {}
    texts: dict[str, str] = {}
    for result, cell_fields in cells:
        for field in cell_fields:
            texts[field.statement] = field.text
            builds = builds_by_code.setdefault(field.statement, {}).setdefault(_code(field, result), [])
            if _build(result, names) not in builds:
                builds.append(_build(result, names))
    rows = []
    for statement, codes in builds_by_code.items():
        rows.append((statement, "", texts[statement]))
        rows.extend(("", ",\n".join(builds), code) for code, builds in codes.items())
    return Table(
        title="Race atlas: where another thread can run",
        head=("statement", "build", f"bytecode ({MARK}: another thread can run after it)"),
        rows=tuple(rows),
        notes=("Called functions are not shown: another thread can run inside them too.",),
    )


def _code(field: Field, result: CellResult) -> str:
    if field.bytecode and not result.python["gil_enabled"] and all(can_switch for _, can_switch in field.bytecode):
        return "anywhere: without a GIL the other threads run at the same time"
    return " ".join(name + MARK * can_switch for name, can_switch in field.bytecode) or "-"
