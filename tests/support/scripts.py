"""Scripts for cells that nobody runs: streams of records as a worker writes them, with evidence made up."""

from __future__ import annotations

import functools
import os
import random
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lab.cell.cpus import cpulist
from lab.cell.experiments.gil import CROWD, arms_for
from lab.cell.experiments.switching import INTERVALS
from lab.cell.targets.case import Case
from lab.cell.worker.record_writer import Channel
from lab.engines import Sink
from lab.judging import assembly, status
from lab.judging.records import read_records
from lab.model.cell import Cell, CellResult, Job, Limit, Outcome, Status
from lab.model.machine import Machine
from lab.model.session import Session
from lab.planning import cells as planner

#: What an experiment says: (kind, data), as :class:`lab.cell.claims.recorder.Recorder` sends it.
Said = tuple[str, dict[str, Any]]


def python(version: tuple[int, int, int] = (3, 13, 5), *, gil: bool = True) -> dict[str, Any]:
    """What a Python says of itself."""
    return {
        "version": list(version),
        "release": ".".join(map(str, version)),
        "implementation": "CPython",
        "free_threaded": not gil,
        "gil_enabled": gil,
        "executable": "/usr/bin/python3",
        "start_method": "fork",
        "switch_interval": 0.005,
        "machine": "x86_64",
        "kernel": "6.1.0",
        "options": {},
    }


def proof(cpus: Sequence[int], host_cpus: int = 2, quota: float | None = None) -> dict[str, Any]:
    """What a cell on these CPUs sees of its limits."""
    level = {
        "quota_cpus": quota,
        "quota_us": (quota or 0) * 1e5,
        "period_us": 1e5,
        "throttled_periods": 0,
        "throttled_seconds": 0.0,
        "folder": "/sys/fs/cgroup/cpu",
    }
    return {
        "host_cpus": cpulist.render(range(host_cpus)),
        "cpu_count": host_cpus,
        "process_cpu_count": len(cpus),
        "affinity": list(cpus),
        "cpuset_effective": cpulist.render(cpus),
        "cgroup_version": 1,
        "quotas": [level] if quota else [],
        "pool_size": len(cpus),
        "isolated": "",
        "siblings": [],
        "kinds": 1,
    }


def machine(cpus: int = 2, engine: str = "docker") -> Machine:
    """A machine with that many CPUs, as a probe describes it."""
    ids = tuple(range(cpus))
    return Machine(
        engine=engine,
        cpus=ids,
        host_cpus=ids,
        python=python(),
        image="python:3.13-slim" if engine == "docker" else None,
        details={"engine_version": "27.0"} if engine == "docker" else {},
    )


TWO_CPUS = machine()


def stream(
    cell: str,
    cpus: Sequence[int],
    experiments: Mapping[str, Iterable[Said]] | None = None,
    *,
    host_cpus: int = 2,
    failed: Mapping[str, str] | None = None,
    python: Mapping[str, Any] = python(),
    end: Mapping[str, Any] | None = None,
    pinned_by: str = "engine",
    seen: Mapping[str, object] = {},
) -> bytes:
    """The whole stream of a cell whose experiments say these things; ``failed`` maps some of them to a reason, ``end``
    is the proof at the end where it differs from the one at the start; ``seen`` is what differs from a usual proof."""
    before = {**proof(cpus, host_cpus), **seen}
    with tempfile.TemporaryFile() as file:
        channel = Channel(file.fileno(), "scripted", cell)
        channel.emit(
            "start", {"python": dict(python), "proof": before, "pinned_by": pinned_by, "wanted_cpus": len(cpus)}
        )
        for name, messages in (experiments or {}).items():
            channel.emit("begin", {"experiment": name})
            for kind, data in messages:
                channel.emit(kind, {**data, "experiment": name})
            reason = (failed or {}).get(name)
            outcome = "failed" if reason else "ok"
            channel.emit("finish", {"experiment": name, "outcome": outcome, "reason": reason, "seconds": 0.5})
        channel.end({"proof": dict(end or before), "stopped": False})
        file.seek(0)
        return file.read()


