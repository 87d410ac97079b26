"""Advice on a function of the user's: which executor, and how many workers, from what a cell measured. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.cell.claims.claim import Evidence
from lab.cell.claims.estimates import Estimate
from lab.cell.targets import arms, figures
from lab.cell.targets.case import PREFIX, STATEMENT, Case, from_stored
from lab.cell.targets.causes import refused
from lab.cell.targets.choice import ALONE, Choice, Option, choose, times
from lab.judging import speedups
from lab.judging.pool_code import loop_code, pool_code
from lab.judging.verdicts import completed, evidence_of
from lab.model.cell import CellResult
from lab.model.session import Quantity, Session
from lab.text import names

#: What to do about advice that is not decided.
_AGAIN = "Measure again on a quieter machine, or with --thorough."
_REPAIR = "Find out why: a function that is measured has to work at every call."


@dataclass(frozen=True, kw_only=True)
class Advice:
    """What to do with one case in one cell."""

    #: The case.
    case: Case
    #: The cell's id.
    cell: str
    #: What to take; ``None`` where that is not decided.
    option: Option | None
    #: The speed-up of this choice over one worker alone, with its interval; ``None`` where nothing is decided.
    speed_up: Estimate | None
    #: The advice in one sentence.
    sentence: str
    #: The choice as lines of code to paste; empty where there is none.
    code: str = ""

    @property
    def decided(self) -> bool:
        """Whether the measurements decide what to take."""
        return self.option is not None


def all_advice(session: Session) -> tuple[Advice, ...]:
    """The advice for each case in each cell that measured it, in the order of the session."""
    cases = [from_stored(stored) for stored in session.arguments.get("cases") or ()]
    return tuple(
        advise(case, result)
        for case in cases
        for result in session.results
        if completed(case.experiment, result) and not case.against
    )


def case_names(session: Session) -> tuple[str, ...]:
    """The names of the experiments of this session that measured a function of the user's."""
    return tuple(name for name in session.arguments.get("experiments") or () if name.startswith(PREFIX))


def timings(experiment: str, result: CellResult) -> tuple[speedups.Timing, ...]:
    """The seconds for a call of each way of working that has enough undisturbed rounds, all workers together."""
    evidence = evidence_of(experiment, result)
    rounds = evidence.rounds("round") if completed(experiment, result) else []
    measured = []
    for arm in figures.measured_arms(evidence, alone=True) if rounds else ():
        values = speedups.seconds_each(rounds, arm.name, figures.BASE)
        if values:
            measured.append(speedups.Timing(arm=arm.name, workers=arm.workers, loops=1, values=values))
    return tuple(measured)


def workers_of(session: Session) -> dict[tuple[str, str, str], figures.Workers]:
    """The workers that a number belongs to, by its experiment, its cell, and their name in tables."""
    return {
        (name, result.cell.id, arm.name): arm
        for name in case_names(session)
        for result in session.results
        if result.records_of(name)
        for arm in _all_workers(evidence_of(name, result))
    }


def _all_workers(evidence: Evidence) -> Iterable[figures.Workers]:
    """The workers of a case; where two environments were compared, those that both have."""
    yield from figures.measured_arms(evidence, alone=True)
    for name, _, _ in figures.pairs(evidence):
        count = int(name.partition(" ")[0])
        for kind in (arms.THREAD, *arms.METHODS, arms.INTERPRETER):
            yield from (
                figures.Workers(name, kind, count, own)
                for own in (False, True)
                if arms.name_of(kind, count, own) == name
            )


def advise(case: Case, result: CellResult) -> Advice:
    """The advice for one case in one cell."""
    evidence = evidence_of(case.experiment, result)
    choice = choose(evidence, result.python["version"])
    if choice.option is None:
        sentence = f"Advice: not decided; {choice.why}. {_REPAIR if choice.were_lost else _AGAIN}"
        return Advice(case=case, cell=result.cell.id, option=None, speed_up=None, sentence=sentence)
    if choice.option == ALONE:
        return _alone(case, result, choice, evidence)
    return _taken(case, result, choice.option, choice.gain, evidence)


