"""What two shortcuts would save of a run that it does not take. Prints; asserts nothing.

    python benchmarks/shortcuts.py [--image multicore-lab-base:3.13] [--times 12]

- *A warm container*: a program in a container of its own, beside the same program in a container that stays and gets
  another CPU set before. A run has one such container for each cell.
- *Two at a time*: the experiments that take no times, one after the other, beside the same ones in two cells at a time.
  The time of a run of one short experiment is taken off both, because each run also starts and reports.

The ways take turns. docs/running.md says why the lab does neither.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tabulate import tabulate

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.passes import in_turn
from lab.text import units

#: The experiments of the usual run that take no times.
EXPERIMENTS = ("process", "pool", "queue", "pipe", "manager", "threads")
#: The same in two parts that take about as long.
PARTS = (("process", "pool", "pipe"), ("queue", "manager", "threads"))
_PROGRAM = ("python3", "-c", "pass")


def seconds(act: Callable[[], object]) -> float:
    """How long a call takes, in seconds."""
    begun = time.perf_counter()
    act()
    return time.perf_counter() - begun


def spreads(ways: Mapping[str, Callable[[], object]], times: int) -> list[tuple[str, str, str]]:
    """A row for each way: its name, its median, and its least and most, of so many turns after one that warms up."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(times + 1):
        for name in in_turn(list(ways), number):
            taken[name].append(seconds(ways[name]))
    return [
        (name, units.seconds(statistics.median(each[1:])), f"{min(each[1:]):.2f} to {max(each[1:]):.2f} s")
        for name, each in taken.items()
    ]


def docker(*words: str) -> None:
    subprocess.run(["docker", *words], check=True, capture_output=True)


def containers(image: str, times: int) -> list[tuple[str, str, str]]:
    """A container for each program, and one that stays."""
    options = ("--rm", "--init", "--network=none", "--cpuset-cpus=0")
    name = f"shortcut-{time.time_ns()}"
    docker("run", "--detach", f"--name={name}", *options, image, "sleep", "1000")

    def warm() -> None:
        docker("update", "--cpuset-cpus=0", name)
        docker("exec", name, *_PROGRAM)

    try:
        ways = {"a container of its own": lambda: docker("run", *options, image, *_PROGRAM), "a warm container": warm}
        return spreads(ways, times)
    finally:
        docker("kill", name)


def experiments(times: int) -> list[tuple[str, str, str]]:
    """The experiments in turn, in two cells at a time, and one alone."""
    with tempfile.TemporaryDirectory() as folder:

        def cells(*parts: Sequence[str]) -> None:
            command = [sys.executable, "-m", "lab", "run", "--engine", "local", "--cpus", "2", "--output", folder]
            running = [
                subprocess.Popen([*command, *part], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                for part in parts
            ]
            if any(process.wait() for process in running):
                raise SystemExit(f"a run of {' and '.join(map(', '.join, parts))} failed")

        return spreads(
            {
                "one after the other": lambda: cells(EXPERIMENTS),
                "two at a time": lambda: cells(*PARTS),
                "pipe alone": lambda: cells(["pipe"]),
            },
            times,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", default="multicore-lab-base:3.13")
    parser.add_argument("--times", type=int, default=12)
    options = parser.parse_args()
    rows = [*containers(options.image, options.times), *experiments(options.times)]
    print(tabulate(rows, ("way", "median", "range"), tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
