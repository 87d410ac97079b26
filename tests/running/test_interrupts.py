"""Ctrl-C, SIGTERM and SIGKILL at many moments of a real run: what was measured is kept, and nothing is left running."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from lab import interrupts
from lab.containers.cleanup import remove_all
from lab.containers.client import SESSION_LABEL
from lab.engines import selection
from lab.errors import ImageError, Interrupted, LabError
from lab.interrupts import ONE_REQUEST_SECONDS, StopFlag
from lab.running import measurement
from tests.conftest import labelled
from tests.support import cells
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.skipif(len(cells.CPUS) < 2, reason="two cells take two CPUs")


LAB_RUN = [sys.executable, "-m", "lab", "run", "process", "pipe", "--cpus", "1,2"]


class Run:
    """A ``lab run`` of two short experiments in two cells, as a process of its own, with its own temporary folder."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.sessions, self.temporary = folder / "sessions", folder / "tmp"
        self.temporary.mkdir()
        self.mark = f"MULTICORE_LAB_TEST_{uuid.uuid4().hex}"
        self.lines: list[str] = []
        self._more = threading.Condition()
        self.process = subprocess.Popen(
            [*LAB_RUN, "--engine", engine, "--output", str(self.sessions)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that a signal to its group, as a terminal sends it, does not end the tests
            env={**os.environ, "TMPDIR": str(self.temporary), self.mark: "1", interrupts.HELD: "1"},
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        for line in self.process.stderr:
            with self._more:
                self.lines.append(line)
                self._more.notify_all()

    def listens(self) -> None:
        """Wait until it handles SIGTERM."""
        until = time.monotonic() + 60
        while time.monotonic() < until:
            caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{self.process.pid}/status").read_text())
            if caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
                time.sleep(0.01)  # CPython ignores a signal between telling the kernel and setting its own handler
                return
            time.sleep(0.005)
        raise AssertionError("it never came to handle SIGTERM")

    def says(self, words: str) -> None:
        """Wait until its progress matches this."""
        with self._more:
            heard = self._more.wait_for(lambda: any(re.search(words, line) for line in self.lines), 60)
        assert heard, self.lines

    def end(self) -> tuple[int, str]:
        """Wait for its end. Returns (exit code, standard output)."""
        assert self.process.stdout
        out = self.process.stdout.read()
        code = self.process.wait(60)
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream
            stream.close()
        return code, out

    def lets_go(self) -> None:
        """Close what the lab that started a run holds as long as it lives."""
        assert self.process.stdin
        self.process.stdin.close()

    @property
    def session(self) -> str:
        (folder,) = self.sessions.iterdir()
        return folder.name

    def report(self) -> dict[str, Any]:
        """The report that it stored."""
        manifest = json.loads((self.sessions / self.session / "session.json").read_text())
        report: dict[str, Any] = manifest["report"]
        return report


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Run]]:
    """Starts a run on that engine; whatever is left of it is killed after the test."""
    runs: list[Run] = []

    def begin(engine: str) -> Run:
        runs.append(Run(tmp_path, engine))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.end()


#: When: what to wait for in its progress (``None``: until it listens), and for how much longer, in seconds; and the
#: cells that have been measured by then.
MOMENTS = {
    "as soon as it listens": (None, 0.0, 0),
    "before or in the probe": (None, 0.05, 0),
    "in the probe": (None, 0.2, 0),
    "as the first cell begins": (r"^1 CPU .*: process", 0.0, 0),
    "in an experiment": (r"^1 CPU .*: process", 0.15, 0),
    "between two experiments": (r"^1 CPU .*: pipe", 0.0, 0),
    "between two cells": (r"^1 CPU .*: measured", 0.0, 1),
    "as the second cell begins": (r"^2 CPUs .*: process", 0.0, 1),
    "in the second cell": (r"^2 CPUs .*: process", 0.15, 1),
    "near the end": (r"^2 CPUs .*: pipe", 0.0, 1),
}


