"""The story of a session, as the tutorial tells it: who ran, pid, thread name, which CPU, when."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from lab.cell.targets.case import PREFIX
from lab.messages import printable
from lab.model.cell import CellResult
from lab.model.session import Session
from lab.text import names

_THREAD = 12  # columns for a thread's name; "MainThread" has 10


def render(session: Session) -> str:
    """Every event of every experiment, by cell, in the order of time."""
    parts = []
    for result in session.results:
        for experiment in dict.fromkeys(
            record.data["experiment"] for record in result.records if record.kind == "begin"
        ):
            parts.append(f"{experiment}, with {names.full_words(result.cell)}\n\n{_story(result, experiment)}\n")
    return "\n".join(parts) + ("\n" if parts else "")


def _story(result: CellResult, experiment: str) -> str:
    events = [
        record.data for record in result.records if record.kind == "event" and record.data["experiment"] == experiment
    ]
    rows = [
        (
            f"{event['at'] * 1e3:.1f}",
            str(event["pid"]),
            event["thread"],
            _cpu(event["cpu"]),
            printable(event["text"]),
        )
        for event in sorted(events, key=lambda event: float(event["at"]))
    ]
    if not rows and experiment.startswith(PREFIX):
        return "No story: its calls are only counted. lab report --terminal has the numbers."
    return tabulate(
        rows,
        headers=("ms", "pid", "thread", "CPU", "what happens"),
        disable_numparse=True,
        colalign=("right", "right", "left", "right", "left") if rows else None,
        maxcolwidths=[None, None, _THREAD, None, _text_width(rows)] if rows else None,
    )


def _text_width(rows: Sequence[tuple[str, str, str, str, str]]) -> int:
    """The width that the other columns leave of 80 columns."""
    others = (max(len(row[0]) for row in rows), max(len(row[1]) for row in rows), max(len(row[3]) for row in rows))
    return 80 - sum(max(5, width) for width in others) - _THREAD - 10


def _cpu(number: int | None) -> str:
    return "?" if number is None else str(number)
