"""What came of the gates on a target, from the sessions that measured it. Pure.

Only a bound that the whole interval misses is failed. Noise leaves a gate inconclusive, and a machine or a Python that
lacks what the gate is about leaves it untestable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lab.cell.claims.estimates import Estimate
from lab.cell.experiments import shown
from lab.cell.targets import arms, figures
from lab.judging import advice, comparison, differences, proofs
from lab.judging.bounds import Answer, Ratio, at_least, at_most, team_of
from lab.judging.comparison import NumberChange, Pair
from lab.judging.programs import Measured, against_of, measured, slower_than_other
from lab.judging.verdicts import completed, evidence_of
from lab.model.cell import Cell, CellResult, Status
from lab.model.gates import RATE, Gate, Goal, Kind, Outcome, Result
from lab.model.session import Session, Verdict, build_of
from lab.text import names, units

#: A configuration's word for workers -> their kind.
_KINDS = {"threads": arms.THREAD, "interpreters": arms.INTERPRETER}


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """All that was measured for one target."""

    #: The session of the target alone; ``None``: no gate needs one.
    plain: Session | None = None
    #: What a regression is measured against -> the session that measured both in turn.
    compared: Mapping[str, Session] = field(default_factory=dict)
    #: The folder of a base -> its session.
    bases: Mapping[str, Session] = field(default_factory=dict)

    @property
    def all(self) -> tuple[Session, ...]:
        """Every session that was measured now."""
        return tuple(filter(None, (self.plain, *self.compared.values())))


def judge(goal: Goal, sessions: Sessions) -> tuple[Result, ...]:
    """What came of each gate of a target, in each cell and for each function that it is about."""
    results = [result for gate in goal.gates for result in _JUDGES[goal.command](gate, sessions)]
    if goal.command == "run" and sessions.plain:
        results += _surprises(goal, sessions.plain)
    return tuple(replace(result, goal=goal.name) for result in results)


def _result(
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
        return "never"
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


# Which cells a gate is about.


def _cells(session: Session, gate: Gate) -> list[CellResult]:
    """The cells that a gate is about: of each build the largest, where it does not name a size."""
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
        if known is None or (result.cell.available and _rate(result.cell) >= _rate(known.cell)):
            largest[result.cell.build] = result
    return list(largest.values())


def _has_size(cell: Cell, at: int | str) -> bool:
    return cell.limit.is_all if at == "all" else cell.size == at


def _rate(cell: Cell) -> float:
    return float(cell.size if cell.quota_cpus is None else min(cell.quota_cpus, cell.size))


def _place(cell: Cell) -> str:
    return ", ".join(filter(None, (cell.build, names.plain_words(cell))))


def _unmeasured(gate: Gate, subject: str, result: CellResult) -> Result | None:
    """The result where the cell has nothing to judge."""
    if result.status is Status.MEASURED:
        return None
    outcome = Outcome.UNTESTABLE if result.status is Status.UNAVAILABLE else Outcome.INCONCLUSIVE
    return _result(gate, subject, outcome, cell=_place(result.cell), reason=result.reason or str(result.status))


# Functions of the user's.


def _of_functions(gate: Gate, sessions: Sessions) -> Iterator[Result]:
    if gate.kind is Kind.REGRESSION and gate.against:
        yield from _each(gate, sessions.compared[gate.against], _slower_in_turn)
    elif gate.kind is Kind.REGRESSION and sessions.plain:
        yield from _since(gate, sessions.plain, sessions.bases[gate.base], _meant_number)
    elif sessions.plain:
        yield from _each(gate, sessions.plain, _advised if gate.kind is Kind.WORKERS else _gain)


def _each(
    gate: Gate, session: Session, judge_one: Callable[[Gate, Session, str, CellResult], Iterable[Result]]
) -> Iterator[Result]:
    """The gate for each function in each cell that it is about."""
    cells = _cells(session, gate)
    if not cells:
        yield _result(gate, gate.kind.value, Outcome.UNTESTABLE, reason="no cell has this limit and build")
    for result in cells:
        for experiment in advice.case_names(session):
            subject = f"{gate.kind.value} of {shown(experiment)}"
            unmeasured = _unmeasured(gate, subject, result)
            if unmeasured:
                yield unmeasured
            elif not completed(experiment, result):
                yield _result(
                    gate, subject, Outcome.INCONCLUSIVE, cell=_place(result.cell), reason="it was not measured whole"
                )
            else:
                yield from judge_one(gate, session, experiment, result)


def _workers(gate: Gate, result: CellResult) -> str:
    """The name of the workers in tables; empty: the gate is about all of them."""
    if not gate.executor:
        return ""
    if gate.executor == "one":
        return figures.BASE
    usual = "fork" if tuple(result.python["version"][:2]) < (3, 14) else "forkserver"
    kind = _KINDS.get(gate.executor, usual if gate.executor == "processes" else gate.executor)
    return arms.name_of(kind, gate.workers or result.cell.size, gate.own)


def _gain(gate: Gate, session: Session, experiment: str, result: CellResult) -> Iterable[Result]:
    """The speed-up, or the efficiency, of some workers."""
    name, count = _workers(gate, result), gate.workers or result.cell.size
    team = team_of(experiment, result, name, count)
    ratio = team.efficiency if gate.kind is Kind.EFFICIENCY else team.speed_up
    there = [arm.name for arm in figures.measured_arms(evidence_of(experiment, result))]
    if team.broken:
        return [_result(gate, ratio.label, Outcome.FAILED, cell=_place(result.cell), reason=team.broken)]
    if name not in there:
        reason = f"the cell has no {name}; it has {', '.join(there) or 'one worker alone'}"
        return [_result(gate, ratio.label, Outcome.UNTESTABLE, cell=_place(result.cell), reason=reason)]
    return [_within(gate, ratio, _place(result.cell))]


def _within(gate: Gate, ratio: Ratio, place: str) -> Result:
    """Whether a ratio is within both bounds of a gate."""
    answers = [at_least(ratio, gate.least)] if gate.least is not None else []
    answers += [at_most(ratio, float(gate.most))] if gate.most is not None else []
    worst = min(answers, key=_rank)
    result = _result(gate, ratio.label, worst.outcome, cell=place, measured=worst.measured, reason=worst.reason)
    return _with_numbers(result, ratio.estimate, gate.least if gate.least is not None else float(gate.most or 0))


def _with_numbers(result: Result, estimate: Estimate | None, limit: float) -> Result:
    """The result with the numbers that it rests on."""
    if estimate is None:
        return replace(result, limit=limit)
    high = estimate.high if estimate.high < math.inf else None
    return replace(result, value=estimate.value, low=estimate.low, high=high, limit=limit)


def _rank(answer: Answer) -> int:
    return (Outcome.FAILED, Outcome.INCONCLUSIVE, Outcome.MET).index(answer.outcome)


def _advised(gate: Gate, session: Session, experiment: str, result: CellResult) -> Iterable[Result]:
    """How many workers the advice takes."""
    subject = f"advised workers for {shown(experiment)}"
    each = next(
        one for one in advice.all_advice(session) if one.case.experiment == experiment and one.cell == result.cell.id
    )
    if each.option is None:
        return [_result(gate, subject, Outcome.INCONCLUSIVE, cell=_place(result.cell), reason=each.sentence)]
    outcome = Outcome.MET if each.option.workers <= _most(gate, result.cell) else Outcome.FAILED
    return [_result(gate, subject, outcome, cell=_place(result.cell), measured=each.option.name)]


def _most(gate: Gate, cell: Cell) -> float:
    return math.ceil(_rate(cell)) if gate.most == RATE else float(gate.most or 0)


def _slower_in_turn(gate: Gate, session: Session, experiment: str, result: CellResult) -> Iterable[Result]:
    """How much slower the code is than the other one that took turns with it."""
    evidence = evidence_of(experiment, result)
    rounds, wanted = evidence.rounds("round"), _workers(gate, result)
    pairs = [pair for pair in figures.pairs(evidence) if wanted in ("", pair[0])]
    if not pairs:
        reason = f"the cell has no {wanted or 'workers that both have'}"
        subject = f"regression of {shown(experiment)}"
        return [_result(gate, subject, Outcome.UNTESTABLE, cell=_place(result.cell), reason=reason)]
    results = []
    for name, own, other in pairs:
        times = figures.times(own, other).estimate(rounds)
        subject = f"{shown(experiment)} with {name} against {gate.against}"
        results.append(_slower(gate, subject, _place(result.cell), times))
    return results


def _slower(gate: Gate, subject: str, place: str, times: Estimate | None, reason: str = "") -> Result:
    """``times`` is how many times as long the code takes as the other one."""
    most = 1 + float(gate.most or 0)
    if times is None:
        outcome, reason = Outcome.INCONCLUSIVE, reason or "too few undisturbed rounds"
    elif times.low > most:
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.MET if times.high <= most else Outcome.INCONCLUSIVE
    result = _result(gate, subject, outcome, cell=place, measured=_slower_words(times), reason=reason)
    return _with_numbers(result, times, most)


def _slower_words(times: Estimate | None) -> str:
    if times is None:
        return ""
    if not 0 < times.low <= times.high < math.inf:
        return f"{_percent(times.value)} (one pair, so no interval)"
    return f"{_percent(times.value)} (95 % interval {_percent(times.low)} to {_percent(times.high)})"


def _percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} % time"


# Against a session that was stored earlier.


def _since(
    gate: Gate, session: Session, base: Session, is_meant: Callable[[Gate, CellResult, Pair], bool]
) -> Iterator[Result]:
    """How much slower the code is than in a stored session of the same machine."""
    unlike = differences.session_differences(base, session)
    if unlike:
        reason = f"the base was measured on something else: {'; '.join(map(str, unlike))}"
        yield _result(gate, f"regression since {base.id}", Outcome.UNTESTABLE, reason=reason)
        return
    compared = comparison.compare(base, session, float(gate.most or 0))
    for result in _cells(session, gate):
        place = _place(result.cell)
        meant = [
            pair
            for pair in compared.pairs
            if pair.cell == result.cell.limit_label and pair.build == build_of(session, result)
            and is_meant(gate, result, pair)
        ]  # fmt: skip
        if not meant:
            short = "; ".join(compared.short) or "both sessions have no such number"
            subject = f"regression since {base.id}"
            yield _unmeasured(gate, subject, result) or _result(
                gate, subject, Outcome.INCONCLUSIVE, cell=place, reason=short
            )
        for pair in meant:
            yield _since_then(gate, f"{pair.name} since {base.id}", place, pair)


def _since_then(gate: Gate, subject: str, place: str, pair: Pair) -> Result:
    raw = pair.ratio if pair.unit == "s" else _inverse(pair.ratio)
    most = 1 + float(gate.most or 0)
    reason = ""
    if pair.change is NumberChange.REGRESSION and pair.at_speed is None:
        outcome = Outcome.INCONCLUSIVE
        reason = "the machine may be slower now: measure both in one run, with --against"
    elif pair.change is NumberChange.REGRESSION:
        outcome = Outcome.FAILED
    else:
        outcome = Outcome.MET if raw.high <= most else Outcome.INCONCLUSIVE
    result = _result(gate, subject, outcome, cell=place, measured=_slower_words(raw), reason=reason)
    return _with_numbers(result, raw, most)


def _inverse(ratio: Estimate) -> Estimate:
    return Estimate(1 / ratio.value, 1 / ratio.high, 1 / ratio.low, ratio.size)


def _meant_number(gate: Gate, result: CellResult, pair: Pair) -> bool:
    """Whether a number is the rate of workers that a gate is about."""
    workers = _workers(gate, result)
    return pair.name.endswith(f": {workers}: calls/s" if workers else ": calls/s")


# Commands of the user's.


def _of_programs(gate: Gate, sessions: Sessions) -> Iterator[Result]:
    # Where versions are compared, the command has been measured beside the other one.
    session = sessions.compared[gate.against] if gate.against else next(iter(sessions.all), None)
    if session is None:
        return
    if gate.kind is Kind.REGRESSION and not gate.against:
        yield from _since(gate, session, sessions.bases[gate.base], lambda _, __, pair: pair.name.endswith("wall time"))
        return
    limits = {result.cell.limit for result in _cells(session, gate)}
    rows = [row for row in measured(session) if row.cell.cell.limit in limits and not against_of(row.program)]
    if not rows:
        yield _result(gate, gate.kind.value, Outcome.UNTESTABLE, reason="no cell has this limit")
    for row in rows:
        yield _of_row(gate, session, row)


def _of_row(gate: Gate, session: Session, row: Measured) -> Result:
    subject, place = f"{_WORDS[gate.kind]} of {row.program.label}", _place(row.cell.cell)
    unmeasured = _unmeasured(gate, subject, row.cell)
    if unmeasured:
        return unmeasured
    if not row.runs:
        reason = "no run ended well"
        return _result(gate, subject, Outcome.INCONCLUSIVE, cell=place, reason=reason)
    if gate.kind is Kind.REGRESSION:
        times = slower_than_other(session, row)
        return _slower(gate, f"{row.program.label} against {gate.against}", place, times, "too few turns")
    if gate.kind in (Kind.SPEED_UP, Kind.EFFICIENCY):
        return _gain_of_row(gate, row, subject, place)
    return _value_of_row(gate, row, subject, place)


#: What a gate is about, in words.
_WORDS = {
    Kind.SPEED_UP: "speed-up",
    Kind.EFFICIENCY: "efficiency",
    Kind.REGRESSION: "regression",
    Kind.TIME: "wall time",
    Kind.MEMORY: "peak memory",
    Kind.PROCESSES: "processes",
    Kind.THROTTLED: "stops by the quota",
}


def _short(row: Measured) -> str:
    """What the machine delivered, where that was too little to say anything; else empty."""
    for result in row.results:
        delivered, rate = proofs.delivered(result), proofs.rate(result.proof)
        if delivered is not None and delivered < comparison.SHORT * rate:
            return f"the machine delivered {delivered:.2f} of {units.cpus(rate)}"
    return ""


def _gain_of_row(gate: Gate, row: Measured, subject: str, place: str) -> Result:
    if row.speed_up is None:
        reason = "it is the smallest limit, which the others are compared with"
        return _result(gate, subject, Outcome.UNTESTABLE, cell=place, reason=reason)
    scale = 1 / row.more_cpus if gate.kind is Kind.EFFICIENCY else 1.0
    gain = row.speed_up
    estimate = Estimate(gain.value * scale, gain.low * scale, gain.high * scale, gain.size) if gain.low > 0 else None
    short = _short(row)
    trouble = short or ("" if estimate else "too few turns: give more runs")
    full = None if short else estimate
    return _within(gate, Ratio(label=subject, estimate=estimate, undisturbed=full, trouble=trouble), place)


def _value_of_row(gate: Gate, row: Measured, subject: str, place: str) -> Result:
    """A gate on something that is counted, or on the time of a run."""
    if gate.kind is Kind.TIME:
        interval, most, short = row.interval("wall"), float(gate.most or 0), _short(row)
        if interval is None:
            return _result(gate, subject, Outcome.INCONCLUSIVE, cell=place, reason="too few runs: give more runs")
        is_beyond = interval.low > most and not short
        outcome = Outcome.MET if interval.high <= most else Outcome.FAILED if is_beyond else Outcome.INCONCLUSIVE
        words = (
            f"{units.quantity(interval.value, 's')} (95 % interval {units.interval(interval.low, interval.high, 's')})"
        )
        reason = short if outcome is Outcome.INCONCLUSIVE else ""
        return _result(gate, subject, outcome, cell=place, measured=words, reason=reason)
    value, words, most = _counted(gate, row)
    if value is None:
        reason = "nobody counts that here" + (": there is no quota" if gate.kind is Kind.THROTTLED else "")
        return _result(gate, subject, Outcome.UNTESTABLE, cell=place, reason=reason)
    outcome = Outcome.MET if value <= most else Outcome.FAILED
    return _result(gate, subject, outcome, cell=place, measured=words)


def _counted(gate: Gate, row: Measured) -> tuple[float | None, str, float]:
    """What was counted, in words too, and the most that is allowed."""
    if gate.kind is Kind.MEMORY:
        return row.memory, "" if row.memory is None else units.size(row.memory), float(gate.most or 0)
    if gate.kind is Kind.THROTTLED:
        share = row.throttled
        return share, "" if share is None else f"in {100 * share:.0f} % of its periods", 0.0
    most = row.most("processes")
    return most, "" if most is None else f"{most:g} at a time", _most(gate, row.cell.cell)


# Experiments of the lab.


def _of_experiments(gate: Gate, sessions: Sessions) -> Iterator[Result]:
    claim, _, cell = gate.claim.partition("@")
    session = sessions.plain
    judgements = (
        [each for each in session.judgements if each.claim == claim and cell in ("", each.cell)] if session else []
    )
    if not judgements:
        yield _result(gate, claim, Outcome.UNTESTABLE, reason="no cell judged it")
    for each in judgements:
        outcome = Outcome.MET if each.verdict == gate.verdict else _OPEN.get(each.verdict, Outcome.FAILED)
        reason = "" if outcome is Outcome.MET else each.reason
        yield _result(gate, claim, outcome, cell=each.cell, measured=str(each.verdict), reason=reason)


#: The verdicts that decide nothing.
_OPEN = {
    Verdict.INCONCLUSIVE: Outcome.INCONCLUSIVE,
    Verdict.ERROR: Outcome.INCONCLUSIVE,
    Verdict.UNTESTABLE: Outcome.UNTESTABLE,
}


def _surprises(goal: Goal, session: Session) -> list[Result]:
    """The surprises that no gate names: each is a failure, as of ``lab run``."""
    named = {gate.claim.partition("@")[0] for gate in goal.gates}
    return [
        _result(
            Gate(kind=Kind.VERDICT, line=goal.line, claim=each.claim, verdict=str(each.expected)),
            each.claim, Outcome.FAILED, cell=each.cell, measured=str(each.verdict), reason=each.reason,
        )
        for each in session.surprises
        if each.claim not in named
    ]  # fmt: skip


_JUDGES: Mapping[str, Callable[[Gate, Sessions], Iterator[Result]]] = {
    "scale": _of_functions,
    "exec": _of_programs,
    "run": _of_experiments,
}


def exit_reason(results: Sequence[Result], *, strict: bool) -> str:
    """Why the exit code of the gates is 1; empty: it is 0. With ``strict`` what noise left open counts as failed."""
    failed = sum(result.outcome is Outcome.FAILED for result in results)
    undecided = sum(result.outcome is Outcome.INCONCLUSIVE for result in results) if strict else 0
    parts = [f"{units.counted(failed, 'gate')} failed"] if failed else []
    parts += [f"{units.counted(undecided, 'gate')} inconclusive (--strict)"] if undecided else []
    return ", ".join(parts)
