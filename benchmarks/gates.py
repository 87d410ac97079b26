"""How often a gate of ``lab check`` is wrong: gates whose truth is known, beside an idle, a half-busy and a busy CPU.

    python benchmarks/gates.py [--gates 300] [--neighbour idle --neighbour half --neighbour full]

The functions and commands are such that the truth is known by construction. What sleeps is twice as fast in two
threads. A loop in Python is as fast in two threads as in one, because of the GIL, and in two processes as fast as what
the machine delivers. A version is as fast as itself, and a version with a tenth more work takes a tenth longer. Each is
measured by ``lab check`` as a project would, on the local engine. A gate that is true and failed, or false and met, is
wrong. Exit code 1: a gate was wrong. 300 gates take some 18 minutes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import sysconfig
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from tabulate import tabulate

from lab.cell.experiments._internal.control import NEIGHBOURS
from lab.running.known_functions import beside

SOURCE = """
import time

def waits():
    time.sleep(0.01)

def loops(count={count}):
    total = 0
    for number in range(count):
        total = (total * 31 + number) & 255
    return total
"""

CONFIGURATION = """
engine = "local"
cpus = 2

[targets.waits]
scale = "work.py:waits"
level = "quick"
[targets.waits.gates]
speedup = [{executor = "threads", min = 1.8}, {executor = "fork", max = 1.2}]

[targets.loops]
scale = "work.py:loops"
level = "quick"
[targets.loops.gates]
speedup = [{executor = "threads", min = 1.3}, {executor = "fork", max = 1.2}]
efficiency = [{executor = "fork", min = 0.8}, {executor = "spawn", max = 0.6}]

[targets.same]
scale = "work.py:loops"
level = "quick"
gates.regression = {max = "5%", against = "same", executor = "one"}

[targets.slower]
scale = "work.py:loops"
level = "quick"
gates.regression = {max = "5%", against = "faster", executor = "one"}

[targets.nap]
exec = ["sleep", "0.05"]
cpus = [1, 2]
runs = 10
[targets.nap.gates]
speedup = {at = 2, max = 1.3}
efficiency = {at = 2, min = 0.6}
time = {at = 2, max = "40 ms"}
memory = [{at = 2, max = "1 GB"}, {at = 2, max = "100 KiB"}]
processes = {at = 2, max = 1}
"""

#: The gates that are true: target, kind, and the bound in words.
TRUE = {
    ("waits", "speedup", "at least 1.8"),
    ("loops", "efficiency", "at least 0.8"),
    ("same", "regression", "at most 5 % slower"),
    ("nap", "speedup", "at most 1.3"),
    ("nap", "memory", "at most 1 GB"),
    ("nap", "processes", "at most 1"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gates", type=int, default=300, help="how many gates, of all neighbours (default: 300)")
    parser.add_argument("--neighbour", action="append", choices=tuple(NEIGHBOURS), help="default: each of them")
    options = parser.parse_args()
    neighbours = options.neighbour or list(NEIGHBOURS)
    counts: Counter[tuple[str, bool, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        project = prepared(Path(folder))
        for neighbour in neighbours:
            while sum(counts[key] for key in counts if key[0] == neighbour) < options.gates / len(neighbours):
                with beside(neighbour):
                    for target, gate in results(project):
                        key = (target, gate["kind"], gate["bound"])
                        counts[neighbour, key in TRUE, gate["outcome"]] += 1
                        if (gate["outcome"], key in TRUE) in (("failed", True), ("met", False)):
                            print("wrong:", target, json.dumps(gate), flush=True)
    return report(counts, neighbours)


def prepared(folder: Path) -> Path:
    """A project with the functions, and with other versions of them."""
    project = folder / "project"
    for place, count in ((project, 4400), (project / "same", 4400), (project / "faster", 4000)):
        place.mkdir()
        (place / "work.py").write_text(SOURCE.format(count=count))
    (project / "multicore-lab.toml").write_text(CONFIGURATION)
    return project


def results(project: Path) -> list[tuple[str, dict[str, Any]]]:
    """The gates of one check, with the names of their targets."""
    program = Path(sysconfig.get_path("scripts")) / "lab"
    words = [str(program), "check", "--format", "json", "--output", str(project / "sessions")]
    done = subprocess.run(words, cwd=project, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return [(target["name"], gate) for target in json.loads(done.stdout)["targets"] for gate in target["gates"]]


def report(counts: Counter[tuple[str, bool, str]], neighbours: list[str]) -> int:
    """Print the counts. Returns the exit code."""
    outcomes = ("met", "failed", "inconclusive", "untestable")
    rows = [
        (neighbour, "true" if truth else "false", *(counts[neighbour, truth, outcome] for outcome in outcomes))
        for neighbour in neighbours
        for truth in (True, False)
    ]
    print(tabulate(rows, ("neighbour", "the gate is", *outcomes)))
    failed, met = (sum(counts[name, *wrong] for name in neighbours) for wrong in ((True, "failed"), (False, "met")))
    print(f"{sum(counts.values())} gates: {failed} wrongly failed, {met} wrongly met")
    return int(bool(failed or met))


if __name__ == "__main__":
    sys.exit(main())
