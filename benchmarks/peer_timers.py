"""Tools that take the times of the tasks of :mod:`benchmarks.peer_project`: some time functions, others commands."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import exec_peers
from benchmarks.peer_output import of_pyperf, of_pytest
from benchmarks.peer_project import ARMS, CALLS, Arm, Project

#: The times of each of these arms, in seconds.
Timer = Callable[[Project, Sequence[Arm]], list[list[float]]]


@dataclass(frozen=True, kw_only=True)
class FunctionTimer:
    """A tool that times Python functions: it times those of a version together, and writes their times into a file."""

    #: How often a worker calls each function.
    calls: Mapping[str, int]
    #: The arguments of Python that start it.
    words: Callable[[Project], Sequence[str]]
    #: The name of the JSON file that it writes.
    file: str
    #: The times in that file by their workers, in seconds.
    read: Callable[[Any], Mapping[str, list[float]]]

    def __call__(self, project: Project, arms: Sequence[Arm]) -> list[list[float]]:
        """The times of each arm, in seconds. No two functions have the same workers in the same version."""
        times: dict[Arm, list[float]] = {}
        for version in dict.fromkeys(arm.version for arm in arms):
            here = {arm.workers: arm for arm in arms if arm.version == version}
            tasks = [(arm.workers, arm.function, self.calls[arm.function]) for arm in here.values()]
            folder = project.folder / version
            (folder / ARMS).write_text(json.dumps(tasks))
            (folder / self.file).unlink(missing_ok=True)
            project.run(version, sys.executable, *self.words(project))
            values = self.read(json.loads((folder / self.file).read_text()))
            times |= {arm: values[workers] for workers, arm in here.items()}
        return [times[arm] for arm in arms]


def _pyperf_words(project: Project) -> list[str]:
    how = ["--fast"] if project.is_quick else []
    return ["perf.py", *how, "--quiet", "--affinity", ",".join(map(str, project.cpus)), "--output", PERF_FILE]


def _pytest_words(project: Project) -> list[str]:
    alone = ["-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", ".", "-p", "no:cacheprovider", "-p", "no:xdist"]
    rounds = ["--benchmark-min-rounds=20", f"--benchmark-max-time={0.2 if project.is_quick else 1}"]
    steady = ["--benchmark-warmup=on", "--benchmark-disable-gc", "--benchmark-json=pytest.json"]
    return [*alone, *rounds, *steady, "test_tasks.py"]


#: Where pyperf keeps its values of a version, which ``pyperf compare_to`` reads.
PERF_FILE = "perf.json"

ONE_SHOT = FunctionTimer(calls=CALLS["once"], words=lambda project: ["once.py"], file="once.json", read=dict)
PYPERF = FunctionTimer(calls=CALLS["task"], words=_pyperf_words, file=PERF_FILE, read=of_pyperf)
PYTEST = FunctionTimer(calls=CALLS["task"], words=_pytest_words, file="pytest.json", read=of_pytest)


def hyperfine(project: Project, arms: Sequence[Arm]) -> list[list[float]]:
    """The runs of each arm by hyperfine, in seconds."""
    commands = [command(project, arm) for arm in arms]
    said = exec_peers.hyperfine(commands, 5 if project.is_quick else 10, warmup=1)
    return [[run.wall for run in runs] for runs in said]


def runexec(project: Project, arms: Sequence[Arm]) -> list[list[float]]:
    """The runs of each arm by BenchExec's runexec, one arm after the other in each turn, in seconds."""
    runs: list[list[float]] = [[] for _ in arms]
    for _ in range(3 if project.is_quick else 5):
        for values, arm in zip(runs, arms, strict=True):
            (said,) = exec_peers.by_runexec(command(project, arm), cores=project.cpus)
            values.append(said.wall)
    return runs


def command(project: Project, arm: Arm) -> list[str]:
    """A command that does what an arm does. Two processes are the same command twice at the same time."""
    path = str(project.folder / arm.version / "program.py")
    workers = "one" if arm.workers == "processes" else arm.workers
    words = [sys.executable, "-S", path, workers, arm.function, str(CALLS["once"][arm.function])]
    line = shlex.join(words)
    # It fails if either of them fails: "wait" alone says nothing of those that it waited for.
    return ["sh", "-c", f"{line} & {line} && wait $!"] if arm.workers == "processes" else words
