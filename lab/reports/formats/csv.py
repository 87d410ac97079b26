"""The report for spreadsheets and data frames: a row for every claim in every cell, as RFC 4180 describes CSV.

A session of the user's own code has a row for every number too.
"""

from __future__ import annotations

import datetime

from lab.cell.targets.figures import Workers
from lab.judging.advice import case_names, workers_of
from lab.judging.programs import programs_of
from lab.model.cell import CellResult
from lab.model.session import Judgement, Quantity, Session
from lab.reports.tables import cell_fields
from lab.text import spreadsheets
from lab.text.spreadsheets import Value

#: The names of the columns, the same for every session; docs/formats.md explains each column.
COLUMNS = (
    "session",
    "began",
    "lab",
    "engine",
    "image",
    "implementation",
    "python",
    "gil",
    "cell",
    "cpus",
    "quota_cpus",
    "cpu_ids",
    "pinned_by",
    "status",
    "parallelism_cpus",
    "rate_cpus",
    "delivered_cpus",
    "experiment",
    "claim",
    "statement",
    "verdict",
    "expected",
    "surprise",
    "value",
    "low",
    "high",
    "unit",
    "ceiling",
    "accepted",
    "rejected",
    "reason",
    "build",
    "number",
    "executor",
    "workers",
    "own_state",
    "chunk_size",
    "label",
)


def render(session: Session) -> str:
    """All claims of the session, and the numbers of own code, a line for each; the first line names the columns."""
    results = {result.cell.id: result for result in session.results}
    rows = [_claim(session, results[judgement.cell], judgement) for judgement in session.judgements]
    workers = workers_of(session)
    own = {*case_names(session), *(program.experiment for program in programs_of(session))}
    for number in (each for each in session.quantities if each.experiment in own):
        whose = workers.get((number.experiment, number.cell, number.of))
        rows.append(_number(session, results[number.cell], number, whose))
    return spreadsheets.rows([COLUMNS, *([row.get(name) for name in COLUMNS] for row in rows)])


def _cell(session: Session, result: CellResult) -> dict[str, Value]:
    cell = cell_fields.fields_of_cell(session, result)
    return {
        "session": session.id,
        "began": f"{datetime.datetime.fromtimestamp(session.began, datetime.UTC):%Y-%m-%dT%H:%M:%SZ}",
        "lab": session.lab_version,
        **cell,
        "label": session.label or result.cell.machine or None,
        "build": cell["build"] and f"Python {cell['build']}",  # a bare 3.10 would be read as the number 3.1
    }


def _number(session: Session, result: CellResult, number: Quantity, workers: Workers | None) -> dict[str, Value]:
    return {
        **_cell(session, result),
        "experiment": number.experiment,
        "statement": ": ".join(filter(None, (number.of, number.what))),
        "value": number.value,
        "low": number.low,
        "high": number.high,
        "unit": number.unit or None,
        "accepted": number.accepted,
        "rejected": number.rejected,
        "number": number.what,
        "executor": workers and (workers.executor or "none"),
        "workers": workers and workers.workers,
        "own_state": workers and ("true" if workers.own else "false"),
        "chunk_size": (workers and workers.chunk) or None,
    }


def _claim(session: Session, result: CellResult, judgement: Judgement) -> dict[str, Value]:
    return {
        **_cell(session, result),
        "experiment": judgement.claim.rpartition(".")[0],
        "claim": judgement.claim,
        "statement": judgement.statement,
        "verdict": judgement.verdict.value,
        "expected": judgement.expected.value if judgement.expected else None,
        "surprise": "true" if judgement.surprise else "false",
        "value": judgement.value,
        "low": judgement.low,
        "high": judgement.high,
        "unit": judgement.unit or None,
        "ceiling": judgement.ceiling,
        "accepted": judgement.accepted,
        "rejected": judgement.rejected,
        "reason": judgement.reason,
    }