def _alone(case: Case, result: CellResult, choice: Choice, evidence: Evidence) -> Advice:
    """Call it in a plain loop."""
    why = _why_nothing_else(result, evidence)
    if choice.best:
        best, gain = choice.best
        left = f", and handing results over leaves {100 * best.handing_over:.0f} % of that"
        less = left if best.handing_over < 0.99 else ""
        why = f"the best of {len(choice.options)} other ways, {best.name}, does {times(gain)} its work{less}"
    sentence = f"Advice: call it in a plain loop, in one worker: {why}."
    return Advice(
        case=case,
        cell=result.cell.id,
        option=ALONE,
        speed_up=Estimate(1.0, 1.0, 1.0, 1),
        sentence=sentence,
        code=loop_code(case, evidence),
    )


def _why_nothing_else(result: CellResult, evidence: Evidence) -> str:
    """Why there is no other way than one worker alone."""
    trial = evidence.last("trial")
    if result.cell.size == 1 and trial["idle"] <= figures.WAITING_SHARE:
        return "this cell has one CPU, and the function does not wait"
    error = trial["pickle_error"]
    reasons = [*filter(None, [refused.reasons(evidence), error and f"the result cannot be pickled: {error}"])]
    return f"no other way works: {'; '.join(reasons)}" if reasons else "no other way was measured"


def _taken(case: Case, result: CellResult, option: Option, gain: Estimate | None, evidence: Evidence) -> Advice:
    assert gain
    waits = evidence.last("trial")["idle"] > figures.WAITING_SHARE
    rounds = evidence.rounds("round")
    share = None if waits else figures.share(option.name, option.workers, rounds).estimate(rounds)
    delivered = f", which is {100 * share.value:.0f} % of what the machine delivered" if share else ""
    what = "an object" if case.is_method else "a setup" if case.source == STATEMENT else "an argument"
    is_apart = option.own if option.executor == arms.THREAD else option.executor == arms.INTERPRETER
    own = f", each with {what} of its own" if is_apart and (case.setup or case.is_method) else ""
    taken = option.name.replace(", own state", "")
    sentence = f"Advice: take {taken}{own}: they do {times(gain)} the work of one worker{delivered}."
    return Advice(
        case=case,
        cell=result.cell.id,
        option=option,
        speed_up=gain,
        sentence=sentence,
        code=pool_code(option, case, result, evidence),
    )


def largest(session: Session) -> tuple[Advice, ...]:
    """Of each case, build and machine the advice for the cell with the most CPUs."""
    results = {result.cell.id: result for result in session.results}
    chosen: dict[tuple[str, str, str], Advice] = {}
    for advice in all_advice(session):
        cell = results[advice.cell].cell
        key = (advice.case.label, cell.build, cell.machine)
        if key not in chosen or results[advice.cell].cell.size >= results[chosen[key].cell].cell.size:
            chosen[key] = advice
    return tuple(chosen.values())


def measured_rows(session: Session) -> list[tuple[str, str, str, dict[str, Estimate]]]:
    """(case, cell, workers, what was measured -> its estimate) for every way of working that was measured."""
    rows = []
    for name in case_names(session):
        for result in session.results:
            where = ", ".join(filter(None, (result.cell.build, names.plain_words(result.cell))))
            for workers, quantities in numbers_of(session, name, result.cell.id).items():
                estimates = {
                    what: Estimate(each.value, each.low, each.high, each.accepted)
                    for what, each in quantities.items()
                    if each.value is not None and each.low is not None and each.high is not None
                }
                rows.append((name.removeprefix(PREFIX), where, workers, estimates))
    return rows


def numbers_of(session: Session, experiment: str, cell: str) -> dict[str, dict[str, Quantity]]:
    """Workers -> what was measured -> the number, of one case in one cell."""
    numbers: dict[str, dict[str, Quantity]] = {}
    for quantity in session.quantities:
        if quantity.experiment == experiment and quantity.cell == cell:
            numbers.setdefault(quantity.of, {})[quantity.what] = quantity
    return numbers
