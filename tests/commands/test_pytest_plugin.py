"""The pytest plugin, run by pytest's own pytester: marks, options, the fixture, and what tests do to their process."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cell.cpus import effective, sharing
from lab.cell.cpus.effective import EffectiveCpus, Quota
from lab.commands import pytest_plugin
from tests.conftest import skip_or_fail

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]

#: The options that load the plugin where the lab is not installed, as where this tree is only on the path.
LOADED = (
    ()
    if any(entry.value == "lab.commands.pytest_plugin" for entry in importlib.metadata.entry_points(group="pytest11"))
    else ("-p", "lab.commands.pytest_plugin")
)

CPUS = sorted(os.sched_getaffinity(0))

needs_two_cpus = pytest.mark.skipif(len(CPUS) < 2, reason="needs at least 2 CPUs")


@pytest.fixture
def run(pytester: pytest.Pytester) -> Run:
    return Run(pytester)


class Run:
    """Runs pytest on a file of tests, within this process."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester

    def __call__(self, source: str, *options: str, apart: bool = False) -> pytest.RunResult:
        self.pytester.makepyfile(f"import os, pytest\n{source}")
        how = self.pytester.runpytest_subprocess if apart else self.pytester.runpytest_inprocess
        return how("-p", "no:cacheprovider", "-rsf", *LOADED, *options)


# The mark.


@pytest.mark.slow
def test_without_a_mark_nothing_of_the_lab_is_loaded(run: Run) -> None:
    source = """
def test_it(request):
    import sys
    assert not [name for name in sys.modules if name.startswith("lab.") and not name.startswith("lab.commands")]
    assert os.sched_getaffinity(0) == ALL
"""
    run(source.replace("ALL", repr(set(CPUS))), apart=True).assert_outcomes(passed=1)


ENDS = {
    "passes": "pass",
    "fails": "assert False",
    "is skipped": "pytest.skip('because')",
    "changes its affinity itself": f"os.sched_setaffinity(0, {CPUS})",
    "forks": "pid = os.fork()\n    if not pid: os._exit(0)\n    os.waitpid(pid, 0)",
    "starts a thread that goes on": "import threading; e = threading.Event();"
    " threading.Thread(target=e.wait, daemon=True).start()",
}


@pytest.mark.parametrize("end", ENDS)
def test_a_marked_test_is_pinned_and_after_it_nothing_is(run: Run, end: str) -> None:
    source = f"""
@pytest.fixture
def broken():
    assert len(os.sched_getaffinity(0)) == 1  # fixtures too
    yield
    raise ValueError("at its end")

@pytest.mark.cpus(1)
def test_pinned(broken):
    assert len(os.sched_getaffinity(0)) == 1
    {ENDS[end]}

def test_not_pinned():
    for thread in os.listdir("/proc/self/task"):
        assert sorted(os.sched_getaffinity(int(thread))) == {CPUS}
"""
    done = run(source)
    assert done.parseoutcomes()["errors"] == 1
    assert done.parseoutcomes()["passed"] == 1 + (end not in ("fails", "is skipped"))
    assert sorted(os.sched_getaffinity(0)) == CPUS


@needs_two_cpus
def test_two_cpus_are_two_different_cores_and_scaling_may_use_no_more(run: Run) -> None:
    source = """
from lab.cell.cpus.sysfs import Tree
from lab.cell.cpus.topology import cores_of

@pytest.mark.cpus(2)
def test_it(scaling):
    own = os.sched_getaffinity(0)
    assert len(own) == len(cores_of(Tree("/"), own)) == 2
    scaling(len, threads=3)
"""
    done = run(source)
    done.assert_outcomes(skipped=1)
    cores = len(sharing.share_here(0, 1).cpus)
    pinned = "this test is pinned to 2 cores" if cores > 1 else "this process may use 1 core"
    done.stdout.fnmatch_lines([f"*{3 if cores > 1 else 2} cores needed, but {pinned}"])


