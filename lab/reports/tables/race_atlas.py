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

#: Stands behind a bytecode after which another thread can come in.
MARK = "*"


def percentage(share: float) -> str:
    """A share that may be very small: two figures, and ``0`` only where it is none."""
    value = 100 * share
    if not value:
        return "0"
    return "<0.01 %" if value < 0.01 else f"{value:.2g} %" if value < 10 else f"{value:.0f} %"


def race_atlas_tables(session: Session) -> list[Table]:
    """What was lost where, a table for each limit; and in one for all of them where others can come in."""
    measured = ((result, fields(result)) for result in session.results if result.status is Status.MEASURED)
    cells = [(result, mine) for result, mine in measured if mine]
    limits = dict.fromkeys(result.cell.limit_label for result, _ in cells)
    names = build_columns.heads(session)
    found = [_of_limit([one for one in cells if one[0].cell.limit_label == limit], names) for limit in limits]
    return [*found, _bytecodes(cells, names)] if found else []


def _of_limit(cells: Sequence[tuple[CellResult, Sequence[Field]]], names: Mapping[str, str]) -> Table:
    """Statements x (builds x switch intervals)."""
    columns = []
    for result, found in cells:
        for interval in dict.fromkeys(one.interval_seconds for one in found):
            head = f"{_build(result, names)},\n{_gil(result)},\n{units.seconds(interval)}"
            columns.append((head, {one.statement: one for one in found if one.interval_seconds == interval}))
    statements = dict.fromkeys(one.statement for _, found in cells for one in found)
    rows = tuple((name, *(_entry(column.get(name)) for _, column in columns)) for name in statements)
    key = (
        "12 % in 340: 12 % of the updates went wrong, in at least 340 hand-overs; 0 in 340: none did, so at most 3/340"
        " of such hand-overs do harm"
    )
    times = "the times are switch intervals"
    if not all(result.python["gil_enabled"] for result, _ in cells):
        times += "; without a GIL nobody asks for a hand-over, and they mean nothing"
    return Table(
        title=f"Race atlas, {naming.asked_words(cells[0][0].cell)}",
        head=("statement", *(head for head, _ in columns)),
        rows=rows,
        notes=(key, times),
    )


def _entry(one: Field | None) -> str:
    return "-" if one is None else f"{percentage(one.share)} in {one.hand_overs}"


def _build(result: CellResult, names: Mapping[str, str]) -> str:
    return names[result.cell.build] or str(result.python["release"])


def _gil(result: CellResult) -> str:
    return f"GIL {'on' if result.python['gil_enabled'] else 'off'}"


def _bytecodes(cells: Iterable[tuple[CellResult, Sequence[Field]]], names: Mapping[str, str]) -> Table:
    """Each statement as Python, and as bytecode on each build; builds on which it is the same share a row."""
    there: dict[str, dict[str, list[str]]] = {}
    texts: dict[str, str] = {}
    for result, found in cells:
        for one in found:
            texts[one.statement] = one.text
            builds = there.setdefault(one.statement, {}).setdefault(_code(one, result), [])
            if _build(result, names) not in builds:
                builds.append(_build(result, names))
    rows = []
    for statement, codes in there.items():
        rows.append((statement, "", texts[statement]))
        rows.extend(("", ",\n".join(builds), code) for code, builds in codes.items())
    return Table(
        title="Race atlas: where others can come in",
        head=("statement", "build", f"its bytecode; {MARK}: another thread can come in after it"),
        rows=tuple(rows),
        notes=("what a called function does comes on top",),
    )


def _code(one: Field, result: CellResult) -> str:
    if one.bytecode and not result.python["gil_enabled"] and all(here for _, here in one.bytecode):
        return "anywhere: without a GIL the others run meanwhile"
    return " ".join(name + MARK * here for name, here in one.bytecode) or "-"
