"""What ``lab exec``, hyperfine and BenchExec's runexec say of the same commands, in turns. Prints; asserts nothing.

    python benchmarks/exec_peers.py [--rounds 8]

hyperfine is Debian's package of that name, and runexec comes with the package benchexec of PyPI. A tool that is not
there is left out. In each round each tool runs each command once, in an order that changes.

On a shared machine no two runs of a command that computes take the same time, so tools that time different runs cannot
be held against each other within 1 %. So each command runs inside bash's ``time``, which takes the times of this same
run. The wall time and the CPU time that a tool says are divided by those that bash says of the run. The memory is that
of the peer over the lab's, round by round. The last table has the time of a run of ``true``, in which all is overhead.
It also has the time that each tool needs for a run besides the run itself.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.passes import in_turn
from lab.cell.claims.estimates import estimate, median
from lab.text import units

#: How many runs of ``true`` the last table takes.
OVERHEAD_RUNS = 20

#: The least CPU time, in seconds, whose ratio is shown: bash says times in milliseconds.
_LEAST_CPU = 0.1

_LOOP = "n = 0\nfor i in range(12_000_000): n += i"

#: A script for bash: runs its arguments, and writes the seconds of wall, user and system time into the file ``$0``.
_TIMED = 'TIMEFORMAT="%3R %3U %3S"; { time "$@" > /dev/null 2>&1; } 2> "$0"'

#: The commands by their names.
COMMANDS: dict[str, list[str]] = {
    "waits": ["sleep", "0.5"],
    "computes": [sys.executable, "-I", "-S", "-c", _LOOP],
    "two processes": ["sh", "-c", f"{shlex.quote(sys.executable)} -I -S -c {shlex.quote(_LOOP)} & wait $!"],
    "200 MB": [sys.executable, "-I", "-S", "-c", f"b = bytearray(200_000_000)\n{_LOOP}"],
    "kernel": ["dd", "if=/dev/zero", "of=/dev/null", "bs=1M", "count=8000"],
}


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a tool says of one run; ``None``: it says nothing of that."""

    #: Wall time, in seconds.
    wall: float
    #: CPU time, in seconds.
    cpu: float | None
    #: Peak memory, in bytes.
    memory: float | None
    #: The wall time and the CPU time of the same run, as bash takes them, in seconds; ``None``: bash was not asked.
    inside: tuple[float, float] | None = None

    @property
    def wall_ratio(self) -> float | None:
        """The wall time over the one that bash says."""
        return self.wall / self.inside[0] if self.inside and self.inside[0] else None

    @property
    def cpu_ratio(self) -> float | None:
        """The CPU time over the one that bash says; ``None`` where it is too short to say anything."""
        return self.cpu / self.inside[1] if self.cpu and self.inside and self.inside[1] >= _LEAST_CPU else None


def by_lab(words: Sequence[str], runs: int = 1) -> list[Said]:
    """The runs of a command, by the lab."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--cpus", "all", "--engine", "local", "--runs", str(runs), "--session", folder, "--format", "json"]
        document = json.loads(_output([sys.executable, "-m", "lab", "exec", *options, "--", *words]))
    (program,) = document["programs"]
    return [Said(wall=run["wall"], cpu=run["cpu"], memory=run["tree_memory"]) for run in program["runs"]]


def by_hyperfine(words: Sequence[str], runs: int = 1) -> list[Said]:
    """The runs of a command, by hyperfine without a shell. Of CPU time it has only the mean."""
    (said,) = hyperfine([words], runs)
    return said


def hyperfine(commands: Sequence[Sequence[str]], runs: int, warmup: int = 0) -> list[list[Said]]:
    """The runs of each of these commands, by one call of hyperfine."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "results.json"
        options = ["--warmup", str(warmup), "--runs", str(runs), "--export-json", str(file)]
        _output(["hyperfine", "-N", *options, *map(shlex.join, commands)])
        return of_hyperfine(json.loads(file.read_text()))


