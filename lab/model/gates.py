"""Gates: what a project asks of its own code, and what came of that. Frozen data. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Outcome(StrEnum):
    """What came of a gate."""

    MET = "met"
    FAILED = "failed"  # the whole interval is beyond the bound
    INCONCLUSIVE = "inconclusive"
    UNTESTABLE = "untestable"  # this machine, or this Python, has no such thing


class Kind(StrEnum):
    """What a gate sets bounds to."""

    SPEED_UP = "speedup"
    EFFICIENCY = "efficiency"
    REGRESSION = "regression"
    WORKERS = "workers"
    TIME = "time"
    MEMORY = "memory"
    PROCESSES = "processes"
    THROTTLED = "throttled"
    VERDICT = "verdict"


#: Stands for the CPUs that a limit allows, R, as a bound.
RATE = "R"


@dataclass(frozen=True, kw_only=True)
class Gate:
    """One bound that a configuration sets."""

    #: What it is about.
    kind: Kind
    #: The line of the configuration that sets it; 0: not known.
    line: int = 0
    #: The size of the cells that it is about; ``None``: the largest.
    at: int | str | None = None
    #: The quota of these cells, in CPUs; ``None``: none, where there are cells without one.
    quota: float | None = None
    #: The build of these cells; empty: every build.
    build: str = ""
    #: The workers that it is about, as a configuration names them: ``threads``, ``processes``, ``fork`` …; empty: all.
    executor: str = ""
    #: How many of them; ``None``: as many as the cell has CPUs.
    workers: int | None = None
    #: Whether each of them has an argument of its own.
    own: bool = False
    #: The least that is asked for; ``None``: no least.
    least: float | None = None
    #: The most that is allowed, a share for a regression; :data:`RATE` stands for the CPUs; ``None``: no most.
    most: float | str | None = None
    #: What a regression is measured against, in the same rounds; empty: a stored base.
    against: str = ""
    #: The folder of a stored session to compare with; empty: none.
    base: str = ""
    #: The id of a claim, or ``CLAIM@CELL``; empty: the gate is about no claim.
    claim: str = ""
    #: The verdict that is right for the claim.
    verdict: str = ""


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A target of a configuration: what is measured, and the gates on it."""

    #: Its name in the configuration.
    name: str
    #: The line of the configuration where it begins; 0: not known.
    line: int = 0
    #: The command of the lab that measures it: ``scale``, ``exec`` or ``run``.
    command: str
    #: The words of that command line.
    words: Sequence[str] = ()
    #: The gates.
    gates: Sequence[Gate] = ()
    #: The settings as the configuration has them.
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def target(self) -> str:
        """What is measured, as one line."""
        return shlex.join(self.words[list(self.words).index("--") + 1 :])


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of one gate in one cell."""

    #: The name of the target.
    goal: str
    #: The gate.
    gate: Gate
    #: What it is about, in words: ``speed-up of parse with 2 threads``.
    subject: str
    #: The cell, in words; empty where none could be chosen.
    cell: str
    #: The bound in words: ``at least 1.7``.
    bound: str
    #: What was measured, in words; empty: nothing.
    measured: str
    #: Whether the bound is kept.
    outcome: Outcome
    #: Why, where the numbers alone do not say it; empty: they do.
    reason: str = ""
    #: What was measured: a ratio, of a regression the time over that of the other version; ``None``: no ratio.
    value: float | None = None
    #: The lower end of its 95 % interval; ``None``: there is none.
    low: float | None = None
    #: The upper end.
    high: float | None = None
    #: The bound as such a ratio.
    limit: float | None = None

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        where = f" ({self.cell})" if self.cell else ""
        why = f"; {self.reason}" if self.reason else ""
        return f"{self.outcome}: {self.subject}{where} is {self.measured or 'not known'}, to be {self.bound}{why}"
