"""The report for what reads hyperfine's results: the JSON document that ``hyperfine --export-json`` writes.

It has a result for each program under each limit. The limit is one of the result's parameters. Its memory is that of
the processes of each run, also in a container, whose control group tells only the peak of its whole life.
"""

from __future__ import annotations

import json
import statistics
from typing import Any

from lab.judging.programs import Measured, measured
from lab.model.session import Session
from lab.text import names


def render(session: Session) -> str:
    """The results of ``lab exec``; a session of another kind has none."""
    return json.dumps({"results": [_result(row) for row in measured(session) if row.runs]}, indent=2) + "\n"


def _result(row: Measured) -> dict[str, Any]:
    walls, memory = row.values("wall"), row.values("tree_memory")
    return {
        "command": row.program.command,
        "mean": statistics.fmean(walls),
        "stddev": row.deviation,
        "median": statistics.median(walls),
        "user": statistics.fmean(row.values("user")),
        "system": statistics.fmean(row.values("system")),
        "min": min(walls),
        "max": max(walls),
        "times": list(walls),
        **({"memory_usage_byte": list(memory)} if len(memory) == len(walls) else {}),
        "exit_codes": [run["code"] for run in row.runs],
        "parameters": {**row.program.parameters, "limit": names.plain_words(row.cell.cell)},
    }
