"""Cells: what is planned, what an engine is asked to run, and the result. Frozen data. Pure.

The words are those of docs/design.md. A cell is one limit on one build; a plan is the cells in the order in which they
run; a session is one run of a plan.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from lab.model.build import key
from lab.model.room import Room

#: The period in which a quota is spent, in microseconds: the kernel's default, and the engine's.
PERIOD_US = 100_000


class Status(StrEnum):
    """The state of a cell."""

    MEASURED = "measured"
    UNAVAILABLE = "unavailable"  # the machine has no such cell; nothing was run
    TAINTED = "tainted"  # it ran, but the limit was not what was asked for, or changed
    ERROR = "error"  # it could not be run, or did not end properly
    PLANNED = "planned"  # it has not run (yet)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What a cell may use, in the words of the command line: its label and its id are made here, and only here."""

    #: The number of CPUs in its CPU set; ``None``: no CPU set of a known size limits it.
    cpus: int | None = None
    #: Whether these are all CPUs that the machine has.
    is_all: bool = False
    #: The quota, in CPUs; ``None``: no quota.
    quota_cpus: float | None = None

    @property
    def cpus_label(self) -> str:
        """The CPU set alone: ``2``, ``2 = all``, or ``all`` where the number is not known; empty without a CPU set."""
        if self.cpus is None:
            return "all" if self.is_all else ""
        return f"{self.cpus} = all" if self.is_all else str(self.cpus)

    @property
    def quota_label(self) -> str:
        """The quota alone: ``quota 1.5``; empty without a quota."""
        return "" if self.quota_cpus is None else f"quota {self.quota_cpus:g}"

    @property
    def id(self) -> str:
        """The limit in a cell's id: ``cpu2``, ``cpuall``, ``cpu2-q1.5``, or ``q1.5``."""
        number = self.cpus or ("all" if self.is_all else "")
        cpus = f"cpu{number}" if number else ""
        quota = "" if self.quota_cpus is None else f"q{self.quota_cpus:g}"
        return "-".join(filter(None, (cpus, quota)))

    def on(self, build: str, machine: str = "") -> str:
        """The id of a cell under this limit on that build and that machine: ``3.13t-cpu2-machine1``."""
        return "-".join(filter(None, (key(build), self.id, key(machine.replace(" ", "")))))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One limit to run under, on one build. A cell that the machine does not have has no CPU ids, and a reason."""

    #: The cell's name in its session, in files and in containers.
    id: str
    #: The limit as it was asked for.
    limit: Limit
    #: The number of CPUs that the cell has, or would need.
    size: int
    #: The CPU ids that were chosen, ascending.
    cpus: tuple[int, ...] = ()
    #: Whether a CPU set is set; false where a quota alone is the limit.
    pinned: bool = True
    #: The label of the Python, such as ``3.13t``; empty where the user named none.
    build: str = ""
    #: The name of the machine, such as ``machine 1``; empty where all cells ran on the same one.
    machine: str = ""
    #: Why the machine has no such cell; ``None``: it has one.
    reason: str | None = None
    #: What its CPUs are, a sentence each, where they are not equal cores close together.
    notes: tuple[str, ...] = ()
    #: The experiments that it is to run, where not every cell of a quick or a merged session runs all; empty: all.
    experiments: tuple[str, ...] = ()
    #: Which of the turns of its limit it is, from 1; 0: its limit has one cell.
    turn: int = 0

    @property
    def available(self) -> bool:
        """Whether the machine has such a cell."""
        return self.reason is None

    @property
    def quota_cpus(self) -> float | None:
        """The quota, in CPUs; ``None``: no quota."""
        return self.limit.quota_cpus

    @property
    def limit_parts(self) -> tuple[str, ...]:
        """What tells a cell apart from the others of its build: CPUs, quota, machine; parts without a word are left
        out."""
        return tuple(filter(None, (self.limit.cpus_label, self.limit.quota_label, self.machine)))

    @property
    def limit_label(self) -> str:
        """The label without the build: ``2 = all, quota 1.5``."""
        return ", ".join(self.limit_parts)

    @property
    def label(self) -> str:
        """All that tells a cell apart: ``3.13t, 2 = all, quota 1.5, machine 1``."""
        return f"{self.build}, {self.limit_label}" if self.build else self.limit_label

    def to_stored(self) -> dict[str, Any]:
        """The cell as a session's manifest has it."""
        return {
            "id": self.id,
            "label": self.label,
            "size": self.size,
            "cpus": self.cpus,
            "quota_cpus": self.quota_cpus,
            "pinned": self.pinned,
            "build": self.build,
            "machine": self.machine,
            "reason": self.reason,
            "notes": self.notes,
            **({"experiments": self.experiments} if self.experiments else {}),
            **({"turn": self.turn} if self.turn else {}),
        }

    @classmethod
    def from_stored(cls, stored: Mapping[str, Any]) -> Cell:
        """The cell that a manifest of this or an earlier version has. Raises KeyError without an id, a label or a
        size."""
        build, size = str(stored.get("build", "")), stored["size"]
        first = str(stored["label"]).removeprefix(f"{build}, ").split(", ")[0]
        limit = Limit(
            cpus=size if first[:1].isdecimal() else None,
            is_all=first == "all" or first.endswith(" = all"),
            quota_cpus=stored.get("quota_cpus"),
        )
        return cls(
            id=stored["id"],
            limit=limit,
            size=size,
            cpus=tuple(stored.get("cpus", ())),
            pinned=stored.get("pinned", True),
            build=build,
            machine=stored.get("machine", ""),
            reason=stored.get("reason"),
            notes=tuple(stored.get("notes", ())),
            experiments=tuple(stored.get("experiments", ())),
            turn=stored.get("turn", 0),
        )