def result(cell: Cell, raw: bytes, cpuset_set: str | None = None) -> CellResult:
    """What the runner makes of a cell that emitted this."""
    reported = cpulist.render(cell.cpus) if cpuset_set is None else cpuset_set
    return status.conclude(cell, read_records(raw), Outcome(exit_code=0, outside={"cpuset": reported, "warnings": []}))


def observe(name: str, value: object, unit: str = "") -> Said:
    return "observation", {"name": name, "value": value, "unit": unit}


def tell(text: str, at: float, pid: int = 7, thread: str = "MainThread", cpu: int | None = 0) -> Said:
    return "event", {"pid": pid, "thread": thread, "cpu": cpu, "at": at, "text": text}


def pipe() -> list[Said]:
    """The pipe experiment, all well."""
    return [
        tell("the parent sends 'ping'", 0.001),
        tell("the child answers 'PING'", 0.002, pid=8),
        observe("answered", True),
    ]


def pool(workers: int, cpu_count: int = 2) -> list[Said]:
    """The pool experiment where ``Pool()`` started that many workers."""
    return [
        observe("host CPUs", cpu_count, "CPUs"),
        observe("default workers", workers),
        observe("explicit workers", 3),
        observe("most tasks at once", 3),
        observe("workers that worked", 3),
        observe("close refused", True),
        observe("all ready at join", True),
        observe("all ended before join", True),
        observe("error surfaced", False),
    ]


def gil(cpus: int, *, threads: float = 1.0, delivered: float | None = None, disturbed: str | None = None) -> list[Said]:
    """The gil experiment: threads reach that speed-up, processes what the machine delivered; a round is ``disturbed``
    by this or by nothing."""
    capacity = float(cpus) if delivered is None else delivered
    speed = {
        "one process": 1.0,
        "probe": capacity,
        "processes": 0.97 * capacity,
        "threads": threads,
        "C code": 1.0,
        "C code threads": 0.95 * capacity,
        CROWD.name: threads,
    }
    messages = [observe("waited at once", True)]
    wobble = random.Random(1)
    for _ in range(12):
        blocks = {
            arm.name: {
                "rate": 10000 * speed[arm.name] * wobble.gauss(1, 0.01),
                "cores": min(capacity, max(1.0, speed[arm.name])),
                "delay": 0.0,
                "lost": 0.0,
                "disturbed": disturbed,
            }
            for arm in (*arms_for(cpus), CROWD)
        }
        messages.append(("sample", {"name": "round", "values": blocks}))
    return messages


def story(*lanes: tuple[int, str, int], lasting: bool = True) -> list[Said]:
    """Events of these (pid, thread, CPU), each beginning something and ending it 20 ms later."""
    messages = []
    for number, (pid, thread, cpu) in enumerate(lanes):
        began = 0.01 + 0.007 * number
        messages.append(tell(f"task {number} begins", began, pid, thread, cpu))
        kind, ended = tell(f"task {number} ends", began + 0.02, pid, thread, cpu)
        messages.append((kind, ended | ({"since": began} if lasting else {})))
    return messages


def switching() -> list[Said]:
    """The switching experiment where each hand-over takes its interval and 0.1 ms."""
    noise = random.Random(2)
    rounds = [
        {
            f"{1e3 * interval:g} ms": {
                "gaps": [round(interval + abs(noise.gauss(1e-4, 3e-5)), 7) for _ in range(count)],
                "loops": 20_000_000 * interval,
                "disturbed": None,
            }
            for interval, count in INTERVALS
        }
        for _ in range(6)
    ]
    messages: list[Said] = [("sample", {"name": "round", "values": blocks}) for blocks in rounds]
    return [observe("bytecodes a loop, at least", 9, "bytecodes"), *messages]


