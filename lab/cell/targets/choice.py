"""Which workers to take, by what a cell has measured of a case, or why that is not decided. Pure.

The cell asks this while it measures, to go on where nothing is decided. The advice is made of the same choice.
"""

from __future__ import annotations

import sys
from typing import Any, Iterable, Mapping, NamedTuple, Sequence

from lab.cell.claims.claim import FEWEST_VALUES, Evidence, Round, disturbances
from lab.cell.claims.estimates import Estimate
from lab.cell.claims.measured import CAPACITY, LEAST_CAPACITY
from lab.cell.targets import figures
from lab.cell.targets.trial import Trial, is_several

#: Workers are worth having if they do at least this many times the work of one worker alone.
WORTH = 1.1
#: Workers that do less than the best ones by more than this share are worse. A smaller difference is not worth a less
#: simple way, as a smaller gain is not worth workers at all.
SLIGHT = 1.1
#: Workers are known to be as good as the best ones if the interval of the ratio ends below this.
KNOWN = 1.25

#: The kinds of workers that do not do as much as others; processes of one start method do as much as those of another.
_OF_THEIR_OWN = ("thread", "interpreter")


class Option(NamedTuple):
    """One way of running the function, with what it gains."""

    #: Its name in tables: ``2 threads``.
    name: str
    #: ``thread``, ``fork``, ``forkserver``, ``spawn``, ``interpreter``, or empty for one worker alone.
    executor: str
    #: How many workers.
    workers: int
    #: Whether each worker has an argument of its own.
    own: bool = False
    #: How many items travel at a time, where that was measured; else 0.
    chunk: int = 0
    #: The share of its speed that is left once results are handed over, from 0 to 1.
    handing_over: float = 1.0


#: A plain loop.
ALONE = Option(figures.BASE, "", 1)


class Choice(NamedTuple):
    """What to take, or why that is not decided."""

    #: What to take; ``None`` where that is not decided.
    option: Option | None
    #: Its speed-up over one worker alone, with a 95 % interval; ``None`` for one worker alone and where nothing is
    #: decided.
    gain: Estimate | None = None
    #: Every other way than one worker alone that works.
    options: Sequence[Option] = ()
    #: The best of these ways, and its speed-up; ``None`` where nothing is known of any.
    best: tuple[Option, Estimate] | None = None
    #: Why nothing is decided; empty where it is.
    why: str = ""
    #: Whether nothing is decided because workers were lost, so that more rounds would not help.
    were_lost: bool = False


def choose(evidence: Evidence, version: Sequence[int]) -> Choice:
    """What to take of the ways that were measured, with a Python of this version."""
    rounds = evidence.rounds("round")
    options = list(_options(evidence))
    gains = {option.name: figures.speed_up(option.name, rounds).estimate(rounds) for option in options}
    known = [option for option in options if gains[option.name]]
    if lost := [text for _, kind, text in evidence.all("out") if kind == figures.LATER]:
        return Choice(None, why="workers were lost: %s" % lost[0], were_lost=True)
    if figures.rate(figures.BASE).estimate(rounds) is None or (options and not known):
        return Choice(None, why=_too_few(rounds, options))
    best = max(known, key=lambda option: _effective(option, gains[option.name]), default=None)
    gain = gains[best.name] if best else None
    reached = gain.low * best.handing_over if best and gain else 0.0
    if missing := _missing(options, known, max(1.0, reached)):
        return Choice(None, why=_too_few(rounds, missing))
    if best is None or gain is None:
        return Choice(ALONE, options=options)
    trial = evidence.last("trial")
    # Its own threads wait for each other, so its blocks do not show a neighbour. Those of the capacity probe do.
    if is_several(trial["cores"], trial.get("others_share", 0.0)) and CAPACITY.estimate(rounds) is None:
        return Choice(None, why="what the machine delivered is not known (%s)" % _causes(rounds, *CAPACITY.arms))
    if gain.high * best.handing_over < WORTH:
        if why := _too_little(trial, rounds):
            return Choice(None, why=why)
        if open_ones := [option for option in known if _most(option, gains[option.name]) > KNOWN]:
            return Choice(None, why=_too_noisy(open_ones[0], gains[open_ones[0].name]))
        return Choice(ALONE, options=options, best=(best, gain))
    if gain.low * best.handing_over < WORTH:
        return Choice(None, why=_too_noisy(best, gain))
    return _simplest(best, options, gains, rounds, version)


def _too_little(trial: Mapping[str, Any], rounds: Sequence[Round]) -> str:
    """Why the machine gave too little to say that several workers gain nothing; empty where it did not.

    What waits needs no CPU, and a quota is a limit of the cell, under which the best way is asked for.
    """
    delivered = CAPACITY.estimate(rounds)
    if delivered is None or trial["idle"] > figures.WAITING_SHARE or any(map(_is_stopped, rounds)):
        return ""
    return "the machine delivered only %.2f CPUs" % delivered.value if delivered.high < LEAST_CAPACITY else ""


def _is_stopped(blocks: Round) -> bool:
    return any(block.get("stopped_periods") for block in blocks.values())


def is_decided(trial: Trial, arms: Sequence[Sequence[object]], rounds: Sequence[Round]) -> bool:
    """Whether these rounds of these arms decide what to take with this Python; ``arms`` are as they are observed."""
    return _chosen(trial, arms, rounds).option is not None


