"""How exact ``lab scale`` is, what it costs, how soon it answers, and how often it is wrong about two versions.

    python benchmarks/own_code.py [truth] [cost] [first] [against] [--times N] [--pairs N] [--python BUILD …]

- ``truth``: the speed-ups of functions whose speed-up is known. What sleeps is twice as fast with two workers. A loop
  in Python gains in processes what the capacity probe of the same rounds gains: the probe is such a loop, and parallel
  by construction.
- ``cost``: calls per second of a worker's timing loop over those of a plain ``for`` loop, in turns in one process.
- ``first``: seconds from the command to its last line, for one function, one build and cells of 1 and 2 CPUs.
- ``against``: pairs of one version with itself, and with one that does 5 % more work, each measured as ``--against``
  does; how many are called different.

Everything is on the local engine but ``first``, which also uses Docker where there is an engine.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tabulate import tabulate

import lab
from lab.cell.claims.estimates import Estimate
from lab.cell.measuring.crew_worker import Block
from lab.cell.targets.worker import GROUP_SECONDS, timed
from lab.model.session import Session
from lab.reports.tables.environments import SLIGHT

SOURCE = """
import time

def waits():
    time.sleep(0.01)

def loops(count=4000):
    total = 0
    for number in range(count):
        total = (total * 31 + number) & 255
    return total