def interrupt(run: Run, moment: str, send: Callable[[Run], None]) -> tuple[int, str]:
    words, longer, _ = MOMENTS[moment]
    if words:
        run.says(words)
    else:
        run.listens()
    time.sleep(longer)
    send(run)
    return run.end()


#: How: Ctrl-C in a terminal reaches the whole process group, ``kill`` and a service manager the process alone.
WAYS: dict[str, Callable[[Run], None]] = {
    "Ctrl-C": lambda run: os.killpg(run.process.pid, signal.SIGINT),
    "SIGTERM": lambda run: run.process.terminate(),
    "the end of the lab that holds it": lambda run: run.lets_go(),
}


#: In the second cell there may be less left to do than a busy machine takes to send a signal: then it comes too late.
LATE = [moment for moment, (_, _, measured) in MOMENTS.items() if measured]


def check(run: Run, moment: str, code: int, out: str) -> None:
    """What was measured is printed and stored, the exit code is 130, and nothing runs on."""
    assert cells.still_living(run.mark) == []
    assert list(run.temporary.iterdir()) == []
    assert "Traceback" not in "".join(run.lines)
    if moment in LATE and code != 130:
        whole(run, code, out)
        return
    assert code == 130, run.lines
    if MOMENTS[moment][0] is None and not out:
        return  # it had not even begun: there is nothing to print
    assert re.search(r"\d+ verdicts? on ", out)
    report = run.report()
    statuses = [cell["status"] for cell in report["cells"]]
    assert statuses.count("measured") >= MOMENTS[moment][2]
    assert report["session"]["interrupted"] is True
    for cell in report["cells"]:
        if cell["status"] == "measured":
            assert "confirmed" in out
            assert (run.sessions / run.session / f"{cell['id']}.jsonl").stat().st_size > 0


def whole(run: Run, code: int, out: str) -> None:
    """It had measured everything when the signal came, and nothing of that is lost."""
    # While an interpreter takes itself down, a signal ends it as it ends any program.
    assert code in (0, -signal.SIGTERM, -signal.SIGINT), run.lines
    assert "confirmed" in out
    assert [cell["status"] for cell in run.report()["cells"]] == ["measured"] * 2


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Run, int, str]]:
    """A local run for each moment, interrupted then: (the run, its exit code, what it printed). A few at a time."""

    # Made here: where two threads ask for the first folder, each may get a base of its own, and then an error.
    folders = {moment: tmp_path_factory.mktemp("run") for moment in MOMENTS}

    def one(moment: str) -> tuple[Run, int, str]:
        run = Run(folders[moment], "local")
        way = list(WAYS)[list(MOMENTS).index(moment) % len(WAYS)]
        return run, *interrupt(run, moment, WAYS[way])

    with ThreadPoolExecutor(4) as pool:
        return dict(zip(MOMENTS, pool.map(one, MOMENTS), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("moment", MOMENTS)
def test_an_interrupted_local_run_keeps_what_was_measured(
    interrupted: dict[str, tuple[Run, int, str]], moment: str
) -> None:
    run, code, out = interrupted[moment]
    check(run, moment, code, out)


@pytest.mark.slow
def test_a_signal_while_the_results_are_being_put_together_takes_none_of_them_away(
    start: Callable[[str], Run],
) -> None:
    run = start("local")
    run.says(r"^2 CPUs .*: measured")
    time.sleep(0.02)
    run.process.terminate()
    code, out = run.end()
    whole(run, 0 if code == 130 else code, out)


#: So far apart, in seconds, two signals are two requests.
LATER = ONE_REQUEST_SECONDS + 0.05


def twice(run: Run, apart: float) -> tuple[int, str]:
    """Press Ctrl-C twice in its first experiment, so many seconds apart. Returns the exit code and what it printed."""
    run.says(r"^1 CPU .*: process")
    for _ in range(2):
        WAYS["Ctrl-C"](run)
        time.sleep(apart)
    return run.end()


@pytest.mark.slow
def test_a_second_signal_does_not_wait(start: Callable[[str], Run]) -> None:
    run = start("local")
    code, _ = twice(run, LATER)
    assert code == 130
    assert cells.still_living(run.mark) == []
    assert "Traceback" not in "".join(run.lines)


@pytest.mark.slow
def test_signals_close_together_are_one_request(start: Callable[[str], Run]) -> None:
    run = start("local")
    code, out = twice(run, 0.02)
    assert code == 130
    assert re.search(r"\d+ verdicts? on ", out)
    assert run.report()["session"]["interrupted"] is True


def test_a_second_request_is_told_from_the_first_by_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 10.0 + ONE_REQUEST_SECONDS / 2, 10.0 + ONE_REQUEST_SECONDS])
    monkeypatch.setattr(time, "monotonic", lambda: next(now))
    stop = interrupts.StopFlag()
    stop.note(signal.SIGINT, None)
    stop.note(signal.SIGINT, None)
    with pytest.raises(Interrupted, match="interrupted twice"):
        stop.note(signal.SIGINT, None)


