"""What a report begins with: a line about the run, two small tables, and the counts of verdicts. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from lab.cell.claims.estimates import Estimate
from lab.judging import pool_sizes, proofs, speedups
from lab.model.cell import Cell, CellResult, Status
from lab.model.host import name_of
from lab.model.session import Judgement, Session, Verdict
from lab.reports.tables import columns, hosts, numbers, predictions
from lab.text import names, units
from lab.text.table import Table

#: With more claims than this, the confirmed ones are only counted.
_FEW_CLAIMS = 8

#: An engine in words, and what a cell is there, for those who read the word for the first time.
_ENGINES = {
    "docker": ("Docker", "container"),
    "compose": ("Docker Compose", "container"),
    "kubernetes": ("Kubernetes", "pod"),
    "local": ("local processes", "process"),
    "slurm": ("Slurm", "step"),
}

#: The name of a build without the GIL: ``3.13t``.
_FREE_THREADED = re.compile(r"\d+\.\d+t")


def headline(session: Session) -> str:
    """The Python, the kind of cell and the CPUs in one line, and which other Pythons could be taken."""
    machine = session.machine
    python = next((result.python for result in session.results if result.python), machine.python)
    if not python:
        return f"{_whose(session)}No cell reported which Python it runs."
    builds = ", ".join(facts.label for facts in machine.named_builds)
    which = f"Python {builds}" if builds else names.python_words(python)
    kind, cell = _ENGINES.get(machine.engine, (machine.engine, ""))
    where = f"{kind} on {_machines(session)}"
    image = f", image {machine.image}" if machine.image and not builds and hosts.have_same_image(session) else ""
    choice = machine.python_choice
    why = f" ({choice.why})" if choice.why else ""
    limits = _limits(session)
    what = f". Each cell is a {cell} limited to {limits}" if cell and limits else ""
    others = f". Also here (lab run --python all): {', '.join(choice.others)}" if choice.others else ""
    line = f"{_whose(session)}{which}{image}{why}, {where}{what}{others}."
    return _FREE_THREADED.sub(lambda name: f"{name[0]} (t: no GIL)", line, count=1)


def _machines(session: Session) -> str:
    """The machine with its number of CPUs, or each of the hosts with its own, or the machines of joined sessions."""
    count, each = hosts.several(session)
    if count:
        return f"{count}: {each}" if session.hosts else f"the machines of {count}: {each}"
    machine = f"{name_of(session.host)}, which has" if session.host else "a machine with"
    return f"{machine} {units.cpus(len(session.machine.cpus))}"


def _whose(session: Session) -> str:
    """The label, to stand before the rest of a line; empty where the session has none."""
    return f"{session.label}: " if session.label else ""


def place(session: Session) -> str:
    """Where programs of the user's ran, and what limited them, in one line."""
    machine = session.machine
    kind, cell = _ENGINES.get(machine.engine, (machine.engine, ""))
    image = f" from the image {machine.image}" if machine.image and hosts.have_same_image(session) else ""
    limits = _limits(session)
    what = f" Each cell is a {cell} limited to {limits}." if cell and limits else ""
    where = f"{kind[:1].upper()}{kind[1:]}{image} on {_machines(session)}"
    return f"{_whose(session)}{where}.{what}"


def _limits(session: Session) -> str:
    """What limits the cells that this machine has, in words: ``1 or 2 CPUs and to a quota of CPU time``."""
    cells = [result.cell for result in session.results if result.status is not Status.UNAVAILABLE]
    sizes = sorted({cell.size for cell in cells if cell.pinned})
    *others, last = [str(size) for size in sizes[:-1]] + [units.cpus(size) for size in sizes[-1:]] or [""]
    cpus = f"{', '.join(others)} or {last}" if others else last
    quota = "a quota of CPU time" if any(cell.quota_cpus for cell in cells) else ""
    return " and to ".join(filter(None, (cpus, quota)))


def counts(session: Session) -> str:
    """How many claims have each verdict, in the cells that this machine could run."""
    lacking = {result.cell.id for result in session.results if result.status in (Status.UNAVAILABLE, Status.PLANNED)}
    judgements = [each for each in session.judgements if each.cell not in lacking and not each.about_cell]
    by_verdict = {verdict: sum(judgement.verdict is verdict for judgement in judgements) for verdict in Verdict}
    listed = ", ".join(f"{count} {verdict}" for verdict, count in by_verdict.items() if count) or "none"
    surprises = len(session.surprises)
    words = f"; {units.counted(surprises, 'surprise')}" if surprises else ", each as expected (no surprise)"
    if not surprises and not all(judgement.verdict == judgement.expected for judgement in judgements):
        words = "; no surprise"
    claims = units.counted(len({judgement.claim for judgement in judgements}), "claim")
    cells = units.counted(len({judgement.cell for judgement in judgements}), "cell")
    return f"{units.counted(len(judgements), 'verdict')} on {claims} in {cells}: {listed}{words}."