"""
#: The same functions, with 5 % more work in the one that is compared.
SLOWER = SOURCE.replace("count=4000", "count=4200")
#: Function -> the workers whose speed-up is known, and whether it is that of the probe.
TRUTHS: tuple[tuple[str, str, bool], ...] = (
    ("waits", "2 threads", False),
    ("waits", "2 processes (fork)", False),
    ("loops", "2 processes (fork)", True),
    ("loops", "2 processes (spawn)", True),
)
#: The lengths of the calls whose cost is measured, in microseconds.
CALLS_US = (5, 20, 100, 1000)


def truth(options: argparse.Namespace, folder: Path) -> None:
    """Print the known speed-ups beside the measured ones."""
    off: dict[tuple[str, str, str], list[float]] = {}
    for build, function in itertools.product(options.python or ("",), dict.fromkeys(name for name, _, _ in TRUTHS)):
        for _ in range(options.times):
            target, builds = f"{folder / 'work.py'}:{function}", [build] if build else []
            session = lab.scale(target, cpus="2", python=builds, level="default").session
            for name, workers, is_probe in TRUTHS:
                if name == function:
                    off.setdefault((build, function, workers), []).extend(_off_by(session, workers, is_probe))
    rows = [(*key, len(values), *_percents(values)) for key, values in off.items() if values]
    print(tabulate(rows, ("build", "function", "workers", "runs", "off by, median", "least", "most")))
    print("Off by: the measured speed-up over the true one, less 1.\n")


def _off_by(session: Session, workers: str, is_probe: bool) -> list[float]:
    """The measured speed-up over the true one, less 1; empty where too few rounds were undisturbed."""
    what, right = ("of delivered", 1.0) if is_probe else ("speed-up", 2.0)
    values = [each.value for each in session.quantities if (each.of, each.what) == (workers, what)]
    if not values:
        raise LookupError(f"the session has no {what!r} of {workers!r}")
    return [value / right - 1 for value in values if value is not None]


def _percents(values: Sequence[float]) -> tuple[str, ...]:
    return tuple(f"{100 * value:+.1f} %" for value in (statistics.median(values), min(values), max(values)))


def cost(options: argparse.Namespace, folder: Path) -> None:
    """Print what the timing loop of a worker costs."""
    rows = []
    for micros in CALLS_US:
        call, seconds = _call_of(micros * 1e-6)
        size = max(1, round(GROUP_SECONDS / seconds))
        ratios = [_ratio(call, size, seconds) for _ in range(200 * options.times)]
        middle, *tenths = statistics.median(ratios), *statistics.quantiles(ratios, n=10)
        rows.append(
            (
                f"{1e6 * seconds:.1f} µs",
                len(ratios),
                *_percents([1 - middle])[:1],
                f"{1 - tenths[-1]:+.1%}",
                f"{1 - tenths[0]:+.1%}",
            )
        )
    print(tabulate(rows, ("a call", "pairs of blocks", "cost, median", "first tenth", "last tenth")))
    print("Cost: the share of the calls per second of a plain loop that the timing loop loses.\n")


def _call_of(seconds: float) -> tuple[Callable[[], object], float]:
    """A function that takes about so long, and how long it really takes."""
    namespace: dict[str, Callable[[int], object]] = {}
    exec(SOURCE, namespace)
    count = 100
    one = min(_plain(lambda: namespace["loops"](count), 50) for _ in range(20))
    count = max(1, round(count * seconds / one))
    function = namespace["loops"]

    def call() -> object:
        return function(count)

    return call, min(_plain(call, 20) for _ in range(20))


def _plain(call: Callable[[], object], count: int) -> float:
    """Seconds of a call in a plain loop."""
    began = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - began) / count


def _ratio(call: Callable[[], object], size: int, seconds: float) -> float:
    """Calls per second of the timing loop over those of a plain loop before and after it, in blocks of 5 ms or more."""
    length = max(0.005, 5 * seconds)
    before = _plain(call, round(length / seconds))
    start = time.monotonic() + 0.0005
    tally = timed(call, size, Block("", ((),), start, start + length, False))
    after = _plain(call, round(length / seconds))
    return tally.units / tally.wall * (before + after) / 2


def first(options: argparse.Namespace, folder: Path) -> None:
    """Print the seconds to the answer."""
    rows = []
    for engine in ("local", "docker"):
        for level in ((), ("--quick",)):
            words = ["scale", "work.py:loops", "--cpus", "1,2", "--engine", engine, "--output", "sessions", *level]
            times = []
            for _ in range(options.times):
                began = time.monotonic()
                done = subprocess.run([sys.executable, "-m", "lab", *words], cwd=folder, capture_output=True, text=True)
                times.append(time.monotonic() - began)
                if done.returncode:
                    print(f"left out: {engine}: {done.stderr.splitlines()[-1]}")
                    break
            else:
                rows.append(
                    (
                        engine,
                        " ".join(level),
                        *(f"{value:.1f}" for value in (statistics.median(times), min(times), max(times))),
                    )
                )
    print(tabulate(rows, ("engine", "level", "seconds, median", "least", "most")), "\n")


def against(options: argparse.Namespace, folder: Path) -> None:
    """Print how often two versions are called different, alike ones and those that are."""
    other = folder / "other"
    counts: dict[tuple[str, str], list[int]] = {}
    for number in range(options.pairs):
        for kind, text in (("alike", SOURCE), ("5 % more work", SLOWER)):
            other.mkdir(exist_ok=True)
            (other / "work.py").write_text(text)
            result = lab.scale(f"{folder / 'work.py'}:loops", against=other, cpus="2", level="default", seed=number)
            for row in result.rows:
                if row.ratio:
                    _count(counts.setdefault((kind, row.workers), [0, 0, 0]), row.ratio)
    rows = [(*key, *values) for key, values in sorted(counts.items())]
    print(tabulate(rows, ("pairs", "workers", "slower", "not told apart", "faster")), "\n")


def _count(counts: list[int], ratio: Estimate) -> None:
    counts[0 if ratio.high < 1 - SLIGHT else 2 if ratio.low > 1 + SLIGHT else 1] += 1


PARTS = {"truth": truth, "cost": cost, "first": first, "against": against}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--times", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument("--pairs", type=int, default=20, help="pairs of each kind (default: 20)")
    parser.add_argument("--python", action="append", metavar="BUILD", help="with truth: a build; repeat it for several")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # the user of a container reads it
        (folder / "work.py").write_text(SOURCE)
        for part in options.parts or PARTS:
            if part not in PARTS:
                parser.error(f"there is no part {part!r}; there are {', '.join(PARTS)}")
            PARTS[part](options, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
