"""The local engine: cells as processes of this machine, which end whatever happens and leave nothing behind."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import stat
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import engines, system
from lab.engines import local as local_engine
from lab.engines.local import Local
from lab.errors import CellError, ImageError, Interrupted, UsageError
from lab.judging.records import Reader
from lab.model.cell import Cell, Job, Limit, Status
from lab.planning import jobs
from tests.support import cells

#: Experiments that go wrong: name -> the body of ``run(recorder)``.
BAD = {
    "hangs": "time.sleep(600)",
    "locks": "import multiprocessing; lock = multiprocessing.get_context('spawn').Lock();"
    " recorder.observe('made', True); time.sleep(600)",
    "exits": "os._exit(3)",
    "forks": """
        import multiprocessing
        child = multiprocessing.get_context("forkserver").Process(target=int)
        child.start()
        child.join()
        assert child.exitcode == 0
        """,
    "raises": "raise ZeroDivisionError('on purpose')",
    "kills": "os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)",
    "noise": "os.write(1, b'x' * 2**20); os.write(2, b'\\xff' * 2**20)",
    "daemon": """
        recorder.observe("fine", True)
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                time.sleep(600)
            os._exit(0)
        """,
    "orphans": """
        if os.fork() == 0:
            os.setsid()
            time.sleep(600)
        time.sleep(0.1)
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
        """,
    "waits": """
        recorder.observe("waits", True)
        while not os.path.exists("GO"):
            time.sleep(0.01)
        """,
}


@pytest.fixture
def local(monkeypatch: pytest.MonkeyPatch) -> Iterator[Local]:
    """A local engine whose cells know the bad experiments too."""
    monkeypatch.setattr(local_engine, "cell_code", lambda *_, **__: cells.code_with(BAD))
    engine = local_engine.connect()
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def nothing_runs_on(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After every test: no process of its cells is left."""
    mark = f"MULTICORE_LAB_TEST_{uuid.uuid4().hex}"
    monkeypatch.setattr(local_engine, "MARK", mark)
    yield
    assert cells.living(mark) == []


def job(*experiments: str, cpus: tuple[int, ...] = cells.CPUS[:1], experiment: float = 5, cell: float = 20) -> Job:
    place = Cell(id="cpu", limit=Limit(cpus=1), size=len(cpus), cpus=cpus)
    return cells.order(place, *experiments, experiment_deadline=experiment, cell_deadline=cell)


def test_the_probe_finds_this_machine_and_its_python(local: Local) -> None:
    machine = local.probe()
    assert machine.engine == "local"
    assert machine.cpus == cells.CPUS
    assert set(machine.cpus) <= set(machine.host_cpus)
    assert machine.python["version"] == list(sys.version_info[:3])


def test_a_cell_runs_on_the_cpus_asked_for_and_on_no_other(local: Local) -> None:
    result = cells.run_on(local, job("pipe", cpus=cells.CPUS[-1:]))
    assert (result.status, result.reason) == (Status.MEASURED, None)
    assert result.proof["affinity"] == list(cells.CPUS[-1:])
    assert result.pinned_by == "worker"
    assert result.outcome
    assert result.outcome.outside["affinity"] == str(cells.CPUS[-1])


def test_records_come_while_the_cell_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go = tmp_path / "go"
    code = cells.code_with({"waits": BAD["waits"].replace("GO", str(go))})
    monkeypatch.setattr(local_engine, "cell_code", lambda **_: code)

    def watch(reader: Reader) -> None:
        if any(record.kind == "observation" for record in reader.records):
            go.touch()  # it does not end before its record has come here

    engine = local_engine.connect()
    try:
        result = cells.run_on(engine, job("waits", experiment=60, cell=60), watch)
    finally:
        engine.close()
    assert result.status is Status.MEASURED, result.reason


