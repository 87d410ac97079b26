"""Oversubscription: pools of half to eight times as many workers as the cell has CPUs' worth of time."""

from __future__ import annotations

import math
import time
from typing import Callable, Iterator, Sequence

from lab.cell.claims.claim import (
    CONFIRMED,
    INCONCLUSIVE,
    REFUTED,
    Claim,
    Evidence,
    Experiment,
    Facts,
    Figure,
    Finding,
    Round,
    Tolerance,
    always,
    disturbances,
    seen,
    undisturbed,
)
from lab.cell.claims.cpython import pool_size
from lab.cell.claims.estimates import Estimate, median, over_rounds
from lab.cell.claims.measured import Measured, decided, judge, over, unsaid, value_of
from lab.cell.claims.quantiles import quantile_ratio, quantile_times
from lab.cell.claims.recorder import Recorder
from lab.cell.measuring.cell_limit import limit_of
from lab.cell.measuring.pools import (
    COMPUTING,
    WAITING,
    Plan,
    Pools,
    blocks_of,
    computing_round,
    name_of,
    own_number,
    plan_of,
    seen_plan,
)
from lab.cell.measuring.rounds import Crew, shuffler

FEWEST_ROUNDS = 5

#: How often the capacity probe may try to find a quiet moment.
TRIES = 5

#: The best number of workers is the smallest number that reaches this share of the highest throughput.
AS_GOOD = 0.95


def run(recorder: Recorder) -> None:
    limit = limit_of(recorder)
    plan = plan_of(limit.rate, own_number())
    recorder.observe("plan", plan._asdict())
    recorder.tell("%g CPUs' worth of time: pools of %s workers" % (limit.rate, ", ".join(map(str, plan.counts))))
    order = shuffler(recorder.seed)
    rounds: dict[str, list[Round]] = {COMPUTING: [], WAITING: []}
    until = time.monotonic() + recorder.seconds
    # The crew starts before the pools, because a fork is safest while there are no threads, and pools have threads.
    with Crew(recorder.cpus, quota_under_test=limit.quota) as crew, Pools(plan.counts) as pools:
        blocks = blocks_of(pools, plan, limit)
        while len(rounds[WAITING]) < FEWEST_ROUNDS or (time.monotonic() < until and not settled(rounds, plan)):
            if limit.quota:
                time.sleep(limit.period_seconds)  # the last computing block has used the quota up
            rounds[WAITING].append(crew.gated(blocks[WAITING], len(rounds[WAITING]), order, TRIES))
            rounds[COMPUTING].append(computing_round(blocks[COMPUTING], plan, limit, order))
            for payload_rounds in rounds.values():
                recorder.sample("round", payload_rounds[-1])
    for payload in (COMPUTING, WAITING):
        best = best_of(rounds[payload], payload, plan)
        if best:
            recorder.tell("%s tasks: %d workers are the fewest with the full throughput" % (payload, best.value))


def settled(rounds: dict[str, list[Round]], plan: Plan) -> bool:
    """Whether the rounds decide every claim."""
    criteria = (
        (COMPUTING, no_gain(plan), _NO_GAIN),
        (WAITING, waiting_gain(plan), _GAINS),
        (COMPUTING, tail_growth(plan), _TAIL),
    )
    decisions = (decided(measured.estimate(rounds[payload]), tolerance) for payload, measured, tolerance in criteria)
    return all(decisions) and own_choice(rounds[COMPUTING], plan).verdict != INCONCLUSIVE


def rate_of(payload: str, workers: int) -> Measured:
    return Measured(
        (name_of(payload, workers),), value_of(name_of(payload, workers), "rate"), unit="/s", better="higher"
    )


def gain(payload: str, more: int, fewer: int, describe: Callable[[float], str] = unsaid) -> Measured:
    """The throughput of a pool over the throughput of another pool."""
    names = name_of(payload, more), name_of(payload, fewer)
    return Measured(names, over(*names), describe)


def no_gain(plan: Plan) -> Measured:
    """The mean throughput of the pools larger than R, over the throughput of the pool that fits R."""
    base, more = name_of(COMPUTING, plan.fitting), [name_of(COMPUTING, workers) for workers in plan.beyond]
    larger = " and ".join(map(str, plan.beyond))
    return Measured(
        (base, *more),
        lambda blocks: sum(blocks[name]["rate"] for name in more) / len(more) / blocks[base]["rate"],
        lambda times: (
            f"pools of {larger} workers did {times:.2f} times as many CPU-bound tasks as {plan.fitting}, on average"
        ),
    )


def waiting_gain(plan: Plan) -> Measured:
    most = plan.beyond[-1]
    return gain(
        WAITING,
        most,
        plan.fitting,
        lambda times: f"{most} workers did {times:.2f} times as many tasks as {plan.fitting}",
    )._replace(better="higher")