def is_surprising(trial: Trial, arms: Sequence[Sequence[object]], rounds: Sequence[Round]) -> bool:
    """Whether without a GIL these rounds say to take processes, although threads work too.

    Either the threads contend for something, or something disturbed them and not the processes: for seconds a host may
    make it slow for two CPUs to share memory. More rounds tell.
    """
    option = _chosen(trial, arms, rounds).option
    kinds = {executor for _, executor, *_ in arms}
    return option is not None and "thread" in kinds and option.executor not in ("", *_OF_THEIR_OWN)


def _chosen(trial: Trial, arms: Sequence[Sequence[object]], rounds: Sequence[Round]) -> Choice:
    """What these rounds of these arms say to take with this Python; ``arms`` are as they are observed."""
    observed = [("trial", trial._asdict()), ("arms", arms)]
    return choose(Evidence(observed, [("round", blocks) for blocks in rounds]), sys.version_info[:2])


def _simplest(
    best: Option,
    options: Sequence[Option],
    gains: dict[str, Estimate | None],
    rounds: Sequence[Any],
    version: Sequence[int],
) -> Choice:
    """The fewest workers, and the simplest ones, that are as good as the best."""
    best_gain = gains[best.name]
    assert best_gain
    ratios = {
        option: figures.times_as_much(best.name, option.name, rounds).estimate(rounds)
        for option in options
        if gains[option.name]
    }
    told = {_kind(option) for option, ratio in ratios.items() if ratio}
    reached = best_gain.low * best.handing_over
    for option in sorted(options, key=lambda option: (option.workers, _rank(option, version))):
        own_gain = gains[option.name]
        if own_gain and _most(option, own_gain) < WORTH:  # it is as good as a plain loop, which is worse than the best
            continue
        ratio = ratios.get(option)
        if ratio is None:
            most = _most(option, own_gain) if own_gain else option.workers * option.handing_over
            if _kind(option) not in told and most * SLIGHT > reached:
                return Choice(None, why="of %s, which are simpler, %s" % (option.name, _too_few(rounds, [option])))
            continue
        scale = best.handing_over / option.handing_over
        if option is best or ratio.low * scale <= SLIGHT:
            if _kind(option) != _kind(best) and ratio.high * scale > KNOWN:
                text = "%s do %s the work of %s: too noisy to decide" % (best.name, times(ratio), option.name)
                return Choice(None, why=text)
            if option is not best and own_gain and own_gain.low * option.handing_over < WORTH:
                return Choice(None, why=_too_noisy(option, own_gain))  # it may be no better than a plain loop
            return Choice(option, gains[option.name], options, (best, best_gain))
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
    kind = option.executor if option.executor in _OF_THEIR_OWN else "process"
    return kind, option.workers, option.own


def _options(evidence: Evidence) -> Iterable[Option]:
    """The arms that were measured to the end, but no process where the result cannot get out of one."""
    trial = evidence.last("trial")
    call, cost = trial["call_seconds"], trial["pickle_seconds"]
    lost = {name for name, _, _ in evidence.all("out")}
    for arm in figures.measured_arms(evidence):
        if arm.name in lost:  # it worked at first, and failed later
            continue
        in_process = arm.executor != "thread"
        if in_process and trial["pickle_error"]:
            continue
        left = 1.0
        if in_process and cost > 0 and not arm.chunk:
            # The worker pickles while it works; the parent unpickles one result after the other.
            left = min(call / (call + cost / 2), call / (cost / 2) / arm.workers)
        yield Option(arm.name, arm.executor, arm.workers, arm.own, arm.chunk, min(left, 1.0))


def _effective(option: Option, gain: Estimate | None) -> float:
    return gain.value * option.handing_over if gain else 0.0


def _most(option: Option, gain: Estimate | None) -> float:
    """The most that workers may do, as far as is known, in times the work of one worker."""
    return gain.high * option.handing_over if gain else 0.0


def _too_noisy(option: Option, gain: Estimate | None) -> str:
    text = times(gain) if gain else "an unknown number of times"
    return "%s do %s the work of one worker: too noisy to decide" % (option.name, text)


def _rank(option: Option, version: Sequence[int]) -> int:
    """The simplest kind of worker first; of processes the start method that this Python has by default."""
    order = ["thread", usual_method(version), "fork", "forkserver", "spawn", "interpreter"]
    return order.index(option.executor) + option.own


def usual_method(version: Sequence[int]) -> str:
    """The start method of processes that a Python of this version takes by default."""
    return "fork" if tuple(version[:2]) < (3, 14) else "forkserver"


def times(estimate: Estimate) -> str:
    """An estimate as ``1.98 (1.95 to 2.01) times``."""
    return "%.2f (%.2f to %.2f) times" % (estimate.value, estimate.low, estimate.high)


def _too_few(rounds: Sequence[Any], options: Sequence[Option]) -> str:
    arms = (figures.BASE, *(option.name for option in options))
    return "fewer than %d of %d rounds were undisturbed (%s)" % (FEWEST_VALUES, len(rounds), _causes(rounds, *arms))


def _causes(rounds: Sequence[Any], *arms: str) -> str:
    """What disturbed the blocks of these arms, in words."""
    return ", ".join(disturbances(rounds, *arms)) or "too little time"
