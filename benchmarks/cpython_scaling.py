"""CPython's own scaling benchmark beside ``lab scale``: its functions, unchanged, on two CPUs without a GIL.

    python benchmarks/cpython_scaling.py FILE [--times 15] [--python 3.13t] [--only NAME,NAME]

FILE is Tools/ftscalingbench/ftscalingbench.py of CPython's source (Debian's python3.14-examples has it). It stays as it
is: the lab imports it as a target, and then its own function ``benchmark`` runs in a container on the same CPUs.

The two ask different questions. The script gives each thread the same share, and divides by the time of the slowest.
The lab counts the calls that both make in the same time. This benchmark notes when each thread of the script was done.
So it knows what the script would have said, had it counted: the column *counted*. The last column says why the printed
number and the lab's differ:

- *the slowest sets the pace*: had it counted, the script would say what the lab says;
- *noise*: the script's calls differ from each other by more than the script and the lab do;
- *not decided*: the lab had too few undisturbed rounds.

A note says where the threads do less than processes, which share nothing: there the functions contend. Exit code 1: the
two differ, and neither reason holds. With the default options this takes some 4 minutes.

What a disturbed machine left without a number is measured again, until the minutes are over.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tabulate import tabulate

import lab
from lab.cell.claims.estimates import Estimate, estimate
from lab.cell.cpus import cpulist
from lab.cell.targets.causes import AS_WELL
from lab.containers import client as containers
from lab.model import build as builds
from lab.model.build import Build
from lab.pythons import images
from lab.running.scaling import Scaling

#: Intervals that are no further apart than this share are the same, and the script prints one digit.
SAME, ROUNDING = 0.03, 0.05
THREADS, PROCESSES = "2 threads", "2 processes (fork)"

#: Runs CPython's benchmark, which is read from standard input: of every function so many speed-ups, as its own
#: ``benchmark`` prints them, and as they are if each thread counts until it is done.
IN_CONTAINER = r"""
import argparse, contextlib, io, json, sys, time, types

times, names, cpus = int(sys.argv[1]), sys.argv[2].split(","), [int(cpu) for cpu in sys.argv[3:]]
bench = sys.modules["ftscalingbench"] = types.ModuleType("ftscalingbench")
exec(compile(sys.stdin.read(), "ftscalingbench.py", "exec"), bench.__dict__)
bench.determine_num_threads_and_affinity = lambda: cpus
with contextlib.redirect_stdout(sys.stderr):
    bench.initialize_threads(argparse.Namespace(threads=-1))

def turn(function):
    took = []
    def timed():
        began = time.perf_counter_ns()
        function()
        took.append(time.perf_counter_ns() - began)
    timed.__name__ = function.__name__
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        bench.benchmark(timed)
    factor, direction = printed.getvalue().split()[1:3]
    factor = float(factor.rstrip("x"))
    alone, *together = took
    return {
        "printed": factor if direction == "faster" else 1 / factor,
        "exact": alone * len(cpus) / max(together),
        "counted": sum(alone / each for each in together),
    }

functions = {name: function for name, function in bench.ALL_BENCHMARKS.items() if names == [""] or name in names}
print(json.dumps({name: [turn(function) for _ in range(times)] for name, function in functions.items()}))
"""


class Turn(NamedTuple):
    """One call of the script's ``benchmark``."""

    #: The speed-up that it prints, with one digit.
    printed: float
    #: The same with all digits.
    exact: float
    #: The speed-up if each thread counts what it does in its own time.
    counted: float


class Row(NamedTuple):
    """One function of the script."""

    #: Its name.
    name: str
    #: The calls of the script's ``benchmark``.
    turns: Sequence[Turn]
    #: What the lab says.
    scaling: Scaling

    def of_script(self, field: str) -> Estimate:
        """The median of a field of the turns, with its interval."""
        return estimate([getattr(turn, field) for turn in self.turns])

    def of_lab(self, workers: str) -> Estimate | None:
        """The lab's speed-up of these workers."""
        return next((row.speed_up for row in self.scaling.rows if row.workers == workers), None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="CPython's ftscalingbench.py")
    parser.add_argument("--python", default="3.13t", metavar="BUILD", help="a build without a GIL (default: 3.13t)")
    parser.add_argument("--times", type=int, default=15, help="calls of the script for each function (default: 15)")
    parser.add_argument("--only", default="", metavar="NAMES", help="only these functions, separated by commas")
    parser.add_argument("--level", default="default", choices=("quick", "default", "thorough"))
    parser.add_argument(
        "--minutes", type=float, default=6.0, help="after so many nothing is measured again (default: 6)"
    )
    options = parser.parse_args()
    if not options.file.is_file():
        parser.error(
            f"there is no file {options.file}; it is Tools/ftscalingbench/ftscalingbench.py of CPython's source"
        )
    (build,) = builds.parse_builds([options.python])
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the user of the cells reads it
        shutil.copy(options.file, Path(folder) / "ftscalingbench.py")
        rows = measured(Path(folder), build, options)
    print(table(rows))
    contradicted = [row.name for row in rows if why(row).startswith("not explained")]
    print(f"{len(rows)} functions; not explained: {', '.join(contradicted) or 'none'}")
    return 1 if contradicted else 0


