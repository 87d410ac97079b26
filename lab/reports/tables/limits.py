"""The tables of limits and of Pool(): what was asked for, set and seen, and how many workers Python started. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from lab.cell.cpus import cpulist
from lab.judging import proofs
from lab.model.cell import CellResult, Status
from lab.model.session import Session
from lab.reports.tables import claims, columns
from lab.text import names, units
from lab.text.table import Table

#: A list of CPU ids that is longer does not fit into a column.
LONGEST_LIST = 11

_WORDS = {Status.UNAVAILABLE: "untestable", Status.PLANNED: "not run"}


def limits(session: Session) -> Table:
    """The proof: what was asked for, what the engine says it set, what the inside saw; and P, R and D."""
    rows = []
    labels = columns.labels(session)
    for result in session.results:
        asked = _limit(result.cell.cpus if result.cell.pinned else (), result.cell.quota_cpus)
        asked = asked or units.cpus(result.cell.size)
        if not result.proof:
            rows.append((labels[result.cell.id], asked, *["-"] * 6, word(result)))
            continue
        outside = result.outcome.outside if result.outcome else None
        reported = "-"
        if outside is not None:
            set_for_it = cpulist.parse(outside.get("cpuset") or outside.get("affinity") or "")
            reported = _limit(set_for_it, outside.get("quota_cpus")) or "none"
        inside = _limit(result.proof["affinity"], proofs.quota(result.proof))
        three = (proofs.parallelism(result.proof), proofs.rate(result.proof), proofs.delivered(result))
        said = ("-" if one is None else f"{one:.2f}".rstrip("0").rstrip(".") for one in three)
        rows.append((labels[result.cell.id], asked, reported, inside, *said, _stopped(result), word(result)))
    head = ("CPUs", "asked for", "engine\nsays", "inside saw", "P", "R", "D", "stopped", "cell")
    notes = (
        *columns.paths(session),
        *unavailable(session),
        *_about_cpus(session),
        *_hidden(session),
        _PRD,
    )
    return Table(title="Limits", head=head, rows=tuple(rows), notes=notes)


_PRD = (
    "P: CPUs in the affinity mask; R: the least of P and every quota; D: CPUs that P busy processes got; stopped:"
    " periods in which a quota did"
)


def _limit(cpus: Sequence[int], quota_cpus: float | None) -> str:
    """A limit for a column: CPU ids, a quota, or both; empty for none."""
    parts = (ids(cpulist.render(cpus)), "" if quota_cpus is None else f"quota {quota_cpus:g}")
    return ",\n".join(filter(None, parts))


def _stopped(result: CellResult) -> str:
    periods = proofs.stopped_periods(result)
    return "-" if periods is None else str(periods)


def _hidden(session: Session) -> list[str]:
    """A line for each cell that got clearly less than every limit in sight allows, and why, as far as it could tell."""
    found = [(result, result.data("end").get("delivered") or {}) for result in session.results]
    return [f"{result.cell.label}: {delivered['why']}" for result, delivered in found if delivered.get("why")]


def _about_cpus(session: Session) -> tuple[str, ...]:
    """What is special about a cell's CPUs, a line each."""
    return tuple(f"{result.cell.label}: {note}" for result in session.results for note in result.cell.notes)


def ids(text: str) -> str:
    """A CPU list that fits a column; the JSON document has all of it."""
    return text if len(text) <= LONGEST_LIST else text[: LONGEST_LIST - 1] + "…"


def unavailable(session: Session) -> tuple[str, ...]:
    """A line for each cell without a measurement, and why."""
    return tuple(
        f"{names.full_words(result.cell)}: {word(result)}: {result.reason}"
        for result in session.results
        if result.status is not Status.MEASURED
    )


def word(result: CellResult) -> str:
    """What became of a cell, in a word."""
    return _WORDS.get(result.status, result.status.value)


def pool(session: Session) -> Table:
    """What ``Pool()`` started, beside every number that it could have gone by."""
    rows = []
    labels, several = columns.labels(session), columns.several(session)
    mark = claims.short_mark if several else claims.mark
    for result in session.results:
        verdict = mark(claims.find_judgement(session, "pool.default-size", result))
        if not result.proof or result.status is Status.UNAVAILABLE:
            rows.append((labels[result.cell.id], *["-"] * 6, verdict))
            continue
        proof = result.proof
        quota = proofs.quota(proof)
        started = [
            record.data["value"]
            for record in result.records_of("pool")
            if record.kind == "observation" and record.data["name"] == "default workers"
        ]
        numbers = [
            len(cpulist.parse(proof["host_cpus"])) if proof["host_cpus"] else None,
            proof["cpu_count"],
            proof["process_cpu_count"],
            len(proof["affinity"]),
            f"{quota:g}" if quota is not None else "none",
            started[0] if started else None,
        ]
        rows.append((labels[result.cell.id], *("-" if one is None else str(one) for one in numbers), verdict))
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
    notes = (claims.SHORT_KEY,) if several else ()
    return Table(title="Pool(): how many workers it starts", head=head, rows=tuple(rows), notes=notes)