#: What a worker takes at most before, between and after its experiments, in seconds.
GRACE_SECONDS = 30.0
#: How much the worker of a cell may send, in bytes: this, and more for each second that an experiment measures.
_MOST_BYTES, _MOST_BYTES_A_SECOND = 2**26, 2**16


@dataclass(frozen=True, kw_only=True)
class Job:
    """What an engine is asked to run: a cell, and what the worker in it does."""

    #: The session's id.
    session: str
    #: The cell to run in.
    cell: Cell
    #: The names of the experiments, in the order to run them.
    experiments: tuple[str, ...]
    #: How long one experiment may measure at most.
    seconds: float
    #: The half-width of an interval, as a share of the value, at which an experiment stops earlier.
    width: float
    #: How long one experiment may take, in seconds, before it is stopped.
    experiment_deadline: float
    #: How long the whole cell may take, in seconds, before it is stopped.
    cell_deadline: float
    #: The seed of everything that is done in random order.
    seed: int = 1
    #: The name of an experiment that measures a function or a program of the user's -> its case, as it is stored.
    cases: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    #: The folder on the user's machine that these functions are imported from; empty: none.
    project: str = ""
    #: Another folder that they are imported from in turn, to compare the two; empty: none.
    other: str = ""
    #: What the container of a program of the user's has; ``None``: no such program runs.
    room: Room | None = None

    @property
    def longest_silence(self) -> float:
        """How long the worker may send nothing, in seconds: an experiment that passes its deadline ends with a
        record."""
        return self.experiment_deadline + GRACE_SECONDS

    @property
    def most_bytes(self) -> int:
        """How much the worker may send, in bytes: far more than honest experiments say (about 5 KiB a second)."""
        return _MOST_BYTES + int(len(self.experiments) * self.seconds * _MOST_BYTES_A_SECOND)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a cell ended, seen from outside."""

    #: The exit code of the worker; ``None``: not known.
    exit_code: int | None
    #: Why the worker was ended; ``None``: the worker ended by itself.
    reason: str | None = None
    #: What the engine reports as set: ``cpuset`` (a list such as ``0-1``, or ``None``) and ``warnings``.
    outside: Mapping[str, Any] = field(default_factory=dict)
    #: The end of what the worker wrote to its standard error.
    stderr_tail: str = ""
    #: The whole stream of records, where the engine kept it; it counts more than what was handed out live.
    stream: bytes | None = None

    @property
    def last_words(self) -> str:
        """The line of standard error that says most; empty without standard error.

        That is an interpreter's fatal error, else the last error that a traceback ends with, else the last line.
        """
        lines = self.stderr_tail.strip().splitlines()
        for mark in ("Fatal Python error", "Error:", ""):
            marked = [line.strip() for line in lines if mark in line]
            if marked:
                return marked[-1]
        return ""

    @property
    def ending(self) -> str:
        """How it ended, with its last words if it had any: ``exit code 1; it said 'MemoryError'``."""
        how = self.reason or f"exit code {self.exit_code}"
        return f"{how}; it said {self.last_words!r}" if self.last_words else how


class Record(NamedTuple):  # there may be a hundred thousand of them, and a frozen dataclass takes twice as long to make
    """One line that a cell emitted."""

    #: The session's id.
    session: str
    #: The cell's id.
    cell: str
    #: The number of the line in the cell's stream, from 0.
    seq: int
    #: ``start``, ``topology``, ``begin``, ``observation``, ``sample``, ``event``, ``finish`` or ``end``.
    kind: str
    #: When it was written, in seconds since 1970 (UTC).
    time: float
    #: What was recorded; the keys depend on ``kind``.
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)  # equal to nothing but itself, so that what is made of it can be kept
class CellResult:
    """A cell with everything that came out of it."""

    #: The cell.
    cell: Cell
    #: What became of the cell.
    status: Status
    #: Why it was not measured; ``None``: it was.
    reason: str | None
    #: The records that the worker wrote, in order.
    records: tuple[Record, ...] = ()
    #: What is wrong with the stream of records, a sentence each.
    faults: tuple[str, ...] = ()
    #: How the cell ended, seen from outside; ``None``: it never ran.
    outcome: Outcome | None = None
    #: How long it took.
    wall_seconds: float = 0.0
    #: Whether a report says that it was measured, and the session's folder does not have its records.
    is_missing_records: bool = False

    @functools.cached_property
    def by_experiment(self) -> Mapping[str, tuple[Record, ...]]:
        """The records of each experiment, by its name."""
        grouped: dict[str, list[Record]] = {}
        for record in self.records:
            if "experiment" in record.data:
                grouped.setdefault(record.data["experiment"], []).append(record)
        return {name: tuple(records) for name, records in grouped.items()}

    def records_of(self, experiment: str) -> tuple[Record, ...]:
        """The records of one experiment; empty where it left none."""
        return self.by_experiment.get(experiment, ())

    @functools.cached_property
    def _first(self) -> Mapping[str, Mapping[str, Any]]:
        """The data of the first record of each kind."""
        return {record.kind: record.data for record in reversed(self.records)}

    def data(self, kind: str) -> Mapping[str, Any]:
        """The data of the first record of this kind; empty when there is none."""
        return self._first.get(kind, {})

    @property
    def proof(self) -> Mapping[str, Any]:
        """What the inside saw at the start; empty when it never started."""
        proof: Mapping[str, Any] = self.data("start").get("proof", {})
        return proof

    @property
    def python(self) -> Mapping[str, Any]:
        """What the cell's Python said of itself at the start; empty when it never started."""
        python: Mapping[str, Any] = self.data("start").get("python", {})
        return python

    @property
    def pinned_by(self) -> str:
        """``engine`` (a CPU set), ``step`` or ``worker`` (affinity), or ``none``; ``-`` when it never started.

        The worker of a pod says ``engine``, because only afterwards is it known whether Kubernetes has set a CPU set.
        """
        said = str(self.data("start").get("pinned_by", "-"))
        return "none" if said == "engine" and not self.cell.pinned else said
