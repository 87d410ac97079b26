"""How much slower code is than another version of it, in the same run or in a stored session. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from lab.cell.claims.estimates import Estimate
from lab.judging import comparison, differences
from lab.judging.comparison import NumberChange, Pair
from lab.judging.gates.results import cells_meant, place_of, result_of, unmeasured_result, with_numbers
from lab.model.cell import CellResult
from lab.model.gates import Gate, Outcome, Result
from lab.model.session import Session, build_of


def slower_result(gate: Gate, subject: str, place: str, times: Estimate | None, lacking: str) -> Result:
    """``times`` is how many times as long the code takes as the other one, and ``lacking`` why that is not known."""
    most = 1 + float(gate.most or 0)
    if times is None:
        outcome = Outcome.INCONCLUSIVE
    elif times.low > most:
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.MET if times.high <= most else Outcome.INCONCLUSIVE
    reason = "" if times and _has_interval(times) else lacking
    result = result_of(gate, subject, outcome, cell=place, measured=_slower_words(times), reason=reason)
    return with_numbers(result, times, most)


def _slower_words(times: Estimate | None) -> str:
    if times is None:
        return ""
    if not _has_interval(times):
        return _percent(times.value)
    return f"{_percent(times.value)} (95 % interval {_percent(times.low)} to {_percent(times.high)})"


def _has_interval(times: Estimate) -> bool:
    return 0 < times.low <= times.high < math.inf


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} % time"


def since_base(
    gate: Gate, session: Session, base: Session, is_meant: Callable[[Gate, CellResult, Pair], bool]
) -> Iterator[Result]:
    """How much slower the code is than in a stored session of the same machine."""
    unlike = differences.session_differences(base, session)
    if unlike:
        reason = f"the base was measured on something else: {'; '.join(map(str, unlike))}"
        yield result_of(gate, f"regression since {base.id}", Outcome.UNTESTABLE, reason=reason)
        return
    compared = comparison.compare(base, session, float(gate.most or 0))
    couples = comparison.in_common(base, session)
    for result in cells_meant(session, gate):
        place = place_of(result.cell)
        # The same limit may be written in another way in the base: 2, or 2 = all.
        then = [old for old, new in couples if _limit_of(session, new) == _limit_of(session, result)]
        limits = {_limit_of(base, old) for old in then}
        meant = [pair for pair in compared.pairs if (pair.build, pair.cell) in limits and is_meant(gate, result, pair)]
        if not meant:
            short = "; ".join(compared.short) or "both sessions have no such number"
            subject = f"regression since {base.id}"
            yield unmeasured_result(gate, subject, result) or result_of(
                gate, subject, Outcome.INCONCLUSIVE, cell=place, reason=short
            )
        ends = tuple(f" at {each.cell.label}" for each in (result, *then))
        short = next((line for line in compared.short if line.endswith(ends)), "")
        for pair in meant:
            yield _since_then(gate, f"{pair.name} since {base.id}", place, pair, short)


def _limit_of(session: Session, result: CellResult) -> tuple[str, str]:
    """The build and the limit of a cell, as the session names them."""
    return build_of(session, result), result.cell.limit_label


def _since_then(gate: Gate, subject: str, place: str, pair: Pair, short: str) -> Result:
    """``short`` says where the machine gave too little of itself to compare anything; empty: nowhere."""
    raw, at_speed = (each and (each if pair.unit == "s" else _inverse(each)) for each in (pair.ratio, pair.at_speed))
    most = 1 + float(gate.most or 0)
    assert raw
    outcome, reason = Outcome.INCONCLUSIVE, short
    if not short and pair.change is NumberChange.REGRESSION:
        outcome = Outcome.FAILED if at_speed else Outcome.INCONCLUSIVE
        reason = "" if at_speed else "the machine may be slower now: measure both in one run, with --against"
    elif not short and raw.high <= most and (at_speed is None or at_speed.high <= most):
        outcome = Outcome.MET
    elif not short and at_speed:
        reason = f"in units of the machine's speed it is {_slower_words(at_speed)}"
    result = result_of(gate, subject, outcome, cell=place, measured=_slower_words(raw), reason=reason)
    return with_numbers(result, raw, most)


def _inverse(ratio: Estimate) -> Estimate:
    return Estimate(1 / ratio.value, 1 / ratio.high, 1 / ratio.low, ratio.size)
