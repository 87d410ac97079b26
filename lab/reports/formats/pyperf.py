"""The report for pyperf: its JSON format 1.0, with a benchmark for each way of working in each cell.

What a value is, :func:`lab.judging.speedups.timings` says: seconds a payload, in a block of neighbouring rounds. The
crew lives through the whole measurement, so a cell is one run in pyperf's sense. The format is written here: it is a
few lines, and pyperf's own classes would collect the metadata of this machine, which may be another than the cell's.
"""

from __future__ import annotations

import datetime
import json
from typing import Any

from lab.cell.cpus import cpulist
from lab.judging import speedups
from lab.judging.verdicts import finish_of
from lab.model import session as likeness
from lab.model.cell import CellResult
from lab.model.session import Session
from lab.reports.tables import cell_fields
from lab.text import names

#: The experiment whose rounds it is made of.
NEEDS = ("gil",)


def render(session: Session) -> str:
    """What ``pyperf show``, ``stats``, ``check`` and ``compare_to`` read. Without a round that counts it has no
    benchmark, and pyperf refuses it."""
    benchmarks = [found for result in session.results for found in _benchmarks(session, result)]
    suite = {"benchmarks": benchmarks, "metadata": _of_the_session(session), "version": "1.0"}
    return json.dumps(suite, indent=2) + "\n"


def _of_the_session(session: Session) -> dict[str, Any]:
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
    finish = finish_of("gil", result)
    found = []
    for timing in speedups.timings(result):
        metadata = {
            "name": f"gil/{timing.arm}/{_limit(session, result)}",
            "loops": timing.loops,
            "duration": float(finish["seconds"]) if finish else None,
            "description": f"seconds a payload, {timing.workers} at work",
            "cpu_affinity": cpulist.render(result.proof["affinity"]),
            "python_version": result.python["release"],
            "python_implementation": str(result.python["implementation"]).lower(),
            "python_gil": "enabled" if result.python["gil_enabled"] else "disabled",
            "platform": f"Linux-{result.python['kernel']}-{result.python['machine']}",
            "lab_cell": result.cell.id,
            "lab_build": likeness.build_of(session, result),
            "lab_image": cell_fields.image_of(session, result),
        }
        found.append({"metadata": _known(metadata), "runs": [{"values": timing.values}]})
    return found


def _limit(session: Session, result: CellResult) -> str:
    """A cell by what it may use, so that the same limit has the same name on another machine; by its id as well where
    the session has several of that limit."""

    mine = names.limit_words(result.cell)
    alike = sum(names.limit_words(one.cell) == mine for one in session.results)
    return mine if alike == 1 else f"{mine} ({result.cell.id})"


def _known(metadata: dict[str, Any]) -> dict[str, Any]:
    """Without what nobody knows. pyperf takes no empty text, and none of several lines."""
    tidy = {key: " ".join(value.split()) if isinstance(value, str) else value for key, value in metadata.items()}
    return {key: value for key, value in tidy.items() if value not in (None, "")}
