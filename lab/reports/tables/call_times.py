"""How long the calls of the user's own function took, and the memory of its workers: tables of a full report. Pure."""

from __future__ import annotations

from dataclasses import replace

from lab.judging import advice
from lab.model.cell import CellResult
from lab.model.session import Quantity, Session
from lab.reports.tables.scale import on_two_lines, value_text
from lab.text import names, units
from lab.text.table import Table

#: The columns: what was measured -> its head.
_COLUMNS = {"call, p50": "p50", "call, p95": "p95", "call, p99": "p99", "memory each": "memory\neach"}

_LEGEND = (
    "p50, p95, p99: half, 95 % and 99 % of the calls took no longer, the waiting for a CPU or for the GIL included",
    "memory each: what a process takes, with its share of what several of them share (PSS)",
    "threads and interpreters live in one process, so nothing is said of the memory of each",
)


def call_tables(session: Session) -> tuple[Table, ...]:
    """A table for each case and cell in which single calls were timed, with a row for each way of working."""
    tables = [
        _table(session, experiment, result) for experiment in advice.case_names(session) for result in session.results
    ]
    shown = [table for table in tables if table.rows]
    return (*shown[:-1], *(replace(table, notes=_LEGEND) for table in shown[-1:]))


def _table(session: Session, experiment: str, result: CellResult) -> Table:
    numbers = advice.numbers_of(session, experiment, result.cell.id)
    where = ", ".join(filter(None, (experiment.partition(":")[2], result.cell.build, names.plain_words(result.cell))))
    return Table(
        title=f"{where}: time of a call, and memory",
        head=("workers", *_COLUMNS.values()),
        rows=tuple((on_two_lines(of), *_cells(each)) for of, each in numbers.items() if _is_timed(each)),
    )


def _is_timed(quantities: dict[str, Quantity]) -> bool:
    """Whether single calls were timed. Those of a list, and those of two environments in turn, were not."""
    times = quantities.get("call, p50")
    return times is not None and bool(times.accepted or times.rejected)


def _cells(quantities: dict[str, Quantity]) -> tuple[str, ...]:
    times = [value_text(quantities.get(what), units.seconds) for what in _COLUMNS if what.startswith("call")]
    return (*times, value_text(quantities.get("memory each"), lambda mebibytes: units.size(mebibytes * 2**20)))
