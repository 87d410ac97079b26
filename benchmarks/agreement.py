"""Whether the lab's speed-ups are those of a plain script on the same build and CPUs. Prints; asserts nothing.

    python benchmarks/agreement.py [--python BUILD ...] [--turns N]

The plain script knows nothing of the lab: it times a fixed amount of counting in one worker, then in one worker for
each CPU, started behind a barrier, threads and processes, several times over, and takes the median of the ratios. It
runs in a container with the same CPU set, alternating with cells of the lab, so that both meet the same machine. On a
machine that gives now more and now less than its CPUs that median says less than the code allows; so the turns in which
the script agreed with itself stand beside all of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence

from lab import builds, containers, cpuset, engines, images, planner
from lab.experiments import gil
from lab.model import Job
from lab.records import read
from lab.runner import conclude
from lab.stats import estimate, median, quantile
from lab.verdicts import evidence_of

#: Of each cell; short, so that the lab and the script take turns quickly on a machine whose speed changes.
SECONDS = 3.0

#: How far apart the middle half of the script's speed-ups may be in a quiet turn, as a share.
STEADY = 0.03

#: Seconds of a plain script's work: in one worker, in one for each CPU, and in one again.
Walls = tuple[float, float, float]

PLAIN = r"""
import json, multiprocessing, sys, threading, time

def work(gate, spans):
    gate.wait()
    began = time.monotonic()
    total = 0
    for number in range(1_500_000):
        total = (total * 31 + number) & 255
    spans.put((began, time.monotonic()))

def wall(kind, count):
    if kind == "threads":
        import queue
        gate, spans, make = threading.Barrier(count), queue.Queue(), threading.Thread
    else:
        context = multiprocessing.get_context("fork")
        gate, spans, make = context.Barrier(count), context.SimpleQueue(), context.Process
    team = [make(target=work, args=(gate, spans)) for _ in range(count)]
    for one in team:
        one.start()
    seen = [spans.get() for _ in team]
    for one in team:
        one.join()
    return max(end for _, end in seen) - min(began for began, _ in seen)

cpus = int(sys.argv[1])
found = {}
for kind in ("threads", "processes"):
    found[kind] = [(wall(kind, 1), wall(kind, cpus), wall(kind, 1)) for _ in range(8)]
print(json.dumps(found))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", metavar="BUILD", help="default: 3.13 and 3.13t")
    parser.add_argument("--turns", type=int, default=12)
    options = parser.parse_args()
    for build in builds.parse_many(options.python or ["3.13", "3.13t"]):
        client = containers.client_for_this_environment()
        image = images.image_of(client, build)
        client.close()
        of_lab: list[dict[str, float]] = []
        of_script: list[dict[str, list[Walls]]] = []
        for turn in range(options.turns):
            mine, cpus = lab(image, f"agreement-{turn}")
            of_lab.append(mine)
            of_script.append(plain(image, cpus))
        for arm in ("threads", "processes"):
            runs = [one[arm] for one in of_script]
            ours, theirs = [one[arm] for one in of_lab], [median(ratios(one, len(cpus))) for one in runs]
            ratio = estimate([mine / other for mine, other in zip(ours, theirs, strict=True)])
            quiet = [
                mine / other for mine, other, one in zip(ours, theirs, runs, strict=True) if steady(one, len(cpus))
            ]
            print(
                f"{build.label}, {len(cpus)} CPUs, {arm}: the lab {spread(ours)}, a plain script {spread(theirs)};"
                f" they differ by {abs(median(ours) / median(theirs) - 1):.1%}, turn by turn by {ratio.value - 1:+.1%}"
                f" ({ratio.low - 1:+.1%} to {ratio.high - 1:+.1%})"
            )
            print(
                f"  {len(quiet)} of {options.turns} turns in which the script's runs differ by less than {STEADY:.0%}"
                + (f": by {median(quiet) - 1:+.1%} ({min(quiet) - 1:+.1%} to {max(quiet) - 1:+.1%})" if quiet else "")
            )


def ratios(runs: Sequence[Walls], cpus: int) -> list[float]:
    """The speed-up in each run of the script."""
    return [cpus * (before + after) / 2 / together for before, together, after in runs]


def steady(runs: Sequence[Walls], cpus: int) -> bool:
    """Whether the middle half of the script's speed-ups lies close together."""
    found = ratios(runs, cpus)
    return quantile(found, 0.75) - quantile(found, 0.25) < STEADY * median(found)


def lab(image: str, session: str) -> tuple[dict[str, float], tuple[int, ...]]:
    """One cell of the lab's ``gil`` on all CPUs, or two: speed-ups, and the CPUs."""
    engine = engines.make("docker", image=image, session=session)
    try:
        machine = engine.probe()
        (cell,) = planner.plan([min(2, len(machine.cpus))], machine.layout)
        job = Job(
            session=session,
            cell=cell,
            experiments=("gil",),
            seconds=SECONDS,
            width=0.01,
            experiment_deadline=60,
            cell_deadline=90,
        )
        pieces: list[bytes] = []
        outcome = engine.run(job, pieces.append)
    finally:
        engine.close()
    result = conclude(cell, read(outcome.stream or b"".join(pieces)), outcome)
    rounds = evidence_of("gil", result).rounds("round")
    found = {arm: gil.speed_up(rounds, arm) for arm in ("threads", "processes")}
    return {arm: one.value if one else float("nan") for arm, one in found.items()}, cell.cpus


def plain(image: str, cpus: Sequence[int]) -> dict[str, list[Walls]]:
    command = ["docker", "run", "--rm", "--network", "none", "--cpuset-cpus", cpuset.render(cpus)]
    command += ["--entrypoint", "python3", image, "-c", PLAIN, str(len(cpus))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, list[Walls]] = json.loads(done.stdout)
    return found


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
