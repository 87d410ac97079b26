"""The report for pyperf: its JSON format 1.0, with a benchmark for each way of working in each cell.

A value is the seconds per payload in a block of neighbouring rounds, see :func:`lab.judging.speedups.timings`. Of a
function of the user's it is the seconds per call, and of a command the seconds per run. The workers live
through the whole measurement, so a cell is one run in pyperf's sense. This module writes the format itself, because
pyperf's classes would collect the metadata of this machine, and the cell may have run on another.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

from lab.cell.cpus import cpulist
from lab.cell.targets.case import PREFIX
from lab.judging import programs, speedups
from lab.judging.advice import case_names, timings
from lab.judging.verdicts import finish_of
from lab.messages import printable
from lab.model import session as likeness
from lab.model.cell import CellResult
from lab.model.session import Session
from lab.reports.tables import cell_fields
from lab.text import names

#: The experiment whose rounds the report shows.
NEEDS = ("gil",)


def render(session: Session) -> str:
    """A document for ``pyperf show``, ``stats``, ``check`` and ``compare_to``.

    Without a round that counts the document has no benchmark, and pyperf refuses it.
    """
    benchmarks = [benchmark for result in session.results for benchmark in _benchmarks(session, result)]
    benchmarks += _program_benchmarks(session)
    suite = {"benchmarks": benchmarks, "metadata": _session_metadata(session), "version": "1.0"}
    return json.dumps(suite, indent=2) + "\n"


def _session_metadata(session: Session) -> dict[str, Any]:
    return _known(
        {
            "unit": "second",
            "date": str(
                datetime.datetime.fromtimestamp(session.began, datetime.UTC).replace(microsecond=0, tzinfo=None)
            ),
            "cpu_count": len(session.machine.host_cpus) or None,
            "lab_version": session.lab_version,
            "lab_session": session.id,
            "lab_engine": session.machine.engine,
        }
    )


def _benchmarks(session: Session, result: CellResult) -> list[dict[str, Any]]:
    measured = [("gil", "a payload", timing) for timing in speedups.timings(result)]
    measured += [(name, "a call", timing) for name in case_names(session) for timing in timings(name, result)]
    benchmarks = []
    for experiment, what, timing in measured:
        finish = finish_of(experiment, result)
        metadata = {
            "name": f"{experiment.removeprefix(PREFIX)}/{timing.arm}/{_limit(session, result)}",
            "loops": timing.loops,
            "duration": float(finish["seconds"]) if finish else None,
            "description": f"seconds {what}, {timing.workers} at work",
            "python_version": result.python["release"],
            "python_implementation": str(result.python["implementation"]).lower(),
            "python_gil": "enabled" if result.python["gil_enabled"] else "disabled",
            **_cell_metadata(session, result),
        }
        benchmarks.append({"metadata": _known(metadata), "runs": [{"values": timing.values}]})
    return benchmarks


def _program_benchmarks(session: Session) -> list[dict[str, Any]]:
    """A benchmark for each command of the user's under each limit; a value is the wall time of a run."""
    return [
        {
            "metadata": _known(
                {
                    "name": f"{row.program.label}/{names.limit_words(row.cell.cell)}",
                    "loops": 1,
                    "duration": sum(row.values("wall")),
                    "description": "seconds a run",
                    "command": row.program.command,
                    **_cell_metadata(session, row.cell),
                }
            ),
            "runs": [{"values": list(row.values("wall"))}],
        }
        for row in programs.measured(session)
        if row.runs
    ]


def _cell_metadata(session: Session, result: CellResult) -> dict[str, Any]:
    """What the metadata of every benchmark of a cell say of it."""
    return {
        "cpu_affinity": cpulist.render(result.proof["affinity"]),
        "platform": f"Linux-{result.python['kernel']}-{result.python['machine']}",
        "lab_cell": result.cell.id,
        "lab_build": likeness.build_of(session, result),
        "lab_image": cell_fields.image_of(session, result),
    }


def _limit(session: Session, result: CellResult) -> str:
    """The limit of a cell in words, so that the same limit has the same name on another machine.

    If several cells of the session have that limit, the id of the cell follows.
    """
    limit = names.limit_words(result.cell)
    uses = sum(names.limit_words(each.cell) == limit for each in session.results)
    return limit if uses == 1 else f"{limit} ({result.cell.id})"


def _known(metadata: dict[str, Any]) -> dict[str, Any]:
    """The metadata without unknown values, each text on one line: pyperf refuses empty texts and line breaks."""
    tidy = {
        key: printable(" ".join(value.split())) if isinstance(value, str) else value for key, value in metadata.items()
    }
    return {key: value for key, value in tidy.items() if value not in (None, "")}
