"""The tables of limits and of Pool(): what was requested, set and seen, and how many workers Python started. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lab.cell.cpus import cpulist
from lab.judging import pool_sizes, proofs
from lab.model.cell import CellResult, Status
from lab.model.session import Session
from lab.reports.tables import claims, columns
from lab.text import names, units
from lab.text.table import Table

#: The most characters that a column has room for; a longer list of CPU ids is cut.
LONGEST_LIST = 11

#: Below the table of limits.
_LIMITS_LEGEND = (
    (
        "asked for: the limit that was requested. engine says: the limit that the engine reports. inside saw: the limit"
        " that Python found inside the cell."
    ),
    (
        "P: number of CPUs in the affinity mask. R: the smaller of P and the tightest quota. D: CPUs that P busy"
        " processes really received. stopped: how many scheduling periods the quota paused the cell."
    ),
)

#: Below the table of Pool().
_POOL_LEGEND = (
    "host CPUs: number of CPUs of the machine. affinity: number of CPUs in the affinity mask. quota: CPU seconds per"
    " second that the quota allows. as many as CPUs?: verdict on the claim that Pool() starts one worker per CPU."
)

#: Statuses for which a table has another word than their own.
_WORDS = {Status.UNAVAILABLE: "untestable", Status.PLANNED: "not run"}


def limits_table(session: Session) -> Table:
    """The proof of each limit: what was requested, what the engine reports, what Python found inside; P, R and D."""
    rows = []
    labels = columns.cell_labels(session)
    for result in session.results:
        asked_limit = _limit(result.cell.cpus if result.cell.pinned else (), result.cell.quota_cpus)
        asked_limit = asked_limit or units.cpus(result.cell.size)
        if not result.proof:
            rows.append((labels[result.cell.id], asked_limit, *["-"] * 6, status_word(result)))
            continue
        outside = result.outcome.outside if result.outcome else None
        reported = "-"
        if outside is not None:
            engine_cpus = cpulist.parse(outside.get("cpuset") or outside.get("affinity") or "")
            reported = _limit(engine_cpus, outside.get("quota_cpus")) or "none"
        inside = _limit(result.proof["affinity"], proofs.quota(result.proof))
        capacities = (proofs.parallelism(result.proof), proofs.rate(result.proof), proofs.delivered(result))
        texts = ("-" if cpus is None else f"{cpus:.2f}".rstrip("0").rstrip(".") for cpus in capacities)
        rows.append(
            (labels[result.cell.id], asked_limit, reported, inside, *texts, _stopped(result), status_word(result))
        )
    head = ("CPUs", "asked for", "engine\nsays", "inside saw", "P", "R", "D", "stopped", "cell")
    notes = (
        *columns.build_paths(session),
        *unavailable_cells(session),
        *_cpu_notes(session),
        *_hidden_limits(session),
        *_LIMITS_LEGEND,
    )
    return Table(title="Limits", head=head, rows=tuple(rows), notes=notes)


def _limit(cpus: Sequence[int], quota_cpus: float | None) -> str:
    """A limit for a column: CPU ids, a quota, or both; empty without a limit."""
    parts = (short_ids(cpus), "" if quota_cpus is None else f"quota {quota_cpus:g}")
    return ",\n".join(filter(None, parts))


def _stopped(result: CellResult) -> str:
    periods = proofs.stopped_periods(result)
    return "-" if periods is None else str(periods)


def _hidden_limits(session: Session) -> list[str]:
    """A line for each cell that received clearly less than every visible limit allows, with the likely reason."""
    explained = [(result, result.data("end").get("delivered") or {}) for result in session.results]
    return [f"{result.cell.label}: {delivered['why']}" for result, delivered in explained if delivered.get("why")]


def _cpu_notes(session: Session) -> tuple[str, ...]:
    """A line for each note about the CPUs of a cell."""
    return tuple(f"{result.cell.label}: {note}" for result in session.results for note in result.cell.notes)


def short_ids(cpus: Iterable[int], most: int = LONGEST_LIST) -> str:
    """A list of CPU ids of at most ``most`` characters, cut at a comma. The JSON document has the whole list."""
    text = cpulist.render(cpus)
    if len(text) <= most:
        return text
    ranges, _, _ = text[: most - 1].rpartition(",")
    return f"{ranges},…"


def unavailable_cells(session: Session) -> tuple[str, ...]:
    """A line for each cell that was not measured, with the reason."""
    return tuple(
        f"{names.full_words(result.cell)}: {status_word(result)}: {result.reason}"
        for result in session.results
        if result.status is not Status.MEASURED
    )


def status_word(result: CellResult) -> str:
    """How a cell ended, in one or two words."""
    return _WORDS.get(result.status, result.status.value)


def pool_table(session: Session) -> Table:
    """How many workers ``Pool()`` started, next to every number of CPUs that it could have used."""
    rows = []
    labels, has_builds = columns.cell_labels(session), columns.has_builds(session)
    mark = claims.short_mark if has_builds else claims.mark
    for result in session.results:
        verdict = mark(claims.find_judgement(session, "pool.default-size", result))
        size = pool_sizes.pool_size(result)
        if size is None:
            rows.append((labels[result.cell.id], *["-"] * 6, verdict))
            continue
        numbers = [
            size.host_cpus,
            size.cpu_count,
            size.process_cpu_count,
            size.affinity,
            f"{size.quota:g}" if size.quota is not None else "none",
            size.workers,
        ]
        rows.append((labels[result.cell.id], *("-" if number is None else str(number) for number in numbers), verdict))
    head = (
        "CPUs",
        "host\nCPUs",
        "os.cpu_\ncount()",
        "process_\ncpu_count()",
        "affinity",
        "quota",
        "workers\nstarted",
        "as many as\nCPUs?",
    )
    notes = (_POOL_LEGEND, *([claims.SHORT_LEGEND] if has_builds else []))
    return Table(title="Pool(): how many workers it starts", head=head, rows=tuple(rows), notes=notes)