def measured(project: Path, build: Build, options: argparse.Namespace) -> list[Row]:
    """Every function: by the lab, and then by the script."""
    from benchmarks.passes import until_measured

    source = (project / "ftscalingbench.py").read_text()
    client = containers.client_for_this_environment()
    image = images.image_of(client, build)
    client.close()

    def measure(name: str) -> Row:
        scaling = lab.scale(
            f"{project}/ftscalingbench.py:{name}",
            python=[build.label],
            engine="docker",
            cpus="2",
            project=project,
            level=options.level,
        )
        cpus = scaling.session.results[0].cell.cpus
        row = Row(name, of_cpython(image, cpus, source, options.times, name)[name], scaling)
        print(f"{name}: {shown(row.of_lab(THREADS))} {why(row)}", file=sys.stderr)
        return row

    names = of_cpython(image, (0,), source, 1, options.only)
    return until_measured(names, measure, lambda row: row.of_lab(THREADS) is None, options.minutes)


def of_cpython(image: str, cpus: Sequence[int], source: str, times: int, only: str = "") -> Mapping[str, list[Turn]]:
    """What each function of CPython's benchmark reached in a container on these CPUs, so many times."""
    command = ["docker", "run", "--rm", "--interactive", "--network", "none", "--cpuset-cpus", cpulist.render(cpus)]
    return printed_by(source, cpus, times, only, [*command, "--entrypoint", "python3", image])


def printed_by(
    source: str, cpus: Sequence[int], times: int, only: str, python: Sequence[str]
) -> Mapping[str, list[Turn]]:
    """What each function of the source of CPython's benchmark reached on these CPUs, so many times.

    ``python`` are the words of a command that starts an interpreter.
    """
    command = [*python, "-c", IN_CONTAINER, str(times), only, *map(str, cpus)]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    return {name: [Turn(**turn) for turn in turns] for name, turns in json.loads(done.stdout).items()}


def touch(one: Estimate, other: Estimate, apart: float = 0.0) -> bool:
    """Whether two intervals overlap, or are at most so far apart."""
    near = apart + SAME * other.value
    return one.low <= other.high + near and other.low <= one.high + near


def same(row: Row) -> bool | None:
    """Whether the script prints what the lab says; ``None``: the lab says nothing."""
    speed_up = row.of_lab(THREADS)
    return touch(row.of_script("printed"), speed_up, ROUNDING) if speed_up else None


def why(row: Row) -> str:
    """Why the two differ, and what else explains the numbers."""
    speed_up, processes, counted = row.of_lab(THREADS), row.of_lab(PROCESSES), row.of_script("counted")
    if speed_up is None:
        return "not decided: too few undisturbed rounds"
    reasons = []
    if not same(row):
        values = [turn.printed for turn in row.turns]
        if touch(counted, speed_up):
            reasons.append("the slowest sets the pace")
        elif min(values) <= speed_up.high and speed_up.low <= max(values):
            reasons.append("noise")
        else:
            reasons.append("not explained")
    if processes and speed_up.high < AS_WELL * processes.low:
        reasons.append(f"threads contend: processes do {processes.value:.2f}")
    return "; ".join(reasons)


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, with what the script counts."""
    head = ("function", "script prints", "had it counted", "lab, threads", "lab, processes", "same?", "why")
    lines = [
        (
            row.name,
            shown(row.of_script("printed")),
            shown(row.of_script("counted")),
            shown(row.of_lab(THREADS)),
            shown(row.of_lab(PROCESSES)),
            {True: "yes", False: "no", None: "?"}[same(row)],
            why(row),
        )
        for row in rows
    ]
    return tabulate(lines, head, tablefmt="github", disable_numparse=True)


def shown(speed_up: Estimate | None) -> str:
    return f"{speed_up.value:.2f} ({speed_up.low:.2f}-{speed_up.high:.2f})" if speed_up else "?"


if __name__ == "__main__":
    sys.exit(main())