def tail_growth(plan: Plan) -> Measured:
    most = plan.beyond[-1]
    names = name_of(COMPUTING, most), name_of(COMPUTING, plan.fitting)
    return quantile_ratio(
        *names,
        0.99,
        lambda times: (
            f"of {most} workers the slowest hundredth of the tasks took {times:.2f} times as long as of {plan.fitting}"
        ),
    )


def best_of(rounds: Sequence[Round], payload: str, plan: Plan) -> Estimate | None:
    """The best number of workers: the smallest number with :data:`AS_GOOD` of the highest throughput, and its interval.

    It is ``None`` when there are too few rounds.
    """
    names = {workers: name_of(payload, workers) for workers in plan.counts}
    good = undisturbed(rounds, *names.values())

    def best(sample: Sequence[Round]) -> float:
        rates = {workers: median([blocks[name]["rate"] for blocks in sample]) for workers, name in names.items()}
        return float(min(workers for workers in rates if rates[workers] >= AS_GOOD * max(rates.values())))

    return over_rounds(good, best) if len(good) >= FEWEST_ROUNDS else None


_NO_GAIN = Tolerance(None, 1.15, "less than half of what a third worker beside two would add, and a gain at all")
_TAIL = Tolerance(1.25, None, "a quarter longer is more than one round differs from the next")
_GAINS = Tolerance(1.5, None, "half as much again; four times as many workers that only wait can do four times as much")

#: Another number of workers is better than Pool()'s number if it does :data:`MORE_TASKS` times as many tasks.
#: With :data:`AS_MANY_TASKS` times as many, it must have a slowest hundredth :data:`QUICKER_TAIL` times as quick.
MORE_TASKS, AS_MANY_TASKS, QUICKER_TAIL = 1.15, 0.9, 1.25


def own_choice(rounds: Sequence[Round], plan: Plan) -> Finding:
    """Whether Pool()'s own number of workers is the best.

    Another number is better if it does more tasks, or as many tasks with a shorter tail. A single better number refutes
    the claim. It is confirmed when every other number is known to be no better.
    """
    default = plan.default
    verdict, summary = CONFIRMED, "Pool() started %d workers; no other number did better" % default
    for workers in plan.counts:
        if workers == default:
            continue
        throughput = gain(COMPUTING, workers, default).estimate(rounds)
        tail = quantile_ratio(name_of(COMPUTING, default), name_of(COMPUTING, workers), 0.99).estimate(rounds)
        if throughput is None or tail is None:
            arms = name_of(COMPUTING, default), name_of(COMPUTING, workers)
            disturbed = ", ".join(disturbances(rounds, *arms)) or "too little time"
            return Finding(INCONCLUSIVE, "too few undisturbed rounds (%s)" % disturbed)
        if throughput.low > MORE_TASKS:
            reason = "Pool() started %d workers; %d did %.2f times as many tasks" % (default, workers, throughput.value)
            return Finding(REFUTED, reason, throughput.value, throughput.low, throughput.high, "", throughput.size)
        if throughput.low >= AS_MANY_TASKS and tail.low > QUICKER_TAIL:
            reason = (
                "Pool() started %d workers; %d did %.2f times as many tasks, and with Pool()'s the slowest hundredth"
                " took %.2f times as long" % (default, workers, throughput.value, tail.value)
            )
            return Finding(REFUTED, reason, tail.value, tail.low, tail.high, "", tail.size)
        short = tail.high <= QUICKER_TAIL or throughput.high < AS_MANY_TASKS
        if throughput.high > MORE_TASKS or not short:
            verdict = INCONCLUSIVE
            summary = "Pool() started %d workers; whether %d do better is not clear" % (default, workers)
    return Finding(verdict, summary)


def expect_own_choice(facts: Facts) -> str | None:
    default, _ = pool_size(facts)
    fitting = math.ceil(facts.rate)
    if default == fitting:
        # At a rate just above a whole number, one worker fewer uses nearly as much, and the quota never stops it.
        return CONFIRMED if fitting == 1 or facts.rate / (fitting - 1) > 1.2 else None
    return REFUTED if default >= 2 * fitting or facts.rate >= 2 * default else None


def expect_tail(facts: Facts) -> str | None:
    """A pool that fits, but uses its quota up early in the period, already has a long tail."""
    return CONFIRMED if facts.rate >= 0.75 * math.ceil(facts.rate) else None


def expect_waiting(facts: Facts) -> str | None:
    """Eight times a rate of much less than a CPU gives hardly more workers."""
    return CONFIRMED if facts.rate >= 0.5 else None


