"""The tools that answer :mod:`benchmarks.questions`, each with the settings that its documentation recommends."""

from __future__ import annotations

import importlib.util
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from benchmarks import cpython_scaling, peer_timers
from benchmarks.peer_output import of_compare_to, of_lab, of_lab_against
from benchmarks.peer_project import CALLS, Arm, Project
from benchmarks.peer_timers import Timer
from benchmarks.questions import (
    HALF,
    PROCESSES,
    SAME,
    SLOWER,
    THREADS,
    WAITING,
    Answer,
    Question,
    Says,
    at_least,
    is_slower,
    ratio_with_deviation,
)


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool that answers the questions."""

    #: Its name.
    name: str
    #: Its settings, in words.
    settings: str
    #: How it decides, in words.
    decides: str
    #: What it says about the CPU set, about a quota, and how it proves them.
    limits: tuple[str, str, str] = ("no", "no", "no")
    #: How to install it; empty for what is always here.
    install: str = ""
    #: Whether it is here.
    is_here: Callable[[Project], bool] = lambda project: True
    #: Its answers; a question that it cannot answer is left out.
    answers: Callable[[Project], Mapping[Question, Answer]]


#: The questions about speed-up: the function, and which workers each question is about.
SPEED_UPS = (("waits", {"threads": WAITING}), ("loops", {"threads": THREADS, "processes": PROCESSES}))
#: The questions about two versions: the other version.
VERSIONS = (("same", SAME), ("slower", SLOWER))

#: Whether the other version of a project is slower, by its name and by the times of this and of the other one.
Slower = Callable[[Project, str, Sequence[float], Sequence[float]], Says]


#: The ratio of two samples of times, and the deviation that the tool says it has.
Ratio = Callable[[Sequence[float], Sequence[float]], tuple[float, float]]

Result = TypeVar("Result")


def clocked(act: Callable[..., Result], *arguments: Any) -> tuple[Result, float]:
    """What a call returns, and how long it took, in seconds."""
    began = time.monotonic()
    result = act(*arguments)
    return result, time.monotonic() - began


def by_times(timer: Timer, ratio: Ratio, slower: Slower) -> Callable[[Project], dict[Question, Answer]]:
    """The answers of a tool that takes times.

    ``ratio`` says how much faster two workers are, and how sure the tool is. ``slower`` decides about two versions.
    """

    def answers(project: Project) -> dict[Question, Answer]:
        given = {}
        for function, asked in SPEED_UPS:
            arms = [Arm("this", workers, function) for workers in ("one", *asked)]
            (one, *together), seconds = clocked(timer, project, arms)
            for question, times in zip(asked.values(), together, strict=True):
                speed_up, deviation = ratio([2 * each for each in one], times)
                says = at_least(question.least or 0, speed_up - deviation, speed_up + deviation)
                given[question] = Answer(value=speed_up, says=says, seconds=seconds / len(asked))
        arms = [Arm(version, "one", "loops") for version in ("this", *dict(VERSIONS))]
        (this, *others), seconds = clocked(timer, project, arms)
        for (version, question), other in zip(VERSIONS, others, strict=True):
            says, (value, _) = slower(project, version, this, other), ratio_of_medians(other, this)
            given[question] = Answer(value=value, says=says, seconds=seconds / len(VERSIONS))
        return given

    return answers


def ratio_of_medians(numerator: Sequence[float], denominator: Sequence[float]) -> tuple[float, float]:
    """The ratio of a tool that gives one number, so without a deviation."""
    return statistics.median(numerator) / statistics.median(denominator), 0.0


def by_medians(_: Project, __: str, this: Sequence[float], other: Sequence[float]) -> Says:
    """Whether the other version is slower, by the medians."""
    return is_slower(ratio_of_medians(other, this)[0])


def by_welch(_: Project, __: str, this: Sequence[float], other: Sequence[float]) -> Says:
    """Whether the other version is slower, by Welch's test at 5 %, as hyperfine's ``welch_ttest.py``."""
    from scipy import stats

    if stats.ttest_ind(this, other, equal_var=False).pvalue >= 0.05:
        return Says.UNDECIDED
    return is_slower(statistics.fmean(other) / statistics.fmean(this))


def by_compare_to(project: Project, version: str, this: Sequence[float], other: Sequence[float]) -> Says:
    """Whether the other version is slower, by ``pyperf compare_to`` on the files of the last measurement."""
    files = [str(project.folder / name / peer_timers.PERF_FILE) for name in ("this", version)]
    words = ["-m", "pyperf", "compare_to", "--min-speed", f"{100 * HALF:g}", *files]
    return of_compare_to(project.run("this", sys.executable, *words))


def by_cpython(project: Project) -> dict[Question, Answer]:
    """What CPython's own scaling benchmark prints of the functions. It knows threads only."""
    calls = CALLS["once"]
    added = "".join(
        f"\n@register_benchmark\ndef {name}():\n    for _ in range({2 * count}):\n        work.{name}()\n"
        for name, count in calls.items()
    )
    assert project.cpython
    path = f"import sys\nsys.path.insert(0, {str(project.folder / 'this')!r})\nimport work\n"
    source = project.cpython.read_text() + path + added
    answers = {}
    for name, asked in SPEED_UPS:
        question = asked["threads"]
        printed, seconds = clocked(cpython_scaling.printed_by, source, project.cpus, 1, name, [sys.executable])
        value = printed[name][0].exact
        answers[question] = Answer(value=value, says=at_least(question.least or 0, value, value), seconds=seconds)
    return answers


