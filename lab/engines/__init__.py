"""Engines: what runs a cell. One file each; :class:`Engine` is all that the rest of the lab knows of them."""

from __future__ import annotations

import base64
import contextlib
import importlib
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from lab.cell.cpus import cpulist
from lab.cell.worker.bootstrap import SOURCE
from lab.errors import ImageError
from lab.model.cell import Job, Outcome
from lab.model.machine import Machine

#: No argument may be longer than 128 KiB (MAX_ARG_STRLEN, man 2 execve); all of them together may be 2 MiB.
_LONGEST_WORD = 2**16

#: Takes each piece of a cell's stream of records as it comes.
Sink = Callable[[bytes], None]


def nothing() -> None:
    """What is to be done meanwhile, where nothing is."""


class Engine(Protocol):
    """Three methods: find the machine, run a cell, leave nothing behind."""

    def probe(self, meanwhile: Callable[[], object] = nothing) -> Machine:
        """Find the CPUs and the Python of the machine that the engine runs on, from an unlimited cell.

        ``meanwhile`` is called while that is waited for; see :func:`alongside`. Raises EngineError or ImageError when
        the engine cannot run a cell at all.
        """

    def run(self, job: Job, sink: Sink) -> Outcome:
        """Run one cell to its end or its deadline; hand every piece of its records to ``sink``.

        ``sink`` is called once before the cell's first process is started, with ``b""``: it may block, so that all that
        can be made ahead is made by then, and the deadline counts from its return. From then on it is called at least
        every half second, also with ``b""`` when nothing came: it may raise to end the cell.
        Whatever happens, also an exception, nothing of the cell is left behind. Raises CellError when it could not be
        started.
        """

    def close(self) -> None:
        """Remove whatever is left of this session."""


@contextlib.contextmanager
def alongside(task: Callable[[], object], sink: Sink) -> Iterator[Sink]:
    """``sink``, which also begins ``task`` in a thread of its own when it is first called: a cell's process is then
    about to be started, which an engine takes a quarter of a second for. The end waits for the task."""
    thread = threading.Thread(target=task, daemon=True)

    def begin(piece: bytes) -> None:
        if thread.ident is None:
            thread.start()
        sink(piece)

    try:
        yield begin
    finally:
        if thread.ident is not None:
            thread.join()


class Patience:
    """How long a worker is waited for: ``seconds`` in all, and ``silence`` seconds (by default as long) without a
    word. One that hangs is known sooner by its silence than by all the time that a whole cell may take."""

    def __init__(self, seconds: float, silence: float | None = None) -> None:
        self._seconds = seconds
        self._silence = seconds if silence is None else silence
        self.begin()

    def begin(self) -> None:
        """From now on time counts."""
        self._last = time.monotonic()
        self._end = self._last + self._seconds

    def heard(self) -> None:
        """It has said something."""
        self._last = time.monotonic()

    @property
    def left(self) -> float:
        """How many seconds more it has; below zero when it has none."""
        return min(self._end, self._last + self._silence) - time.monotonic()

    @property
    def why(self) -> str:
        """What to say of a worker that was ended because there were none left."""
        if self._last + self._silence < self._end:
            return f"it said nothing for {self._silence:g} s and was ended"
        return "it passed its deadline and was ended"


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Within this, SIGINT and SIGTERM wait for the end: a second Ctrl-C must not cut short what the first one began.

    Not done by blocking them: another thread would take them, and the handler would run in this one all the same.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    usual = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        for one in came:
            signal.raise_signal(one)


def make(name: str, **options: object) -> Engine:
    """The engine of that name, made by its file's ``connect``."""
    engine: Engine = importlib.import_module(f"lab.engines.{name}").connect(**options)
    return engine


def command(code: bytes | Path, job: Mapping[str, object]) -> list[str]:
    """The arguments after the interpreter that start the worker; see :mod:`lab.cell.worker.bootstrap`.

    Without ``site``: what an image runs at the start of its Pythons (``sitecustomize``, ``.pth`` files) could
    print before the worker has taken standard output, or trace what is measured; and it takes time in every cell.
    """
    if isinstance(code, Path):
        return ["-I", "-S", "-c", SOURCE, str(code), json.dumps(job)]
    text = base64.b64encode(code).decode()
    pieces = [text[start : start + _LONGEST_WORD] for start in range(0, len(text), _LONGEST_WORD)]
    return ["-I", "-S", "-c", SOURCE, *pieces, json.dumps(job)]


def order(job: Job, pin: list[int] | None) -> dict[str, object]:
    """A job as the worker reads it; see :func:`lab.cell.worker.supervisor.work`. With ``pin`` the worker pins
    itself."""
    return {
        "session": job.session,
        "cell": job.cell.id,
        "experiments": job.experiments,
        "seconds": job.seconds,
        "width": job.width,
        "seed": job.seed,
        "deadline_seconds": job.experiment_deadline,
        "cpus": job.cell.size,
        "asked": cpulist.render(job.cell.cpus) if job.cell.pinned else None,
        "quota": job.cell.quota_cpus,
        "pin": pin,
        "pinned_by": "worker" if pin else "engine" if job.cell.pinned else "none",
    }


def probe_order(session: str) -> dict[str, object]:
    """The job of a probe: no experiment, no limit, only the proof, and a look at the machine's CPUs."""
    return {"session": session, "cell": "probe", "experiments": [], "cpus": None, "pin": None, "look": True}


def unanswered(where: str, outcome: Outcome, what: str) -> ImageError:
    """The error for a probe of which no record came: how it ended, and its last words; ``what`` to name instead."""
    return ImageError(f"{where} did not run the probe: {outcome.ending}; {what}")


def machine_from(engine: str, stream: bytes, image: str | None, details: dict[str, object]) -> Machine:
    """The machine that a probe's records describe. Raises ImageError when they do not."""
    from lab.judging.records import read_records
    from lab.model import topology

    reader = read_records(stream)
    where = f"the image {image}" if image else details.get("interpreter", "this interpreter")
    if reader.refusal:
        raise ImageError(f"{where} has {reader.refusal}; a cell needs Python 3.9 or later: name another one")
    start = next((record.data for record in reader.records if record.kind == "start"), None)
    if start is None:
        raise ImageError(f"{where} did not run the probe: {'; '.join(reader.faults)}; try another one")
    proof = start["proof"]
    allowed = tuple(proof["affinity"])
    seen = "".join(record.data["text"] for record in reader.records if record.kind == "topology")
    return Machine(
        engine=engine,
        cpus=allowed,
        host_cpus=cpulist.parse(proof["host_cpus"]) if proof.get("host_cpus") else allowed,
        python=start["python"],
        image=image,
        details={**details, "probe": proof, "build": start.get("build"), "host": start.get("host")},
        topology=topology.from_reading(json.loads(seen)) if seen else None,
    )
