"""Each cause is made to happen for real, and found; and where it is not there, it is excluded."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import lab
from lab.cell.targets.causes import all_causes
from lab.containers.client import image_names
from lab.judging.verdicts import evidence_of
from lab.model.session import Session, Verdict
from tests.support import cells

pytestmark = [pytest.mark.slow, pytest.mark.measures]

needs_two_cpus = pytest.mark.skipif(len(cells.CPUS) < 2, reason="what workers do to each other takes two CPUs")

SOURCE = """
import concurrent.futures, hashlib, os, random, threading, time

MEBIBYTE = bytes(2 ** 20)
MUCH = MEBIBYTE * 32
calls = []

def loop():
    total = 0
    for number in range(20_000):
        total = (total * 31 + number) & 255
    return total

def short():
    return len(MEBIBYTE)

def hashes():
    return hashlib.sha256(MEBIBYTE).digest()

def waits():
    time.sleep(0.005)

def threads_of_its_own():
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda _: hashlib.sha256(MUCH).digest(), range(2)))

def much():
    return b"x" * 20_000_000

def no_pickle():
    loop()
    return lambda: None

def at_random():
    loop()
    return random.random()

def now_and_then():
    calls.append(None)
    for _ in range(30 if len(calls) % 10 == 0 else 1):
        loop()

def in_the_main_thread():
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("not here")
    return loop()

SIZE, OWN = 0, {}

def shares_a_cache():
    # Each process has data of its own: what a forked one inherits is the same memory.
    pair = OWN.get(os.getpid())
    if not pair:
        pair = OWN[os.getpid()] = bytearray(b"x") * SIZE, bytearray(b"x") * SIZE
    pair[0] == pair[1]

def make():
    return dict.fromkeys(range(64), 0)

def yields():
    for number in range(100_000):
        yield str(number)

ITEMS = [0] + [200] * 400

def as_long_as_the_item(item):
    for number in range(item):
        hashlib.sha256(MEBIBYTE[:4096])