def _claim(
    name: str,
    statement: str,
    measured: Callable[[Plan], Measured],
    tolerance: Tolerance,
    expected: Callable[[Facts], str | None],
    source: str,
) -> Claim:
    def predicate(evidence: Evidence, facts: Facts) -> Finding:
        return judge(measured(seen_plan(evidence)), tolerance)(evidence, facts)

    return Claim(name, statement, predicate, expected, tolerance=tolerance, source=source)


def figures(evidence: Evidence) -> Sequence[Figure]:
    rounds, plan = evidence.rounds("round"), seen_plan(evidence)
    rows = []
    for payload in (COMPUTING, WAITING):
        best = best_of(rounds, payload, plan)
        names = tuple(name_of(payload, workers) for workers in plan.counts)
        accepted, rejected = Measured(names, lambda blocks: 0.0).counts(rounds)
        rows.append(Figure("best for %s tasks" % payload, best, "workers", accepted, rejected))
        if best:
            rows.extend(_cost(rounds, payload, plan, round(best.value)))
        for workers in plan.counts:
            rows.extend(_row(rounds, payload, workers))
    return rows


def _cost(rounds: Sequence[Round], payload: str, plan: Plan, best: int) -> Iterator[Figure]:
    """What Pool()'s own number of workers costs, compared with the best number."""
    comparison = "%s, Pool()'s %d beside %d" % (payload, plan.default, best)
    if plan.default != best:
        names = name_of(payload, plan.default), name_of(payload, best)
        yield gain(payload, plan.default, best).figure("tasks, %s" % comparison, rounds)
        yield quantile_ratio(*names, 0.99).figure("p99, %s" % comparison, rounds)


def _row(rounds: Sequence[Round], payload: str, workers: int) -> Iterator[Figure]:
    name = name_of(payload, workers)
    yield rate_of(payload, workers).figure("tasks", rounds, name)
    for percent in (50, 95, 99):
        yield quantile_times(name, percent / 100).figure("p%d" % percent, rounds, name)
    if any("throttled" in blocks.get(name, ()) for blocks in rounds):
        yield Measured((name,), value_of(name, "throttled"), unit="share", better="lower").figure(
            "throttled periods", rounds, name
        )
        yield Measured((name,), value_of(name, "stopped_cpus"), unit="CPUs", better="lower").figure(
            "throttled", rounds, name
        )
    if payload == COMPUTING:
        yield Measured((name,), value_of(name, "memory"), unit="MiB", better="lower").figure("memory", rounds, name)


EXPERIMENT = Experiment(
    name="oversubscription",
    summary="Oversubscription: pools of ½ to 8 times as many workers as there are CPUs to use",
    method="R is the least of the CPUs and every quota. Persistent pools of ½, 1, 2, 4 and 8 R workers, and a pool of"
    " Pool()'s own number, are kept busy in random order. Their tasks compute for about 3 ms, or sleep 10 ms behind the"
    " capacity probe. A block that computes counts if its workers had 60 % (under a quota 80 %) of the CPU time that"
    " they could get, or used the quota up. Measured are the tasks a second, and the wall time of each task, including"
    " its waits for a CPU or for the quota. Under a quota a block is one whole period, after a period that gets the"
    " pool into step.",
    watch="Tasks that compute gain nothing from more workers than R, but each takes longer, the slowest most. Tasks"
    " that wait gain from every worker. Pool()'s own number knows neither a quota nor what the tasks do.",
    run=run,
    figures=figures,
    extra=True,
    claims=(
        _claim(
            "oversubscription.more-than-cpus-no-gain",
            "more CPU-bound workers than there are CPUs to use do no more work",
            no_gain,
            _NO_GAIN,
            always(CONFIRMED),
            source="measured on 3.13, 3.14, 3.13t, elsewhere too noisy",
        ),
        _claim(
            "oversubscription.tail-grows",
            "more CPU-bound workers than there are CPUs to use make the slowest tasks slower",
            tail_growth,
            _TAIL,
            expect_tail,
            source=seen("https://docs.kernel.org/scheduler/sched-bwc.html"),
        ),
        _claim(
            "oversubscription.waiting-gains",
            "tasks that wait gain from more workers than there are CPUs to use",
            waiting_gain,
            _GAINS,
            expect_waiting,
            source=seen(),
        ),
        Claim(
            "oversubscription.pool-default-is-best",
            "Pool()'s own number of workers is the best for CPU-bound tasks",
            lambda evidence, facts: own_choice(evidence.rounds("round"), seen_plan(evidence)),
            expect_own_choice,
            tolerance=Tolerance(None, QUICKER_TAIL, "the slowest hundredth, beside a number that does as much"),
            source="measured on 3.13, 3.13t, elsewhere too noisy; follows from pool.default-size",
        ),
    ),
)
