"""Cells that really run: the worker as a subprocess, as the local engine starts it, with experiments of ours."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
import uuid
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab import system
from lab.cell.experiments import load
from lab.cell.worker.job import WorkerJob
from lab.engines import Engine
from lab.engines.cell_code import cell_code
from lab.engines.worker_command import worker_arguments
from lab.judging import status, verdicts
from lab.judging.records import Reader, read_records
from lab.model.cell import Cell, CellResult, Job, Limit, Outcome, Record
from lab.model.session import Judgement

#: The CPUs that the tests may use.
CPUS = tuple(sorted(system.usable_cpus()))

_MARKER = "MULTICORE_LAB_TEST"

_EXPERIMENT = """\
import os, signal, sys, threading, time
from lab.cell.claims.claim import Experiment


def run(recorder):
{body}


EXPERIMENT = Experiment(name={name!r}, summary="", method="", watch="", run=run, claims=())
"""


def experiment(name: str, body: str) -> str:
    """The source of an experiment whose ``run(recorder)`` does this."""
    return _EXPERIMENT.format(name=name, body=textwrap.indent(textwrap.dedent(body).strip(), "    "))


def code_with(experiments: Mapping[str, str]) -> bytes:
    """The cell's real code with further experiments in it: name -> the body of its ``run(recorder)``."""
    memory = io.BytesIO(cell_code())
    with zipfile.ZipFile(memory, "a") as archive:
        for name, body in experiments.items():
            archive.writestr(f"lab/cell/experiments/{name}.py", experiment(name, body))
    return memory.getvalue()


def living(mark: str) -> list[str]:
    """The processes that have this mark in their environment, zombies not counted."""
    processes = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (folder / "environ").read_bytes():
                processes.append(f"{folder.name}: {(folder / 'comm').read_text().strip()}")
        except OSError:
            continue  # it has just ended, or is not ours to see
    return processes


def still_living(mark: str, seconds: float = 30.0) -> list[str]:
    """What :func:`living` still finds after so long, or sooner nothing. Processes that have been killed take their time
    to go on a busy machine."""
    until = time.monotonic() + seconds
    while (processes := living(mark)) and time.monotonic() < until:
        time.sleep(0.01)
    return processes


@dataclass(kw_only=True)
class Worker:
    """A worker that runs, with a folder for everything temporary and a marker in the environment of its tree."""

    process: subprocess.Popen[bytes]
    temporary: Path
    marker: str

    def living(self) -> list[str]:
        """Command lines of the processes of its tree that are still there, zombies not counted."""
        return living(self.marker)

    def vanished(self) -> bool:
        """Whether every process of its tree has ended, or soon does."""
        return not still_living(self.marker)


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What became of a worker."""

    exit_code: int
    stream: bytes
    stderr: str
    reader: Reader = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reader", read_records(self.stream))

    @property
    def records(self) -> Sequence[Record]:
        return self.reader.records

    def data(self, kind: str, experiment: str | None = None) -> dict[str, Any]:
        """The data of the only record of this kind, or the only one of this experiment."""
        (data,) = [
            record.data
            for record in self.records
            if record.kind == kind and (experiment is None or record.data["experiment"] == experiment)
        ]
        return dict(data)

    def result(self, cpus: Sequence[int]) -> CellResult:
        """What the runner makes of it, had these CPUs been asked for."""
        cell = Cell(id="cell", limit=Limit(cpus=len(cpus)), size=len(cpus), cpus=tuple(cpus))
        return status.conclude(cell, self.reader, Outcome(exit_code=self.exit_code))

    def judgements(self, name: str, cpus: Sequence[int]) -> tuple[Judgement, ...]:
        return verdicts.judge_claims([load(name)], [self.result(cpus)])


def job(experiments: Sequence[str], **changes: Any) -> WorkerJob:
    """A job as an engine orders it, with little time; ``changes`` are entries that differ."""
    usual = WorkerJob(
        session="test",
        cell="cell",
        experiments=list(experiments),
        seconds=0.5,
        width=0.2,
        deadline_seconds=20,
        pinned_by="worker",
    )
    return usual._replace(**changes)


@contextmanager
def worker(
    work: WorkerJob,
    folder: Path,
    code: bytes | None = None,
    interpreter: str = sys.executable,
    before: str = "",
) -> Iterator[Worker]:
    """A worker that has been started; whatever is left of it at the end is killed. ``before`` runs first in it."""
    zipped = folder / "cell.zip"
    zipped.write_bytes(cell_code() if code is None else code)
    temporary = Path(tempfile.mkdtemp(prefix="lab-test-"))  # short: a Manager's socket has to fit into 107 characters
    words = [interpreter, *worker_arguments(zipped, work)]
    words[words.index("-c") + 1] = before + "\n" + words[words.index("-c") + 1]
    marker = uuid.uuid4().hex
    started = Worker(
        process=subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd=temporary,
            env={"PATH": os.environ["PATH"], "TMPDIR": str(temporary), _MARKER: marker},
        ),
        temporary=temporary,
        marker=marker,
    )
    try:
        yield started
    finally:
        for line in started.living():
            os.kill(int(line.partition(":")[0]), 9)
        started.process.communicate(timeout=60)
        shutil.rmtree(temporary)


def run(work: WorkerJob, folder: Path, code: bytes | None = None, **options: str) -> Ran:
    """A worker, run to its end; checks that no process and no file of it is left."""
    with worker(work, folder, code, **options) as started:
        stream, stderr = started.process.communicate(timeout=240)  # a machine that others keep busy is slow
        assert started.vanished(), f"left behind: {started.living()}"
        assert list(started.temporary.iterdir()) == []
    return Ran(exit_code=started.process.returncode, stream=stream, stderr=stderr.decode(errors="replace"))


def order(
    cell: Cell,
    *experiments: str,
    session: str = "test",
    seconds: float = 0.5,
    width: float = 0.2,
    experiment_deadline: float = 60,
    cell_deadline: float = 120,
) -> Job:
    """The job of a cell as an engine takes it, with little time."""
    return Job(
        session=session,
        cell=cell,
        experiments=experiments,
        seconds=seconds,
        width=width,
        experiment_deadline=experiment_deadline,
        cell_deadline=cell_deadline,
    )


def run_on(engine: Engine, work: Job, watch: Callable[[Reader], None] = lambda reader: None) -> CellResult:
    """A cell that an engine has run, concluded as the runner does; ``watch`` may look at what came so far."""
    reader = Reader()

    def sink(piece: bytes) -> None:
        reader.feed(piece)
        watch(reader)

    outcome = engine.run(work, sink)
    if outcome.stream is None:
        reader.finish()
    return status.conclude(work.cell, reader if outcome.stream is None else read_records(outcome.stream), outcome)


def interpreter(version: str) -> str | None:
    """A Python of that version: ``python3.9`` on the PATH, or in pyenv's folder; ``None`` where there is none."""
    path = shutil.which(f"python{version}")
    if path and subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0:
        return path  # a shim of pyenv's may be there without its version
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    paths = sorted(pyenv.glob(f"versions/{version}*/bin/python{version}"))
    return str(paths[-1]) if paths else None
