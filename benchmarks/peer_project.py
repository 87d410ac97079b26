"""The project that the tools of :mod:`benchmarks.peer_tools` measure: three versions of its functions, as files."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.own_code import SLOWER as SLOWER_SOURCE
from benchmarks.own_code import SOURCE

#: How often a worker calls each function: for a tool that calls a task many times, some 0.1 s, so that what a pool
#: costs counts for little, and pyperf takes a task once; for a tool or script that does a task once, some 0.25 s.
CALLS = {
    "task": {"waits": 10, "loops": 400},
    "once": {"waits": 24, "loops": 1000},
}

#: One worker, two threads, or two processes, each of which calls the function that many times.
TASKS = """
import functools
import work

def repeat(name, times):
    function = getattr(work, name)
    for _ in range(times):
        function()

@functools.cache
def pool(workers):
    import concurrent.futures
    if workers == "threads":
        return concurrent.futures.ThreadPoolExecutor(2)
    import multiprocessing
    return concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("fork"))

def task(workers, name, times):
    if workers == "one":
        return functools.partial(repeat, name, times)
    def together():
        for future in [pool(workers).submit(repeat, name, times) for _ in range(2)]:
            future.result()
    return together
"""

#: A program that does one of these tasks, without a pool.
PROGRAM = """
import sys, threading
import work

def repeat():
    function = getattr(work, sys.argv[2])
    for _ in range(int(sys.argv[3])):
        function()

team = [threading.Thread(target=repeat) for _ in range(sys.argv[1] == "threads")]
for thread in team:
    thread.start()
repeat()
for thread in team:
    thread.join()
"""

#: The programs that time tasks read the arguments of ``task`` from this file in their folder.
ARMS = "arms.json"

#: Times each task once, as scripts in pull requests do.
ONE_SHOT = """
import json, time, tasks

def once(*arm):
    act = tasks.task(*arm)
    began = time.perf_counter()
    act()
    return time.perf_counter() - began

with open("arms.json") as arms:
    seconds = {arm[0]: [once(*arm)] for arm in json.load(arms)}
with open("once.json", "w") as file:
    json.dump(seconds, file)
"""

PYPERF = """
import json, pyperf, tasks
runner = pyperf.Runner()
with open("arms.json") as arms:
    for workers, name, times in json.load(arms):
        runner.bench_func(workers, tasks.task(workers, name, times))
"""

PYTEST = """
import json, pytest, tasks
with open("arms.json") as file:
    arms = json.load(file)

@pytest.mark.parametrize("workers, name, times", arms)
def test_task(benchmark, workers, name, times):
    benchmark(tasks.task(workers, name, times))
"""

#: The files of every version, besides the functions.
FILES = {
    "tasks.py": TASKS,
    "program.py": PROGRAM,
    "once.py": ONE_SHOT,
    "perf.py": PYPERF,
    "test_tasks.py": PYTEST,
}


@dataclass(frozen=True, kw_only=True)
class Project:
    """Three versions of the same functions, each in a folder of its own: this, the same, and a slower one."""

    #: The folder of these folders.
    folder: Path
    #: The two CPUs that everything runs on.
    cpus: tuple[int, int]
    #: Whether few repetitions are enough.
    is_quick: bool
    #: The level of the lab.
    level: str
    #: CPython's ftscalingbench.py; ``None``: it is not here.
    cpython: Path | None

    def write(self) -> None:
        """Write the files of all versions."""
        for version, source in (("this", SOURCE), ("same", SOURCE), ("slower", SLOWER_SOURCE)):
            (self.folder / version).mkdir()
            for name, text in {"work.py": source, **FILES}.items():
                (self.folder / version / name).write_text(text)

    def run(self, version: str, *words: str) -> str:
        """The output of a command in the folder of a version. Raises CalledProcessError if the command fails."""
        done = subprocess.run(words, cwd=self.folder / version, check=True, capture_output=True, text=True)
        return done.stdout


class Arm(NamedTuple):
    """Something to time."""

    #: The version: this, same, or slower.
    version: str
    #: The workers: one, threads, or processes.
    workers: str
    #: The name of the function.
    function: str