def test_a_run_that_is_interrupted_gives_the_cpus_back(run: Run) -> None:
    with pytest.raises(KeyboardInterrupt):
        run("@pytest.mark.cpus(1)\ndef test_it(): raise KeyboardInterrupt")
    assert sorted(os.sched_getaffinity(0)) == CPUS


def test_too_few_cores_skip_a_test_and_say_how_many_there_are(run: Run) -> None:
    done = run("@pytest.mark.cpus(4096)\ndef test_it(): pass")
    done.assert_outcomes(skipped=1)
    done.stdout.re_match_lines([r".*4096 cores needed, but this process may use \d+ cores?$"])


@pytest.mark.parametrize("mark", ["cpus", "cpus(0)", "cpus('2')", "cpus(True)", "cpus(1, 2)", "cpus(n=2)"])
def test_a_mark_that_names_no_number_is_one_line(run: Run, mark: str) -> None:
    done = run(f"@pytest.mark.{mark}\ndef test_it(): pass")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.re_match_lines(
        [r"ERROR: the mark cpus\(.*\) of .*::test_it names no number of cores; write cpus\(2\)$"]
    )


# --cpus.


def test_marked_tests_run_under_each_size(run: Run) -> None:
    source = """
@pytest.mark.cpus(1)
@pytest.mark.parametrize("x", ["x"])
def test_marked(request, x):
    print("seen", len(os.sched_getaffinity(0)))

def test_other(): pass
"""
    done = run(source, "--cpus", "1,4096", "-v", "-s")
    done.assert_outcomes(passed=2, skipped=1)
    done.stdout.re_match_lines_random([r".*::test_marked\[.*4096 CPUs.*\] SKIPPED.*", r".*seen 1"])


@pytest.mark.parametrize("text", ["", "0", "1,1", "two", "1,,2", "-1"])
def test_sizes_that_are_none_are_one_line(run: Run, text: str) -> None:
    done = run("def test_it(): pass", f"--cpus={text}")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: --cpus {text!r} is no list of different numbers of cores; write --cpus 1,2,4"])


# Other versions of pytest.


@pytest.mark.parametrize(
    ("source", "options", "what"),
    [
        ("@pytest.mark.cpus(1)\ndef test_it(): pass", (), "the mark cpus"),
        ("def test_it(scaling): pass", (), "the fixture scaling"),
        ("def test_it(): pass", ("--cpus", "1"), "--cpus"),
        ("def test_it(): pass", ("--lab-workers",), "--lab-workers"),
    ],
)
def test_an_old_pytest_is_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, source: str, options: tuple[str, ...], what: str
) -> None:
    monkeypatch.setattr(pytest, "__version__", "7.4.4")
    done = run(source, *options)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: {what} of multicore-lab needs pytest 8 or later, this is 7.4.4; *"])


@pytest.mark.parametrize(
    "source", ["def test_it(): pass", "@pytest.fixture\ndef scaling(): pass\ndef test_it(scaling): pass"]
)
def test_an_old_pytest_runs_tests_that_use_nothing_of_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setattr(pytest, "__version__", "7.4.4")
    run(source).assert_outcomes(passed=1)


def test_it_is_in_the_syntax_of_python_3_9() -> None:
    for file in Path(pytest_plugin.__file__).parent.glob("*.py"):
        ast.parse(file.read_text(encoding="utf-8"), feature_version=9)


# Shares of the cores.


@pytest.mark.parametrize(
    ("place", "count", "rate", "cpus", "own_rate"),
    [
        (0, 1, 8.0, (0, 2, 4, 6), 8.0),
        (0, 2, 8.0, (0, 2), 8.0),
        (1, 2, 8.0, (4, 6), 8.0),
        (2, 3, 8.0, (4, 6), 8.0),
        (0, 8, 8.0, (), 8.0),
        (7, 8, 8.0, (6,), 8.0),
        (1, 2, 3.0, (4, 6), 1.5),
        (None, 2, 8.0, (), 0.0),
    ],
)
def test_each_process_has_cores_of_its_own(
    place: int | None, count: int, rate: float, cpus: tuple[int, ...], own_rate: float
) -> None:
    share = sharing.share_of([(0, 1), (2, 3), (4, 5), (6, 7)], rate, place, count)
    assert (share.cpus, share.rate) == (cpus, own_rate)


