"""The lab's nouns: machine, cell, job, record, outcome, verdict, session. Frozen data that reaches out to nothing.

Words as in docs/design.md: a cell is experiments x build x limit; a plan the cells in the order they run; a session
one run of a plan.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

#: The period in which a quota is spent, in microseconds: the kernel's default, and the engine's.
PERIOD_US = 100_000


class Status(StrEnum):
    """What became of a cell."""

    MEASURED = "measured"
    UNAVAILABLE = "unavailable"  # this machine has no such cell; nothing was run
    TAINTED = "tainted"  # it ran, but the limit was not what was asked for, or changed
    ERROR = "error"  # it could not be run, or did not end properly
    PLANNED = "planned"  # it has not run (yet)


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One limit to run under, on one build. ``size`` is the number of CPUs asked for; ``cpus`` the ids chosen,
    ascending; ``quota_cpus`` the quota, in CPUs; ``pinned`` is false where a quota alone is the limit; ``build`` the
    Python as the user named it, ``machine`` which one it ran on, each empty where there is but one.

    A cell that this machine lacks has no ids and a ``reason``. ``notes`` say what its CPUs are, where they are not
    equal cores close by.
    """

    id: str
    label: str
    size: int
    cpus: tuple[int, ...] = ()
    quota_cpus: float | None = None
    pinned: bool = True
    build: str = ""
    machine: str = ""
    reason: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def available(self) -> bool:
        return self.reason is None

    @property
    def limit(self) -> str:
        """The label without the build."""
        return self.label.removeprefix(f"{self.build}, ") if self.build else self.label


#: What a worker takes at most before, between and after its experiments, in seconds.
GRACE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Job:
    """What an engine is asked to run: a cell, and what the worker in it does.

    ``seconds`` is the most time one experiment may measure, ``width`` the half-width (a share of the value) at which
    it stops sooner; the deadlines are in seconds, one for each experiment and one for the whole cell; ``seed`` is of
    whatever is done in random order.
    """

    session: str
    cell: Cell
    experiments: tuple[str, ...]
    seconds: float
    width: float
    experiment_deadline: float
    cell_deadline: float
    seed: int = 1

    @property
    def longest_silence(self) -> float:
        """How long its worker may be without a word, in seconds: an experiment that passes its deadline ends with a
        record."""
        return self.experiment_deadline + GRACE_SECONDS


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a cell ended, seen from outside.

    ``reason`` is ``None`` when the worker ended by itself. ``outside`` is what the engine reports as set: ``cpuset`` (a
    list such as ``0-1``, or ``None`` where the engine has no such notion) and ``warnings``. ``stream`` is the whole
    stream of records where the engine kept one that differs from what it handed out live: it is the authority.
    """

    exit_code: int | None
    reason: str | None = None
    outside: Mapping[str, Any] = field(default_factory=dict)
    stderr_tail: str = ""
    stream: bytes | None = None

    @property
    def last_words(self) -> str:
        """The line of its standard error that says most: an interpreter's fatal error, behind which only its state
        follows, else the last error that a traceback ends with, else the last line; empty where there is none."""
        lines = self.stderr_tail.strip().splitlines()
        for mark in ("Fatal Python error", "Error:", ""):
            found = [line.strip() for line in lines if mark in line]
            if found:
                return found[-1]
        return ""

    @property
    def ending(self) -> str:
        """How it ended, with its last words: ``1; it said 'MemoryError'``."""
        return f"{self.reason or self.exit_code}; it said {self.last_words or 'nothing'!r}"


class Record(NamedTuple):  # there may be a hundred thousand of them, and a frozen dataclass takes twice as long to make
    """One line that a cell emitted. ``kind`` is start, topology, begin, observation, sample, event, finish or
    end."""

    session: str
    cell: str
    seq: int
    kind: str
    time: float
    data: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, eq=False)  # equal to nothing but itself, so that what is made of it can be kept
class CellResult:
    """A cell with everything that came out of it; ``faults`` are what is wrong with its stream of records."""

    cell: Cell
    status: Status
    reason: str | None
    records: tuple[Record, ...] = ()
    faults: tuple[str, ...] = ()
    outcome: Outcome | None = None
    wall_seconds: float = 0.0

    @functools.cached_property
    def of(self) -> Mapping[str, tuple[Record, ...]]:
        """The records of each experiment, by its name."""
        found: dict[str, list[Record]] = {}
        for record in self.records:
            if "experiment" in record.data:
                found.setdefault(record.data["experiment"], []).append(record)
        return {name: tuple(records) for name, records in found.items()}

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
        python: Mapping[str, Any] = self.data("start").get("python", {})
        return python

    @property
    def pinned_by(self) -> str:
        """``engine`` (a CPU set), ``worker`` (affinity) or ``none``; ``-`` when it never started."""
        return str(self.data("start").get("pinned_by", "-"))
