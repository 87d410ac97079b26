"""The runner: one cell after the other, a failure costs that cell only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from lab.engines import Sink
from lab.engines.fake import Fake
from lab.errors import CellError, EngineError, LabError
from lab.model.cell import Cell, CellResult, Job, Limit, Outcome, Record, Status
from lab.running import runner
from lab.sessions.folder import SessionFolder
from tests.support import scripts
from tests.support.cells import order

ONE = Cell(id="cpu1", limit=Limit(cpus=1), size=1, cpus=(0,))
TWO = Cell(id="cpu2", limit=Limit(cpus=2, is_all=True), size=2, cpus=(0, 1))
FOUR = Cell(id="cpu4", limit=Limit(cpus=4), size=4, reason="needs 4 CPUs, this machine has 2")

GOOD_ONE = scripts.stream("cpu1", (0,), {"pipe": scripts.pipe()})
GOOD_TWO = scripts.stream("cpu2", (0, 1), {"pipe": scripts.pipe()})


@dataclass
class Noted:
    """A progress that takes notes."""

    lines: list[str] = field(default_factory=list)

    def cell_begins(self, cell: Cell) -> None:
        self.lines.append(f"{cell.id} begins")

    def record(self, record: Record) -> None:
        self.lines.append(f"{record.cell} {record.kind}")

    def cell_ends(self, result: CellResult) -> None:
        self.lines.append(f"{result.cell.id} {result.status}")


@dataclass
class Stop:
    requested: bool = False


def job(cell: Cell) -> Job:
    return order(cell, "pipe")


Script = bytes | LabError | Callable[[Job, Sink], Outcome]


def run(
    tmp_path: Path, cells: Mapping[str, Script], *wanted: Cell, stop: Stop | None = None
) -> tuple[tuple[CellResult, ...], Noted, Path]:
    progress = Noted()
    with SessionFolder(tmp_path, "s") as folder:
        fake = Fake(machine=scripts.machine(), cells=cells)
        results = runner.run(fake, [job(cell) for cell in wanted], folder, progress, stop or Stop())
    return results, progress, folder.path


def test_cells_run_in_the_order_of_the_plan_and_their_records_are_stored_byte_for_byte(tmp_path: Path) -> None:
    results, progress, folder = run(tmp_path, {"cpu1": GOOD_ONE, "cpu2": GOOD_TWO}, ONE, TWO)
    assert [result.status for result in results] == [Status.MEASURED, Status.MEASURED]
    assert progress.lines.index("cpu1 begins") == 0
    assert progress.lines.index("cpu2 begins") == progress.lines.index("cpu1 end") + 1, "it held its CPUs until then"
    assert {"cpu1 measured", "cpu2 measured"} < set(progress.lines)
    assert (folder / "cpu1.jsonl").read_bytes() == GOOD_ONE
    assert (folder / "cpu2.jsonl").read_bytes() == GOOD_TWO


def test_progress_hears_of_every_record_as_it_comes(tmp_path: Path) -> None:
    seen: list[int] = []

    def script(job: Job, sink: Sink) -> Outcome:
        for line in GOOD_ONE.splitlines(keepends=True):
            sink(line)
            seen.append(len((tmp_path / "s" / "cpu1.jsonl").read_bytes()))
        return Outcome(exit_code=0)

    _, progress, _ = run(tmp_path, {"cpu1": script}, ONE)
    assert len([line for line in progress.lines if line.startswith("cpu1 ")]) == GOOD_ONE.count(b"\n") + 2
    assert seen == sorted(set(seen)), "each line is on the disk before the next one comes"


def test_the_next_cell_is_made_while_one_that_has_said_all_is_taken_down(tmp_path: Path) -> None:
    begun = threading.Event()

    def first(job: Job, sink: Sink) -> Outcome:
        sink(GOOD_ONE)
        assert begun.wait(5), "the next one did not begin"
        return Outcome(exit_code=0)

    def second(job: Job, sink: Sink) -> Outcome:
        begun.set()
        sink(GOOD_TWO)
        return Outcome(exit_code=0)

    results, _, _ = run(tmp_path, {"cpu1": first, "cpu2": second}, ONE, TWO)
    assert [result.status for result in results] == [Status.MEASURED, Status.MEASURED]


def test_cells_run_side_by_side_where_the_schedule_says_so_and_on_the_cpus_that_it_gives_them(tmp_path: Path) -> None:
    together = threading.Barrier(2, timeout=60)

    def script(job: Job, sink: Sink) -> Outcome:
        together.wait()
        sink(scripts.stream(job.cell.id, job.cell.cpus, {"pipe": scripts.pipe()}))
        return Outcome(exit_code=0)

    def side_by_side(waiting: Sequence[Job], running: Sequence[Job]) -> Job:
        job = waiting[-1]
        return replace(job, cell=replace(job.cell, cpus=(len(running),)))

    cells = [replace(ONE, id="a"), replace(ONE, id="b")]
    with SessionFolder(tmp_path, "s") as folder:
        fake = Fake(machine=scripts.machine(), cells={"a": script, "b": script})
        results = runner.run(fake, [job(cell) for cell in cells], folder, Noted(), Stop(), side_by_side)
    assert [(result.cell.id, result.cell.cpus, result.status) for result in results] == [
        ("a", (1,), Status.MEASURED),
        ("b", (0,), Status.MEASURED),
    ]


def test_a_defect_in_one_cell_ends_the_others_and_is_not_swallowed(tmp_path: Path) -> None:
    began, ended = threading.Event(), threading.Event()

    def broken(job: Job, sink: Sink) -> Outcome:
        assert began.wait(30)
        raise ZeroDivisionError("a defect")

    def patient(job: Job, sink: Sink) -> Outcome:
        began.set()
        try:
            while True:
                sink(b"")
                time.sleep(0.01)
        finally:
            ended.set()

    fake = Fake(machine=scripts.machine(), cells={"cpu1": patient, "cpu2": broken})
    with SessionFolder(tmp_path, "s") as folder, pytest.raises(ZeroDivisionError):
        runner.run(fake, [job(ONE), job(TWO)], folder, Noted(), Stop(), lambda waiting, running: waiting[0])
    assert ended.is_set()


def test_a_cell_that_the_machine_lacks_is_not_run(tmp_path: Path) -> None:
    results, progress, _ = run(tmp_path, {"cpu1": GOOD_ONE}, ONE, FOUR)
    assert (results[1].status, results[1].reason) == (Status.UNAVAILABLE, "needs 4 CPUs, this machine has 2")
    assert "cpu4 begins" not in progress.lines


def ended(raw: bytes, **how: Any) -> Callable[[Job, Sink], Outcome]:
    """A cell that emits this and then ends this way."""

    def script(job: Job, sink: Sink) -> Outcome:
        sink(raw)
        return Outcome(**{"exit_code": 0, **how})

    return script


def torn(length: int) -> bytes:
    return b"".join(GOOD_ONE.splitlines(keepends=True)[:length])


@pytest.mark.parametrize(
    ("script", "status", "reason"),
    [
        pytest.param(CellError("no room for it"), Status.ERROR, "no room for it", id="could not be started"),
        pytest.param(EngineError("the engine went away"), Status.ERROR, "the engine went away", id="engine gone"),
        pytest.param(b"", Status.ERROR, "no record came", id="silence"),
        pytest.param(ended(b"", exit_code=1, stderr_tail="a\nboom\n"), Status.ERROR, "boom", id="died at once"),
        pytest.param(torn(3), Status.ERROR, "the end record is missing", id="torn"),
        pytest.param(GOOD_ONE * 2, Status.ERROR, "came twice", id="everything twice"),
        pytest.param(b"x" * 2**20 + b"\n" + GOOD_ONE, Status.ERROR, "longer than 8192", id="a megabyte of noise"),
        pytest.param(b"\xff\xfe\n" + GOOD_ONE, Status.ERROR, "not a record", id="invalid UTF-8"),
        pytest.param(
            ended(torn(3), exit_code=137, reason="killed: out of memory (OOM)"),
            Status.ERROR,
            "out of memory",
            id="out of memory",
        ),
        pytest.param(
            ended(torn(3), reason="it passed its deadline and was ended"), Status.ERROR, "deadline", id="hangs"
        ),
        pytest.param(ended(GOOD_ONE, exit_code=1), Status.ERROR, "exited with status 1", id="exits 1"),
        pytest.param(
            scripts.stream("cpu1", (0,), {"pipe": scripts.pipe()}, failed={"pipe": "was killed by SIGSEGV"}),
            Status.ERROR,
            "pipe was killed by SIGSEGV",
            id="an experiment died",
        ),
        pytest.param(
            scripts.stream("cpu1", (0, 1), {"pipe": scripts.pipe()}),
            Status.TAINTED,
            "asked for CPUs 0, inside saw 0-1",
            id="more CPUs than asked for",
        ),
        pytest.param(
            ended(GOOD_ONE, outside={"cpuset": "", "warnings": []}),
            Status.TAINTED,
            "the engine says it set none",
            id="the engine set nothing",
        ),
        pytest.param(
            ended(GOOD_ONE, outside={"cpuset": "0", "warnings": ["Your kernel does not support cpuset. Discarded."]}),
            Status.TAINTED,
            "does not support cpuset",
            id="the engine warned",
        ),
        pytest.param(
            ended(GOOD_ONE, outside={"cpuset": "0", "warnings": ["No swap limit support"]}),
            Status.MEASURED,
            None,
            id="a warning about something else",
        ),
        pytest.param(
            scripts.stream("cpu1", (0,), {"pipe": scripts.pipe()}, end=scripts.proof((0, 1))),
            Status.TAINTED,
            "affinity changed from [0] to [0, 1] while it ran",
            id="widened while it ran",
        ),
    ],
)
def test_a_cell_that_goes_wrong_says_why_in_one_line_and_costs_no_other(
    tmp_path: Path, script: Script, status: Status, reason: str | None
) -> None:
    results, _, folder = run(tmp_path, {"cpu1": script, "cpu2": GOOD_TWO}, ONE, TWO)
    assert results[0].status is status
    if reason is not None:
        assert results[0].reason is not None
        assert reason in results[0].reason
        assert "\n" not in results[0].reason
    assert results[1].status is Status.MEASURED
    assert (folder / "cpu2.jsonl").read_bytes() == GOOD_TWO


def test_what_came_before_a_cell_broke_is_kept(tmp_path: Path) -> None:
    def script(job: Job, sink: Sink) -> Outcome:
        sink(torn(4))
        raise EngineError("the engine went away")

    results, _, folder = run(tmp_path, {"cpu1": script}, ONE)
    assert [record.kind for record in results[0].records] == ["start", "begin", "event", "event"]
    assert (folder / "cpu1.jsonl").read_bytes() == torn(4)


def test_the_stream_that_the_engine_kept_takes_the_place_of_what_came_live(tmp_path: Path) -> None:
    results, _, folder = run(tmp_path, {"cpu1": ended(torn(3), stream=GOOD_ONE)}, ONE)
    assert results[0].status is Status.MEASURED
    assert (folder / "cpu1.jsonl").read_bytes() == GOOD_ONE


def test_after_a_request_to_stop_the_cell_ends_and_the_rest_is_not_run(tmp_path: Path) -> None:
    stop = Stop()

    def script(job: Job, sink: Sink) -> Outcome:
        sink(torn(3))
        stop.requested = True
        sink(b"")
        raise AssertionError("the sink should have ended the cell")

    results, _, _ = run(tmp_path, {"cpu1": script, "cpu2": GOOD_TWO}, ONE, TWO, FOUR, stop=stop)
    assert [(result.status, result.reason) for result in results] == [
        (Status.ERROR, "interrupted while it ran"),
        (Status.PLANNED, "interrupted before it ran"),
        (Status.UNAVAILABLE, FOUR.reason),
    ]
    assert len(results[0].records) == 3


def test_the_last_words_of_a_worker_are_quoted_only_where_no_record_came(tmp_path: Path) -> None:
    script = ended(torn(3), exit_code=1, stderr_tail="noise of an experiment")
    results, _, _ = run(tmp_path, {"cpu1": script}, ONE)
    assert results[0].reason == "the end record is missing"