def write(shared):
    for number in range(500):
        shared[number & 63] = number
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a file of targets."""
    tmp_path.chmod(0o755)  # the user of a cell reads it
    (tmp_path / "work.py").write_text(SOURCE)
    return tmp_path


def judged(session: Session, cause: str) -> tuple[Verdict, str]:
    (judgement,) = [each for each in session.judgements if each.claim.endswith(f".{cause}")]
    return judgement.verdict, judgement.reason


def is_disturbed(session: Session) -> bool:
    """Whether other work on this machine disturbed every fourth block or more."""
    (name,) = session.arguments["experiments"]
    blocks = [
        block
        for result in session.results
        for blocks in evidence_of(name, result).rounds("round")
        for block in blocks.values()
    ]
    return not blocks or sum(bool(block.get("disturbed")) for block in blocks) >= len(blocks) / 4


def assert_judged(cause: str, expected: Verdict, project: Path, name: str, **options: Any) -> str:
    """Measure a function, and hold the verdict on a cause against what is true. Returns the reason."""
    return assert_all_judged([cause], expected, project, name, **options)[cause]


def assert_all_judged(
    causes: Sequence[str], expected: Verdict, project: Path, name: str, **options: Any
) -> dict[str, str]:
    """Measure a function, and hold the verdicts on causes against what is true. Returns their reasons.

    Where the machine is disturbed, nothing may be decided; then the function is measured again, some times.
    """
    reasons: dict[str, str] = {}
    for level in ("quick", "default", "default", "thorough"):
        result = lab.scale(f"{project / 'work.py'}:{name}", project=project, level=level, **{"cpus": "2", **options})
        for cause in [cause for cause in causes if cause not in reasons]:
            verdict, reason = judged(result.session, cause)
            if verdict is not Verdict.INCONCLUSIVE:
                assert verdict is expected, (cause, reason)
                reasons[cause] = reason
        left = [cause for cause in causes if cause not in reasons]
        if not left:
            return reasons
    open_reasons = [judged(result.session, cause) for cause in left]
    if is_disturbed(result.session):
        pytest.skip(f"other work disturbs this machine: {open_reasons}")
    pytest.fail(f"not decided, though nothing disturbed it: {open_reasons}")


@needs_two_cpus
@pytest.mark.parametrize(
    ("cause", "name", "evidence"),
    [
        ("holds-gil", "loop", "2 threads do"),
        ("own-threads", "threads_of_its_own", "no threads of its own that stay"),
        ("refused", "in_the_main_thread", "threads: RuntimeError: not here"),
    ],
)
def test_a_cause_that_takes_two_cpus_is_found(project: Path, cause: str, name: str, evidence: str) -> None:
    assert evidence in assert_judged(cause, Verdict.CONFIRMED, project, name)


@pytest.mark.parametrize(
    ("cause", "name", "evidence"),
    [
        ("waits", "waits", "neither computes nor waits for a CPU"),
        ("pickling", "much", "pickling the result (20 MB)"),
        ("pickling", "no_pickle", "cannot be pickled at all"),
        ("pickling", "yields", "pickling the result ("),
        ("short", "short", "handing one over takes"),
        ("varies", "at_random", "returned different results"),
        ("varies", "now_and_then", "takes more than"),
    ],
)
def test_a_cause_of_the_function_itself_is_found_on_one_cpu(
    project: Path, cause: str, name: str, evidence: str
) -> None:
    assert evidence in assert_judged(cause, Verdict.CONFIRMED, project, name, cpus="1")


@needs_two_cpus
@pytest.mark.parametrize(
    ("name", "is_no_cause"),
    [("hashes", lambda cause: cause == "holds-gil"), ("loop", lambda cause: cause != "holds-gil")],
)
def test_a_cause_that_is_not_there_is_excluded(project: Path, name: str, is_no_cause: Callable[[str], bool]) -> None:
    causes = [cause for cause in sorted(all_causes()) if is_no_cause(cause)]
    assert list(assert_all_judged(causes, Verdict.REFUTED, project, name)) != []


def test_a_list_is_not_judged_by_its_first_item(project: Path) -> None:
    """The first one takes less than a microsecond, and the others half a millisecond."""
    options = {"items": "ITEMS", "cpus": "1"}
    assert "a call takes" in assert_judged("short", Verdict.REFUTED, project, "as_long_as_the_item", **options)


#: Prints how long a call of a function takes, in seconds of CPU time, each time that a line arrives.
_TIMES = """
import importlib.util, os, sys, time
os.sched_setaffinity(0, {int(sys.argv[3])})
spec = importlib.util.spec_from_file_location("work", sys.argv[1])
work = importlib.util.module_from_spec(spec)
spec.loader.exec_module(work)
function = getattr(work, sys.argv[2])
function()
for line in sys.stdin:
    begun = time.process_time()
    function()
    print(time.process_time() - begun, flush=True)
