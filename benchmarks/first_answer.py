"""How soon commands answer, beside a bare interpreter that does nothing. Prints; asserts nothing.

    python benchmarks/first_answer.py [--runs 20]
    python benchmarks/first_answer.py --verdict [--runs 5] [ARGUMENT OF LAB RUN ...]

The commands take turns. For each of them it prints the elapsed time until its first line and until its end, the CPU
time, and how many times the bare interpreter's turn of the same round that is. The code is compiled beforehand, as pip
does it for an installation. With ``--verdict`` it prints instead how long ``lab run`` takes at a terminal until its
first verdict, and until its end.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from lab.cell.claims.estimates import estimate, median
from lab.cell.cpus.one_file import one_file
from lab.text import units

HERE = Path(__file__).resolve().parents[1]
LAB = ("-m", "lab")
BARE = "an interpreter that does nothing"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One run of a command."""

    #: When its first line had come, in seconds from its start; with no line, when it ended.
    first: float
    #: When it had ended, in seconds from its start.
    end: float
    #: The CPU time of the process and of those that it waited for, in seconds.
    cpu: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--verdict", action="store_true")
    options, run_words = parser.parse_known_args()
    if options.verdict:
        runs = [first_verdict(run_words) for _ in range(options.runs)]
        print(f"first verdict {spread([first for first, _ in runs])}, end {spread([end for _, end in runs])}")
        print(f"{options.runs} runs, load {os.getloadavg()[0]:.1f}")
        return
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPYCACHEPREFIX": folder, "PYTHONPATH": str(HERE)}
        zipapp = Path(folder, "cpus.pyz")
        zipapp.write_bytes(one_file())
        turns: dict[str, list[Turn]] = {name: [] for name in commands(zipapp)}
        for number in range(-1, options.runs):  # the first turn compiles
            order = list(commands(zipapp).items())
            for name, words in order[:: -1 if number % 2 else 1]:
                turn = timed(words, environment)
                if number >= 0:
                    turns[name].append(turn)
    print(tabulate(rows(turns), ["", "first line", "end", "CPU time", "CPU time against"], tablefmt="plain"))
    bare = median([turn.end for turn in turns[BARE]])
    print(f"\ntwice {BARE}, and 30 ms: {units.seconds(2 * bare + 0.03)}; load {os.getloadavg()[0]:.1f}")


def commands(zipapp: Path) -> dict[str, Sequence[str]]:
    """What is measured: name -> arguments of the interpreter."""
    number = ("--for", "gunicorn", "--format", "value")
    return {
        BARE: ("-c", "pass"),
        "lab --version": (*LAB, "--version"),
        "lab --help": (*LAB, "--help"),
        "lab cpus": (*LAB, "cpus"),
        "lab cpus " + " ".join(number): (*LAB, "cpus", *number),
        "cpus.pyz " + " ".join(number): ("-I", "-S", str(zipapp), *number),
    }


def timed(words: Sequence[str], environment: Mapping[str, str]) -> Turn:
    """Run a command once."""
    began = time.monotonic()
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, env=environment, cwd="/") as process:
        assert process.stdout
        process.stdout.readline()
        first = time.monotonic() - began
        process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        end = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, words
    return Turn(first=first, end=end, cpu=usage.ru_utime + usage.ru_stime)


def first_verdict(words: Sequence[str]) -> tuple[float, float]:
    """When ``lab run`` shows its first verdict at a terminal, and when it ends, in seconds from its start."""
    ours, terminal = pty.openpty()
    with tempfile.TemporaryDirectory() as folder, os.fdopen(ours, "rb", buffering=0) as shown:
        began = time.monotonic()
        command = [sys.executable, *LAB, "run", "--output", folder, *words]
        environment = {**os.environ, "TERM": "xterm", "PYTHONPATH": str(HERE)}
        process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=environment, cwd="/")
        os.close(terminal)
        first, screen = 0.0, b""
        with contextlib.suppress(OSError):  # the program has ended
            while piece := shown.read(2**16):
                screen += piece
                if not first and b", so far" in screen:
                    first = time.monotonic() - began
        assert process.wait() in (0, 1), screen.decode()
        end = time.monotonic() - began
    assert first, screen.decode()
    return first, end


def rows(turns: Mapping[str, Sequence[Turn]]) -> list[tuple[str, ...]]:
    """A row for each command: the median of each time, with the least and the most."""
    table = []
    for name, of_command in turns.items():
        against = estimate([turn.cpu / bare.cpu for turn, bare in zip(of_command, turns[BARE], strict=True)])
        times = (
            [turn.first for turn in of_command],
            [turn.end for turn in of_command],
            [turn.cpu for turn in of_command],
        )
        table.append((name, *map(spread, times), f"{against.value:.2f} ({against.low:.2f} to {against.high:.2f})"))
    return table


def spread(seconds: Sequence[float]) -> str:
    return f"{units.seconds(median(seconds))} ({units.seconds(min(seconds))} to {units.seconds(max(seconds))})"


if __name__ == "__main__":
    main()