def failures(session: Session) -> tuple[tuple[str, str], ...]:
    """The cells that were not measured, with the reason of each."""
    return tuple(
        (names.full_words(result.cell), result.reason or result.status.value)
        for result in session.results
        if result.status is not Status.MEASURED
    )


def changes(session: Session) -> tuple[str, ...]:
    """A sentence for each claim that has another verdict on one build than on the next build, under any limit.

    It names builds that were run, and no release between them.
    """
    labels = columns.build_names(session)
    statements = {judgement.claim: judgement.statement for judgement in session.judgements}
    lines: dict[str, None] = {}
    for change in session.changes:
        before, after = labels[change.before], labels[change.after]
        holding, other = (after, before) if change.now is Verdict.CONFIRMED else (before, after)
        where = f"on {holding}, not on {other}"
        lines[f"{where}: {statements[change.claim]}"] = None
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
    return so_far(results, names.plain_words)


def so_far(results: Sequence[CellResult], words_of: Callable[[Cell], str] = names.cell_words) -> list[Table]:
    """The same tables with a row for each of these cells, also while others still run; ``words_of`` names a cell."""
    return [table for table in (_pool_table(results, words_of), _cores_table(results, words_of)) if table.rows]


def _pool_table(results: Sequence[CellResult], words_of: Callable[[Cell], str]) -> Table:
    sizes = [
        (result, size) for result in results if (size := pool_sizes.pool_size(result)) and size.workers is not None
    ]
    has_quota = any(size.quota is not None for _, size in sizes)
    rows = []
    for result, size in sizes:
        quota = [_quota(size.quota)] * has_quota
        cpus = (_number(size.cpu_count), str(size.affinity))
        rows.append((words_of(result.cell), *cpus, *quota, str(size.workers)))
    head = ("cell", "os.cpu_count()", "CPUs in its set", *["quota"] * has_quota, "workers of Pool()")
    return Table(title="", head=head, rows=tuple(rows))


def _cores_table(results: Sequence[CellResult], words_of: Callable[[Cell], str]) -> Table:
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
            rows.append((words_of(result.cell), *row))
    head = ("cell", "threads in\nPython", "threads in\nC code", "processes", "machine\ndelivered")
    title = f"Cores: times the work of one worker{_legend(results, rows)}"
    return Table(title=title, head=head, rows=tuple(rows))


def _legend(results: Sequence[CellResult], rows: Sequence[Sequence[str]]) -> str:
    """What ``-`` means, where a row has one: a single CPU says nothing of threads in C code, and noise hides much."""
    single = [result for result in results if speedups.of_cell(result) and proofs.parallelism(result.proof) == 1]
    unmeasured = sum(not speedups.of_c_code(result) for result in single)
    signs = sum(text == "-" for row in rows for text in row)
    if signs > unmeasured:
        return " (-: not measured, or no result)"
    return " (-: not measured in a cell of 1 CPU)" if signs else ""


def _across(session: Session, results: Sequence[CellResult]) -> list[Table]:
    """The same figures with a column for each build, where a column for each figure would not fit."""
    figures: tuple[tuple[str, Callable[[CellResult], str]], ...] = (
        ("workers of Pool()", _pool_workers),
        ("threads in Python", lambda result: _arm(result, "threads")),
        ("threads in C code", lambda result: _measured(result, speedups.of_c_code)),
        ("processes", lambda result: _arm(result, "processes")),
        ("machine delivered", lambda result: _measured(result, speedups.capacity)),
    )
    most: dict[str, int] = {}
    for result in results:
        most[result.cell.machine] = max(most.get(result.cell.machine, 0), result.cell.size)
    values = {
        (figure, names.plain_words(result.cell), result.cell.build): text
        for figure, text_of in figures
        for result in results
        # One CPU says something about Pool(), and nothing about gains.
        if (text_of is _pool_workers or result.cell.size == most[result.cell.machine]) and (text := text_of(result))
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
    return "no quota" if cpus is None else f"{cpus:g}"


def _times(estimate: Estimate | None) -> str:
    return units.ratio(estimate.value) if estimate else "-"