@pytest.mark.slow
def test_the_sink_is_called_also_when_nothing_comes(local: Local) -> None:
    silent = itertools.count()

    def sink(piece: bytes) -> None:
        if not piece and next(silent) > 6:
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        local.run(job("hangs", experiment=60, cell=60), sink)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("exits", "exits exited with status 3"),
        ("raises", "ZeroDivisionError: on purpose"),
        ("kills", "the worker was killed by signal 9 (Killed); the end record is missing"),
        ("orphans", "the worker was killed by signal 9 (Killed); the end record is missing"),
    ],
)
def test_an_experiment_that_ends_badly_says_how_and_leaves_no_process(local: Local, name: str, reason: str) -> None:
    result = cells.run_on(local, job("pipe", name))
    assert result.status is Status.ERROR
    assert result.reason
    assert reason in result.reason
    assert "\n" not in result.reason
    assert any(record.kind == "finish" for record in result.records), "what ran before is kept"


@pytest.mark.parametrize("name", ["noise", "daemon"])
def test_an_experiment_that_misbehaves_damages_no_record_and_leaves_no_process(local: Local, name: str) -> None:
    result = cells.run_on(local, job(name, "pipe"))
    assert result.faults == ()
    assert any(
        record.data == {"experiment": "pipe", "name": "answered", "value": True, "unit": ""}
        for record in result.records
    )


@pytest.mark.slow
def test_an_experiment_that_hangs_is_ended_at_its_deadline_and_the_next_one_runs(local: Local) -> None:
    result = cells.run_on(local, job("hangs", "pipe", experiment=6))  # time enough for the second of them
    assert result.status is Status.ERROR
    assert result.reason == "hangs did not end within 6 s"
    assert result.faults == ()


@pytest.mark.slow
def test_a_lock_with_a_name_goes_with_the_cell_that_made_it(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = uuid.uuid4().hex
    monkeypatch.setattr(secrets, "token_hex", lambda size: mark)
    semaphores: list[Path] = []

    def watch(reader: Reader) -> None:
        if any(record.kind == "observation" for record in reader.records):
            semaphores.extend(Path("/dev/shm").glob(f"*{mark}*"))

    cells.run_on(local, job("locks", experiment=2), watch)
    assert semaphores, "the lock had a name"
    assert list(Path("/dev/shm").glob(f"*{mark}*")) == []


@pytest.mark.slow
def test_a_worker_that_hangs_is_known_by_its_silence(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "longest_silence", 5.0)
    result = cells.run_on(local, job("pipe", "hangs", experiment=60, cell=600))
    assert result.reason
    assert result.reason.startswith("it said nothing for 5 s and was ended")
    assert any(record.kind == "finish" for record in result.records), "what ran before is kept"


def test_a_cell_has_time_for_every_experiment_however_long_each_takes() -> None:
    names = ("gil", "switching", "convoy", "cliff")
    order = jobs.job_of("s", Cell(id="cpu1", limit=Limit(cpus=1), size=1, cpus=(0,)), names, 60.0, 0.01)
    assert order.cell_deadline > len(names) * order.experiment_deadline > len(names) * order.seconds
    assert order.experiment_deadline < order.longest_silence < order.cell_deadline


@pytest.mark.slow
def test_a_worker_that_hangs_is_ended_at_the_cells_deadline(local: Local) -> None:
    begun = time.monotonic()
    result = cells.run_on(local, job("pipe", "hangs", experiment=60, cell=10))  # time enough for the first of them
    assert result.status is Status.ERROR
    assert result.reason
    assert result.reason.startswith("it passed its deadline and was ended")
    assert any(record.kind == "finish" for record in result.records)
    assert time.monotonic() - begun < 30, "not at the experiment's deadline"


def test_the_last_words_of_a_worker_that_ends_at_once_are_not_missed(local: Local) -> None:
    for _ in range(3):
        assert cells.run_on(local, job()).faults == ()


def program(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def refused(interpreter: str, kind: type[Exception]) -> str:
    engine = local_engine.connect(interpreter)
    try:
        with pytest.raises(kind) as caught:
            engine.probe()
    finally:
        engine.close()
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_interpreter_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = str(tmp_path / "python3")
    assert (
        refused(missing, CellError) == f"cannot start {missing}: No such file or directory; name a Python 3.9 or later"
    )


def test_an_interpreter_that_vanishes_after_the_probe_costs_the_cell(tmp_path: Path) -> None:
    interpreter = tmp_path / "python3"
    interpreter.symlink_to(sys.executable)
    engine = local_engine.connect(str(interpreter))
    try:
        interpreter.unlink()
        with pytest.raises(CellError, match=r"cannot start .*No such file"):
            engine.run(job("pipe"), lambda piece: None)
    finally:
        engine.close()


def test_a_program_that_is_no_python_is_refused(tmp_path: Path) -> None:
    message = refused(program(tmp_path / "python3", "#!/bin/sh\necho hello\n"), ImageError)
    assert "did not run the probe" in message
    assert "hello" in message


def test_a_program_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_engine, "PROBE_SECONDS", 0.3)
    message = refused(program(tmp_path / "python3", "#!/bin/sh\nsleep 600\n"), ImageError)
    assert "it passed its deadline and was ended" in message
    assert str(tmp_path / "python3") in message


def test_a_program_that_prints_for_ever_is_ended_and_takes_no_memory(tmp_path: Path) -> None:
    message = refused(program(tmp_path / "python3", "#!/bin/sh\nexec yes\n"), ImageError)
    assert "did not run the probe: it printed more than 4 MiB and was ended" in message


def test_a_cell_that_prints_for_ever_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "most_bytes", 2**20)
    engine = local_engine.connect(program(tmp_path / "python3", "#!/bin/sh\nexec yes\n"))
    try:
        result = cells.run_on(engine, job("pipe"))
    finally:
        engine.close()
    assert result.reason
    assert result.reason.startswith("it printed more than 1 MiB and was ended")


