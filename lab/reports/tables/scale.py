"""What a session of the user's own code shows: tables of its ways to work, the causes, and the advice. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from lab.judging import advice as judged_advice
from lab.judging.advice import Advice
from lab.model.cell import CellResult
from lab.model.session import Judgement, Quantity, Session, Verdict
from lab.text import names, units
from lab.text.table import Table

#: A session with more rows than this gets one row for each case and cell.
MOST_ROWS = 16

_HEAD = ("workers", "calls/s", "speed-up", "of\ndelivered", "cores\nused", "call,\np50")


def is_own_code(session: Session) -> bool:
    """Whether a session measured functions of the user's."""
    return bool(judged_advice.case_names(session))


def scale_tables(session: Session) -> tuple[Table, ...]:
    """A table for each case with a row for each way of working; or one table with a row for each case and cell."""
    tables = full_tables(session)
    return tables if sum(len(table.rows) + 4 for table in tables) <= MOST_ROWS + 4 else (_summary(session),)


def full_tables(session: Session) -> tuple[Table, ...]:
    """A table for each case with a row for each way of working, however many these are."""
    tables = (_table(session, name, result) for name in judged_advice.case_names(session) for result in session.results)
    return tuple(table for table in tables if table.rows)


def _table(session: Session, experiment: str, result: CellResult) -> Table:
    """A row for each way of working in one cell."""
    numbers = judged_advice.numbers_of(session, experiment, result.cell.id)
    where = ", ".join(filter(None, (experiment.partition(":")[2], result.cell.build, names.plain_words(result.cell))))
    return Table(title=where, head=_HEAD, rows=tuple((of, *_cells(quantities)) for of, quantities in numbers.items()))


def _cells(quantities: dict[str, Quantity]) -> tuple[str, ...]:
    rate = _value(quantities, "calls/s")
    speed_up = quantities.get("speed-up")
    interval = "?" if speed_up else "1"
    if speed_up and speed_up.value is not None and speed_up.low is not None and speed_up.high is not None:
        interval = f"{speed_up.value:.2f} ({speed_up.low:.2f}-{speed_up.high:.2f})"
    share = _value(quantities, "of delivered")
    cores = _value(quantities, "cores used")
    return (
        "?" if rate is None else units.quantity(rate, ""),
        interval,
        "-" if "of delivered" not in quantities else "?" if share is None else f"{100 * share:.0f} %",
        "?" if cores is None else f"{cores:.2f}",
        "?" if (time := _value(quantities, "call, p50")) is None else units.seconds(time),
    )


def _value(quantities: dict[str, Quantity], what: str) -> float | None:
    return quantities[what].value if what in quantities else None


def advice_table(session: Session) -> tuple[Table, ...]:
    """The advice for each case and cell, with its sentences and the causes below; none for the lab's experiments."""
    if not is_own_code(session):
        return ()
    return (replace(_summary(session), notes=(*advice_lines(session), *cause_lines(session))),)


def _summary(session: Session) -> Table:
    """A row for each case and cell: the speed of one worker, and what is advised."""
    results = {result.cell.id: result for result in session.results}
    rows = []
    for advice in judged_advice.all_advice(session):
        cell = results[advice.cell].cell
        where = ", ".join(filter(None, (cell.build, names.plain_words(cell))))
        rate = _value(judged_advice.numbers_of(session, advice.case.experiment, cell.id).get("1 worker", {}), "calls/s")
        gain = advice.speed_up
        times = (
            f"{gain.value:.2f} ({gain.low:.2f}-{gain.high:.2f})" if gain and gain.value != 1 else "1" if gain else "?"
        )
        take = advice.option.name if advice.option else "not decided"
        rows.append((advice.case.label, where, "?" if rate is None else units.quantity(rate, ""), take, times))
    head = ("function", "cell", "calls/s of 1 worker", "take", "speed-up")
    return Table(title="Advice for each function and cell", head=head, rows=tuple(rows))


def advice_lines(session: Session) -> tuple[str, ...]:
    """The advice for the largest cell of each case and build, with code to paste below it."""
    lines: list[str] = []
    for advice in judged_advice.largest(session):
        named = "" if len(judged_advice.all_advice(session)) == 1 else f" [{_place(session, advice)}]"
        lines.append(advice.sentence.replace("Advice:", f"Advice{named}:"))
        if advice.code:
            lines.append("    " + advice.code)
    return tuple(lines)


def _place(session: Session, advice: Advice) -> str:
    cell = next(result.cell for result in session.results if result.cell.id == advice.cell)
    several = len(judged_advice.case_names(session)) > 1
    return ", ".join(filter(None, (advice.case.label if several else "", cell.build, names.plain_words(cell))))


def cause_lines(session: Session) -> tuple[str, ...]:
    """A sentence for each cause that was found, with its evidence, of the cells that advice is given for."""
    return _lines(session, Verdict.CONFIRMED)


def open_lines(session: Session) -> tuple[str, ...]:
    """What could not be decided, and why."""
    return _lines(session, Verdict.INCONCLUSIVE)


def _lines(session: Session, verdict: Verdict) -> tuple[str, ...]:
    lines = []
    for advice in judged_advice.largest(session):
        for judgement in _judgements(session, advice):
            if judgement.verdict is verdict:
                named = f"[{_place(session, advice)}] " if len(judged_advice.largest(session)) > 1 else ""
                hint = f". What to do: {judgement.advice}" if verdict is Verdict.CONFIRMED and judgement.advice else ""
                lines.append(f"- {named}{judgement.statement} ({judgement.reason}){hint}")
    return tuple(lines)


def _judgements(session: Session, advice: Advice) -> Sequence[Judgement]:
    return [
        judgement
        for judgement in session.judgements
        if judgement.cell == advice.cell and judgement.claim.startswith(f"{advice.case.experiment}.")
    ]
