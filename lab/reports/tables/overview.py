"""What a report begins with: a line about the run, two small tables, and the counts of verdicts. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.cell.claims.estimates import Estimate
from lab.judging import pool_sizes, speedups
from lab.model.cell import CellResult, Status
from lab.model.session import Judgement, Session, Verdict
from lab.reports.tables import columns, numbers, predictions
from lab.text import names, units
from lab.text.table import Table

#: With more claims than this, the confirmed ones are only counted.
_FEW_CLAIMS = 8

#: An engine in words that say what a cell is.
_ENGINES = {"docker": "containers", "compose": "containers", "local": "local processes"}

#: What a cell is, for those who read the word for the first time.
_CELLS = {"containers": "A cell is a container with a limit.", "local processes": "A cell is a process with a limit."}


def headline(session: Session) -> str:
    """The Python, the kind of cell and the CPUs in one line, and which other Pythons could be taken."""
    machine = session.machine
    python = next((result.python for result in session.results if result.python), machine.python)
    if not python:
        return "No cell reported which Python it runs."
    builds = ", ".join(facts.label for facts in machine.named_builds)
    which = f"Python {builds}" if builds else names.python_words(python)
    kind = _ENGINES.get(machine.engine, machine.engine)
    where = f"{kind}, {units.cpus(len(machine.cpus))}"
    image = f", image {machine.image}" if machine.image and not builds else ""
    choice = machine.python_choice
    why = f" ({choice.why})" if choice.why else ""
    others = f". Also here: {', '.join(choice.others)} (--python all)" if choice.others else ""
    return f"{which}, {where}{image}{why}{others}. {_CELLS.get(kind, '')}".rstrip()


def counts(session: Session) -> str:
    """How many claims have each verdict, in the cells that this machine could run."""
    lacking = {result.cell.id for result in session.results if result.status in (Status.UNAVAILABLE, Status.PLANNED)}
    judgements = [each for each in session.judgements if each.cell not in lacking and not each.about_cell]
    by_verdict = {verdict: sum(judgement.verdict is verdict for judgement in judgements) for verdict in Verdict}
    listed = ", ".join(f"{count} {verdict}" for verdict, count in by_verdict.items() if count) or "none"
    surprises = len(session.surprises)
    words = "no surprise" if not surprises else f"{surprises} surprise" + "s" * (surprises > 1)
    claims = len({judgement.claim for judgement in judgements})
    cells = len({judgement.cell for judgement in judgements})
    where = f"{claims} claim{'s' * (claims != 1)} in {cells} cell{'s' * (cells != 1)}"
    return f"Verdicts, {where}: {listed}; {words}."


def changes(session: Session) -> tuple[str, ...]:
    """A sentence for each claim that has another verdict on one build than on the next build, under any limit."""
    labels = columns.build_names(session)
    statements = {judgement.claim: judgement.statement for judgement in session.judgements}
    lines: dict[str, None] = {}
    for change in session.changes:
        since = f" ({change.since})" if change.since else ""
        before, after = labels[change.before], labels[change.after]
        where = f"{change.now} on {after}, {change.was} on {before}{since}"
        if (change.was, change.now) == (Verdict.REFUTED, Verdict.CONFIRMED):
            where = f"holds on {after}, not on {before}{since}"
        if (change.was, change.now) == (Verdict.CONFIRMED, Verdict.REFUTED):
            where = f"held on {before}, not on {after}{since}"
        lines[f"{where}: {statements[change.claim]} ({change.claim})"] = None
    return tuple(lines)


def confirmed(session: Session) -> tuple[str, ...]:
    """The claims that hold in each cell that could decide them, if the session has only a few claims; else nothing."""
    by_claim: dict[str, list[Judgement]] = {}
    for judgement in session.judgements:
        by_claim.setdefault(judgement.claim, []).append(judgement)
    if len(by_claim) > _FEW_CLAIMS:
        return ()
    return tuple(
        f"{judgements[0].statement} ({claim})"
        for claim, judgements in by_claim.items()
        if {each.verdict for each in judgements if each.verdict is not Verdict.UNTESTABLE} == {Verdict.CONFIRMED}
    )


def extra_tables(session: Session) -> list[Table]:
    """The tables of predictions and of the experiments that measure more numbers than their claims need."""
    return [*predictions.prediction_tables(session), *numbers.quantity_tables(session)]


def overview_tables(session: Session) -> list[Table]:
    """``Pool()`` and cores: a row for each cell that was measured, or with several builds a column for each build."""
    results = [result for result in session.results if result.proof and result.status is not Status.UNAVAILABLE]
    if columns.has_builds(session):
        return _across(session, results)
    return [table for table in (_pool_table(results), _cores_table(results)) if table.rows]


def _pool_table(results: Sequence[CellResult]) -> Table:
    rows = []
    for result in results:
        size = pool_sizes.pool_size(result)
        if size and size.workers is not None:
            row = (_number(size.cpu_count), str(size.affinity), _quota(size.quota), str(size.workers))
            rows.append((names.plain_words(result.cell), *row))
    head = ("cell", "os.cpu_count()", "CPUs in its set", "quota", "workers of Pool()")
    return Table(title="Pool()", head=head, rows=tuple(rows))


def _cores_table(results: Sequence[CellResult]) -> Table:
    rows = []
    for result in results:
        speed_ups = {cores.arm: cores.speed_up for cores in speedups.of_cell(result)}
        if speed_ups:
            row = (
                _times(speed_ups.get("threads")),
                _times(speedups.of_c_code(result)),
                _times(speed_ups.get("processes")),
                _times(speedups.capacity(result)),
            )
            rows.append((names.plain_words(result.cell), *row))
    head = ("cell", "threads", "threads in C code", "processes", "machine delivered")
    return Table(title="Cores: work done, in times the work of one", head=head, rows=tuple(rows))


def _across(session: Session, results: Sequence[CellResult]) -> list[Table]:
    """The same figures with a column for each build, where a column for each figure would not fit."""
    figures: tuple[tuple[str, Callable[[CellResult], str]], ...] = (
        ("workers of Pool()", _pool_workers),
        ("threads", lambda result: _arm(result, "threads")),
        ("threads in C code", lambda result: _measured(result, speedups.of_c_code)),
        ("processes", lambda result: _arm(result, "processes")),
        ("machine delivered", lambda result: _measured(result, speedups.capacity)),
    )
    most = max((result.cell.size for result in results), default=0)
    values = {
        (figure, names.plain_words(result.cell), result.cell.build): text
        for figure, text_of in figures
        for result in results
        # One CPU says something about Pool(), and nothing about gains.
        if (text_of is _pool_workers or result.cell.size == most) and (text := text_of(result))
    }
    title = "Workers started, and work done in times the work of one"
    return columns.build_tables(session, title, values, ("", "cell")) if values else []


def _pool_workers(result: CellResult) -> str:
    size = pool_sizes.pool_size(result)
    return "" if size is None or size.workers is None else str(size.workers)


def _arm(result: CellResult, arm: str) -> str:
    return next((_times(cores.speed_up) for cores in speedups.of_cell(result) if cores.arm == arm), "")


def _measured(result: CellResult, figure: Callable[[CellResult], Estimate | None]) -> str:
    return _times(figure(result)) if speedups.of_cell(result) else ""


def _number(number: int | None) -> str:
    return "-" if number is None else str(number)


def _quota(cpus: float | None) -> str:
    return "none" if cpus is None else f"{cpus:g}"


def _times(estimate: Estimate | None) -> str:
    return units.ratio(estimate.value) if estimate else "-"
