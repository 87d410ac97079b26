"""Gates on functions of the user's. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from lab.cell.experiments import shown
from lab.cell.targets import arms, figures
from lab.cell.targets.case import is_lacking
from lab.judging import advice
from lab.judging.bounds import team_of
from lab.judging.comparison import Pair
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
from lab.judging.verdicts import completed, evidence_of
from lab.model.cell import CellResult
from lab.model.gates import Gate, Goal, Kind, Outcome, Result
from lab.model.session import Session

#: A configuration's word for workers -> their kind.
_KINDS = {"threads": arms.THREAD, "interpreters": arms.INTERPRETER}


def of_functions(gate: Gate, sessions: Sessions, _: Goal) -> Iterator[Result]:
    """What came of a gate on the functions of a target."""
    session = sessions.session_for(gate)
    if session is None:
        yield unknown_result(gate, sessions)
        return
    yield from _left_out(gate, session)
    if gate.kind is Kind.REGRESSION and gate.against:
        yield from _each(gate, session, _slower_in_turn)
    elif gate.kind is Kind.REGRESSION:
        yield from since_base(gate, session, sessions.bases[gate.base], _meant_number)
    else:
        yield from _each(gate, session, _advised if gate.kind is Kind.WORKERS else _gain)


def _left_out(gate: Gate, session: Session) -> Iterator[Result]:
    """The gate for each function that cannot be measured: it is broken, or a version or a Python does not have it."""
    for label, reason in session.arguments.get("left_out", {}).items():
        outcome = Outcome.UNTESTABLE if is_lacking(reason) else Outcome.FAILED
        yield result_of(gate, f"{gate.kind.value} of {label}", outcome, reason=reason)


def _each(
    gate: Gate, session: Session, judge_one: Callable[[Gate, Session, str, CellResult], Iterable[Result]]
) -> Iterator[Result]:
    """The gate for each function in each cell that it is about."""
    cells = cells_meant(session, gate)
    if not cells:
        yield result_of(gate, gate.kind.value, Outcome.UNTESTABLE, reason="no cell has this limit and build")
    for result in cells:
        for experiment in advice.case_names(session):
            subject = f"{gate.kind.value} of {shown(experiment)}"
            unmeasured = unmeasured_result(gate, subject, result)
            if unmeasured:
                yield unmeasured
            elif not completed(experiment, result):
                yield result_of(
                    gate, subject, Outcome.INCONCLUSIVE, cell=place_of(result.cell), reason="it was not measured whole"
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
        return [result_of(gate, ratio.label, Outcome.FAILED, cell=place_of(result.cell), reason=team.broken)]
    if name not in there:
        reason = f"the cell has no {name}; it has {', '.join(there) or 'one worker alone'}"
        return [result_of(gate, ratio.label, Outcome.UNTESTABLE, cell=place_of(result.cell), reason=reason)]
    return [within_bounds(gate, ratio, place_of(result.cell))]


def _advised(gate: Gate, session: Session, experiment: str, result: CellResult) -> Iterable[Result]:
    """How many workers the advice takes."""
    subject = f"advised workers for {shown(experiment)}"
    each = next(
        advised
        for advised in advice.all_advice(session)
        if advised.case.experiment == experiment and advised.cell == result.cell.id
    )
    if each.option is None:
        return [result_of(gate, subject, Outcome.INCONCLUSIVE, cell=place_of(result.cell), reason=each.sentence)]
    outcome = Outcome.MET if each.option.workers <= most_of(gate, result.cell) else Outcome.FAILED
    return [result_of(gate, subject, outcome, cell=place_of(result.cell), measured=each.option.name)]


def _slower_in_turn(gate: Gate, session: Session, experiment: str, result: CellResult) -> Iterable[Result]:
    """How much slower the code is than the other one that took turns with it."""
    evidence = evidence_of(experiment, result)
    rounds, wanted = evidence.rounds("round"), _workers(gate, result)
    pairs = [pair for pair in figures.pairs(evidence) if wanted in ("", pair[0])]
    if not pairs:
        out = next((f": {text}" for name, _, text in evidence.all("out") if name == wanted), "")
        reason = f"the cell has no {wanted or 'workers that both have'}{out}"
        subject = f"regression of {shown(experiment)}"
        return [result_of(gate, subject, Outcome.UNTESTABLE, cell=place_of(result.cell), reason=reason)]
    results = []
    for name, own, other in pairs:
        times = figures.times(own, other).estimate(rounds)
        subject = f"{shown(experiment)} with {name} against {gate.against}"
        results.append(slower_result(gate, subject, place_of(result.cell), times, "too few undisturbed rounds"))
    return results


def _meant_number(gate: Gate, result: CellResult, pair: Pair) -> bool:
    """Whether a number is the rate of workers that a gate is about."""
    workers = _workers(gate, result)
    return pair.name.endswith(f": {workers}: calls/s" if workers else ": calls/s")