def test_the_shares_are_all_cores_and_none_is_in_two() -> None:
    cores = [(number,) for number in range(7)]
    for count in range(1, 9):
        shares = [sharing.share_of(cores, 7.0, place, count).cpus for place in range(count)]
        assert sorted(cpu for share in shares for cpu in share) == list(range(7))


NONE_FREE = (
    "1 core needed, but no cores are free for this worker of pytest-xdist; 2 workers of pytest-xdist share 2 cores"
)


@pytest.mark.parametrize(
    ("share", "wanted", "reason"),
    [
        (sharing.share_of([(0,), (1,)], 2.0, 0, 1), 2, ""),
        (
            sharing.share_of([(0,), (1,)], 1.5, 0, 1),
            2,
            "2 cores needed, but this process may use 2 cores and a quota of 1.5 CPUs",
        ),
        (
            sharing.share_of([(0,), (1,)], 2.0, 0, 2),
            2,
            "2 cores needed, but 2 workers of pytest-xdist share 2 cores",
        ),
        (
            sharing.share_of([(0,), (1,)], 1.5, 0, 2),
            1,
            "1 core needed, but 2 workers of pytest-xdist share 2 cores and a quota of 1.5 CPUs",
        ),
        (
            sharing.share_of([(0,), (1,)], 2.0, None, 2),
            1,
            NONE_FREE,
        ),
    ],
)
def test_it_says_why_cores_are_missing(share: sharing.Share, wanted: int, reason: str) -> None:
    assert sharing.missing(share, wanted) == reason


def test_a_place_is_taken_once_and_is_free_again_when_its_process_is_killed() -> None:
    run_id = f"test-{os.getpid()}"
    code = f"from lab.cell.cpus.sharing import Places; p = Places({run_id!r}, 1); print(p.place, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout
        assert one.stdout.readline() == "0\n"
        assert sharing.Places(run_id, 1).place is None
        two = sharing.Places(run_id, 2)
        assert two.place == 1
        two.close()
        one.kill()
    again = sharing.Places(run_id, 1)
    assert again.place == 0
    again.close()


# With pytest-xdist.


def pinned(run: Run) -> set[tuple[str, ...]]:
    """(process, CPU) of the tests that have written them into the file ``seen``."""
    return {tuple(line.split()) for line in (run.pytester.path / "seen").read_text().splitlines()}


@needs_two_cpus
@pytest.mark.slow
def test_every_worker_has_cores_of_its_own_or_says_why_not(run: Run) -> None:
    source = """
@pytest.mark.cpus(1)
@pytest.mark.parametrize("number", range(8))
def test_one(number):
    (cpu,) = os.sched_getaffinity(0)
    with open("seen", "a") as file:
        print(os.getpid(), cpu, file=file)

@pytest.mark.cpus(COUNT)
def test_all(): pass
"""
    source = source.replace("COUNT", str(len(CPUS)))
    done = run(source, "-n", "2", apart=True)
    done.assert_outcomes(passed=8, skipped=1)
    done.stdout.fnmatch_lines(["*cores needed, but 2 workers of pytest-xdist share * cores*"])
    pairs = pinned(run)
    assert len({cpu for _, cpu in pairs}) == len({pid for pid, _ in pairs}) == len(pairs)
    run(source, "-n", "1", apart=True).assert_outcomes(passed=9)


