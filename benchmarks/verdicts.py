"""How far the lab's verdicts can be trusted on this machine. Prints; asserts nothing. Takes about half an hour.

    python benchmarks/verdicts.py [precision] [controls] [coverage] [pairs] [--engine ENGINE] [--image IMAGE]
        [--cells N] [--runs N]

- precision: half-width of the processes' speed-up after 6 s of measuring, quiet and beside a half-busy neighbour;
- controls: verdicts where the truth is known, beside an idle, a half-busy and a fully busy neighbour, N cells each, and
  how often the intervals of those cells cover the truth;
- coverage: how often the intervals cover the truth in simulated rounds;
- pairs: runs of the same thing compared with each other, and with runs that have 2 % and 5 % more to do, after 4 s and
  after 10 s of measuring; --runs of them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.cell.claims.estimates import Estimate, estimate, median, ratio
from lab.cell.claims.measured import Measured, over
from lab.cell.experiments import load
from lab.cell.experiments._internal.control import NEIGHBOURS, arms_for, disturb
from lab.cell.experiments.gil import arms_for as gil_arms
from lab.cell.measuring.rounds import ALONE, Arm, Crew, shuffler
from lab.commands.selftest import report
from lab.engines.selection import Wanted
from lab.interrupts import stopping
from lab.judging.verdicts import evidence_of
from lab.messages import tell
from lab.model.cell import CellResult, Status
from lab.planning import cells
from lab.running import selftest
from lab.running.measurement import choose_engine
from lab.sessions.folder import SessionFolder
from lab.text import units

SECTIONS = ("precision", "controls", "coverage", "pairs")
MEASURING_SECONDS = 6.0
#: How long each run of a pair measures, in seconds; it is looked at after each of these times.
SIDE_SECONDS = (4.0, 10.0)
MORE_WORK = ("2 %", "5 %")
TURNS = 5
SIMULATED = 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", help="default: all of them")
    parser.add_argument("--engine", default="auto", choices=("auto", "docker", "local"))
    parser.add_argument("--image")
    parser.add_argument("--cells", type=int, default=100, help="control cells beside each neighbour")
    parser.add_argument("--runs", type=int, default=60, help="runs to compare with each other")
    options = parser.parse_args()
    if unknown := set(options.sections) - set(SECTIONS):  # choices would refuse that there are none
        parser.error(f"there is no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    sections: dict[str, Callable[[argparse.Namespace], None]] = {
        "precision": precision,
        "controls": controls,
        "coverage": coverage,
        "pairs": pairs,
    }
    for name in options.sections or SECTIONS:
        sections[name](options)


@contextmanager
def neighbour(share: float) -> Iterator[None]:
    """Within this, another process keeps CPU 1 busy for that share of the time."""
    process = multiprocessing.get_context("fork").Process(target=disturb, args=(1, share), daemon=True)
    if share:
        process.start()
    try:
        yield
    finally:
        if share:
            process.kill()
            process.join()


def rounds_of(arms: Sequence[Arm], seconds: float, seed: int) -> list[dict[str, Any]]:
    """As many rounds as can be measured in that time, on CPUs 0 and 1."""
    rounds: list[dict[str, Any]] = []
    order = shuffler(seed)
    with Crew((0, 1)) as crew:
        crew.rounds(arms, 0, 1, order)  # warms up
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            rounds.extend(crew.rounds(arms, len(rounds), 2, order))
    return rounds


def half_width(interval: Estimate | None) -> float:
    return (interval.high - interval.low) / 2 / interval.value if interval else float("inf")


def precision(options: argparse.Namespace) -> None:
    arms = [arm for arm in gil_arms(2) if arm.name in ("one process", "probe", "processes")]
    for name in ("idle", "half"):
        speed_up, normalised = [], []
        for turn in range(TURNS):
            with neighbour(NEIGHBOURS[name]):
                rounds = rounds_of(arms, MEASURING_SECONDS, turn)
            speed_up.append(
                half_width(Measured(("processes", ALONE.name), over("processes", ALONE.name)).estimate(rounds))
            )
            normalised.append(half_width(Measured(("processes", "probe"), over("processes", "probe")).estimate(rounds)))
        print(f"precision, neighbour {name}, {MEASURING_SECONDS:g} s, {TURNS} turns: half-width of processes' speed-up")
        print(f"  over one process: {spread(speed_up)}")
        print(f"  over what the machine delivered: {spread(normalised)}")


def spread(values: Sequence[float]) -> str:
    return f"median {units.share(median(values))} ({units.share(min(values))} to {units.share(max(values))})"


def controls(options: argparse.Namespace) -> None:
    results: dict[str, list[CellResult]] = {name: [] for name in NEIGHBOURS}
    with stopping() as stop, tempfile.TemporaryDirectory() as parent, SessionFolder(Path(parent), "s") as folder:
        engine, machine = choose_engine(Wanted(engine=options.engine, image=options.image), "benchmark", stop)
        try:
            cell = cells.plan([min(2, len(machine.cpus))], machine.cpus)[0]
            for number in range(options.cells):
                tell(f"controls: {number} of {options.cells} cells beside each neighbour")
                for name in NEIGHBOURS:
                    measured = selftest.measure_controls(
                        engine, "benchmark", cell, name, number, MEASURING_SECONDS, folder, stop
                    )
                    assert measured.status is Status.MEASURED, measured.reason
                    results[name].append(measured)
        finally:
            engine.close()
    verdicts = {name: selftest.judge_controls(name, cell_results) for name, cell_results in results.items()}
    print(report(verdicts, machine, cell))
    for name, cell_results in results.items():
        covered = [_covers(result, f"_control-{name}") for result in cell_results]
        for place, arms in enumerate(("same over one process", "parallel over the probe")):
            known = [answers[place] for answers in covered if answers[place] is not None]
            if known:
                share = sum(map(bool, known)) / len(known)
                print(
                    f"coverage, {len(known)} cells, neighbour {name}, {arms}: {units.share(share)} of intervals hold 1"
                )


def _covers(result: CellResult, experiment: str) -> tuple[bool | None, bool | None]:
    """Whether the intervals of two ratios that are truly 1 hold it; ``None`` without an interval."""
    rounds = evidence_of(load(experiment).name, result).rounds("round")
    intervals = [
        Measured((arm, base), over(arm, base)).estimate(rounds)
        for arm, base in (("same", ALONE.name), ("parallel", "probe"))
    ]
    first, second = (None if interval is None else interval.low <= 1 <= interval.high for interval in intervals)
    return first, second


def coverage(options: argparse.Namespace) -> None:
    draws: Sequence[tuple[str, Callable[[random.Random], float]]] = (
        ("normal", lambda order: order.gauss(1, 0.02)),
        ("skewed", lambda order: 0.02 * (order.expovariate(1) - 0.6931) + 1),
        ("one in five ten times as wide", lambda order: order.gauss(1, 0.1 if order.random() < 0.2 else 0.01)),
    )
    for name, draw in draws:
        shares = []
        for size in (6, 12, 24, 48):
            hits = 0
            for seed in range(SIMULATED):
                order = random.Random(seed)
                interval = estimate([draw(order) for _ in range(size)])
                hits += interval.low <= 1 <= interval.high
            shares.append(f"{units.share(hits / SIMULATED)} of {size} rounds")
        print(f"coverage, simulated, {name}: {', '.join(shares)}")


def pairs(options: argparse.Namespace) -> None:
    arms = [arm for arm in arms_for(1) if arm.name in (ALONE.name, "same")]
    arms += [Arm(more, f"count {more} more", repeat=arms[0].repeat) for more in MORE_WORK]
    runs = []
    for run in range(options.runs):
        tell(f"pairs: run {run + 1} of {options.runs}")
        runs.append(rounds_of(arms, max(SIDE_SECONDS), run))
    for seconds in SIDE_SECONDS:
        share = seconds / max(SIDE_SECONDS)
        shorter = [rounds[: round(share * len(rounds))] for rounds in runs]
        values = {
            name: [Measured((name, ALONE.name), over(name, ALONE.name)).values(rounds) for rounds in shorter]
            for name in ("same", *MORE_WORK)
        }
        alarms, like = _count(options.runs, values["same"], values["same"])
        print(f"pairs of {options.runs} runs, {seconds:g} s a side:")
        print(f"  {alarms} of {like} pairs of the same differ ({units.share(alarms / like)})")
        for more in MORE_WORK:
            caught, unlike = _count(options.runs, values[more], values["same"])
            print(f"  {more} more work is told in {caught} of {unlike} ({units.share(caught / unlike)})")


def _count(runs: int, news: Sequence[Sequence[float]], bases: Sequence[Sequence[float]]) -> tuple[int, int]:
    """How many pairs of neighbouring runs differ (up to five apart), and of how many."""
    differences = [
        ratio(news[new], bases[base]).outside(1, 1)
        for base in range(runs)
        for new in range(base + 1, min(runs, base + 6))
    ]
    return sum(differences), len(differences)


if __name__ == "__main__":
    main()
