"""The tables of numbers: cores used, each experiment's figures, and what the claims rest on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.cell.claims.estimates import Estimate
from lab.judging import race_atlas, speedups
from lab.model.cell import CellResult
from lab.model.session import Judgement, Quantity, Session
from lab.reports.tables import columns as build_columns
from lab.reports.tables.limits import word
from lab.text import names as naming
from lab.text import units
from lab.text.table import Table

#: What stands under a number in a column of its build.
_BELOW = "below a number: its 95 % interval; rounds and ceilings are in the JSON document"

_CORES = "Cores: what threads and processes really use"

_NUMBERS = "Numbers that claims rest on"

_NUMBER = ("value", "95 % interval", "rounds\n+/-")


def cores_used(session: Session) -> list[Table]:
    """Speed-up and cores used of each way of working, beside what the machine delivered."""
    if build_columns.several(session):
        return _cores_across(session)
    rows: list[tuple[str, ...]] = []
    labels = build_columns.labels(session)
    for result in session.results:
        found = speedups.of_cell(result)
        if not found:
            rows.append((labels[result.cell.id], word(result), *["-"] * 4))
            continue
        delivered = _value(speedups.capacity(result))
        for number, row in enumerate(found):
            name = row.arm if row.workers in (1, 100) else f"{row.workers} {row.arm}"
            first = labels[result.cell.id] if number == 0 else ""
            speed = ("1.00", "-") if row.arm == "one process" else _speed(row.speed_up)
            rows.append((first, name, *speed, _value(row.cores_used), delivered))
    head = (
        "CPUs",
        "CPU-bound\nPython code",
        "speed-up",
        "95 % interval",
        "cores\nused",
        "machine\ndelivered",
    )
    return [Table(title=_CORES, head=head, rows=tuple(rows), notes=_models(session))]


def _cores_across(session: Session) -> list[Table]:
    """The same with a column for each build."""
    found: dict[str, dict[tuple[str, str], str]] = {}
    for result in session.results:
        at = (naming.limit_lines(result.cell), result.cell.build)
        rows = speedups.of_cell(result)
        for row in rows:
            if row.arm != "one process":
                found.setdefault(f"{row.arm}: speed-up", {})[at] = _with_interval(*_speed(row.speed_up))
            found.setdefault(f"{row.arm}: cores used", {})[at] = _value(row.cores_used)
        found.setdefault("machine delivered", {})[at] = _value(speedups.capacity(result)) if rows else word(result)
    workers = "threads, processes: one on each CPU, two on a single one"
    notes = (_BELOW, workers, *_models(session))
    return build_columns.tables(session, _CORES, _flat(found), ("CPU-bound\nPython code", "CPUs"), notes)


def _models(session: Session) -> tuple[str, ...]:
    names = build_columns.heads(session)
    return tuple(_model(one, names[one.build]) for one in speedups.scaling(session.results))


def _model(model: speedups.Model, build: str) -> str:
    """A speed-up model in a line; ``build`` is what tables call its build."""
    found = model.fit
    whose = ", ".join(part for part in (build, model.machine, model.arm) if part)

    def share(one: Estimate) -> str:
        return f"{units.share(one.value)} ({units.interval(one.low, one.high, 'share')})"

    points = f"{found.points} point" + "s" * (found.points > 1)
    text = f"{found.model}, {whose}: serial share {share(found.serial)} from {points}"
    if found.coherency is None:
        return text + "; contention not identifiable"
    return f"{text}; coherency {share(found.coherency)}"


def quantities(session: Session) -> list[Table]:
    """The tables of each experiment that has measured more than its claims: every number, with its interval; and those
    that many have alike, a row for each of them."""
    found = []
    for experiment in dict.fromkeys(one.experiment for one in session.quantities if one.experiment != race_atlas.NAME):
        mine = [one for one in session.quantities if one.experiment == experiment]
        if build_columns.several(session):
            found += _quantities_across(session, mine)
        else:
            found += [table(session, mine) for table in (_numbers_of, _rows_of) if table(session, mine).rows]
    return found


def _quantities_across(session: Session, quantities: Sequence[Quantity]) -> list[Table]:
    """All of them with a column for each build; of what many have alike, without the intervals."""
    cells = {result.cell.id: (naming.limit_lines(result.cell), result.cell.build) for result in session.results}
    found: dict[str, dict[tuple[str, str], str]] = {}
    for one in quantities:
        text = _quantity(one) if one.of else _narrow(one)
        found.setdefault(f"{one.of}: {one.what}" if one.of else one.what, {})[cells[one.cell]] = text
    for result, why in _unmeasured(session):
        found.setdefault("cell", {})[cells[result.cell.id]] = why
    corner = (quantities[0].experiment, "CPUs")
    return build_columns.tables(session, quantities[0].title, _flat(found), corner, (_BELOW,))


def _numbers_of(session: Session, quantities: Sequence[Quantity]) -> Table:
    labels = build_columns.labels(session)
    rows, last = [], ""
    for one in quantities:
        if not one.of:
            row = (one.what, _quantity(one), _interval(one), _rounds(one))
            rows.append(("" if one.cell == last else labels[one.cell], *row))
            last = one.cell
    rows += [(labels[result.cell.id], why, "-", "-", "-") for result, why in _unmeasured(session)] if rows else []
    head = ("CPUs", quantities[0].experiment, *_NUMBER)
    return Table(title=quantities[0].title, head=head, rows=tuple(rows))


def _rows_of(session: Session, quantities: Sequence[Quantity]) -> Table:
    """What many have alike, without the intervals, which the JSON document has."""
    labels = build_columns.labels(session)
    columns = list(dict.fromkeys(one.what for one in quantities if one.of))
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for one in quantities:
        if one.of:
            lines.setdefault((one.cell, one.of), {})[one.what] = _quantity(one)
    rows, last = [], ""
    for (cell, name), values in lines.items():
        rows.append(("" if cell == last else labels[cell], name, *(values.get(column, "-") for column in columns)))
        last = cell
    head = ("CPUs", "", *(column.replace(" ", "\n") for column in columns))
    return Table(title=f"{quantities[0].experiment}, one by one", head=head, rows=tuple(rows))


def numbers(session: Session) -> list[Table]:
    """Each claim that rests on a number: value, interval, rounds, and the most that the machine had to give."""
    if build_columns.several(session):
        return _numbers_across(session)
    labels = build_columns.labels(session)
    rows: list[tuple[str, ...]] = []
    group = last = ""
    for one in session.judgements:
        if one.value is None:
            continue
        ceiling = "-" if one.ceiling is None else units.quantity(one.ceiling, one.unit)
        experiment, _, name = one.claim.partition(".")
        if experiment != group:
            group = experiment
            rows.append((experiment, *[""] * 5))
        rows.append(
            (
                "" if one.claim == last else f"  {name}",
                labels[one.cell],
                _quantity(one),
                _interval(one),
                _rounds(one),
                ceiling,
            )
        )
        last = one.claim
    rows += [(f"{naming.asked_words(result.cell)}: {why}", *["-"] * 5) for result, why in _unmeasured(session)]
    notes = (
        "rounds +/-: those that count, and those rejected because something disturbed them",
        "ceiling: the most that the machine had to give; for a time, the least it can take; -: it sets no bound",
    )
    head = ("claim", "CPUs", *_NUMBER, "ceiling")
    return [Table(title=_NUMBERS, head=head, rows=tuple(rows), notes=notes)] if rows else []


def _numbers_across(session: Session) -> list[Table]:
    """The same with a column for each build."""
    cells = {result.cell.id: (naming.limit_lines(result.cell), result.cell.build) for result in session.results}
    values: dict[tuple[str, str, str], str] = {}
    group = ""
    for one in session.judgements:
        if one.value is None:
            continue
        experiment, _, name = one.claim.partition(".")
        if experiment != group:
            group = experiment
            values[experiment, "", ""] = ""
        values[f"  {name}", *cells[one.cell]] = _narrow(one)
    if not values:
        return []
    values |= {("cell", *cells[result.cell.id]): why for result, why in _unmeasured(session)}
    return build_columns.tables(session, _NUMBERS, values, ("claim", "CPUs"), (_BELOW,))


def _unmeasured(session: Session) -> list[tuple[CellResult, str]]:
    """The cells without a proof, which have no numbers, and what is to stand in their place."""
    return [(result, word(result)) for result in session.results if not result.proof]


def _flat(found: Mapping[str, Mapping[tuple[str, str], str]]) -> dict[tuple[str, str, str], str]:
    """Figure -> (limit, build) -> text, as :mod:`lab.reports.tables.columns` takes it."""
    return {(figure, *at): text for figure, texts in found.items() for at, text in texts.items()}


def _narrow(one: Quantity | Judgement) -> str:
    """A number for a narrow column: what is counted says the figure's name."""
    counted = f" {one.unit}" if one.unit in ("workers", "tasks") else ""
    return _with_interval(_quantity(one).removesuffix(counted), _interval(one).removesuffix(counted))


def _with_interval(value: str, interval: str) -> str:
    """A value and under it its interval, in a narrow column."""
    low, to, high = interval.partition(" to ")
    return f"{value}\n{low} to\n{high}" if to else value


def _quantity(one: Quantity | Judgement) -> str:
    return "?" if one.value is None else units.quantity(one.value, one.unit)


def _interval(one: Quantity | Judgement) -> str:
    if one.low is None or one.high is None:
        return "too few rounds" if one.value is None else "-"
    if one.low == one.high:
        return "exact" if isinstance(one, Judgement) else "-"
    return units.interval(one.low, one.high, one.unit)


def _rounds(one: Quantity | Judgement) -> str:
    return "-" if one.accepted is None else f"{one.accepted}/{one.rejected or 0}"


def _value(found: Estimate | None) -> str:
    return units.ratio(found.value) if found else "?"


def _speed(found: Estimate | None) -> tuple[str, str]:
    return (units.ratio(found.value), units.interval(found.low, found.high, "")) if found else ("?", "too noisy")