def test_a_command_line_in_this_process_leaves_its_signals_alone(lab: Lab) -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert lab("list")[0] == 0
    assert signal.getsignal(signal.SIGTERM) is before
    assert before is not interrupts.end


def test_an_orchestrator_that_is_killed_takes_its_local_cell_with_it(start: Callable[[str], Run]) -> None:
    run = start("local")
    run.says(r"^1 CPU .*: process")
    run.process.kill()
    run.end()
    assert cells.still_living(run.mark) == []


@pytest.mark.engine
@pytest.mark.parametrize("way", ["Ctrl-C", "SIGTERM"])
@pytest.mark.parametrize("moment", ["as soon as it listens", "in an experiment", "between two cells"])
def test_an_interrupted_run_in_containers_keeps_what_was_measured_and_leaves_no_container(
    start: Callable[[str], Run], engine: DockerClient, moment: str, way: str
) -> None:
    run = start("docker")
    check(run, moment, *interrupt(run, moment, WAYS[way]))
    if run.sessions.exists():  # else it had not even begun
        assert labelled(engine, run.session) == set()


@pytest.mark.engine
def test_a_second_signal_leaves_no_container_either(start: Callable[[str], Run], engine: DockerClient) -> None:
    run = start("docker")
    code, _ = twice(run, LATER)
    assert code == 130
    assert labelled(engine, run.session) == set()


@pytest.mark.engine
def test_the_containers_of_a_run_that_was_killed_are_found_and_removed_by_their_label(
    start: Callable[[str], Run], engine: DockerClient
) -> None:
    run = start("docker")
    run.says(r"^1 CPU .*: process")
    run.process.kill()
    run.end()
    assert labelled(engine, run.session)
    removed, kept = remove_all(engine, run.session)
    assert {line.partition(" ")[0] for line in removed} == {"container"}, "the cell that ran, and the next one"
    assert kept == []
    assert engine.containers.list(all=True, filters={"label": f"{SESSION_LABEL}={run.session}"}) == []


@pytest.mark.parametrize(("requested", "raised"), [(True, Interrupted), (False, ImageError)])
def test_a_python_that_a_ctrl_c_has_ended_while_it_was_asked_is_not_at_fault(
    monkeypatch: pytest.MonkeyPatch, requested: bool, raised: type[LabError]
) -> None:
    def killed(*_: object, **__: object) -> NoReturn:
        raise ImageError("python3 did not run the probe: it was killed by signal 2")

    monkeypatch.setattr(selection, "choose", killed)
    stop = StopFlag()
    stop.requested = requested
    with pytest.raises(raised):
        measurement.choose_engine(selection.Wanted(engine="local"), "s", stop)
