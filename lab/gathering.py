"""From the records that Compose's cells left to a session. Pure.

Compose starts its cells without a plan of ours, on every machine. What each was to have is in its records: the size,
and the CPU ids that Compose was told to set, none when the worker narrowed itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab import cores, cpuset, experiments, proofs, runner, units, verdicts
from lab.model import Cell, CellResult, Machine, Outcome, Record, Session, Status
from lab.records import Reader, read
from lab.sessions import assemble


@dataclass(frozen=True, kw_only=True)
class Source:
    """What was found of one cell: its name (``cpu2``, ``cpuall``), its records as they are, and how it ended.

    ``stream`` is ``None`` when it has not run; ``outcome`` where nobody knows how it ended.
    """

    cell: str
    stream: bytes | None
    outcome: Outcome | None = None
    running: bool = False


def session(name: str, sources: Iterable[Source], image: str | None, details: Mapping[str, Any]) -> Session:
    """A session of everything found; ``name`` goes into its id."""
    ordered = sorted(sources, key=lambda source: (_size(source.cell) is None, _size(source.cell) or 0, source.cell))
    readers = [_reader(source) for source in ordered]
    machine = _machine(readers, image, details)
    results = [_result(*pair, everything=len(machine.cpus)) for pair in zip(ordered, readers, strict=True)]
    times = [record.time for result in results for record in result.records]
    began = min(times, default=0.0)
    return assemble(
        id=f"{name}-{began:.0f}",
        began=began,
        machine=machine,
        arguments={"experiments": list(_experiments(results)), "cpus": ",".join(one.cell[3:] for one in ordered)},
        experiments=_experiments(results),
        results=results,
        code_sha256="",
        wall_seconds=max(times, default=0.0) - began,
    )


def incomplete(found: Session) -> bool:
    """Whether a cell has still to run, or is running."""
    return any(result.status is Status.PLANNED for result in found.results)


def _size(cell: str) -> int | None:
    """The number of CPUs in a cell's name; ``None`` for all of them."""
    digits = cell.removeprefix("cpu")
    return int(digits) if digits.isdecimal() else None


def _reader(source: Source) -> Reader:
    if source.running or source.stream is None:
        reader = Reader()
        reader.feed(source.stream or b"")  # its end cannot be missing yet
    else:
        reader = read(source.stream)
    if not _legible(reader.records):
        reader.records, reader.faults = [], [*reader.faults, "its first record does not describe a cell"]
    return reader


def _legible(records: Sequence[Record]) -> bool:
    """Whether a report can be made of these records: a file may hold anything, or come from another version."""
    if not records:
        return True
    cell = Cell(id="cpu1", label="1", size=1)
    trial = CellResult(cell=cell, status=Status.MEASURED, reason=None, records=tuple(records))
    try:
        start = trial.data("start")
        cpuset.parse(start["asked"] or "")
        cpuset.parse(start["proof"]["host_cpus"] or "")
        proofs.taints(trial)
        cores.rows(trial)
        verdicts.judge([experiments.load(name) for name in _experiments([trial])], [trial])
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        return False
    return True


def _result(source: Source, reader: Reader, everything: int) -> CellResult:
    """What became of a cell. ``everything`` is the number of CPUs of the machine, as far as is known."""
    start = next((record.data for record in reader.records if record.kind == "start"), None)
    size, asked = _size(source.cell), cpuset.parse(start["asked"] or "") if start else ()
    label = "all" if size is None else str(size)
    seen = len(start["proof"]["affinity"]) if start else everything
    cell = Cell(id=source.cell, label=label, size=seen if size is None else size, cpus=asked)
    result = runner.conclude(cell, reader, source.outcome, wall_seconds=_seconds(reader.records))
    status, reason = result.status, result.reason
    if status is Status.MEASURED and start and seen != cell.size:
        status = Status.TAINTED
        reason = f"told to take {units.cpus(cell.size)}, it had {seen} ({cpuset.render(start['proof']['affinity'])})"
    if source.running:
        status, reason = Status.PLANNED, "still running; what it has so far is shown"
    elif source.stream is None and not (source.outcome and source.outcome.reason):
        status, reason = Status.PLANNED, "it has not run"
    return dataclasses.replace(result, status=status, reason=reason)


def _seconds(records: Sequence[Record]) -> float:
    return records[-1].time - records[0].time if records else 0.0


def _experiments(results: Iterable[CellResult]) -> tuple[str, ...]:
    """The experiments that any cell has begun; all of them when none has."""
    begun = {str(record.data["experiment"]) for one in results for record in one.records if record.kind == "begin"}
    known = experiments.in_order()
    return tuple(name for name in known if name in begun) or tuple(known)


def _machine(readers: Sequence[Reader], image: str | None, details: Mapping[str, Any]) -> Machine:
    """The machine, as the cells saw it: no cell may have been given all of its CPUs."""
    starts = [record.data for reader in readers for record in reader.records if record.kind == "start"]
    cpus = {cpu for start in starts for cpu in start["proof"]["affinity"]}
    hosts = [cpuset.parse(start["proof"]["host_cpus"] or "") for start in starts]
    return Machine(
        engine="compose",
        cpus=tuple(sorted(cpus)),
        host_cpus=max(hosts, key=len, default=()) or tuple(sorted(cpus)),
        python=starts[0]["python"] if starts else {},
        image=image,
        details=details,
    )
