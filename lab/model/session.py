"""A session: claims judged, numbers measured, and what changed between builds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from lab.model.cell import CellResult
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
    """A claim, judged in one cell. ``value``, ``low`` and ``high`` (its 95 % interval) are in ``unit``, and
    so is ``ceiling``: the most (for times: the least) that the machine had to give. ``accepted`` and ``rejected`` count
    rounds. ``advice`` is what to do where it is refuted or a surprise."""

    claim: str
    statement: str
    cell: str
    verdict: Verdict
    expected: Verdict | None
    reason: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    accepted: int | None = None
    rejected: int | None = None
    ceiling: float | None = None
    advice: str = ""

    @property
    def surprise(self) -> bool:
        """A decisive verdict that differs from the expected one."""
        return self.expected is not None and self.verdict.decisive and self.verdict != self.expected


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """A number that an experiment measured in one cell, beside its claims. ``value``, ``low`` and ``high`` (its 95 %
    interval) are in ``unit``, or ``None`` with too few rounds; ``of`` is whose number it is, where many have the same.
    """

    experiment: str
    title: str
    cell: str
    what: str
    value: float | None
    low: float | None
    high: float | None
    unit: str
    accepted: int
    rejected: int
    of: str = ""


@dataclass(frozen=True, kw_only=True)
class BuildChange:
    """A claim that came out otherwise on one build than on its neighbour; ``since`` says when that came, or nothing."""

    claim: str
    limit: str
    before: str
    after: str
    was: Verdict
    now: Verdict
    since: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Session:
    """One run of a plan, with all that was measured and what it means."""

    id: str
    began: float
    machine: Machine
    arguments: Mapping[str, Any]
    lab_version: str
    code_sha256: str
    results: tuple[CellResult, ...]
    judgements: tuple[Judgement, ...]
    wall_seconds: float
    quantities: tuple[Quantity, ...] = ()
    changes: tuple[BuildChange, ...] = ()
    notes: tuple[str, ...] = ()
    interrupted: bool = False

    @property
    def surprises(self) -> tuple[Judgement, ...]:
        return tuple(one for one in self.judgements if one.surprise)


def build_of(session: Session, result: CellResult) -> str:
    """The label of the build that a cell is of, whether the user named it or not."""
    return result.cell.build or label_of(result.python or session.machine.python)
