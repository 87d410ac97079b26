"""Whether the lab's speed-ups are those of plain scripts on the same build and CPUs. Prints; asserts nothing.

    python benchmarks/agreement.py [--python BUILD ...] [--cells N] [--cpython FILE]

The plain scripts know nothing of the lab's measuring (lab/experiments/_plain.py). They take turns of a fraction of a
second with it in the same cells, so that all meet the same machine; each compares one worker with one for each CPU,
threads and processes, which begin at the same time:

- one counts what the workers do together in a given time, as the lab does;
- one times the same work given to each. Where CPUs differ in speed, be it for a moment, the slowest sets its pace, and
  it says less than the CPUs gave together.

FILE is the scaling benchmark that CPython ships for free-threaded builds, Tools/ftscalingbench/ftscalingbench.py of its
source (Debian's python3.14-examples has it): on builds without a GIL it runs between the cells. Each of its functions
is timed several times over, as it times them itself, on a thread pinned to each CPU; it gives the same work to each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab import builds, containers, cpuset, engines, images, planner
from lab.experiments import _plain
from lab.experiments._measured import Measured, over
from lab.experiments._rounds import ALONE
from lab.model import Job
from lab.records import read
from lab.runner import conclude
from lab.stats import estimate, median
from lab.verdicts import evidence_of

#: Of each cell.
SECONDS = 20.0

#: How often each function of CPython's benchmark is timed after each cell.
TIMES = 5

#: What the functions of the plain scripts are.
SCRIPTS = {"count": "a plain script that counts", "finish": "a plain script with the same work for each"}

#: One turn: of each arm what the lab's rounds said, and what each script said.
Turn = dict[str, tuple[Sequence[float], dict[str, float]]]

#: Runs CPython's benchmark, which is read from standard input: the speed-up of every function, so many times.
CPYTHON = r"""
import argparse, json, sys, types

times, cpus = int(sys.argv[1]), [int(cpu) for cpu in sys.argv[2:]]
bench = sys.modules["ftscalingbench"] = types.ModuleType("ftscalingbench")
exec(compile(sys.stdin.read(), "ftscalingbench.py", "exec"), bench.__dict__)
sys.stdout, out = sys.stderr, sys.stdout
bench.determine_num_threads_and_affinity = lambda: cpus
bench.initialize_threads(argparse.Namespace(threads=-1))
found = {name: [] for name in bench.ALL_BENCHMARKS}
for _ in range(times):
    for name, function in bench.ALL_BENCHMARKS.items():
        alone = bench.bench_one_thread(function)
        found[name].append(alone * len(cpus) / bench.bench_parallel(function))
print(json.dumps(found), file=out)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", metavar="BUILD", help="default: 3.13 and 3.13t")
    parser.add_argument("--cells", type=int, default=6)
    parser.add_argument("--cpython", type=Path, metavar="FILE", help="CPython's ftscalingbench.py")
    options = parser.parse_args()
    theirs = options.cpython.read_text() if options.cpython else None
    for build in builds.parse_many(options.python or ["3.13", "3.13t"]):
        client = containers.client_for_this_environment()
        image = images.image_of(client, build)
        client.close()
        turns: list[Turn] = []
        functions: dict[str, list[float]] = {}
        for number in range(options.cells):
            more, cpus = cell(image, f"agreement-{number}")
            turns += more
            if theirs and build.free_threaded:
                for name, values in of_cpython(image, cpus, theirs).items():
                    functions.setdefault(name, []).extend(values)
        print(f"{build.label}, {len(cpus)} CPUs, {len(turns)} turns")
        for arm in _plain.ARMS:
            compare(arm, turns)
        if functions:
            medians = sorted((median(values), name) for name, values in functions.items())
            print(f"  threads: CPython's benchmark {spread([value for value, _ in medians])}")
            print("    " + ", ".join(f"{name} {value:.2f}" for value, name in medians))


def compare(arm: str, turns: Sequence[Turn]) -> None:
    """Print what the lab and each script say of an arm, and by how much they differ."""
    ours = [value for turn in turns for value in turn[arm][0]]
    print(f"  {arm}: the lab {spread(ours)}")
    for function, name in SCRIPTS.items():
        theirs = [turn[arm][1][function] for turn in turns]
        paired = estimate([median(turn[arm][0]) / turn[arm][1][function] for turn in turns if turn[arm][0]])
        print(
            f"    {name} {spread(theirs)}: they differ by {median(ours) / median(theirs) - 1:+.1%}, turn by turn by"
            f" {paired.value - 1:+.1%} ({paired.low - 1:+.1%} to {paired.high - 1:+.1%})"
        )


def cell(image: str, session: str) -> tuple[list[Turn], tuple[int, ...]]:
    """One cell on all CPUs, or two: its turns, and the CPUs."""
    engine = engines.make("docker", image=image, session=session)
    try:
        machine = engine.probe()
        (one,) = planner.plan([min(2, len(machine.cpus))], machine.layout)
        job = Job(
            session=session,
            cell=one,
            experiments=(_plain.NAME,),
            seconds=SECONDS,
            width=0.01,
            experiment_deadline=3 * SECONDS,
            cell_deadline=4 * SECONDS,
        )
        pieces: list[bytes] = []
        outcome = engine.run(job, pieces.append)
    finally:
        engine.close()
    evidence = evidence_of(_plain.NAME, conclude(one, read(outcome.stream or b"".join(pieces)), outcome))
    rounds = evidence.rounds("round")
    turns: list[Turn] = []
    for number, said in enumerate(evidence.rounds("plain")):
        mine = rounds[number * _plain.ROUNDS : (number + 1) * _plain.ROUNDS]
        turns.append({arm: (speed_up(arm).values(mine), said[arm]) for arm in _plain.ARMS})
    return turns, one.cpus


def speed_up(arm: str) -> Measured:
    """How the lab gets it from a round."""
    return Measured((arm, ALONE.name), over(arm, ALONE.name), "")


def of_cpython(image: str, cpus: Sequence[int], source: str) -> dict[str, list[float]]:
    """What each function of CPython's benchmark reached in a container on these CPUs, :data:`TIMES` times."""
    command = ["docker", "run", "--rm", "--interactive", "--network", "none", "--cpuset-cpus", cpuset.render(cpus)]
    command += ["--entrypoint", "python3", image, "-c", CPYTHON, str(TIMES), *map(str, cpus)]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
