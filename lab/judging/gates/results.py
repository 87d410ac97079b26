"""Which cells a gate is about, and the result of a gate in one of them. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from lab.cell.claims.estimates import Estimate
from lab.judging.bounds import Answer, Ratio, at_least, at_most
from lab.judging.gates.sessions import Sessions
from lab.model.cell import Cell, CellResult, Status
from lab.model.gates import RATE, Gate, Kind, Outcome, Result
from lab.model.session import Session
from lab.text import names, units


def result_of(
    gate: Gate, subject: str, outcome: Outcome, *, cell: str = "", measured: str = "", reason: str = ""
) -> Result:
    return Result(
        goal="", gate=gate, subject=subject, cell=cell, bound=bound_words(gate), measured=measured, outcome=outcome,
        reason=reason,
    )  # fmt: skip


def bound_words(gate: Gate) -> str:
    """The bound of a gate in words."""
    if gate.kind is Kind.VERDICT:
        return gate.verdict or "as expected"
    if gate.kind is Kind.THROTTLED:
        return f"in at most {100 * float(gate.most):g} % of its periods" if gate.most else "never"
    if gate.kind is Kind.REGRESSION:
        return f"at most {100 * float(gate.most or 0):g} % slower"
    written: Callable[[float], str] = {
        Kind.TIME: lambda value: units.quantity(value, "s"),
        Kind.MEMORY: units.size,
    }.get(gate.kind, lambda value: f"{value:g}")
    parts = [] if gate.least is None else [f"at least {written(gate.least)}"]
    if gate.most == RATE:
        parts.append("at most R, the CPUs that the limit allows")
    elif gate.most is not None:
        parts.append(f"at most {written(float(gate.most))}")
    return " and ".join(parts)


def cells_meant(session: Session, gate: Gate) -> list[CellResult]:
    """The cells that a gate is about: of each build the largest, where it does not name a size.

    The largest may be one that this machine does not have; then the gate is untestable here.
    """
    quotas = [result.cell.quota_cpus for result in session.results]
    quota = gate.quota if gate.quota is not None or None in quotas else min(filter(None, quotas), default=None)
    meant = [
        result
        for result in session.results
        if gate.build in ("", result.cell.build)
        and (quota == result.cell.quota_cpus or (gate.quota is None and None not in quotas))
        and (gate.at is None or _has_size(result.cell, gate.at))
    ]
    if gate.at is not None:
        return meant
    largest: dict[str, CellResult] = {}
    for result in meant:
        known = largest.get(result.cell.build)
        if known is None or rate_of(result.cell) >= rate_of(known.cell):
            largest[result.cell.build] = result
    return list(largest.values())


def _has_size(cell: Cell, at: int | str) -> bool:
    return cell.limit.is_all if at == "all" else cell.size == at


def rate_of(cell: Cell) -> float:
    return float(cell.size if cell.quota_cpus is None else min(cell.quota_cpus, cell.size))


def place_of(cell: Cell) -> str:
    return ", ".join(filter(None, (cell.build, names.plain_words(cell))))


def unmeasured_result(gate: Gate, subject: str, result: CellResult) -> Result | None:
    """The result where the cell has nothing to judge."""
    if result.status is Status.MEASURED:
        return None
    outcome = Outcome.UNTESTABLE if result.status is Status.UNAVAILABLE else Outcome.INCONCLUSIVE
    return result_of(gate, subject, outcome, cell=place_of(result.cell), reason=result.reason or str(result.status))


def unknown_result(gate: Gate, sessions: Sessions) -> Result:
    """The result of a gate that nothing was measured for."""
    if gate.against in sessions.uncallable:
        reason = sessions.uncallable[gate.against]
        return result_of(gate, gate.kind.value, Outcome.UNTESTABLE, reason=reason)
    if gate.kind is Kind.REGRESSION and not gate.against and not gate.base:
        reason = "there is nothing to compare with: give --against or --base"
        return result_of(gate, gate.kind.value, Outcome.UNTESTABLE, reason=reason)
    return result_of(gate, gate.kind.value, Outcome.INCONCLUSIVE, reason="it was not measured")


def within_bounds(gate: Gate, ratio: Ratio, place: str) -> Result:
    """Whether a ratio is within both bounds of a gate."""
    answers = [at_least(ratio, gate.least)] if gate.least is not None else []
    answers += [at_most(ratio, float(gate.most))] if gate.most is not None else []
    worst = min(answers, key=_rank)
    result = result_of(gate, ratio.label, worst.outcome, cell=place, measured=worst.measured, reason=worst.reason)
    return with_numbers(result, ratio.estimate, gate.least if gate.least is not None else float(gate.most or 0))


def with_numbers(result: Result, estimate: Estimate | None, limit: float) -> Result:
    """The result with the numbers that it rests on."""
    if estimate is None:
        return replace(result, limit=limit)
    high = estimate.high if estimate.high < math.inf else None
    return replace(result, value=estimate.value, low=estimate.low, high=high, limit=limit)


def _rank(answer: Answer) -> int:
    return (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.MET).index(answer.outcome)


def most_of(gate: Gate, cell: Cell) -> float:
    return math.ceil(rate_of(cell)) if gate.most == RATE else float(gate.most or 0)
