"""The tables of numbers: cores used, each experiment's figures, and the numbers that claims rest on. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lab.cell.claims.estimates import Estimate
from lab.judging import race_atlas, speedups
from lab.model.cell import CellResult
from lab.model.session import Judgement, Quantity, Session
from lab.reports.tables import columns as build_columns
from lab.reports.tables.limits import status_word
from lab.reports.tables.rows import grouped_rows, rows_by_experiment
from lab.text import names as naming
from lab.text import units
from lab.text.table import Table

#: Below a table that has a column for each build.
_BUILDS_LEGEND = "Below each number stands its 95 % interval. Rounds and ceilings are in the JSON document."

#: Below the table of cores used.
_CORES_LEGEND = (
    "speed-up: work done per second, compared with one process. cores used: CPU time divided by elapsed time. machine"
    " delivered: CPUs that the machine really gave to busy processes in the same rounds."
)

#: Below a table of numbers.
_NUMBERS_LEGEND = (
    (
        "95 % interval: the range in which the true value lies; exact: the value was counted. rounds +/-: how many"
        " rounds count, and how many were rejected because something disturbed them."
    ),
    (
        "ceiling: the best value that this machine allows: the largest number, or the shortest time. -: the machine"
        " sets no bound."
    ),
)

#: A curve through fewer points says nothing.
_FEWEST_POINTS = 2

_CORES_TITLE = "Cores: what threads and processes really use"

_NUMBERS_TITLE = "Numbers that claims rest on"

_NUMBER_HEAD = ("value", "95 % interval", "rounds\n+/-")


def cores_tables(session: Session) -> list[Table]:
    """Speed-up and cores used by threads and by processes, beside the CPUs that the machine delivered."""
    if build_columns.has_builds(session):
        return _cores_across(session)
    rows: list[tuple[str, ...]] = []
    labels = build_columns.cell_labels(session)
    for result in session.results:
        arms = speedups.of_cell(result)
        if not arms:
            rows.append((labels[result.cell.id], status_word(result), *["-"] * 4))
        delivered = _value(speedups.capacity(result))
        for arm in arms:
            name = arm.arm if arm.workers in (1, 100) else f"{arm.workers} {arm.arm}"
            speed = ("1.00", "-") if arm.arm == "one process" else _speed(arm)
            rows.append((labels[result.cell.id], name, *speed, _value(arm.cores_used), delivered))
    head = (
        "CPUs",
        "CPU-bound\nPython code",
        "speed-up",
        "95 % interval",
        "cores\nused",
        "machine\ndelivered",
    )
    return [Table(title=_CORES_TITLE, head=head, rows=grouped_rows(rows), notes=(*_models(session), _CORES_LEGEND))]


def _cores_across(session: Session) -> list[Table]:
    """The table of cores used, with a column for each build."""
    texts: dict[str, dict[tuple[str, str], str]] = {}
    for result in session.results:
        place = (naming.limit_lines(result.cell), result.cell.build)
        arms = speedups.of_cell(result)
        for arm in arms:
            if arm.arm != "one process":
                texts.setdefault(f"{arm.arm}: speed-up", {})[place] = _with_interval(*_speed(arm))
            texts.setdefault(f"{arm.arm}: cores used", {})[place] = _value(arm.cores_used)
        delivered = _value(speedups.capacity(result)) if arms else status_word(result)
        texts.setdefault("machine delivered", {})[place] = delivered
    workers = "threads, processes: one for each CPU, but two if the cell has a single CPU."
    notes = (*_models(session), _BUILDS_LEGEND, _CORES_LEGEND, workers)
    return build_columns.build_tables(session, _CORES_TITLE, _flat(texts), ("CPU-bound\nPython code", "CPUs"), notes)


def _models(session: Session) -> tuple[str, ...]:
    names = build_columns.build_names(session)
    models = speedups.scaling(session.results)
    return tuple(_model(model, names[model.build]) for model in models if model.fit.points >= _FEWEST_POINTS)


def _model(model: speedups.Model, build: str) -> str:
    """A speed-up model in a line; ``build`` is the name of its build in tables."""
    fit = model.fit
    subject = ", ".join(part for part in (build, model.machine, model.arm) if part)

    def share(estimate: Estimate) -> str:
        return f"{units.share(estimate.value)} ({units.interval(estimate.low, estimate.high, 'share')})"

    points = f"{fit.points} point" + "s" * (fit.points > 1)
    text = f"{fit.model}, {subject}: serial share {share(fit.serial)} from {points}"
    if fit.coherency is None:
        return text + "; contention not identifiable"
    return f"{text}; coherency {share(fit.coherency)}"


def quantity_tables(session: Session) -> list[Table]:
    """The tables of each experiment that has measured more numbers than its claims need.

    One table has every number with its interval. Another table has a row for each of many like things, such as calls,
    and a column for each number that all of these things have.
    """
    tables: list[Table] = []
    names = (quantity.experiment for quantity in session.quantities)
    for experiment in dict.fromkeys(name for name in names if name != race_atlas.NAME):
        quantities = [quantity for quantity in session.quantities if quantity.experiment == experiment]
        if build_columns.has_builds(session):
            tables += _quantities_across(session, quantities)
        else:
            both = (_single_numbers(session, quantities), _one_by_one(session, quantities))
            tables += [table for table in both if table.rows]
    return tables


def _quantities_across(session: Session, quantities: Sequence[Quantity]) -> list[Table]:
    """All numbers of an experiment with a column for each build; numbers of many like things have no intervals."""
    cells = {result.cell.id: (naming.limit_lines(result.cell), result.cell.build) for result in session.results}
    texts: dict[str, dict[tuple[str, str], str]] = {}
    for quantity in quantities:
        text = _value_text(quantity) if quantity.of else _narrow(quantity)
        figure = f"{quantity.of}: {quantity.what}" if quantity.of else quantity.what
        texts.setdefault(figure, {})[cells[quantity.cell]] = text
    for result, why in _unmeasured(session):
        texts.setdefault("cell", {})[cells[result.cell.id]] = why
    corner = (quantities[0].experiment, "CPUs")
    return build_columns.build_tables(session, quantities[0].title, _flat(texts), corner, (_BUILDS_LEGEND,))


def _single_numbers(session: Session, quantities: Sequence[Quantity]) -> Table:
    """The numbers that are not about one of many like things, with their intervals."""
    labels = build_columns.cell_labels(session)
    rows = [
        (labels[quantity.cell], quantity.what, _value_text(quantity), _interval(quantity), _rounds(quantity))
        for quantity in quantities
        if not quantity.of
    ]
    rows += [(labels[result.cell.id], why, "-", "-", "-") for result, why in _unmeasured(session)] if rows else []
    head = ("CPUs", quantities[0].experiment, *_NUMBER_HEAD)
    return Table(title=quantities[0].title, head=head, rows=grouped_rows(rows))


def _one_by_one(session: Session, quantities: Sequence[Quantity]) -> Table:
    """A row for each of many like things. The intervals are left out; the JSON document has them."""
    labels = build_columns.cell_labels(session)
    columns = list(dict.fromkeys(quantity.what for quantity in quantities if quantity.of))
    lines: dict[tuple[str, str], dict[str, str]] = {}
    for quantity in quantities:
        if quantity.of:
            lines.setdefault((quantity.cell, quantity.of), {})[quantity.what] = _value_text(quantity)
    rows = grouped_rows(
        (labels[cell], name, *(values.get(column, "-") for column in columns)) for (cell, name), values in lines.items()
    )
    head = ("CPUs", "", *(column.replace(" ", "\n") for column in columns))
    return Table(title=f"{quantities[0].experiment}, one by one", head=head, rows=rows)


def number_tables(session: Session) -> list[Table]:
    """Each claim that rests on a number: value, interval, rounds, and the best value that the machine allows."""
    if build_columns.has_builds(session):
        return _numbers_across(session)
    labels = build_columns.cell_labels(session)
    claim_rows = (
        (
            judgement.claim,
            labels[judgement.cell],
            _value_text(judgement),
            _interval(judgement),
            _rounds(judgement),
            "-" if judgement.ceiling is None else units.quantity(judgement.ceiling, judgement.unit),
        )
        for judgement in session.judgements
        if judgement.value is not None
    )
    rows = [*grouped_rows(rows_by_experiment(claim_rows))]
    rows += [(f"{naming.asked_words(result.cell)}: {why}", *["-"] * 5) for result, why in _unmeasured(session)]
    head = ("claim", "CPUs", *_NUMBER_HEAD, "ceiling")
    return [Table(title=_NUMBERS_TITLE, head=head, rows=tuple(rows), notes=_NUMBERS_LEGEND)] if rows else []


def _numbers_across(session: Session) -> list[Table]:
    """The numbers that claims rest on, with a column for each build."""
    cells = {result.cell.id: (naming.limit_lines(result.cell), result.cell.build) for result in session.results}
    values: dict[tuple[str, str, str], str] = {}
    for judgement in session.judgements:
        if judgement.value is not None:
            experiment, _, name = judgement.claim.rpartition(".")
            values.setdefault((experiment, "", ""), "")
            values[f"  {name}", *cells[judgement.cell]] = _narrow(judgement)
    if not values:
        return []
    values |= {("cell", *cells[result.cell.id]): why for result, why in _unmeasured(session)}
    return build_columns.build_tables(session, _NUMBERS_TITLE, values, ("claim", "CPUs"), (_BUILDS_LEGEND,))


def _unmeasured(session: Session) -> list[tuple[CellResult, str]]:
    """The cells without a proof, which have no numbers, each with the word that a table shows instead."""
    return [(result, status_word(result)) for result in session.results if not result.proof]


def _flat(figures: Mapping[str, Mapping[tuple[str, str], str]]) -> dict[tuple[str, str, str], str]:
    """The texts of all figures by (figure, limit, build), as :mod:`lab.reports.tables.columns` takes them."""
    return {(figure, *place): text for figure, texts in figures.items() for place, text in texts.items()}


def _narrow(number: Quantity | Judgement) -> str:
    """A number for a narrow column, without a unit that the name of its figure says already."""
    counted = f" {number.unit}" if number.unit in ("workers", "tasks") else ""
    return _with_interval(_value_text(number).removesuffix(counted), _interval(number).removesuffix(counted))


def _with_interval(value: str, interval: str) -> str:
    """A value with its interval below it, for a narrow column."""
    low, to, high = interval.partition(" to ")
    return f"{value}\n{low} to\n{high}" if to else value


def _value_text(number: Quantity | Judgement) -> str:
    return "?" if number.value is None else units.quantity(number.value, number.unit)


def _interval(number: Quantity | Judgement) -> str:
    if number.low is None or number.high is None:
        return "too few rounds" if number.value is None else "-"
    if number.low == number.high:
        return "exact" if isinstance(number, Judgement) else "-"
    return units.interval(number.low, number.high, number.unit)


def _rounds(number: Quantity | Judgement) -> str:
    return "-" if number.accepted is None else f"{number.accepted}/{number.rejected or 0}"


def _value(estimate: Estimate | None) -> str:
    return units.ratio(estimate.value) if estimate else "?"


def _speed(arm: speedups.Cores) -> tuple[str, str]:
    """The speed-up of a way of working and its interval, or why there is none."""
    estimate = arm.speed_up
    if estimate:
        return units.ratio(estimate.value), units.interval(estimate.low, estimate.high, "")
    return "?", "too noisy" if arm.accepted < arm.rounds else "too few rounds"
