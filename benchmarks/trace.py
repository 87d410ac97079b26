"""Where the time of a run goes: each step of a stored session, as a table and as a chart. Prints; asserts nothing.

    python benchmarks/trace.py [SESSION] [--chart]

SESSION is the folder of a session; without it, the newest stored one is read. A step is what comes before the first
record of the first cell, a cell's start (from the end of the cell before it to its first experiment), an experiment, a
cell's end, or the rest. With ``--chart`` the steps are printed as a Gantt chart for Mermaid, as in docs/running.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from lab.model.cell import CellResult
from lab.model.session import Session
from lab.sessions import loading
from lab.sessions.folder import default_folder


@dataclass(frozen=True, kw_only=True)
class Step:
    """A part of a run."""

    #: The cell's label; empty for what belongs to no cell.
    cell: str
    #: What is done.
    name: str
    #: When it began, in seconds from the start of the run.
    began: float
    #: When it ended, in seconds from the start of the run.
    ended: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("session", type=Path, nargs="?", help="the folder of a session")
    parser.add_argument("--chart", action="store_true", help="print a Gantt chart for Mermaid")
    options = parser.parse_args()
    folder = loading.find_session(options.session or default_folder())
    ended = loading.manifest(folder).get("ended")
    if ended is None:
        parser.error(f"{folder} does not say when the run ended; name the session of one whole run")
    steps = list(steps_of(loading.load_session(folder), ended))
    if any(step.ended < step.began for step in steps):
        parser.error(f"the cells of {folder} ran side by side; name a session whose cells ran one after the other")
    print(chart(steps) if options.chart else table(steps))


def steps_of(session: Session, ended: float) -> Iterator[Step]:
    """The steps of a run whose cells ran one after the other. ``ended`` is in seconds since 1970."""
    at = began = session.began
    results = sorted((result for result in session.results if result.records), key=lambda one: one.records[0].time)
    for result in results:
        name = "start" if at > began else "looking at the machine, and start"
        for cell, step, begins, ends in _steps_in(result, name, at):
            yield Step(cell=cell, name=step, began=begins - began, ended=ends - began)
            at = ends
    yield Step(cell="", name="judging and storing", began=at - began, ended=ended - began)


def _steps_in(result: CellResult, first: str, since: float) -> Iterator[tuple[str, str, float, float]]:
    label, name = result.cell.label, first
    for record in result.records:
        if record.kind in ("begin", "end"):
            yield label, name, since, record.time
            name, since = str(record.data.get("experiment")), record.time
        elif record.kind == "finish":
            yield label, name, since, record.time
            name, since = "end", record.time


def table(steps: list[Step]) -> str:
    """A row for each step: its seconds, and its share of the run."""
    whole = steps[-1].ended
    rows = [
        (step.cell, step.name, f"{step.ended - step.began:.2f}", f"{100 * (step.ended - step.began) / whole:.0f} %")
        for step in steps
        if step.ended - step.began >= 0.005
    ]
    rows.append(("", "together", f"{whole:.2f}", "100 %"))
    return tabulate(rows, headers=("cell", "step", "seconds", "share"), disable_numparse=True)


def chart(steps: list[Step]) -> str:
    """The steps on a line of time, in milliseconds."""
    lines = ["gantt", "    dateFormat x", "    axisFormat %S s"]
    cell = None
    for step in steps:
        if step.cell != cell:
            cell = step.cell
            lines.append(f"    section {cell or 'the rest'}")
        if step.ended - step.began >= 0.05:
            seconds = f"{step.ended - step.began:.1f} s"
            lines.append(f"    {step.name} {seconds} : {round(1000 * step.began)}, {round(1000 * step.ended)}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
