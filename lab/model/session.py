"""A session: claims judged, numbers measured, and what changed between builds."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lab.cell.claims.claim import Better
from lab.model.cell import CellResult
from lab.model.host import Host
from lab.model.machine import Machine, label_of


class Verdict(StrEnum):
    """What the evidence says of a claim in a cell."""

    CONFIRMED = "confirmed"
    REFUTED = "refuted"
    INCONCLUSIVE = "inconclusive"
    UNTESTABLE = "untestable"
    ERROR = "error"

    @property
    def decisive(self) -> bool:
        """Whether it can be right or wrong."""
        return self in (Verdict.CONFIRMED, Verdict.REFUTED)


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The verdict on one claim in one cell, with the number that it rests on."""

    #: The claim's id.
    claim: str
    #: The claim in words.
    statement: str
    #: The cell's id.
    cell: str
    #: What the evidence says.
    verdict: Verdict
    #: What was expected of such a cell; ``None``: not known.
    expected: Verdict | None
    #: Why the verdict is this one, in a sentence.
    reason: str
    #: The measured number, in ``unit``; ``None``: the claim does not rest on a number.
    value: float | None = None
    #: The lower end of the number's 95 % interval.
    low: float | None = None
    #: The upper end of the number's 95 % interval.
    high: float | None = None
    #: The unit of the number; empty for a plain ratio.
    unit: str = ""
    #: The number of rounds that count.
    accepted: int | None = None
    #: The number of rounds that were disturbed.
    rejected: int | None = None
    #: The most (for times: the least) that the machine had to give, in ``unit``.
    ceiling: float | None = None
    #: In which direction the number gets better.
    better: Better = None
    #: Whether ``reason`` is about the whole cell, and therefore the same for all of its claims.
    about_cell: bool = False
    #: What to do where the claim is refuted or a surprise; empty: nothing.
    advice: str = ""

    @property
    def surprise(self) -> bool:
        """A decisive verdict that differs from the expected one."""
        return self.expected is not None and self.verdict.decisive and self.verdict != self.expected


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number that an experiment measured in one cell, beside its claims."""

    #: The experiment's name.
    experiment: str
    #: The experiment's summary, which is the title of the table.
    title: str
    #: The cell's id.
    cell: str
    #: What was measured: the name of the table's row, or of its column where ``of`` names the row.
    what: str
    #: The measured number, in ``unit``; ``None``: there were too few rounds.
    value: float | None
    #: The lower end of the number's 95 % interval.
    low: float | None
    #: The upper end of the number's 95 % interval.
    high: float | None
    #: The unit of the number; empty for a plain ratio.
    unit: str
    #: The number of rounds that count.
    accepted: int
    #: The number of rounds that were disturbed.
    rejected: int
    #: What the number belongs to, where several things have the same numbers: each has a row of its own.
    of: str = ""
    #: In which direction the number gets better.
    better: Better = None


@dataclass(frozen=True, kw_only=True)
class BuildChange:
    """A claim with different verdicts on two neighbouring builds, under the same limit."""

    #: The claim's id.
    claim: str
    #: The label of the limit, without the build.
    limit: str
    #: The label of the earlier build.
    before: str
    #: The label of the later build.
    after: str
    #: The verdict on the earlier build.
    was: Verdict
    #: The verdict on the later build.
    now: Verdict
    #: Which change of Python explains the difference, such as ``since 3.12``; empty: not known.
    since: str
    #: Why the verdict on the later build is what it is.
    reason: str


@dataclass(frozen=True, kw_only=True)
class Session:
    """One run of a plan: what was measured, and what the measurements mean."""

    #: The name of the session, which is also the name of its folder.
    id: str
    #: When the session began, in seconds since 1970 (UTC).
    began: float
    #: The machine that the engine runs on.
    machine: Machine
    #: The arguments of the command line that the session can be repeated with.
    arguments: Mapping[str, Any]
    #: The version of the lab that measured.
    lab_version: str
    #: The hash of the code that ran in the cells; empty: not known.
    code_sha256: str
    #: The cells with their records, in the order in which they ran.
    results: tuple[CellResult, ...]
    #: Every claim in every cell.
    judgements: tuple[Judgement, ...]
    #: How long the session took.
    wall_seconds: float
    #: The numbers that were measured beside the claims.
    quantities: tuple[Quantity, ...] = ()
    #: The claims whose verdict changed from one build to the next.
    changes: tuple[BuildChange, ...] = ()
    #: Lines for the reader of a report.
    notes: tuple[str, ...] = ()
    #: Whether Ctrl-C or SIGTERM ended the session.
    interrupted: bool = False

    @property
    def label(self) -> str:
        """The name that the participant gave it; empty: none."""
        return str(self.arguments.get("label") or "")

    @property
    def host(self) -> str:
        """The host that the user named for it, as the user wrote it; empty: none."""
        return str(self.arguments.get("host") or "")

    @property
    def hosts(self) -> tuple[Host, ...]:
        """The hosts whose sessions were joined in it; empty: it is no session of hosts, or the session of one."""
        return tuple(map(Host.from_stored, self.arguments.get("hosts") or ()))

    @functools.cached_property
    def claims(self) -> Mapping[str, str]:
        """The statements of the claims that were judged, by the ids of the claims."""
        return {judgement.claim: judgement.statement for judgement in self.judgements}

    @functools.cached_property
    def by_claim_and_cell(self) -> Mapping[tuple[str, str], Judgement]:
        """The judgements by the ids of their claims and of their cells."""
        return {(judgement.claim, judgement.cell): judgement for judgement in self.judgements}

    @property
    def surprises(self) -> tuple[Judgement, ...]:
        """The judgements that are surprises."""
        return tuple(judgement for judgement in self.judgements if judgement.surprise)


def build_of(session: Session, result: CellResult) -> str:
    """The label of the build that a cell ran on, also where the user did not name a build."""
    return result.cell.build or label_of(result.python or session.machine.python)
