"""Whether the lab's speed-ups are those of plain scripts on the same build and CPUs. Prints; asserts nothing.

    python benchmarks/agreement.py [--python BUILD ...] [--cells N] [--runs N] [--cpython FILE]

The plain scripts know nothing of the lab's measuring (lab/cell/experiments/_internal/plain_scripts.py). They take turns
of a fraction of a second with it in the same cells, so that all meet the same machine; each compares one worker with
one for each CPU, threads and processes, which begin at the same time:

- one counts what the workers do together in a given time, as the lab does;
- one times the same work given to each. Where CPUs differ in speed, be it for a moment, the slowest sets its pace, and
  it says less than the CPUs gave together.

Every run prints each difference, of the medians and turn by turn, with its 95 % interval; after several come those of
all of their turns together.

FILE is the scaling benchmark that CPython ships for free-threaded builds, Tools/ftscalingbench/ftscalingbench.py of its
source (Debian's python3.14-examples has it): on builds without a GIL it runs between the cells. Each of its functions
is timed several times over, as it times them itself, on a thread pinned to each CPU; it gives the same work to each.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from lab import engines
from lab.cell.claims.estimates import Estimate, estimate, median, over_rounds
from lab.cell.claims.measured import Measured, over
from lab.cell.experiments._internal import plain_scripts
from lab.cell.measuring.rounds import ALONE
from lab.containers import client as containers
from lab.judging.records import read_records
from lab.judging.status import conclude
from lab.judging.verdicts import evidence_of
from lab.model import build as builds
from lab.model.build import Build
from lab.model.cell import Job
from lab.planning import cells as planner
from lab.pythons import images

#: Of each cell.
SECONDS = 20.0

#: How often each function of CPython's benchmark is timed after each cell.
TIMES = 5

#: What the functions of the plain scripts are.
SCRIPTS = {"count": "a plain script that counts", "finish": "a plain script with the same work for each"}

#: One turn: of each arm what the lab's rounds said, and what each script said.
Turn = dict[str, tuple[Sequence[float], dict[str, float]]]


class Found(NamedTuple):
    """The turns, and of CPython's benchmark what each function reached."""

    turns: list[Turn]
    functions: dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", metavar="BUILD", help="default: 3.13 and 3.13t")
    parser.add_argument("--cells", type=int, default=6, help="of each build in a run")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--cpython", type=Path, metavar="FILE", help="CPython's ftscalingbench.py")
    options = parser.parse_args()
    source = options.cpython.read_text() if options.cpython else None
    asked = builds.parse_builds(options.python or ["3.13", "3.13t"])
    runs: list[dict[str, Found]] = []
    for number in range(options.runs):
        runs.append({})
        for build in asked:
            results = runs[-1][build.label] = of_build(build, options.cells, source if build.free_threaded else None)
            show(f"{build.label}, run {number + 1}", results)
    if len(runs) > 1:
        for build in asked:
            show(f"{build.label}, all {len(runs)} runs", joined(run[build.label] for run in runs))


def of_build(build: Build, cells: int, source: str | None) -> Found:
    """So many cells of a build, and after each CPython's benchmark, if there is a source of it."""
    client = containers.client_for_this_environment()
    image = images.image_of(client, build)
    client.close()
    results = Found([], {})
    for number in range(cells):
        turns, cpus = cell(image, f"agreement-{number}")
        functions = of_cpython(image, cpus, source) if source else {}
        results = joined([results, Found(turns, functions)])
    return results


def joined(several: Iterable[Found]) -> Found:
    turns: list[Turn] = []
    functions: dict[str, list[float]] = {}
    for results in several:
        turns += results.turns
        for name, values in results.functions.items():
            functions.setdefault(name, []).extend(values)
    return Found(turns, functions)


def show(title: str, results: Found) -> None:
    print(f"{title}, {len(results.turns)} turns")
    for arm in plain_scripts.ARMS:
        compare(arm, results.turns)
    if results.functions:
        medians = sorted((median(values), name) for name, values in results.functions.items())
        print(f"  threads: CPython's benchmark {spread([value for value, _ in medians])}")
        print("    " + ", ".join(f"{name} {value:.2f}" for value, name in medians))


def compare(arm: str, turns: Sequence[Turn]) -> None:
    """Print what the lab and each script say of an arm, and by how much they differ."""
    turns = [turn for turn in turns if turn[arm][0]]
    print(f"  {arm}: the lab {spread(ours(arm, turns))}")
    for function, name in SCRIPTS.items():

        def theirs(sample: Sequence[Turn], function: str = function) -> list[float]:
            return [turn[arm][1][function] for turn in sample]

        apart = over_rounds(turns, lambda sample: median(ours(arm, sample)) / median(theirs(sample)))
        paired = estimate([median(turn[arm][0]) / turn[arm][1][function] for turn in turns])
        print(f"    {name} {spread(theirs(turns))}: they differ by {percent(apart)}, turn by turn by {percent(paired)}")


def ours(arm: str, turns: Sequence[Turn]) -> list[float]:
    """The lab's speed-ups of an arm, of all rounds."""
    return [value for turn in turns for value in turn[arm][0]]


def percent(quotient: Estimate) -> str:
    return f"{quotient.value - 1:+.1%} ({quotient.low - 1:+.1%} to {quotient.high - 1:+.1%})"


def cell(image: str, session: str) -> tuple[list[Turn], tuple[int, ...]]:
    """One cell on all CPUs, or two: its turns, and the CPUs."""
    engine = engines.make("docker", image=image, session=session)
    try:
        machine = engine.probe()
        (planned_cell,) = planner.plan([min(2, len(machine.cpus))], machine.cpu_topology)
        job = Job(
            session=session,
            cell=planned_cell,
            experiments=(plain_scripts.NAME,),
            seconds=SECONDS,
            width=0.01,
            experiment_deadline=3 * SECONDS,
            cell_deadline=4 * SECONDS,
        )
        pieces: list[bytes] = []
        outcome = engine.run(job, pieces.append)
    finally:
        engine.close()
    evidence = evidence_of(
        plain_scripts.NAME, conclude(planned_cell, read_records(outcome.stream or b"".join(pieces)), outcome)
    )
    rounds = evidence.rounds("round")
    turns: list[Turn] = []
    for number, speed_ups in enumerate(evidence.rounds("plain")):
        lab_rounds = rounds[number * plain_scripts.ROUNDS : (number + 1) * plain_scripts.ROUNDS]
        turns.append({arm: (speed_up(arm).values(lab_rounds), speed_ups[arm]) for arm in plain_scripts.ARMS})
    return turns, planned_cell.cpus


def speed_up(arm: str) -> Measured:
    """How the lab gets it from a round."""
    return Measured((arm, ALONE.name), over(arm, ALONE.name))


def of_cpython(image: str, cpus: Sequence[int], source: str) -> dict[str, list[float]]:
    """What each function of CPython's benchmark reached in a container on these CPUs, :data:`TIMES` times."""
    from benchmarks import cpython_scaling

    functions = cpython_scaling.of_cpython(image, cpus, source, TIMES)
    return {name: [turn.exact for turn in turns] for name, turns in functions.items()}


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