def atlas(places: tuple[str, ...] = ("CALL",), lost: int = 420) -> list[Said]:
    """A race atlas of two statements at two switch intervals; others can come in after the bytecodes of these
    names."""
    codes = {
        "n += 1": ("LOAD_GLOBAL", "LOAD_CONST", "BINARY_OP", "STORE_GLOBAL"),
        "read, call, write": ("LOAD_GLOBAL", "LOAD_GLOBAL", "CALL", "STORE_GLOBAL"),
    }
    return [
        observe(
            "atlas",
            {
                "statement": statement,
                "text": text,
                "interval_seconds": interval,
                "made": 1000,
                "lost": lost if interval < 0.001 else lost // 10,
                "hand_overs": 400,
                "share": lost / 1000,
                "low": 0.0,
                "high": 0.5,
                "bytecode": [[code, code in places] for code in codes[statement]],
            },
        )
        for statement, text, lost in (("n += 1", "n += 1", 0), ("read, call, write", "x = n\nn = f(x)", lost))
        for interval in (0.005, 0.0002)
    ]


def drawn(**changes: Any) -> Session:
    """A session of two cells that has something for every chart; ``changes`` go to its last cell."""
    messages = {
        "pool": [*pool(2), *story((11, "MainThread", 0), (12, "MainThread", 1), (13, "MainThread", 0))],
        "queue": story((21, "MainThread", 0), (22, "MainThread", 1)),
        "threads": story((31, "counter", 1), (31, "MainThread", 0), lasting=False),
        "race-atlas": atlas(),
        "switching": switching(),
    }
    cells = (ran(1, {**messages, "gil": gil(1)}), ran(2, {**messages, "gil": gil(2)}, **changes))
    return session(*cells, experiments=(*messages, "gil"))


def session(
    *results: CellResult,
    experiments: Sequence[str] = ("pipe",),
    machine: Machine = TWO_CPUS,
    notes: Sequence[str] = (),
    interrupted: bool = False,
) -> Session:
    """A session of these cells, judged."""
    return assembly.assemble(
        id="scripted",
        began=0.0,
        machine=machine,
        arguments={"experiments": list(experiments)},
        experiments=experiments,
        results=results,
        code_sha256="0" * 64,
        wall_seconds=1.0,
        notes=notes,
        interrupted=interrupted,
    )


def cell(size: int, cpus: int = 2) -> Cell:
    """The cell of that size on a machine with that many CPUs, as the planner makes it."""
    (planned,) = planner.plan((size,), range(cpus))
    return planned


def ran(size: int, experiments: Mapping[str, Iterable[Said]], cpus: int = 2, **script: Any) -> CellResult:
    """A cell of that size in which experiments said this."""
    measured_cell = cell(size, cpus)
    return result(measured_cell, stream(measured_cell.id, measured_cell.cpus, experiments, host_cpus=cpus, **script))


def on_builds(
    pythons: Mapping[str, Mapping[str, Any]],
    sizes: Sequence[int],
    experiments: Mapping[str, Sequence[Said]] | Callable[[Cell], Mapping[str, Sequence[Said]]] | None = None,
    images: Mapping[str, str] | None = None,
    cpus: int = 2,
) -> Session:
    """A session of ``--python``: cells of these sizes on each of these builds; ``images`` are their digests.

    What the experiments say may depend on the cell.
    """
    given = {"pipe": pipe()} if experiments is None else experiments
    said_in = given if callable(given) else lambda cell: given
    cells = planner.across([cell(size, cpus) for size in sizes], list(pythons))
    builds = [
        {
            "build": label,
            "image": f"multicore-lab-base:{label}",
            "image_id": (images or {}).get(label, f"sha256:of-{label}"),
            "python": dict(python),
            "proof": None,
        }
        for label, python in pythons.items()
    ]
    first = next(iter(pythons))
    host = replace(
        TWO_CPUS,
        python=pythons[first],
        image=f"multicore-lab-base:{first}",
        details={**TWO_CPUS.details, "builds": builds},
    )
    ran_here = [
        result(cell, stream(cell.id, cell.cpus, said_in(cell), python=pythons[cell.build], host_cpus=cpus))
        for cell in cells
    ]
    return session(*ran_here, experiments=tuple(said_in(cells[0])), machine=host)


