"""How often ``lab compare`` calls like sessions different, and a slower one slower. Prints; asserts nothing.

    python benchmarks/compare.py simulated [--times N]
    python benchmarks/compare.py halves SESSION [--times N]
    python benchmarks/compare.py pairs SESSION SESSION…

- simulated: two sessions of 30 numbers each, over 6 to 60 rounds of several kinds of noise, drawn alike; and again with
  every number of the second worse by just the tolerance, where the intervals alone keep an alarm back, and by 10 %;
- halves: the rounds of a real session, dealt out in blocks of neighbours to two sessions; and again with every
  measured time of the second 10 % longer;
- pairs: real sessions that measured the same thing, each with each other.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lab.cell.claims.estimates import block_length, estimate
from lab.judging import assembly, comparison
from lab.judging.comparison import Number, NumberChange, Pair
from lab.model.cell import CellResult, Record
from lab.model.session import Session
from lab.sessions import loading

NUMBERS = 30
SLOWER = 1.1
_QUIET = (NumberChange.ALIKE, NumberChange.UNDECIDED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("simulated", "halves", "pairs"))
    parser.add_argument("sessions", nargs="*", type=Path, metavar="SESSION")
    parser.add_argument("--times", type=int, default=200)
    options = parser.parse_args()
    if options.what == "simulated":
        simulated(options.times)
    elif options.what == "halves":
        halves(loading.load_session(options.sessions[0]), options.times)
    else:
        pairs([loading.load_session(folder) for folder in options.sessions])


def share(count: int, of: int) -> str:
    """A count with the exact interval of its share (Clopper and Pearson 1934)."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(0.975, count + 1, of - count)) if count < of else 1.0
    return f"{count} of {of} ({100 * count / of:.1f} %; 95 % interval {100 * low:.1f} to {100 * high:.1f} %)"


#: A kind of noise: from a generator, an endless series of factors around 1.
Noise = Callable[[random.Random], Iterator[float]]


def normal(spread: float) -> Noise:
    return lambda generator: iter(lambda: generator.gauss(1, spread), None)


def drifting(generator: random.Random) -> Iterator[float]:
    """Neighbouring rounds share their disturbance."""
    state = 0.0
    while True:
        state = 0.6 * state + generator.gauss(0, 0.02)
        yield 1 + state


def two_speeds(generator: random.Random) -> Iterator[float]:
    """A neighbour on the same core comes and goes, and everything takes 1.7 times as long."""
    slow = False
    while True:
        slow = slow if generator.random() < 0.7 else not slow
        yield 1.7 if slow else 1.0


def tailed(generator: random.Random) -> Iterator[float]:
    """Now and then something takes much longer."""
    while True:
        yield generator.gauss(1, 0.01) + (generator.expovariate(2) if generator.random() < 0.2 else 0)


KINDS: Sequence[Noise] = (normal(0.01), normal(0.05), normal(0.2), drifting, two_speeds, tailed)
ROUNDS = (6, 10, 20, 30, 60)


def simulated(times: int) -> None:
    generator = random.Random(1)
    kinds = list(itertools.product(KINDS, ROUNDS))
    assert len(kinds) == NUMBERS
    alarms, beyond, hits = 0, 0, {True: 0, False: 0}
    for _ in range(times):
        base, new = ([number(kind, rounds, generator) for kind, rounds in kinds] for _ in range(2))
        alarms += any(change not in _QUIET for change in changes(base, new))
        beyond += NumberChange.REGRESSION in changes(base, [scaled(figure, 1 + comparison.TOLERANCE) for figure in new])
        for figure, change in zip(new, changes(base, [scaled(figure, SLOWER) for figure in new]), strict=True):
            precise = (figure.estimate.high - figure.estimate.low) / figure.estimate.value < 0.03
            hits[precise] += change is NumberChange.REGRESSION
    print(f"simulated, {NUMBERS} numbers: comparisons of like with like with a false alarm: {share(alarms, times)}")
    print(f"  with every number worse by just the tolerance: with a regression: {share(beyond, times)}")
    print(f"  numbers that are 10 % worse called a regression: {share(sum(hits.values()), times * NUMBERS)}")
    print(f"  of them with an interval narrower than 3 %: {hits[True]}")


def scaled(number: Number, factor: float) -> Number:
    interval = number.estimate
    return dataclasses.replace(
        number,
        estimate=interval._replace(
            value=factor * interval.value, low=factor * interval.low, high=factor * interval.high
        ),
    )