def by_lab(project: Project) -> dict[Question, Answer]:
    """What ``lab scale`` says."""
    answers = {}
    for function, asked in SPEED_UPS:
        document, seconds = _scaled(project, function)
        for workers, question in asked.items():
            answers[question] = of_lab(document, workers, question, seconds / len(asked))
    for version, question in VERSIONS:
        document, seconds = _scaled(project, "loops", "--against", str(project.folder / version))
        answers[question] = of_lab_against(document, seconds)
    return answers


def _scaled(project: Project, function: str, *more: str) -> tuple[Mapping[str, Any], float]:
    """The JSON document of ``lab scale`` of a function, and how long it took, in seconds."""
    level = [] if project.level == "default" else [f"--{project.level}"]
    options = ["--engine", "local", "--cpus", f"ids:{','.join(map(str, project.cpus))}", "--format", "json", *level]
    with tempfile.TemporaryDirectory() as sessions:
        words = ["-m", "lab", "scale", f"work.py:{function}", *options, "--output", sessions, *more]
        printed, seconds = clocked(project.run, "this", sys.executable, *words)
    return json.loads(printed), seconds


def _module(name: str) -> Callable[[Project], bool]:
    return lambda project: importlib.util.find_spec(name) is not None


def _command(name: str) -> Callable[[Project], bool]:
    return lambda project: shutil.which(name) is not None


TOOLS = (
    Tool(
        name="one-shot script",
        settings="each once, some 0.25 s of waiting or of work for a worker; the start of a pool counts",
        decides="its number",
        answers=by_times(peer_timers.ONE_SHOT, ratio_of_medians, by_medians),
    ),
    Tool(
        name="CPython's scaling benchmark",
        settings="its own benchmark(), with the functions registered as its own are; threads only",
        decides="its number",
        limits=("pins each thread", "no", "no"),
        install="--cpython FILE: Tools/ftscalingbench/ftscalingbench.py of CPython's source, which Debian's"
        " python3.14-examples has",
        is_here=lambda project: project.cpython is not None,
        answers=by_cpython,
    ),
    Tool(
        name="pyperf",
        settings="20 processes of 3 values, its default; --affinity; tasks of 0.1 s; pools that stay",
        decides="mean ± deviation; compare_to --min-speed 2.5 (t-test)",
        limits=("--affinity", "no", "no"),
        install="pip install pyperf",
        is_here=_module("pyperf"),
        answers=by_times(peer_timers.PYPERF, ratio_with_deviation, by_compare_to),
    ),
    Tool(
        name="hyperfine",
        settings="-N --warmup 1 --runs 10; programs of 0.25 s",
        decides="ratio ± deviation of its summary; its welch_ttest.py",
        install="apt-get install hyperfine",
        is_here=_command("hyperfine"),
        answers=by_times(peer_timers.hyperfine, ratio_with_deviation, by_welch),
    ),
    Tool(
        name="runexec",
        settings="--cores, five runs in turns; programs of 0.25 s",
        decides="the medians; it leaves that to others",
        limits=("--cores", "no: a total of CPU time", "CPU time of each core"),
        install="pip install benchexec",
        is_here=_command("runexec"),
        answers=by_times(peer_timers.runexec, ratio_of_medians, by_medians),
    ),
    Tool(
        name="pytest-benchmark",
        settings="--benchmark-min-rounds=20, warm-up on, GC off; tasks of 0.1 s; pools that stay",
        decides="as --benchmark-compare-fail=median:2.5% does",
        install="pip install pytest-benchmark",
        is_here=_module("pytest_benchmark"),
        answers=by_times(peer_timers.PYTEST, ratio_of_medians, by_medians),
    ),
    Tool(
        name="lab scale",
        settings="--engine local; --level, which is named above; --against for two versions",
        decides="its 95 % interval, and for versions whether it lies beyond 1 %; processes against what was delivered",
        limits=("yes", "in a container", "from inside, before and after"),
        answers=by_lab,
    ),
)
