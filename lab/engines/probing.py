"""Probes: an unlimited cell describes the machine on which it runs."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from lab import interrupts
from lab.cell.cpus import cpulist
from lab.engines import Sink
from lab.errors import ImageError
from lab.model.cell import Outcome
from lab.model.machine import Machine
from lab.pythons.listening import MEBIBYTE

#: How long a probe may take, in seconds, and how much it may print, in bytes: some hundred for each CPU.
PROBE_SECONDS = 60.0
PROBE_BYTES = 4 * MEBIBYTE

#: How long the end of a probe waits for what was done beside it, in seconds. It usually takes a fraction of one.
_MOST_SECONDS = 3.0

_Result = TypeVar("_Result")


@contextlib.contextmanager
def alongside(task: Callable[[], object], sink: Sink) -> Iterator[Sink]:
    """A sink whose first call also starts ``task`` in a separate thread.

    At that moment the process of a cell is about to start, which takes an engine a quarter of a second. The task uses
    this time. The end of the context waits for the task. The sink raises Interrupted after a request to end.
    """
    thread = threading.Thread(target=task, daemon=True)

    def begin(piece: bytes) -> None:
        interrupts.check()
        if thread.ident is None:
            thread.start()
        sink(piece)

    try:
        yield begin
    finally:
        if thread.ident is not None:
            thread.join()


@contextlib.contextmanager
def beside(task: Callable[[], _Result]) -> Iterator[list[_Result]]:
    """Run ``task`` in a thread of its own. At the end of the context its result is in the list, unless it failed.

    The end of the context waits for the task, but not for one that an engine keeps waiting.
    """
    results: list[_Result] = []

    def run() -> None:
        with contextlib.suppress(Exception):  # whatever an engine answers: the caller does the same again, and says why
            results.append(task())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield results
    finally:
        thread.join(_MOST_SECONDS)


def unanswered(where: str, outcome: Outcome, fix: str) -> ImageError:
    """The error for a probe that sent no record: how it ended, and its last words. ``fix`` is what to do next."""
    return ImageError(f"{where} did not run the probe: {outcome.ending}", fix)


def machine_from(engine: str, stream: bytes, image: str | None, details: dict[str, object]) -> Machine:
    """The machine that the records of a probe describe. Raises ImageError if they describe none."""
    from lab.judging.records import read_records
    from lab.model import topology

    reader = read_records(stream)
    where = f"the image {image}" if image else details.get("interpreter", "this interpreter")
    if reader.refusal:
        raise ImageError(f"{where} has {reader.refusal}", "name a Python 3.9 or later, which a cell needs")
    start = next((record.data for record in reader.records if record.kind == "start"), None)
    if start is None:
        raise ImageError(f"{where} did not run the probe: {'; '.join(reader.faults)}", "name another Python")
    reading = "".join(str(record.data.get("text")) for record in reader.records if record.kind == "topology")
    try:
        proof, python = start["proof"], start["python"]
        allowed = _cpu_ids(proof["affinity"])
        known = topology.from_reading(json.loads(reading)) if reading else None
        _check_quotas(proof.get("quotas", ()))
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ImageError(
            f"{where} has sent a description of its machine that makes no sense ({type(error).__name__}: {error})",
            "look at what lab cpus says there",
        ) from error
    return Machine(
        engine=engine,
        cpus=allowed,
        host_cpus=_host_cpus(proof.get("host_cpus"), allowed),
        python=python,
        image=image,
        details={**details, "probe": proof, "build": start.get("build"), "host": start.get("host")},
        topology=known,
    )


def _cpu_ids(ids: list[int]) -> tuple[int, ...]:
    """The CPUs that a probe may use, ascending. Raises TypeError or ValueError if these cannot be CPUs."""
    allowed = cpulist.parse(",".join(str(int(cpu)) for cpu in ids))
    if not allowed:
        raise ValueError("it may use no CPU")
    return allowed


def _check_quotas(levels: list[dict[str, float]]) -> None:
    """Raise LookupError, TypeError or ValueError if these levels of control groups have no quotas in CPUs."""
    if not all(level["quota_cpus"] > 0 for level in levels):
        raise ValueError("it may use no CPU time")


def _host_cpus(text: object, allowed: tuple[int, ...]) -> tuple[int, ...]:
    """The CPUs of the host. They are unknown if the list makes no sense; the usable CPUs always are among them."""
    return tuple(sorted((cpulist.members(str(text or "")) or set()) | {*allowed}))
