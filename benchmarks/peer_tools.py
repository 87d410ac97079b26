"""The tools that answer :mod:`benchmarks.questions`, each with the settings that its documentation recommends."""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import cpython_scaling, exec_peers
from benchmarks.peer_output import of_compare_to, of_lab, of_lab_against, of_pyperf, of_pytest
from benchmarks.peer_project import CALLS, PYPERF, PYTEST, Arm, Project
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

#: The times of each of these arms, in seconds.
Measure = Callable[[Project, Sequence[Arm]], list[list[float]]]


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
    limits: tuple[str, str, str]
    #: How to install it.
    install: str
    #: Whether it is here.
    is_here: Callable[[Project], bool]
    #: Its answers; a question that it cannot answer is left out.
    answers: Callable[[Project], Mapping[Question, Answer]]


#: The questions about speed-up: the function, and which workers each question is about.
SPEED_UPS = (("waits", {"threads": WAITING}), ("loops", {"threads": THREADS, "processes": PROCESSES}))
#: The questions about two versions: the other version.
VERSIONS = (("same", SAME), ("slower", SLOWER))

#: Whether the other version of a project is slower, by its name and by the times of this and of the other one.
Slower = Callable[[Project, str, Sequence[float], Sequence[float]], Says]


def by_times(measure: Measure, has_deviation: bool, slower: Slower) -> Callable[[Project], dict[Question, Answer]]:
    """The answers of a tool that measures times.

    ``has_deviation``: it says how sure it is. ``slower`` decides about two versions.
    """

    def answers(project: Project) -> dict[Question, Answer]:
        given = {}
        for function, asked in SPEED_UPS:
            began = time.monotonic()
            one, *together = measure(project, [Arm("this", workers, function) for workers in ("one", *asked)])
            seconds = (time.monotonic() - began) / len(asked)
            for question, times in zip(asked.values(), together, strict=True):
                speed_up, deviation = ratio_with_deviation([2 * each for each in one], times)
                if not has_deviation:
                    speed_up, deviation = 2 * statistics.median(one) / statistics.median(times), 0.0
                says = at_least(question.least or 0, speed_up - deviation, speed_up + deviation)
                given[question] = Answer(value=speed_up, says=says, seconds=seconds)
        began = time.monotonic()
        this, *others = measure(project, [Arm(version, "one", "loops") for version in ("this", *dict(VERSIONS))])
        seconds = (time.monotonic() - began) / len(VERSIONS)
        for (version, question), other in zip(VERSIONS, others, strict=True):
            says, ratio = slower(project, version, this, other), statistics.median(other) / statistics.median(this)
            given[question] = Answer(value=ratio, says=says, seconds=seconds)
        return given

    return answers


def by_medians(_: Project, __: str, this: Sequence[float], other: Sequence[float]) -> Says:
    """Whether the other version is slower, by the medians."""
    return is_slower(statistics.median(other) / statistics.median(this))


def by_welch(_: Project, __: str, this: Sequence[float], other: Sequence[float]) -> Says:
    """Whether the other version is slower, by Welch's test at 5 %, as hyperfine's ``welch_ttest.py``."""
    from scipy import stats

    if stats.ttest_ind(this, other, equal_var=False).pvalue >= 0.05:
        return Says.UNDECIDED
    return is_slower(statistics.fmean(other) / statistics.fmean(this))


def one_shot(project: Project, arms: Sequence[Arm]) -> list[list[float]]:
    """Each arm once, those of a version in one process."""

    def timed(version: str, function: str, workers: Sequence[str]) -> dict[str, list[float]]:
        calls = str(2 * CALLS["program"][function])
        once = json.loads(project.run(version, sys.executable, "once.py", function, calls, *workers))
        return {name: [seconds] for name, seconds in once.items()}

    return _by_version(arms, timed)


def by_pyperf(project: Project, arms: Sequence[Arm]) -> list[list[float]]:
    """The values of each arm by pyperf, which keeps them in a file for each version."""

    def timed(version: str, function: str, workers: Sequence[str]) -> dict[str, list[float]]:
        names = [(name, function, CALLS["task"][function]) for name in workers]
        (project.folder / version / "perf.py").write_text(PYPERF.format(arms=names))
        file = project.folder / version / "perf.json"
        file.unlink(missing_ok=True)
        options = ["--fast" if project.is_quick else "--rigorous", "--min-time", "0.005", "--quiet"]
        affinity = ["--affinity", ",".join(map(str, project.cpus))]
        project.run(version, sys.executable, "perf.py", *options, *affinity, "--output", str(file))
        return of_pyperf(json.loads(file.read_text()))

    return _by_version(arms, timed)


def by_compare_to(project: Project, version: str, this: Sequence[float], other: Sequence[float]) -> Says:
    """Whether the other version is slower, by ``pyperf compare_to`` on the files of the last measurement."""
    files = [str(project.folder / name / "perf.json") for name in ("this", version)]
    words = ["-m", "pyperf", "compare_to", "--min-speed", f"{100 * HALF:g}", *files]
    return of_compare_to(project.run("this", sys.executable, *words))


def by_pytest(project: Project, arms: Sequence[Arm]) -> list[list[float]]:
    """The rounds of each arm by pytest-benchmark."""

    def timed(version: str, function: str, workers: Sequence[str]) -> dict[str, list[float]]:
        names = [(name, function, CALLS["task"][function]) for name in workers]
        (project.folder / version / "test_tasks.py").write_text(PYTEST.format(arms=names))
        rounds = ["--benchmark-min-rounds=20", f"--benchmark-max-time={0.2 if project.is_quick else 0.5}"]
        steady = ["--benchmark-warmup=on", "--benchmark-disable-gc", "--benchmark-json=pytest.json"]
        pytest = [sys.executable, "-m", "pytest", "-q", "-c", "/dev/null", "--rootdir", ".", "-p", "no:cacheprovider"]
        project.run(version, *pytest, "-p", "no:xdist", *rounds, *steady, "test_tasks.py")
        return of_pytest(json.loads((project.folder / version / "pytest.json").read_text()))

    return _by_version(arms, timed)


