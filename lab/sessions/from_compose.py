"""Makes a session from the records of cells that Compose or Kubernetes started. Pure.

They start their cells without a plan of the lab. The records of each cell say what it should have: the size, and the
CPU ids that Compose was told to set. There are no ids if the worker limited itself, or if Kubernetes chose them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.cell import experiments
from lab.cell.cpus import cpulist
from lab.cell.targets.case import PREFIX, Case, from_stored
from lab.containers.container import PROJECT
from lab.judging import proofs, speedups
from lab.judging import status as runner
from lab.judging.assembly import assemble
from lab.judging.records import MALFORMED, Reader, read_records
from lab.model.cell import Cell, CellResult, Limit, Outcome, Record, Status
from lab.model.machine import Machine
from lab.model.session import Session
from lab.planning.targets import Target
from lab.text import units


@dataclass(frozen=True, kw_only=True)
class CellRecords:
    """What one cell left."""

    #: The name of the cell: ``cpu2``, ``cpuall``.
    cell: str
    #: Its records as they were written; ``None`` if it left no records.
    stream: bytes | None
    #: How the cell ended; ``None`` if that is not known. Its exit code is ``None`` until the cell ends.
    outcome: Outcome | None = None
    #: Whether the cell is still running.
    running: bool = False
    #: Why it has not begun; empty: not known, or it has.
    waiting: str = ""
    #: The command that shows what it printed; empty: that of Compose.
    log_command: str = ""
    #: Whether a quota of as many CPUs may stand for a CPU set, as where Kubernetes does not pin its pods.
    may_be_quota: bool = False


def session(
    name: str,
    sources: Iterable[CellRecords],
    image: str | None,
    details: Mapping[str, Any],
    engine: str = "compose",
    notes: Sequence[str] = (),
) -> Session:
    """A session of all these cells; ``name`` becomes part of its id. A cell with malformed records is an error.

    ``engine`` has started the cells, and ``notes`` are lines for the reader of a report.
    """
    ordered = sorted(sources, key=_place)
    readers = [_reader(source) for source in ordered]
    made = _told(name, ordered, readers, image, details)
    return dataclasses.replace(
        made, machine=dataclasses.replace(made.machine, engine=engine), notes=(*made.notes, *notes)
    )


def _told(
    name: str, ordered: Sequence[CellRecords], readers: Sequence[Reader], image: str | None, details: Mapping[str, Any]
) -> Session:
    """The session, in which a cell whose records cannot be reported has none."""
    try:
        return _session(name, ordered, readers, image, details)
    except MALFORMED:
        for source, reader in zip(ordered, readers, strict=True):
            if not _legible(source.cell, reader.records):
                reader.records, reader.faults = [], [*reader.faults, "its records do not describe a cell of this lab"]
        return _session(name, ordered, readers, image, details)


def _session(
    name: str, sources: Sequence[CellRecords], readers: Sequence[Reader], image: str | None, details: Mapping[str, Any]
) -> Session:
    machine = _machine(readers, image, details)
    results = [_result(*pair, everything=len(machine.cpus)) for pair in zip(sources, readers, strict=True)]
    times = [record.time for result in results for record in result.records]
    began = min(times, default=0.0)
    cases = _cases(results)
    chosen = _experiments(results) if not cases else tuple(case.experiment for case in cases)
    seeds = {str(result.cell.id): result.data("start")["seed"] for result in results if "seed" in result.data("start")}
    same_seed = len({*seeds.values()}) == 1
    return assemble(
        id=f"{name}-{began:.0f}",
        began=began,
        machine=machine,
        arguments={
            "experiments": list(chosen),
            "cpus": ",".join(source.cell.removeprefix("cpu") for source in sources),
            "seed": next(iter(seeds.values())) if same_seed else None,
            **_own_code(cases),
        },
        experiments=chosen,
        results=results,
        code_sha256="",  # the code comes from the images, not from this lab
        wall_seconds=max(times, default=0.0) - began,
        notes=[f"note: the cells had different seeds: {', '.join(f'{cell} {seed}' for cell, seed in seeds.items())}"]
        if seeds and not same_seed
        else (),
    )


def is_incomplete(session: Session) -> bool:
    """Whether a cell is running or has not run yet."""
    return any(result.status is Status.PLANNED for result in session.results)


def _place(source: CellRecords) -> tuple[bool, bool, float, str]:
    """The sort key of a cell: first by the number of CPUs, then cells with all CPUs, then quotas."""
    size, quota = _size(source.cell), _quota(source.cell)
    return quota is not None, size is None, quota or size or 0, source.cell


def _quota(cell: str) -> float | None:
    """The quota in a cell's name, in CPUs; ``None`` where a CPU set is its limit."""
    try:
        return float(cell.removeprefix("q")) if cell.startswith("q") else None
    except ValueError:
        return None


