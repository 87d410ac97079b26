"""The story of a session, as the tutorial tells it: who ran, pid, thread name, which CPU, when."""

from __future__ import annotations

from tabulate import tabulate

from lab import units
from lab.model import CellResult, Session


def render(session: Session) -> str:
    """Every event of every experiment, by cell, in the order of time."""
    parts = []
    for result in session.results:
        for experiment in dict.fromkeys(
            record.data["experiment"] for record in result.records if record.kind == "begin"
        ):
            parts.append(f"{experiment}, with {units.cpus(result.cell.size)}\n\n{_story(result, experiment)}\n")
    return "\n".join(parts) + ("\n" if parts else "")


def _story(result: CellResult, experiment: str) -> str:
    events = [
        record.data for record in result.records if record.kind == "event" and record.data["experiment"] == experiment
    ]
    rows = [
        (f"{event['at'] * 1e3:.1f}", event["pid"], event["thread"], _cpu(event["cpu"]), event["text"])
        for event in sorted(events, key=lambda event: float(event["at"]))
    ]
    return tabulate(
        rows,
        headers=("ms", "pid", "thread", "CPU", "what happens"),
        disable_numparse=True,
        colalign=("right", "right", "left", "right", "left") if rows else None,
        maxcolwidths=[None, None, 14, None, 42] if rows else None,
    )


def _cpu(number: int | None) -> str:
    return "?" if number is None else str(number)