def of_hyperfine(document: dict[str, Any]) -> list[list[Said]]:
    """The runs of each command in the document that hyperfine exports."""
    said = []
    for result in document["results"]:
        memory = result.get("memory_usage_byte") or [None] * len(result["times"])
        cpu = result["user"] + result["system"]
        said.append([Said(wall=w, cpu=cpu, memory=m) for w, m in zip(result["times"], memory, strict=True)])
    return said


def by_runexec(words: Sequence[str], runs: int = 1, cores: Sequence[int] = ()) -> list[Said]:
    """The runs of a command, by runexec without a container; ``cores`` are the CPUs that it is limited to."""
    options = ["--cores", ",".join(map(str, cores))] if cores else []
    command = ["runexec", "--no-container", *options, "--output", "/dev/null", "--", *words]
    return [of_runexec(_output(command)) for _ in range(runs)]


def of_runexec(text: str) -> Said:
    """The run that runexec printed."""
    values = dict(re.findall(r"^(\w+)=([0-9.]+)", text, re.MULTILINE))
    memory = values.get("memory")
    return Said(wall=float(values["walltime"]), cpu=float(values["cputime"]), memory=float(memory) if memory else None)


def _output(words: Sequence[str]) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def timed(tool: str, words: Sequence[str]) -> Said:
    """One run of a command, by this tool, with the times of the same run as bash takes them."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "times"
        (said,) = TOOLS[tool](["bash", "-c", _TIMED, str(file), *words])
        wall, user, system = map(float, file.read_text().split())
    return replace(said, inside=(wall, user + system))


TOOLS: dict[str, Callable[..., list[Said]]] = {"lab": by_lab, "hyperfine": by_hyperfine, "runexec": by_runexec}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    rounds = parser.parse_args().rounds
    tools = [name for name in TOOLS if name == "lab" or shutil.which(name)]
    print(f"left out, because they are not here: {', '.join(name for name in TOOLS if name not in tools) or 'none'}\n")
    rows = []
    for command, words in COMMANDS.items():
        said: dict[str, list[Said]] = {tool: [] for tool in tools}
        for number in range(rounds):
            for tool in in_turn(tools, number):
                said[tool].append(timed(tool, words))
        rows += [_row(command, tool, said[tool], said["lab"]) for tool in tools]
    head = ("command", "tool", "wall", "over bash's", "CPU", "over bash's", "memory", "over the lab's")
    print(tabulate(rows, headers=head, disable_numparse=True), end="\n\n")
    print(tabulate(map(_overhead, tools), headers=("tool", "a run of true", "besides a run"), disable_numparse=True))


def _row(command: str, tool: str, said: Sequence[Said], lab: Sequence[Said]) -> tuple[str, ...]:
    memory = [(one.memory, other.memory) for one, other in zip(said, lab, strict=True)]
    known = [(one, other) for one, other in memory if one is not None and other]
    return (
        command,
        tool,
        _middle([one.wall for one in said], "s"),
        _ratio([one.wall_ratio for one in said]),
        _middle([one.cpu for one in said], "s"),
        _ratio([one.cpu_ratio for one in said]),
        _middle([one for one, _ in known], "bytes"),
        "" if tool == "lab" else _ratio([one / other for one, other in known]),
    )


def _middle(values: Sequence[float | None], unit: str) -> str:
    """The median in its unit; ``-`` where the tool says nothing."""
    known = [value for value in values if value is not None]
    return units.quantity(median(known), unit) if known else "-"


def _ratio(values: Sequence[float | None]) -> str:
    """The median of the ratios with its 95 % interval; ``-`` where there is none."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    ratio = estimate(known)
    return f"{ratio.value:.3f} ({ratio.low:.3f}-{ratio.high:.3f})"


def _overhead(tool: str) -> tuple[str, ...]:
    """The wall time of a run of ``true``, and what the tool needs for a run besides it."""
    begun = time.monotonic()
    said = TOOLS[tool](["true"], OVERHEAD_RUNS)
    seconds = time.monotonic() - begun
    walls = [each.wall for each in said]
    return tool, units.seconds(median(walls)), units.seconds((seconds - sum(walls)) / OVERHEAD_RUNS)


if __name__ == "__main__":
    main()