def said_by(session: Session, experiment: str) -> list[Said]:
    """What an experiment said in the first cell of a session, to be said again."""
    own = [record for record in session.results[0].records_of(experiment) if record.kind not in ("begin", "finish")]
    return [
        (record.kind, {name: value for name, value in record.data.items() if name != "experiment"}) for record in own
    ]


def everything(size: int, **changes: Any) -> dict[str, list[Said]]:
    """What three experiments say in a cell of that size; ``changes`` go to the gil experiment."""
    return {"pool": pool(size), "pipe": pipe(), "gil": gil(size, **changes)}


@functools.cache
def every_kind() -> dict[str, Session]:
    """Sessions with every status of a cell and every verdict, by what is special about each."""
    three = ("pool", "pipe", "gil")
    gone = CellResult(cell=cell(1), status=Status.ERROR, reason="the engine answered 500: no space left on device")
    lacking = CellResult(cell=cell(4), status=Status.UNAVAILABLE, reason=cell(4).reason)
    unrun = CellResult(cell=cell(2), status=Status.PLANNED, reason="interrupted before it ran")
    refuted = [observe("answered", False)]
    mixed = [observe("answered", True), observe("answered", False)]
    two = {"pool": pool(2), "pipe": pipe()}
    torn = stream("cpu1", (0,), {"pipe": pipe()})[:-100]
    return {
        "expected": session(ran(1, everything(1)), ran(2, everything(2)), lacking, experiments=three),
        "surprise": session(ran(2, everything(2, threads=1.9)), experiments=three),
        "refuted": session(ran(1, {"pipe": refuted}), ran(2, {"pipe": mixed})),
        "noisy": session(ran(2, everything(2, disturbed="run delay")), experiments=three),
        "tainted": session(ran(2, two, end=proof((0,))), experiments=tuple(two)),
        "failed": session(ran(1, {"pipe": pipe()}, failed={"pipe": "was killed by SIGSEGV"})),
        "torn": session(result(cell(1), torn)),
        "error": session(gone, ran(2, two), experiments=tuple(two)),
        "nothing ran": session(gone, experiments=three),
        "interrupted": session(ran(1, {"pipe": pipe()}), unrun, interrupted=True, notes=("note: the disk is full",)),
        "without a GIL": session(ran(2, everything(2, threads=1.9), python=python(gil=False)), experiments=three),
        "old": session(ran(1, {"pool": pool(2)}, python=python((3, 9, 18))), experiments=("pool",)),
        "local": session(ran(2, {"pipe": pipe()}, pinned_by="worker"), machine=machine(2, "local")),
        "no cell": session(),
    }


def ctrl_c(job: Job, sink: Sink) -> Outcome:
    """A cell in which the user presses Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)
    until = time.monotonic() + 60
    while time.monotonic() < until:  # the signal goes to the main thread, in its own time
        sink(b"")
    raise AssertionError("the sink should have ended the cell")


def cell_of_own_code(
    case: Case,
    arms: Sequence[Sequence[Any]],
    rounds: Sequence[Mapping[str, Any]],
    trial: Mapping[str, Any],
    *more: Said,
) -> CellResult:
    """A cell of 2 CPUs that measured a function of the user's, with these arms, rounds and results of the trial."""
    usual = {
        "first_seconds": 0.001,
        "call_seconds": 0.001,
        "cores": 1.0,
        "idle": 0.0,
        "own_threads": 0,
        "libraries": [],
        "result_bytes": 10,
        "pickle_seconds": 1e-6,
        "pickle_error": "",
        "same": True,
    }
    said = [
        observe("imported", {"gil_before": True, "gil_after": True, "modules": []}),
        observe("trial", {**usual, **trial}),
        observe("dispatch", {"thread": 1e-5, "process": 1e-4}),
        observe("arms", [list(arm) for arm in arms]),
        *more,
        *(("sample", {"name": "round", "values": dict(blocks)}) for blocks in rounds),
    ]
    cell = Cell(id="cpu2", limit=Limit(cpus=2), size=2, cpus=(0, 1))
    return result(cell, stream("cpu2", (0, 1), {case.experiment: said}))
