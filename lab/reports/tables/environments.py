"""Two environments that took turns: the calls per second of each, and their ratio with its interval. Pure."""

from __future__ import annotations

from lab.cell.targets.case import Case, from_stored
from lab.judging.verdicts import evidence_of
from lab.model.cell import CellResult
from lab.model.session import Quantity, Session
from lab.text import names, units
from lab.text.table import Table

#: The name of the number that is there only where two environments were compared.
RATIO = "other / this"
#: In which environment workers failed.
_PLACES = {"own": "in this environment", "other": "in the other environment"}
#: Where a program's code and data happen to lie changes its speed by so much, so a smaller difference means nothing.
SLIGHT = 0.01


def environment_tables(session: Session) -> tuple[Table, ...]:
    """A table for each case and cell in which two environments took turns."""
    cases = [from_stored(stored) for stored in session.arguments.get("cases") or ()]
    tables = (_table(session, case, result) for case in cases if case.against for result in session.results)
    return tuple(table for table in tables if table.rows)


def _table(session: Session, case: Case, result: CellResult) -> Table:
    rows = []
    measured = [each for each in session.quantities if each.experiment == case.experiment]
    numbers = {(each.of, each.what): each for each in measured if each.cell == result.cell.id}
    for workers in dict.fromkeys(of for of, what in numbers if what == RATIO):
        times = numbers[workers, RATIO]
        rates = [numbers[workers, what].value for what in ("calls/s", "calls/s, other")]
        shown = ["?" if rate is None else units.quantity(rate, "") for rate in rates]
        rows.append((workers, *shown, _interval(times), in_words(times)))
    where = ", ".join(filter(None, (case.label, result.cell.build, names.plain_words(result.cell))))
    head = ("workers", "calls/s\nhere", "calls/s\nother", "other / here", "the other is")
    left_out = [
        f"left out: {workers} ({_PLACES.get(method, 'at last')}: {reason})"
        for workers, method, reason in evidence_of(case.experiment, result).all("out")
    ]
    notes = (f"other: {case.against['label']}", *left_out)
    return Table(title=f"{where}: two environments in turn", head=head, rows=tuple(rows), notes=notes)


def _interval(times: Quantity) -> str:
    if times.value is None or times.low is None or times.high is None:
        return "?"
    return f"{times.value:.3f} ({times.low:.3f}-{times.high:.3f})"


def in_words(times: Quantity) -> str:
    """Whether the other environment is faster or slower by more than chance and memory layout explain."""
    if times.value is None or times.low is None or times.high is None:
        return "not known"
    if times.low > 1 + SLIGHT:
        return f"{100 * (times.value - 1):.0f} % faster"
    if times.high < 1 - SLIGHT:
        return f"{100 * (1 - times.value):.0f} % slower"
    return "alike" if times.low > 1 - 2 * SLIGHT and times.high < 1 + 2 * SLIGHT else "not decided"
