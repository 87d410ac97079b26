"""Advice on a function of the user's: which executor, and how many workers, from what a cell measured. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lab.cell.claims.claim import FEWEST_VALUES, Evidence, disturbances
from lab.cell.claims.estimates import Estimate
from lab.cell.targets import arms, figures
from lab.cell.targets.case import PREFIX, Case, from_stored
from lab.judging import speedups
from lab.judging.pool_code import POOLS, pool_code
from lab.judging.verdicts import completed, evidence_of
from lab.model.cell import CellResult
from lab.model.session import Quantity, Session
from lab.text import names

#: Workers are worth having if they do at least this many times the work of one worker alone.
WORTH = 1.1
#: Workers that do less than the best ones by more than this share are worse. A smaller difference is not worth a less
#: simple way, as a smaller gain is not worth workers at all.
SLIGHT = 1.1
#: Workers are known to be as good as the best ones if the interval of the ratio ends below this.
KNOWN = 1.25

#: What to do about advice that is not decided.
_AGAIN = "Measure again on a quieter machine, or with --thorough."
_REPAIR = "Find out why: a function that is measured has to work at every call."


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way of running the function, with what it gains."""

    #: Its name in tables: ``2 threads``.
    name: str
    #: ``thread``, ``fork``, ``forkserver``, ``spawn``, ``interpreter``, or empty for one worker alone.
    executor: str
    #: How many workers.
    workers: int
    #: Whether each worker has an argument of its own.
    own: bool
    #: How many items travel at a time, where that was measured; else 0.
    chunk: int = 0
    #: The share of its speed that is left once results are handed over, from 0 to 1.
    handing_over: float = 1.0


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
    rounds = evidence.rounds("round")
    options = list(_options(evidence))
    gains = {option.name: figures.speed_up(option.name, rounds).estimate(rounds) for option in options}
    known = [option for option in options if gains[option.name]]
    if lost := [text for _, kind, text in evidence.all("out") if kind == figures.LATER]:
        return _undecided(case, result, f"workers were lost: {lost[0]}", _REPAIR)
    if figures.rate(figures.BASE).estimate(rounds) is None or (options and not known):
        return _undecided(case, result, _too_few(rounds, options))
    best = max(known, key=lambda option: _effective(option, gains[option.name]), default=None)
    gain = gains[best.name] if best else None
    reached = gain.low * best.handing_over if best and gain else 0.0
    if missing := _missing(options, known, max(1.0, reached)):
        return _undecided(case, result, _too_few(rounds, missing))
    if best is None or gain is None or gain.high * best.handing_over < WORTH:
        return _alone(case, result, best, gain, options)
    if gain.low * best.handing_over < WORTH:
        return _undecided(case, result, f"{best.name} do {_times(gain)} the work of one worker: too noisy to decide")
    ratios = {option: figures.times_as_much(best.name, option.name, rounds).estimate(rounds) for option in known}
    told = {_kind(option) for option in known if ratios[option]}
    for option in sorted(options, key=lambda option: (option.workers, _rank(option, result))):
        ratio = ratios.get(option)
        if ratio is None:
            if _kind(option) not in told and option.workers * option.handing_over * SLIGHT > reached:
                return _undecided(case, result, f"of {option.name}, which are simpler, {_too_few(rounds, [option])}")
            continue
        scale = best.handing_over / option.handing_over
        if option is best or ratio.low * scale <= SLIGHT:
            if _kind(option) != _kind(best) and ratio.high * scale > KNOWN:
                text = f"{best.name} do {_times(ratio)} the work of {option.name}: too noisy to decide"
                return _undecided(case, result, text)
            return _taken(case, result, option, gains[option.name], evidence)
    raise AssertionError("the best option is as good as itself")


def _missing(options: Sequence[Option], known: Sequence[Option], reached: float) -> list[Option]:
    """The options of which nothing is known, and which could do much more than what was ``reached``.

    Processes of one start method do as much as those of another. What one worker does is the most that each can do.
    """
    measured = {_kind(option) for option in known}
    unknown = [option for option in options if _kind(option) not in measured]
    return [option for option in unknown if option.workers * option.handing_over > KNOWN * reached]


def _kind(option: Option) -> tuple[str, int, bool]:
    """What options have in common that do as much as each other."""
    kind = option.executor if option.executor in POOLS else "process"
    return kind, option.workers, option.own


