"""Whether the lab's speed-ups are those of a plain script on the same build and CPUs. Prints; asserts nothing.

    python benchmarks/agreement.py [--python BUILD ...] [--turns N]

The plain script knows nothing of the lab: it times a fixed amount of counting in one worker, then in one worker for
each CPU, started behind a barrier, threads and processes, several times over, and takes the median of the ratios. It
runs in a container with the same CPU set, alternating with cells of the lab, so that both meet the same machine.
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
from lab.stats import estimate, median
from lab.verdicts import evidence_of

#: Of each cell; short, so that the lab and the script take turns quickly on a machine whose speed changes.
SECONDS = 3.0

PLAIN = r"""
import json, multiprocessing, statistics, sys, threading, time

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
    ratios = []
    for _ in range(8):
        before, together, after = wall(kind, 1), wall(kind, cpus), wall(kind, 1)
        ratios.append(cpus * (before + after) / 2 / together)
    found[kind] = statistics.median(ratios)
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
        of_script: list[dict[str, float]] = []
        for turn in range(options.turns):
            mine, cpus = lab(image, f"agreement-{turn}")
            of_lab.append(mine)
            of_script.append(plain(image, cpus))
        for arm in ("threads", "processes"):
            ours, theirs = (sorted(one[arm] for one in found) for found in (of_lab, of_script))
            ratio = estimate([mine[arm] / other[arm] for mine, other in zip(of_lab, of_script, strict=True)])
            print(
                f"{build.label}, {len(cpus)} CPUs, {arm}: the lab {spread(ours)}, a plain script {spread(theirs)};"
                f" they differ by {abs(median(ours) / median(theirs) - 1):.1%}, turn by turn by {ratio.value - 1:+.1%}"
                f" ({ratio.low - 1:+.1%} to {ratio.high - 1:+.1%})"
            )


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


def plain(image: str, cpus: Sequence[int]) -> dict[str, float]:
    command = ["docker", "run", "--rm", "--network", "none", "--cpuset-cpus", cpuset.render(cpus)]
    command += ["--entrypoint", "python3", image, "-c", PLAIN, str(len(cpus))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def spread(values: Sequence[float]) -> str:
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    main()