@needs_two_cpus
@pytest.mark.slow
def test_the_cores_of_a_marked_test_are_not_divided_again_for_scaling(run: Run) -> None:
    """With four cores it is measured, and the lambda refused. With fewer it is skipped because of its own mark."""
    own = len(sharing.share_here(0, 1).cpus) // 2
    run(
        f"@pytest.mark.cpus({own})\ndef test_it(scaling): scaling(lambda: 1, threads={max(own, 2)})",
        "-n",
        "2",
        apart=True,
    ).stdout.fnmatch_lines(
        ["*so workers cannot import it; define*" if own > 1 else "*2 cores needed, but this test is pinned to 1 core"]
    )


@needs_two_cpus
@pytest.mark.slow
def test_the_worker_after_a_killed_one_has_its_cores(run: Run) -> None:
    # The other worker does not end, and so gives nothing back, before the new one has come.
    source = """
import signal, time

@pytest.mark.cpus(1)
@pytest.mark.parametrize("number", range(6))
def test_one(number):
    if number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    with open("seen", "a") as file:
        print(os.getpid(), *os.sched_getaffinity(0), file=file)
    until = time.monotonic() + 30
    while len({line.split()[0] for line in open("seen")}) < 2 and time.monotonic() < until:
        time.sleep(0.01)
"""
    done = run(source, "-n", "2", apart=True)
    done.assert_outcomes(passed=5, failed=1)
    pairs = pinned(run)
    assert (len(pairs), len({cpu for _, cpu in pairs})) == (2, 2)


QUOTA = EffectiveCpus(parallelism=8, rate=1.5, cpus=tuple(range(8)), limits=(Quota("/g", 150000, 100000),), cgroup=2)


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--lab-workers",), ("-o", "lab_workers=true")])
def test_auto_is_what_the_container_has(run: Run, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]) -> None:
    monkeypatch.setattr(effective, "effective_cpus", lambda: QUOTA)
    done = run("def test_it(): pass", "-n", "auto", *options)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["multicore-lab: -n auto is 2, for 1.5 CPUs", "*2 workers*"])