def _size(cell: str) -> int | None:
    """The number of CPUs in a cell's name; ``None`` for all of them."""
    digits = cell.removeprefix("cpu")
    return int(digits) if digits.isdecimal() else None


def _reader(source: CellRecords) -> Reader:
    if source.stream is not None and not source.running:
        return read_records(source.stream)
    reader = Reader()
    reader.feed(source.stream or b"")  # the end record may still come
    return reader


def _legible(cell: str, records: Sequence[Record]) -> bool:
    """Whether these records can be reported. A file may have any content, or come from another version."""
    trial = Reader()
    trial.records = list(records)
    try:
        session = _session("trial", [CellRecords(cell=cell, stream=b"")], [trial], None, {})
        return all(speedups.of_cell(result) is not None for result in session.results if result.proof)
    except MALFORMED:
        return False


def _result(source: CellRecords, reader: Reader, everything: int) -> CellResult:
    """The result of a cell. ``everything`` is the number of CPUs of the machine, as far as it is known."""
    start = next((record.data for record in reader.records if record.kind == "start"), None)
    size, asked = _size(source.cell), cpulist.parse(start.get("asked") or "") if start else ()
    seen = len(start["proof"]["affinity"]) if start else everything
    quota = start.get("quota") if start else None
    is_quota = bool(start and source.may_be_quota and seen != size and proofs.quota(start["proof"]) == size)
    if is_quota:
        quota, size = size, None
    limit = Limit(quota_cpus=quota) if quota else Limit(cpus=size, is_all=size is None)
    cell = Cell(id=source.cell, limit=limit, size=seen if size is None else size, cpus=asked, pinned=not is_quota)
    result = runner.conclude(cell, reader, source.outcome, wall_seconds=_seconds(reader.records))
    status, reason = result.status, result.reason
    if status is Status.MEASURED and start and seen != cell.size:
        status = Status.TAINTED
        reason = f"told to take {units.cpus(cell.size)}, it had {seen} ({cpulist.render(start['proof']['affinity'])})"
    if source.running:
        status, reason = Status.PLANNED, "it is still running"
    elif source.stream is None:
        status, reason = _why_nothing(source)
    return dataclasses.replace(result, status=status, reason=reason)


def _why_nothing(source: CellRecords) -> tuple[Status, str]:
    """Why a cell left no records. It has ended, or has never begun."""
    outcome = source.outcome
    if source.waiting:
        return Status.PLANNED, source.waiting
    if outcome is None or (outcome.exit_code is None and not outcome.reason):
        return Status.PLANNED, "it was not started"
    if not outcome.exit_code and not outcome.reason:
        return Status.PLANNED, "a later docker compose up cleared its records, and ended before it ran again"
    how = outcome.reason or f"it exited with status {outcome.exit_code}"
    return Status.ERROR, f"{how} and left no records; see {source.log_command or f'docker compose logs {source.cell}'}"


def _seconds(records: Sequence[Record]) -> float:
    return records[-1].time - records[0].time if records else 0.0


def _experiments(results: Iterable[CellResult]) -> tuple[str, ...]:
    """The experiments that the cells have begun; if no experiment has begun, the usual experiments."""
    begun = {
        str(record.data["experiment"]) for result in results for record in result.records if record.kind == "begin"
    }
    known = experiments.in_order()
    return tuple(name for name in known if name in begun) or tuple(experiments.usual())


def _cases(results: Iterable[CellResult]) -> tuple[Case, ...]:
    """The cases of the user's own code that the cells have begun, in the order of the cells and their records."""
    cases: dict[str, Case] = {}
    for result in results:
        for record in result.records:
            name = str(record.data.get("experiment", ""))
            if name.startswith(PREFIX) and record.kind == "observation" and record.data["name"] == "case":
                cases.setdefault(name, from_stored(record.data["value"]))
    return tuple(case for name, case in cases.items() if case.experiment == name)


def _own_code(cases: Sequence[Case]) -> dict[str, Any]:
    """The arguments of a session that has measured these cases."""
    if not cases:
        return {}
    target = Target(case=cases[0], project=PROJECT)
    return {"target": target.to_stored(), "cases": [case.to_stored() for case in cases]}


def _machine(readers: Sequence[Reader], image: str | None, details: Mapping[str, Any]) -> Machine:
    """The machine, as the cells saw it. A cell without a limit knows the usable CPUs; else the host's are taken."""
    starts = [record.data for reader in readers for record in reader.records if record.kind == "start"]
    unlimited = [tuple(start["proof"]["affinity"]) for start in starts if start.get("wanted_cpus") is None]
    hosts = [cpulist.parse(start["proof"]["host_cpus"] or "") for start in starts]
    host = max(hosts, key=len, default=())
    return Machine(
        engine="compose",
        cpus=unlimited[0] if unlimited else host,
        host_cpus=host,
        python=starts[0]["python"] if starts else {},
        image=image,
        details=details,
    )
