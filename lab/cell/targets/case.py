"""A case: one function of the user's, or one statement, with its arguments. It travels into the cell as JSON."""

from __future__ import annotations

import re
from typing import Any, Mapping, NamedTuple, Optional, Sequence

#: The name of an experiment that measures a case is this prefix and the case's label.
PREFIX = "scale:"

#: Where a case comes from: a module that is imported by its name, a file, or a statement as ``timeit`` has it.
MODULE, FILE, STATEMENT = "module", "file", "statement"

#: Who works on the argument that a setup has made: all workers of a process on one, or each on an argument of its own.
SHARED, OWN, BOTH = "shared", "own", "both"


#: For so many seconds an experiment may wait for workers that are lost, all together.
LOST_SECONDS = 40.0
#: A case may take so many times the seconds that it was given, until it is decided.
PATIENCE = 3.0
#: A cell may be so many times slower than the first calls were, before it is ended.
SLOWNESS = 2.0

#: The key of ``against`` that makes a cell the host of agents for another cell.
HOST = "host"
#: What is said of a case that works here, and not in the environment that it is compared with, begins with this.
ELSEWHERE = "in the other environment"
#: What is said of a case that one build has, and another one does not have.
NOT_THERE = "it is not there"
_LACKING = re.compile("(on [^ ]+: )?(%s|%s$)" % (re.escape(ELSEWHERE), re.escape(NOT_THERE)))


def is_lacking(reason: str) -> bool:
    """Whether a case is left out because another version or a build does not have it.

    What a function raises may hold the same words, and then stands after the name of the function.
    """
    return _LACKING.match(reason) is not None


class Times(NamedTuple):
    """How long a case takes in a cell of some size."""

    #: Seconds until its rounds begin.
    start_seconds: float
    #: Seconds of as many rounds as an estimate rests on at least.
    rounds_seconds: float


class Case(NamedTuple):
    """What is called again and again, and with what."""

    #: What the user calls it: ``work.py:busy, n=1000``.
    label: str
    #: ``module``, ``file`` or ``statement``.
    source: str
    #: The name of the module, the path of the file, or the statement.
    where: str
    #: The function in the module, or ``Class.method``; empty means every ``bench_*`` and ``time_*``.
    name: str = ""
    #: ``module:factory``, whose result is the first argument; for a statement, the code that runs once before it.
    setup: str = ""
    #: Keyword arguments of the call.
    arguments: Mapping[str, Any] = {}
    #: The places of the chosen values in the lists that asv calls ``params``; a value need not travel.
    places: Sequence[int] = ()
    #: Whether ``name`` is a method of a class with asv's ``setup``.
    is_method: bool = False
    #: ``shared``, ``own`` or ``both``.
    state: str = BOTH
    #: ``module:iterable``: its elements are the arguments, and the time of the whole list is measured; else empty.
    items: str = ""
    #: How many items travel to a process at a time.
    chunks: Sequence[int] = ()
    #: The folder of the project, which is importable; empty where there is none.
    project: str = ""
    #: The other environment that this one is compared with: a ``label``, and the ``python``, the ``project`` or the
    #: ``image`` that differs; empty: none.
    against: Mapping[str, str] = {}
    #: The only workers that are measured beside one worker alone, by their name in tables: ``2 threads``; empty: all.
    only: str = ""
    #: About how long one call takes, or one pass over all items, in seconds; ``None`` before anybody has called it.
    call_seconds: Optional[float] = None
    #: The number of CPUs of a cell -> the ``Times`` there; empty before anybody has called it.
    times: Mapping[str, Sequence[float]] = {}

    @property
    def is_file(self) -> bool:
        """Whether every ``bench_*`` and ``time_*`` of a file or a module is meant."""
        return not self.name and self.source != STATEMENT

    @property
    def experiment(self) -> str:
        """The name of the experiment that measures this case."""
        return PREFIX + self.label

    def usual_seconds(self, cpus: int, seconds: float) -> float:
        """About how long it takes in a cell with so many CPUs that measures for ``seconds``, in seconds."""
        times = self._times(cpus)
        return times.start_seconds + max(seconds, times.rounds_seconds)

    def longest_seconds(self, cpus: int) -> float:
        """How long it may take in a cell with so many CPUs beyond the measuring of what is quick, in seconds."""
        times = self._times(cpus)
        return LOST_SECONDS + SLOWNESS * (times.start_seconds + PATIENCE * times.rounds_seconds)

    def _times(self, cpus: int) -> Times:
        # A replay on another machine may have cells of other sizes.
        longest = max(map(tuple, self.times.values()), default=(0.0, 0.0))
        return Times(*self.times.get(str(cpus), longest))

    @property
    def counted(self) -> str:
        """What a rate of this case counts."""
        return "items" if self.items else "calls"

    def to_stored(self) -> dict[str, Any]:
        """The case as a job and a manifest have it."""
        return self._asdict()


def from_stored(stored: Mapping[str, Any]) -> Case:
    """The case that :meth:`Case.to_stored` has written. Raises TypeError for anything else."""
    return Case(**stored)