def test_without_the_option_auto_is_as_before(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    config = run.pytester.parseconfig(*LOADED)
    assert pytest_plugin.pytest_xdist_auto_num_workers(config) is None
    assert pytest_plugin.pytest_report_header(config) == []


def test_without_xdist_the_option_says_what_is_missing(run: Run) -> None:
    done = run("def test_it(): pass", "--lab-workers", "-p", "no:xdist")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: --lab-workers needs pytest-xdist; pip install pytest-xdist"])
    run("def test_it(): pass", "-o", "lab_workers=true", "-p", "no:xdist").assert_outcomes(passed=1)


# The fixture.

FUNCTIONS = """
import hashlib, threading, time
DATA = bytes(1 << 20)
LOCK = threading.Lock()

def free(): return hashlib.sha256(DATA).digest()

def locked():
    with LOCK:
        return hashlib.sha256(DATA).digest()

def nap(): time.sleep(0.002)

def counted(n): return sum(range(n))

def broken(): raise ValueError("not today")
"""


@pytest.mark.parametrize("words", ["", "threads=1", "processes=0", "threads=2, processes=2"])
def test_what_is_no_team_fails(run: Run, words: str) -> None:
    done = run(f"{FUNCTIONS}\ndef test_it(scaling): scaling(free, {words})")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*scaling() takes threads= or processes=, and at least 2 of them*"])


def test_more_workers_than_cores_are_not_measured(run: Run) -> None:
    done = run(f"{FUNCTIONS}\ndef test_it(scaling): scaling(free, threads=4096).at_least(2)")
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines(["*4096 cores needed, but this process may use*"])


@needs_two_cpus
def test_a_function_that_no_worker_can_find_fails_with_what_to_do(run: Run) -> None:
    done = run("def test_it(scaling): scaling(lambda: 1, threads=2)")
    done.assert_outcomes(failed=1)
    done.stdout.fnmatch_lines(["*so workers cannot import it; define it with def at the top of its module*"])


@needs_two_cpus
@pytest.mark.slow
def test_bounds_are_kept_or_failed_or_skipped_and_never_wrong(run: Run) -> None:
    source = f"""{FUNCTIONS}
def test_free(scaling): scaling(free, threads=2).at_least(1.3)
def test_efficient(scaling): scaling(free, threads=2).efficiency.at_least(0.6)
def test_processes(scaling): scaling(counted, processes=2, arguments={{"n": 10000}}).at_least(1.3)
def test_nap(scaling): scaling(nap, threads=2).at_least(1.3)
def test_locked(scaling): scaling(locked, threads=2).at_most(1.3)
def test_free_wrong(scaling): scaling(free, threads=2).at_most(1.1)
def test_locked_wrong(scaling): scaling(locked, threads=2).at_least(1.7)
def test_broken(scaling): scaling(broken, threads=2).at_least(1.3)
"""
    done = run(source, "-v", apart=True)
    outcomes = dict(re.findall(r"::(test_\w+) (PASSED|FAILED|SKIPPED)", done.stdout.str()))
    assert len(outcomes) == 8
    assert outcomes.pop("test_broken") == "FAILED"
    for name, outcome in outcomes.items():
        assert outcome in (("FAILED" if "wrong" in name else "PASSED"), "SKIPPED"), name
    done.stdout.fnmatch_lines(["*test_*:broken raised at its first calls: ValueError: not today*"])


@pytest.mark.slow
def test_a_test_in_several_threads_measures_once_at_a_time(run: Run) -> None:
    source = f"""{FUNCTIONS}
import threading
def test_it(scaling):
    found = []
    threads = [threading.Thread(target=lambda: found.append(scaling(free, threads=2))) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert len(found) == 2
"""
    done = run(source, apart=True)
    assert done.parseoutcomes() in ({"passed": 1}, {"skipped": 1})


# Installed beside other plugins.

EXAMPLE = (ROOT / "docs" / "pytest.md").read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0]


@pytest.mark.slow
def test_the_example_of_the_documentation_runs(run: Run) -> None:
    done = run(EXAMPLE, "--cpus", "1,2", apart=True)
    assert set(done.parseoutcomes()) <= {"passed", "skipped"}
    assert sum(done.parseoutcomes().values()) == 4


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The Python of a new environment with the lab and the other plugins."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return into(str(folder / "bin" / "python"), "pytest-xdist", "pytest-benchmark", "pytest-run-parallel", str(ROOT))


def into(python: str, *packages: str) -> str:
    """Install packages, also older ones than are there; returns the Python."""
    install = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", *packages]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if done.returncode:
        skip_or_fail(f"the packages could not be installed: {done.stderr[-300:]}")
    return python


@pytest.mark.slow
@pytest.mark.parametrize("version", ["pytest==8.*", "pytest>=9"])
def test_it_works_in_pytest_8_and_the_newest_beside_other_plugins(version: str, installed: str, tmp_path: Path) -> None:
    python = into(installed, version)
    # Here a worker of pytest-xdist may run the test, and there nobody is one.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST_")}
    (tmp_path / "test_example.py").write_text(
        f"{EXAMPLE}\ndef test_timed(benchmark): benchmark(sum, range(10))\n", encoding="utf-8"
    )
    for options in ([], ["-n", "2"], ["-n", "auto", "--lab-workers"], ["--parallel-threads", "2"], ["--cpus", "1,2"]):
        words = [python, "-m", "pytest", "-p", "no:cacheprovider", "-q", "-W", "error::pytest.PytestWarning", *options]
        if "-n" in options:
            words.append("--benchmark-disable")
        if "--parallel-threads" in options:
            words += ["-k", "in_threads or agree"]  # a benchmark cannot run in several threads at once
        elif options:
            words += ["-k", "not in_processes"]  # one fixture measures both: once is enough
        done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