#: Says that it is Python 3.6, and otherwise is the Python of these tests.
STAND_IN = f"""#!{sys.executable}
import sys
sys.version_info = (3, 6, 15, "final", 0)
sys.argv = sys.argv[sys.argv.index("-c"):]
exec(sys.argv.pop(1))
"""


@pytest.mark.parametrize("version", ["3.6", "3.8", "a stand-in"])
def test_a_python_that_is_too_old_is_named(version: str, tmp_path: Path) -> None:
    interpreter = cells.interpreter(version) if version[0] == "3" else program(tmp_path / "python3", STAND_IN)
    if interpreter is None:
        pytest.skip(f"there is no Python {version} here")
    release = "3.6" if version[0] != "3" else version
    assert f"has Python {release}; name a Python 3.9 or later" in refused(interpreter, ImageError)


def test_the_engine_takes_its_folder_away() -> None:
    engine = local_engine.connect()
    folder = Path(engine._folder.name)
    assert folder.is_dir()
    engine.close()
    assert not folder.exists()


def test_a_system_without_affinity_is_sent_to_an_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "HAS_AFFINITY", False)
    with pytest.raises(UsageError, match="has no CPU affinity; run the cells in containers: --engine docker"):
        engines.make("local")


@pytest.mark.parametrize("name", ["manager", "queue", "forks"])
@pytest.mark.slow
def test_sockets_have_room_where_temporary_files_have_a_long_path(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.setattr(local_engine, "cell_code", lambda *_, **__: cells.code_with(BAD))
    with contextlib.closing(local_engine.connect()) as engine:
        result = cells.run_on(engine, job(name, experiment=60, cell=60))
        assert (result.status, result.reason) == (Status.MEASURED, None)
    assert not list(long.iterdir())


def test_only_a_path_that_is_too_long_is_left_for_a_short_one() -> None:
    most = 107 - len("/multicore-lab-12345678/lab-12345678/pymp-12345678/listener-12345678")
    assert local_engine._temporary("/" + "x" * (most - 1)) == "/" + "x" * (most - 1)
    assert local_engine._temporary("/" + "x" * most) == "/tmp"
    assert local_engine._temporary("/" + "ü" * (most // 2 + 1)) == "/tmp"