"""


def slowed_down_by_a_copy(file: Path, name: str) -> float:
    """How many times as much CPU time a function takes while a copy of it works on another CPU. Without the lab."""
    cpus = sorted(os.sched_getaffinity(0))[:2]
    words = [sys.executable, "-I", "-S", "-c", _TIMES, str(file), name]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(subprocess.Popen([*words, str(cpu)], **pipes)) for cpu in cpus)

        def timed(*processes: subprocess.Popen[str]) -> float:
            for process in processes:
                assert process.stdin
                process.stdin.write("\n")
                process.stdin.flush()
            times = [float(process.stdout.readline()) for process in processes if process.stdout]
            return times[0]

        ratios: list[float] = []
        for count in (3, 7):  # most sizes make no difference, which is soon seen
            while len(ratios) < count:
                alone = timed(first)
                ratios.append(timed(first, second) / alone)
            if statistics.median(ratios) < 1.1:
                break
    return statistics.median(ratios)


@needs_two_cpus
def test_a_function_that_its_copies_keep_from_cache_and_memory_waits_for_memory(project: Path) -> None:
    """How much of the cache a guest has is not told, so the size is sought with which copies slow each other down."""
    sizes = [size.read_text().strip() for size in Path("/sys/devices/system/cpu/cpu0/cache").glob("index3/size")]
    if not sizes:
        pytest.skip("the CPUs of this machine share no cache that the kernel tells of")
    cache, source = int(sizes[0].removesuffix("K")) * 1024, (project / "work.py").read_text()
    for share in (0.5, 1, 2, 4):
        each = int(cache * share)
        (project / "work.py").write_text(f"{source}\nSIZE = {each}\n")
        for level in ("quick", "default"):
            before = slowed_down_by_a_copy(project / "work.py", "shares_a_cache")
            if before < 1.3:
                break
            result = lab.scale(f"{project / 'work.py'}:shares_a_cache", project=project, level=level, cpus="2")
            verdict, reason = judged(result.session, "memory")
            if slowed_down_by_a_copy(project / "work.py", "shares_a_cache") >= 1.3 and verdict.decisive:
                assert verdict is Verdict.CONFIRMED, reason
                assert "times less work than that of one worker" in reason
                return
    pytest.skip("two copies of the function do not slow each other down on this machine for long enough")


# Without a GIL.


@pytest.fixture
def free_threaded(engine: Any) -> Mapping[str, Any]:
    """The options that measure on a build without a GIL."""
    if not any("3.13t" in name for name, _ in image_names(engine)):
        pytest.skip("there is no image of a build without a GIL")
    return {"engine": "docker", "python": ["3.13t"]}


@needs_two_cpus
@pytest.mark.engine
@pytest.mark.parametrize(("state", "expected"), [("shared", Verdict.CONFIRMED), ("own", Verdict.REFUTED)])
def test_threads_contend_for_what_they_share_and_for_nothing_of_their_own(
    project: Path, free_threaded: Mapping[str, Any], state: str, expected: Verdict
) -> None:
    assert_judged("contention", expected, project, "write", setup="make", state=state, **free_threaded)


@needs_two_cpus
@pytest.mark.engine
def test_shared_and_own_state_are_compared_where_both_were_measured(
    project: Path, free_threaded: Mapping[str, Any]
) -> None:
    reason = assert_judged("contention", Verdict.CONFIRMED, project, "write", setup="make", **free_threaded)
    assert "with shared state 2 threads do 0." in reason


@pytest.mark.engine
def test_the_module_that_switches_the_gil_on_is_named(project: Path, free_threaded: Mapping[str, Any]) -> None:
    from benchmarks.corpus import build

    headers = sorted(Path.home().glob(".pyenv/versions/3.13.*/include/python3.13"))
    headers += [path for path in [Path("/usr/include/python3.13")] if (path / "Python.h").exists()]
    if not headers or not shutil.which("cc"):
        pytest.skip("a C compiler and the headers of Python 3.13 are missing")
    build.build_extension(headers[0], project)
    (project / "work.py").write_text("import keeps_gil\n\ndef loop():\n    return keeps_gil.loop(100_000)\n")
    reason = assert_judged("gil-switched-on", Verdict.CONFIRMED, project, "loop", cpus="1", **free_threaded)
    assert "keeps_gil" in reason


@pytest.mark.engine
def test_a_quota_below_the_cpus_is_found_with_the_periods_in_which_it_stopped_the_workers(
    engine: Any, project: Path
) -> None:
    reason = assert_judged("quota", Verdict.CONFIRMED, project, "loop", cpus="1", quota="0.5", engine="docker")
    assert "allows 0.5 CPUs" in reason


@needs_two_cpus
@pytest.mark.engine
@pytest.mark.parametrize(("quota", "most"), [("0.5", 1.0), ("1.5", 1.5)])
def test_workers_under_a_quota_gain_no_more_than_it_allows(engine: Any, project: Path, quota: str, most: float) -> None:
    """Blocks shorter than a period of the quota showed what a burst does: twice as much, with a quota of 1.5 CPUs."""
    target = f"{project / 'work.py'}:loop"
    result = lab.scale(target, project=project, cpus="2", quota=quota, engine="docker", level="quick")
    gains = [row.speed_up for row in result.rows if row.speed_up and row.workers.startswith("2 processes")]
    if not gains and is_disturbed(result.session):
        pytest.skip("other work disturbs this machine")
    assert min(gain.low for gain in gains) < 1.1 * most
    assert statistics.median(gain.value for gain in gains) < 1.2 * most


@pytest.mark.engine
def test_a_quota_that_stops_nobody_is_no_cause(engine: Any, project: Path) -> None:
    assert_judged("quota", Verdict.REFUTED, project, "waits", cpus="1", quota="0.5", engine="docker")