def by_hyperfine(project: Project, arms: Sequence[Arm]) -> list[list[float]]:
    """The runs of each arm by hyperfine."""
    commands = [_program(project, arm) for arm in arms]
    said = exec_peers.hyperfine(commands, 5 if project.is_quick else 10, warmup=1)
    return [[run.wall for run in runs] for runs in said]


def by_runexec(project: Project, arms: Sequence[Arm]) -> list[list[float]]:
    """The runs of each arm by BenchExec's runexec, one arm after the other in each turn."""
    runs: list[list[float]] = [[] for _ in arms]
    for _ in range(3 if project.is_quick else 5):
        for values, arm in zip(runs, arms, strict=True):
            (said,) = exec_peers.by_runexec(_program(project, arm), cores=project.cpus)
            values.append(said.wall)
    return runs


def _program(project: Project, arm: Arm) -> list[str]:
    """A command that does what an arm does. Two processes are the same command twice at the same time."""
    path = str(project.folder / arm.version / "program.py")
    workers = "one" if arm.workers == "processes" else arm.workers
    words = [sys.executable, "-S", path, workers, arm.function, str(CALLS["program"][arm.function])]
    line = shlex.join(words)
    return ["sh", "-c", f"{line} & {line} & wait"] if arm.workers == "processes" else words


def _by_version(
    arms: Sequence[Arm], timed: Callable[[str, str, Sequence[str]], dict[str, list[float]]]
) -> list[list[float]]:
    """The times of each arm, where the arms of a version are timed together."""
    times: dict[Arm, list[float]] = {}
    for version, function in dict.fromkeys((arm.version, arm.function) for arm in arms):
        workers = [arm.workers for arm in arms if arm.version == version]
        times |= {Arm(version, name, function): each for name, each in timed(version, function, workers).items()}
    return [times[arm] for arm in arms]


def by_cpython(project: Project) -> dict[Question, Answer]:
    """What CPython's own scaling benchmark prints of the functions. It knows threads only."""
    calls = CALLS["program"]
    added = "".join(
        f"\n@register_benchmark\ndef {name}():\n    for _ in range({2 * count}):\n        work.{name}()\n"
        for name, count in calls.items()
    )
    assert project.cpython
    path = f"import sys\nsys.path.insert(0, {str(project.folder / 'this')!r})\nimport work\n"
    source = project.cpython.read_text() + path + added
    answers = {}
    for name, question in (("waits", WAITING), ("loops", THREADS)):
        began = time.monotonic()
        printed = cpython_scaling.printed_by(source, project.cpus, 1, name, [sys.executable])
        value, seconds = printed[name][0].exact, time.monotonic() - began
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
    began = time.monotonic()
    level = [] if project.level == "default" else [f"--{project.level}"]
    options = ["--engine", "local", "--cpus", f"ids:{','.join(map(str, project.cpus))}", "--format", "json", *level]
    with tempfile.TemporaryDirectory() as sessions:
        words = ["-m", "lab", "scale", f"work.py:{function}", *options, "--output", sessions, *more]
        return json.loads(project.run("this", sys.executable, *words)), time.monotonic() - began


def _module(name: str) -> Callable[[Project], bool]:
    return lambda project: importlib.util.find_spec(name) is not None


def _command(name: str) -> Callable[[Project], bool]:
    return lambda project: shutil.which(name) is not None


_NOTHING = ("no", "no", "no")

TOOLS = (
    Tool(
        name="one-shot script",
        settings="each once, some 0.25 s of waiting or of work for a worker",
        decides="its number",
        limits=_NOTHING,
        install="",
        is_here=lambda project: True,
        answers=by_times(one_shot, False, by_medians),
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
        settings="--rigorous (40 processes of 3 values), --affinity, --min-time 0.005; pools that stay",
        decides="mean ± deviation; compare_to --min-speed 2.5 (t-test)",
        limits=("--affinity", "no", "no"),
        install="pip install pyperf",
        is_here=_module("pyperf"),
        answers=by_times(by_pyperf, True, by_compare_to),
    ),
    Tool(
        name="hyperfine",
        settings="-N --warmup 1 --runs 10",
        decides="ratio ± deviation of its summary; its welch_ttest.py",
        limits=_NOTHING,
        install="apt-get install hyperfine",
        is_here=_command("hyperfine"),
        answers=by_times(by_hyperfine, True, by_welch),
    ),
    Tool(
        name="runexec",
        settings="--cores, five runs in turns",
        decides="the medians; it leaves that to others",
        limits=("--cores", "no: a total of CPU time", "CPU time of each core"),
        install="pip install benchexec",
        is_here=_command("runexec"),
        answers=by_times(by_runexec, False, by_medians),
    ),
    Tool(
        name="pytest-benchmark",
        settings="--benchmark-min-rounds=20 --benchmark-max-time=0.5, warm-up on, GC off; pools that stay",
        decides="as --benchmark-compare-fail=median:2.5% does",
        limits=_NOTHING,
        install="pip install pytest-benchmark",
        is_here=_module("pytest_benchmark"),
        answers=by_times(by_pytest, False, by_medians),
    ),
    Tool(
        name="lab scale",
        settings="--engine local, level quick (--level); --against for two versions",
        decides="its 95 % interval; processes against what was delivered",
        limits=("yes", "in a container", "from inside, before and after"),
        install="",
        is_here=lambda project: True,
        answers=by_lab,
    ),
)
