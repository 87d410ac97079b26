"""Cells side by side: only on cores of their own, and only where a sentinel shows that it makes no difference."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.cell.experiments._internal import companion as _companion
from lab.cell.experiments._internal import sentinel as sentinel_experiment
from lab.engines import Sink
from lab.engines.fake import Fake
from lab.errors import UsageError
from lab.judging.side_by_side import judge_side_by_side
from lab.model import topology
from lab.model.cell import Cell, CellResult, Job, Limit, Outcome, Status
from lab.planning import packing
from lab.running import parallel_cells, runner
from lab.sessions.folder import SessionFolder
from tests.support import cells, scripts

CPUS = 8


@pytest.mark.parametrize(("text", "most"), [("auto", None), ("1", 1), ("16", 16)])
def test_jobs_are_a_number_or_auto(text: str, most: int | None) -> None:
    assert packing.parse_most_at_once(text) == most


@pytest.mark.parametrize("text", ["0", "-1", "two", "", "1.5", "100000"])
def test_jobs_that_cannot_be_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--jobs"):
        packing.parse_most_at_once(text)


def job(name: str, size: int, **changes: Any) -> Job:
    cell = replace(Cell(id=name, limit=Limit(cpus=size), size=size, cpus=tuple(range(size))), **changes)
    return cells.order(cell, "pipe", seconds=1, width=0.1, experiment_deadline=5, cell_deadline=9)


JOBS = [job("cpu1", 1), job("cpu2", 2), job("cpu4", 4)]
SENTINELS = (sentinel_experiment.NAME, _companion.NAME)


def rounds(speed: float, count: int = 40, spread: float = 0.001) -> list[scripts.Said]:
    """A sentinel whose speed beside the companion is this share of that alone."""
    return [
        (
            "sample",
            {
                "name": "round",
                "values": {
                    "alone": {"rate": 1000.0, "disturbed": None},
                    "packed": {"rate": 1000.0 * (speed + spread * (number % 3 - 1)), "disturbed": None},
                    "clock": {"began": 10 + 2 * number * sentinel_experiment.PHASE_SECONDS},
                },
            },
        )
        for number in range(count)
    ]


def pair(speed: float, **options: Any) -> tuple[CellResult, CellResult]:
    busy = [scripts.observe("busy from", 0.0, "s"), scripts.observe("busy until", 1000.0, "s")]
    messages = {sentinel_experiment.NAME: rounds(speed, **options), _companion.NAME: busy}
    first, second = (
        scripts.result(
            Cell(id=name, limit=Limit(cpus=1), size=1, cpus=(number,)),
            scripts.stream(name, (number,), {name: messages[name]}),
        )
        for number, name in enumerate(SENTINELS)
    )
    return first, second


@pytest.mark.parametrize(
    ("results", "allowed", "words"),
    [
        pytest.param(pair(1.0), True, " to 100.", id="no bias"),
        pytest.param(pair(0.99), True, "98.0 to 102.0 % is allowed", id="a bias that is borne"),
        pytest.param(pair(0.95), False, "ran at 9", id="a bias that is not"),
        pytest.param(pair(1.05), False, "102.0 % is allowed", id="quicker is no less wrong"),
        pytest.param(pair(0.98, spread=0.05), False, "may have run", id="too noisy to tell"),
        pytest.param(pair(1.0, count=3), False, "too few quiet rounds", id="too few rounds"),
    ],
)
def test_cells_are_packed_only_where_the_sentinel_shows_no_bias(
    results: tuple[CellResult, CellResult], allowed: bool, words: str
) -> None:
    judgement = judge_side_by_side(*results)
    assert (judgement.allowed, words in judgement.reason) == (allowed, True), judgement.reason


def test_rounds_beyond_the_companions_time_do_not_count() -> None:
    sentinels, companion = pair(1.0)
    records = tuple(
        record._replace(data={**record.data, "value": 10.1}) if record.data.get("name") == "busy until" else record
        for record in companion.records
    )
    assert "too few" in judge_side_by_side(sentinels, replace(companion, records=records)).reason


def test_a_sentinel_that_could_not_be_measured_packs_nothing() -> None:
    sentinels, companion = pair(1.0)
    broken = replace(sentinels, status=Status.ERROR, reason="it was killed")
    judgement = judge_side_by_side(broken, companion)
    assert not judgement.allowed
    assert "it was killed" in judgement.reason


class Machine:
    """An engine that notes which cells ran at the same time, with a sentinel of this speed. A cell runs until another
    has run beside it, but no longer than ``seconds``."""

    def __init__(self, speed: float, seconds: float) -> None:
        self.speed, self.seconds = speed, seconds
        self.lock, self.met = threading.Lock(), threading.Event()
        self.running: set[str] = set()
        self.overlaps: set[tuple[str, str]] = set()
        self.cpus: dict[str, tuple[int, ...]] = {}

    def script(self, job: Job, sink: Sink) -> Outcome:
        name = job.cell.id
        if name not in SENTINELS:
            with self.lock:
                self.overlaps |= {(min(name, neighbour), max(name, neighbour)) for neighbour in self.running}
                self.running.add(name)
            self.cpus[name] = job.cell.cpus
            if self.overlaps:
                self.met.set()
            self.met.wait(self.seconds)
            self.running.discard(name)
        messages = {
            sentinel_experiment.NAME: rounds(self.speed),
            _companion.NAME: [scripts.observe("busy from", 0.0, "s"), scripts.observe("busy until", 1000.0, "s")],
        }.get(name, scripts.pipe())
        sink(scripts.stream(name, job.cell.cpus, {job.experiments[0]: messages}, host_cpus=CPUS))
        return Outcome(exit_code=0)


def run(
    tmp_path: Path,
    jobs: Sequence[Job],
    speed: float,
    most: int | None,
    seconds: float = 10,
    patience_seconds: float = 0.1,
    quotas: Sequence[float] = (),
) -> tuple[Machine, str]:
    machine = Machine(speed, patience_seconds)
    names = [job.cell.id for job in jobs] + list(SENTINELS)
    probe = {"quotas": [{"quota_cpus": quota} for quota in quotas]}
    described = replace(scripts.machine(CPUS, "local"), details={"probe": probe})
    fake = Fake(machine=described, cells=dict.fromkeys(names, machine.script))
    stop = packed_stop()
    with SessionFolder(tmp_path, "s") as folder:
        schedule, note = parallel_cells.decide(
            fake,
            described,
            jobs,
            folder,
            stop,
            most=most,
            seconds=lambda cell: seconds,
            smt=False,
            explicit=frozenset(),
        )
        results = runner.run(fake, jobs, folder, parallel_cells.NoProgress(), stop, schedule)
    assert [result.status for result in results] == [Status.MEASURED] * len(jobs), [result.reason for result in results]
    return machine, note or ""


def packed_stop() -> runner.StopRequest:
    class Never:
        requested = False

    return Never()


def test_cells_that_do_not_disturb_each_other_run_side_by_side_on_cores_of_their_own(tmp_path: Path) -> None:
    machine, note = run(tmp_path, JOBS, 1.0, None, patience_seconds=60)
    assert "side by side" in note
    assert machine.overlaps
    used = [cpu for cpus in machine.cpus.values() for cpu in cpus]
    assert len(used) == len(set(used)) == 7


def test_cells_that_disturb_each_other_run_one_after_the_other_and_the_user_is_told_why(tmp_path: Path) -> None:
    machine, note = run(tmp_path, JOBS, 0.9, None)
    assert note.startswith(
        "the cells run one after the other, which takes longer and changes no result. Side by side, a "
    )
    assert machine.overlaps == set()


def test_what_saves_less_than_the_sentinel_costs_is_not_packed(tmp_path: Path) -> None:
    machine, note = run(tmp_path, JOBS, 1.0, None, seconds=0.5)
    assert (machine.overlaps, note) == (set(), "")


def test_one_job_at_a_time_asks_no_sentinel(tmp_path: Path) -> None:
    machine, note = run(tmp_path, JOBS, 1.0, 1)
    assert (machine.overlaps, note) == (set(), "")


def test_where_no_two_cells_have_room_side_by_side_it_says_so_if_asked_for(tmp_path: Path) -> None:
    machine, note = run(tmp_path, [job("a", 8), job("b", 8)], 1.0, 2)
    assert "there is no room for two cells" in note
    assert machine.overlaps == set()


def test_a_cell_under_a_quota_alone_has_the_machine_to_itself(tmp_path: Path) -> None:
    machine, _ = run(tmp_path, [job("cpu1", 1), job("cpu2", 2), job("q0.5", 8, pinned=False)], 1.0, None)
    assert not any("q0.5" in overlap for overlap in machine.overlaps)


def test_cells_that_share_a_quota_below_the_cpus_run_one_after_the_other_and_the_user_is_told_why(
    tmp_path: Path,
) -> None:
    machine, note = run(tmp_path, JOBS, 1.0, None, quotas=(9.0, 2.0))
    assert machine.overlaps == set()
    assert note == (
        "the cells run one after the other, which takes longer and changes no result. They share a quota of 2 CPUs."
    )


def test_a_quota_that_all_cpus_together_cannot_use_up_hinders_no_packing(tmp_path: Path) -> None:
    machine, note = run(tmp_path, JOBS, 1.0, None, patience_seconds=60, quotas=(8.0,))
    assert "side by side" in note
    assert machine.overlaps


def test_the_schedule_never_shares_a_core() -> None:
    layout = topology.flat(range(4))
    jobs = [job(f"cell{number}", 1 + number % 3) for number in range(6)]
    schedule = parallel_cells.schedule_of(
        layout, parallel_cells.requests_of([job.cell for job in jobs], lambda cell: 1.0), None, False
    )
    running: list[Job] = []
    waiting = list(jobs)
    while next_job := schedule(waiting, running):
        waiting = [job for job in waiting if job.cell.id != next_job.cell.id]
        running.append(next_job)
        used = [cpu for job in running for cpu in job.cell.cpus]
        assert len(used) == len(set(used))
        if not waiting:
            break
    assert waiting, "four CPUs cannot hold all of them"


@pytest.mark.skipif(len(cells.CPUS) < 2, reason="this machine has one CPU")
def test_the_orchestrator_keeps_off_the_cpus_that_are_measured() -> None:
    before = os.sched_getaffinity(0)
    try:
        parallel_cells.keep_off({cells.CPUS[0]})
        assert os.sched_getaffinity(0) == before - {cells.CPUS[0]}
        parallel_cells.keep_off(set(before))
        assert os.sched_getaffinity(0), "where there is none to spare it stays"
    finally:
        parallel_cells.keep_off(set())
    assert os.sched_getaffinity(0) == before


@pytest.mark.measures
@pytest.mark.skipif(len(cells.CPUS) < 2, reason="this machine has one CPU")
def test_a_real_sentinel_tells_how_much_the_cores_of_this_machine_disturb_each_other(tmp_path: Path) -> None:
    from lab.engines import make

    engine = make("local")
    try:
        layout = engine.probe().cpu_topology
        with SessionFolder(tmp_path, "s") as folder:
            patient = replace(JOBS[0], experiment_deadline=60, cell_deadline=120)
            judgement = parallel_cells.check_side_by_side(engine, layout, patient, folder, packed_stop())
    finally:
        engine.close()
    # Which it is depends on the machine: what counts is that the sentinel had rounds, and a number where they sufficed.
    assert "not known: _" not in judgement.reason, judgement.reason
    assert judgement.speed is None or judgement.speed.value > 0
    assert packing.Packer(layout).next({}, parallel_cells.requests_of([JOBS[0].cell], lambda cell: 1.0)) is not None


@pytest.mark.slow
def test_a_block_of_the_sentinel_that_came_in_time_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    # Beside busy neighbours every block may have had to wait.
    monkeypatch.setattr(sentinel_experiment, "run_delay", lambda: 0.0)
    first = int(time.monotonic() / sentinel_experiment.PHASE_SECONDS) + 1
    blocks = [sentinel_experiment._block(first + number) for number in range(50)]
    assert any(block["disturbed"] is None and block["rate"] > 0 for block in blocks), blocks