def number(kind: Noise, rounds: int, generator: random.Random) -> Number:
    values = list(itertools.islice(kind(generator), rounds))
    if kind is not two_speeds:
        return Number(name="simulated", unit="s", estimate=estimate(values), better="lower")
    times, speeds = ([value**power * generator.gauss(1, 0.01) for value in values] for power in (1, -1))
    return Number(name="simulated", unit="s", estimate=estimate(times), better="lower", speed=estimate(speeds))


def changes(base: Sequence[Number], new: Sequence[Number]) -> list[NumberChange]:
    """What became of every number, all judged together."""

    def at(confidence: float, both: tuple[Number, Number]) -> Pair:
        return comparison.pair("cell", *both, comparison.TOLERANCE, confidence)

    return [pair.change for pair in comparison.stepped_down(list(zip(base, new, strict=True)), at)]


def halves(session: Session, times: int) -> None:
    generator = random.Random(1)
    alarms = slower = numbers = hits = 0
    for _ in range(times):
        base, new = dealt(session, generator)
        like = comparison.compare(base, new)
        alarms += any(pair.change not in _QUIET for pair in like.pairs)
        numbers += len(like.pairs)
        worse = comparison.compare(base, edited(new))
        slower += any(pair.change is NumberChange.REGRESSION for pair in worse.pairs)
        hits += sum(pair.change is NumberChange.REGRESSION for pair in worse.pairs)
    print(f"halves of a session, {numbers // times} numbers: with a false alarm: {share(alarms, times)}")
    print(f"  with every time and speed 10 % worse, called a regression: {share(slower, times)}, by {hits / times:.1f}")


def dealt(session: Session, generator: random.Random) -> tuple[Session, Session]:
    """Two sessions, each with half of the rounds, in blocks of neighbours. What the machine gave was the same."""
    seeds = [generator.getrandbits(32) for _ in session.results]
    both = [[half(result, side, seed) for result, seed in zip(session.results, seeds, strict=True)] for side in (0, 1)]
    return assembled(session, both[0]), assembled(session, both[1])


def half(result: CellResult, side: int, seed: int) -> CellResult:
    kept: list[Record] = []
    for records in result.by_experiment.values():
        samples = [record for record in records if record.kind == "sample"]
        length = block_length(len(samples))
        blocks = [samples[start : start + length] for start in range(0, len(samples), length)]
        order = list(range(len(blocks)))
        random.Random(seed).shuffle(order)
        ids = {id(record) for place in order[side::2] for record in blocks[place]}
        kept += [record for record in records if record.kind != "sample" or id(record) in ids]
    kept += [record for record in result.records if "experiment" not in record.data]
    kept.sort(key=lambda record: record.seq)
    return dataclasses.replace(result, records=tuple(kept))


def edited(session: Session) -> Session:
    """Every measured time a tenth longer, every speed of an arm that is no reference a tenth lower."""
    results = []
    for result in session.results:
        records = [
            record._replace(data={**record.data, "values": slowed(record.data["values"])})
            if record.kind == "sample"
            else record
            for record in result.records
        ]
        results.append(dataclasses.replace(result, records=tuple(records)))
    return assembled(session, results)


def slowed(values: dict[str, Any]) -> dict[str, Any]:
    references = ("one process", "probe", "C code")
    return {
        arm: {
            key: value / SLOWER
            if key == "rate" and arm not in references
            else SLOWER * value
            if key in ("seconds", "each")
            else value
            for key, value in block.items()
        }
        for arm, block in values.items()
    }


def assembled(session: Session, results: Sequence[CellResult]) -> Session:
    return assembly.assemble(
        id=session.id,
        began=session.began,
        machine=session.machine,
        arguments=session.arguments,
        experiments=session.arguments["experiments"],
        results=results,
        code_sha256=session.code_sha256,
        wall_seconds=session.wall_seconds,
    )


def pairs(sessions: Sequence[Session]) -> None:
    alarms = numbers = 0
    every = list(itertools.combinations(sessions, 2))
    for base, new in every:
        compared = comparison.compare(base, new)
        loud = [pair for pair in compared.pairs if pair.change not in _QUIET]
        alarms += bool(loud)
        numbers = len(compared.pairs)
        for pair in loud:
            print(
                f"  {new.id} against {base.id}: {pair.name}: {pair.change},"
                f" {pair.ratio.low:.3f} to {pair.ratio.high:.3f}"
            )
    print(f"pairs of {len(sessions)} sessions, {numbers} numbers: with a false alarm: {share(alarms, len(every))}")


if __name__ == "__main__":
    main()
