"""Gates on commands of the user's. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lab.cell.claims.claim import estimate_or_none
from lab.cell.claims.estimates import Estimate
from lab.cell.experiments import shown
from lab.judging import comparison, proofs
from lab.judging.bounds import Ratio
from lab.judging.gates.regressions import since_base, slower_result
from lab.judging.gates.results import (
    cells_meant,
    most_of,
    place_of,
    result_of,
    unknown_result,
    unmeasured_result,
    within_bounds,
)
from lab.judging.gates.sessions import Sessions
from lab.judging.programs import WALL, Measured, against_of, measured, slower_than_other
from lab.model.cell import CellResult
from lab.model.gates import Gate, Goal, Kind, Outcome, Result
from lab.model.session import Session
from lab.text import units


def of_programs(gate: Gate, sessions: Sessions, _: Goal) -> Iterator[Result]:
    """What came of a gate on the command of a target."""
    session = sessions.session_for(gate)
    if session is None:
        yield unknown_result(gate, sessions)
        return
    if gate.kind is Kind.REGRESSION and not gate.against:
        own = {f"{shown(row.program.experiment)}: {WALL}" for row in measured(session) if not against_of(row.program)}
        yield from since_base(gate, session, sessions.bases[gate.base], lambda *measured: measured[-1].name in own)
        return
    limits = {result.cell.limit for result in cells_meant(session, gate)}
    rows = [row for row in measured(session) if row.cell.cell.limit in limits and not against_of(row.program)]
    if not rows:
        yield result_of(gate, gate.kind.value, Outcome.UNTESTABLE, reason="no cell has this limit")
    for row in rows:
        yield _of_row(gate, session, row)


def _of_row(gate: Gate, session: Session, row: Measured) -> Result:
    subject, place = f"{_WORDS[gate.kind]} of {row.program.label}", place_of(row.cell.cell)
    unmeasured = unmeasured_result(gate, subject, row.cell)
    if unmeasured:
        return unmeasured
    if not row.runs:
        reason = "no run ended well"
        return result_of(gate, subject, Outcome.INCONCLUSIVE, cell=place, reason=reason)
    if gate.kind is Kind.REGRESSION:
        times = slower_than_other(session, row)
        return slower_result(
            gate, f"{row.program.label} against {gate.against}", place, times, "too few turns for an interval"
        )
    if gate.kind in (Kind.SPEED_UP, Kind.EFFICIENCY):
        return _gain_of_row(gate, session, row, subject, place)
    return _value_of_row(gate, row, subject, place)


#: What a gate is about, in words.
_WORDS = {
    Kind.SPEED_UP: "speed-up",
    Kind.EFFICIENCY: "efficiency (over the limit's CPUs)",
    Kind.REGRESSION: "regression",
    Kind.TIME: "wall time",
    Kind.MEMORY: "peak memory",
    Kind.PROCESSES: "processes",
    Kind.THROTTLED: "stops by the quota",
}


def _short(*results: CellResult) -> str:
    """What the machine delivered, where that was too little to say anything; else empty."""
    for result in results:
        delivered, rate = proofs.delivered(result), proofs.rate(result.proof)
        if delivered is not None and delivered < comparison.SHORT * rate:
            return f"the machine delivered {delivered:.2f} of {units.cpus(rate)}"
    return ""


def _gain_of_row(gate: Gate, session: Session, row: Measured, subject: str, place: str) -> Result:
    if row.speed_up is None:
        reason = "it is the smallest limit, which the others are compared with"
        return result_of(gate, subject, Outcome.UNTESTABLE, cell=place, reason=reason)
    scale = 1 / row.more_cpus if gate.kind is Kind.EFFICIENCY else 1.0
    gain = row.speed_up
    estimate = Estimate(gain.value * scale, gain.low * scale, gain.high * scale, gain.size) if gain.low > 0 else None
    smallest = next((each for each in measured(session) if each.program == row.program and each.runs), row)
    short, short_then = _short(*row.results), _short(*smallest.results)
    trouble = short or short_then or ("" if estimate else "too few turns: give more runs")
    if short_then:  # the smallest limit was slower than it is, so the speed-up says nothing
        estimate = None
    full = None if short else estimate
    return within_bounds(gate, Ratio(label=subject, estimate=estimate, undisturbed=full, trouble=trouble), place)


def _value_of_row(gate: Gate, row: Measured, subject: str, place: str) -> Result:
    """A gate on something that is counted in each run, or on the time of a run."""
    values, words, most = _counted(gate, row)
    if not values:
        reason = "nobody counts that here" + (": there is no quota" if gate.kind is Kind.THROTTLED else "")
        return result_of(gate, subject, Outcome.UNTESTABLE, cell=place, reason=reason)
    interval = estimate_or_none(values)
    if interval is None:
        reason = "too few runs: give more runs"
        return result_of(gate, subject, Outcome.INCONCLUSIVE, cell=place, measured=words, reason=reason)
    short, beyond = _short(*row.results), sum(value > most for value in values)
    if gate.kind is Kind.TIME:
        words = f"{units.quantity(interval.value, 's')} (95 % interval {units.interval(*interval[1:3], 's')})"
        is_met, is_failed = interval.high <= most, interval.low > most and not short
    else:  # a quota cannot stop a command that gets less than its quota
        is_met, is_failed = not beyond and not (short and gate.kind is Kind.THROTTLED), interval.low > most
    outcome = Outcome.MET if is_met else Outcome.FAILED if is_failed else Outcome.INCONCLUSIVE
    why = short or f"{beyond} of {len(values)} runs are beyond the bound"
    return result_of(
        gate, subject, outcome, cell=place, measured=words, reason=why if outcome is Outcome.INCONCLUSIVE else ""
    )


def _counted(gate: Gate, row: Measured) -> tuple[Sequence[float], str, float]:
    """What was counted in each run, all of it in words, and the most that is allowed."""
    if gate.kind is Kind.TIME:
        return row.values("wall"), "", float(gate.most or 0)
    if gate.kind is Kind.MEMORY:
        return row.peaks, "" if row.memory is None else units.size(row.memory), float(gate.most or 0)
    if gate.kind is Kind.THROTTLED:
        share = row.throttled
        words = "" if share is None else f"in {100 * share:.0f} % of its periods"
        return row.stops, words, float(gate.most or 0)
    most = row.most("processes")
    return row.values("processes"), "" if most is None else f"{most:g} at a time", most_of(gate, row.cell.cell)