def _options(evidence: Evidence) -> Iterable[Option]:
    """The arms that were measured to the end, but no process where the result cannot get out of one."""
    trial = evidence.last("trial")
    call, cost = trial["call_seconds"], trial["pickle_seconds"]
    lost = {name for name, _, _ in evidence.all("out")}
    for arm in figures.measured_arms(evidence):
        if arm.name in lost:  # it worked at first, and failed later
            continue
        in_process = arm.executor not in ("thread",)
        if in_process and trial["pickle_error"]:
            continue
        left = 1.0
        if in_process and cost > 0 and not arm.chunk:
            # The worker pickles while it works; the parent unpickles one result after the other.
            left = min(call / (call + cost / 2), call / (cost / 2) / arm.workers)
        yield Option(
            name=arm.name,
            executor=arm.executor,
            workers=arm.workers,
            own=arm.own,
            chunk=arm.chunk,
            handing_over=min(left, 1.0),
        )


def _effective(option: Option, gain: Estimate | None) -> float:
    return gain.value * option.handing_over if gain else 0.0


def _rank(option: Option, result: CellResult) -> int:
    """The simplest kind of worker first; of processes the start method that this Python has by default."""
    usual = "fork" if tuple(result.python["version"][:2]) < (3, 14) else "forkserver"
    order = ["thread", usual, "fork", "forkserver", "spawn", "interpreter"]
    return order.index(option.executor) + option.own


def _times(estimate: Estimate) -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f}) times"


def _too_few(rounds: Sequence[object], options: Sequence[Option]) -> str:
    arms = (figures.BASE, *(option.name for option in options))
    causes = ", ".join(disturbances(rounds, *arms)) or "too little time"  # type: ignore[arg-type] # rounds of evidence
    return f"fewer than {FEWEST_VALUES} of {len(rounds)} rounds were undisturbed ({causes})"


def _undecided(case: Case, result: CellResult, why: str, fix: str = _AGAIN) -> Advice:
    sentence = f"Advice: not decided; {why}. {fix}"
    return Advice(case=case, cell=result.cell.id, option=None, speed_up=None, sentence=sentence)


def _alone(
    case: Case, result: CellResult, best: Option | None, gain: Estimate | None, options: Sequence[Option]
) -> Advice:
    """Call it in a plain loop."""
    option = Option(name=figures.BASE, executor="", workers=1, own=False)
    why = "this cell has one CPU, and the function does not wait"
    if best and gain:
        less = (
            f", and handing results over leaves {100 * best.handing_over:.0f} % of that"
            if best.handing_over < 0.99
            else ""
        )
        why = f"the best of {len(options)} other ways, {best.name}, does {_times(gain)} its work{less}"
    sentence = f"Advice: call it in a plain loop, in one worker: {why}."
    return Advice(
        case=case,
        cell=result.cell.id,
        option=option,
        speed_up=Estimate(1.0, 1.0, 1.0, 1),
        sentence=sentence,
        code="results = [function(item) for item in items]",
    )


def _taken(case: Case, result: CellResult, option: Option, gain: Estimate | None, evidence: Evidence) -> Advice:
    assert gain
    waits = evidence.last("trial")["idle"] > figures.WAITING_SHARE
    rounds = evidence.rounds("round")
    share = None if waits else figures.share(option.name, option.workers, rounds).estimate(rounds)
    delivered = f", which is {100 * share.value:.0f} % of what the machine delivered" if share else ""
    own = ", each with an argument of its own" if option.own and option.executor == "thread" else ""
    taken = option.name.replace(", own state", "")
    sentence = f"Advice: take {taken}{own}: they do {_times(gain)} the work of one worker{delivered}."
    return Advice(
        case=case,
        cell=result.cell.id,
        option=option,
        speed_up=gain,
        sentence=sentence,
        code=pool_code(option, result, evidence),
    )


def largest(session: Session) -> tuple[Advice, ...]:
    """Of each case and build the advice for the cell with the most CPUs."""
    results = {result.cell.id: result for result in session.results}
    chosen: dict[tuple[str, str], Advice] = {}
    for advice in all_advice(session):
        key = (advice.case.label, results[advice.cell].cell.build)
        if key not in chosen or results[advice.cell].cell.size >= results[chosen[key].cell].cell.size:
            chosen[key] = advice
    return tuple(chosen.values())


def measured_rows(session: Session) -> list[tuple[str, str, dict[str, Estimate]]]:
    """(cell, workers, what was measured -> its estimate) for every way of working that was measured."""
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
                rows.append((where, workers, estimates))
    return rows


def numbers_of(session: Session, experiment: str, cell: str) -> dict[str, dict[str, Quantity]]:
    """Workers -> what was measured -> the number, of one case in one cell."""
    numbers: dict[str, dict[str, Quantity]] = {}
    for quantity in session.quantities:
        if quantity.experiment == experiment and quantity.cell == cell:
            numbers.setdefault(quantity.of, {})[quantity.what] = quantity
    return numbers
