"""What Compose's cells record, and what ``lab gather`` makes of it; no engine needed."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.cell.targets.case import Case, from_stored
from lab.cell.worker.record_writer import Channel
from lab.containers import client as lab_containers
from lab.containers import compose
from lab.containers.compose import Collected
from lab.model.cell import Outcome, Status
from lab.model.session import Session
from lab.planning.targets import target_from_stored
from lab.sessions import from_compose
from lab.sessions.from_compose import CellRecords
from tests.support import scripts
from tests.support.gathered import cells, rows
from tests.support.terminal import Lab

ENDED = Outcome(exit_code=0, outside={"cpuset": "", "warnings": []})


def records(
    cell: str,
    cpus: Sequence[int],
    *,
    asked: str = "",
    pinned_by: str = "worker",
    host_cpus: int = 2,
    messages: Sequence[scripts.Said] = tuple(scripts.pipe()),
    seed: int = 1,
) -> bytes:
    """The stream of a cell of Compose that ran the pipe experiment, where its size allows it."""
    wanted = None if cell == "cpuall" else int(cell.removeprefix("cpu"))
    proof = scripts.proof(cpus, host_cpus)
    with tempfile.TemporaryFile() as file:
        channel = Channel(file.fileno(), "compose", cell)
        start = {"proof": proof, "pinned_by": pinned_by, "wanted_cpus": wanted, "asked": asked, "seed": seed}
        channel.emit("start", {"python": scripts.python(), **start})
        if len(cpus) >= (wanted or 0):
            channel.emit("begin", {"experiment": "pipe"})
            for kind, data in messages:
                channel.emit(kind, {**data, "experiment": "pipe"})
            channel.emit("finish", {"experiment": "pipe", "outcome": "ok", "reason": None, "seconds": 0.1})
        channel.end({"proof": proof, "stopped": False})
        file.seek(0)
        return file.read()


ONE = records("cpu1", (0,))
TWO = records("cpu2", (0, 1), pinned_by="none")
ALL = records("cpuall", (0, 1), pinned_by="none")


class TestGathering:
    """From what was found to a session."""

    def test_cells_are_shown_small_ones_first_and_all_last(self) -> None:
        names = ("cpuall", "cpu16", "cpu2")
        session = from_compose.session(
            "x", [CellRecords(cell=name, stream=None, outcome=None) for name in names], None, {}
        )
        assert [result.cell.id for result in session.results] == ["cpu2", "cpu16", "cpuall"]

    def test_a_cell_pinned_by_the_engine_is_held_against_what_compose_was_told(self) -> None:
        stream = records("cpu2", (0, 1), asked="0-1", pinned_by="engine", host_cpus=4)
        set_as_told = Outcome(exit_code=0, outside={"cpuset": "0-1", "warnings": []})
        assert cells(CellRecords(cell="cpu2", stream=stream, outcome=set_as_told))["cpu2"] == (Status.MEASURED, None)
        set_otherwise = Outcome(exit_code=0, outside={"cpuset": "2-3", "warnings": []})
        status, reason = cells(CellRecords(cell="cpu2", stream=stream, outcome=set_otherwise))["cpu2"]
        assert (status, reason) == (Status.TAINTED, "asked for CPUs 0-1, the engine says it set 2-3")

    def test_a_cpu_set_that_the_engine_dropped_is_noticed(self) -> None:
        dropped = records("cpu1", (0, 1, 2, 3), asked="0", pinned_by="engine", host_cpus=4)
        status, reason = cells(CellRecords(cell="cpu1", stream=dropped, outcome=ENDED))["cpu1"]
        assert status is Status.TAINTED
        assert "asked for CPUs 0, inside saw 0-3" in str(reason)

    @pytest.mark.parametrize(("asked", "cpus"), [("0-2", (0, 1, 2)), ("0", (0,))], ids=["too many", "too few"])
    def test_a_cpu_set_of_another_size_than_the_services_is_noticed(self, asked: str, cpus: tuple[int, ...]) -> None:
        wrong = records("cpu2", cpus, asked=asked, pinned_by="engine", host_cpus=4)
        status, reason = cells(CellRecords(cell="cpu2", stream=wrong))["cpu2"]
        assert status is Status.TAINTED
        assert reason == f"told to take 2 CPUs, it had {len(cpus)} ({asked})"

    def test_a_machine_that_is_too_small_makes_a_size_untestable(self) -> None:
        small = records("cpu4", (0, 1), pinned_by="none")
        assert cells(CellRecords(cell="cpu4", stream=small, outcome=ENDED))["cpu4"] == (
            Status.UNAVAILABLE,
            "needs 4 CPUs, this machine has 2",
        )

    def test_all_cpus_are_as_many_as_the_cell_without_a_limit_saw(self) -> None:
        session = from_compose.session(
            "x", [CellRecords(cell="cpu1", stream=ONE), CellRecords(cell="cpuall", stream=ALL)], None, {}
        )
        assert session.machine.cpus == (0, 1)
        assert [(result.cell.label, result.cell.size) for result in session.results] == [("1", 1), ("all", 2)]

    @pytest.mark.parametrize(
        ("source", "status", "reason"),
        [
            pytest.param(
                CellRecords(cell="cpu2", stream=None), Status.PLANNED, "was not started", id="no container ran"
            ),
            pytest.param(
                CellRecords(cell="cpu2", stream=None, outcome=Outcome(exit_code=None)),
                Status.PLANNED,
                "was not started",
                id="created",
            ),
            pytest.param(
                CellRecords(cell="cpu2", stream=None, outcome=ENDED),
                Status.PLANNED,
                "cleared its records",
                id="cleared",
            ),
            pytest.param(
                CellRecords(cell="cpu2", stream=None, outcome=Outcome(exit_code=2)),
                Status.ERROR,
                "exited with status 2 and left no records; see docker compose logs cpu2",
                id="wrong settings",
            ),
            pytest.param(
                CellRecords(cell="cpu2", stream=None, outcome=Outcome(exit_code=137, reason="it was killed")),
                Status.ERROR,
                "it was killed and left no records",
                id="killed at once",
            ),
            pytest.param(CellRecords(cell="cpu2", stream=b""), Status.ERROR, "no record came", id="an empty file"),
            pytest.param(CellRecords(cell="cpu2", stream=b"\xff\n" * 9), Status.ERROR, "not a record", id="noise"),
            pytest.param(CellRecords(cell="cpu2", stream=TWO[:-300]), Status.ERROR, "end record", id="cut off"),
            pytest.param(
                CellRecords(cell="cpu2", stream=TWO.replace(b'"affinity"', b'"mask"')),
                Status.ERROR,
                "do not describe a cell of this lab",
                id="of another version",
            ),
        ],
    )
    def test_a_cell_without_whole_records_says_why_and_costs_no_other(
        self, source: CellRecords, status: Status, reason: str
    ) -> None:
        statuses = cells(CellRecords(cell="cpu1", stream=ONE, outcome=ENDED), source)
        assert statuses["cpu1"] == (Status.MEASURED, None)
        assert statuses["cpu2"][0] is status
        assert reason in str(statuses["cpu2"][1])

    @pytest.mark.parametrize(
        ("seeds", "session_seed", "notes"),
        [
            pytest.param((7, 7), 7, (), id="the same"),
            pytest.param((7, 8), None, ("note: the cells had different seeds: cpu1 7, cpu2 8",), id="different"),
        ],
    )
    def test_the_session_has_the_seed_of_its_cells(
        self, seeds: tuple[int, int], session_seed: int | None, notes: tuple[str, ...]
    ) -> None:
        sources = [
            CellRecords(cell=f"cpu{size}", stream=records(f"cpu{size}", range(size), seed=seed), outcome=ENDED)
            for size, seed in enumerate(seeds, 1)
        ]
        session = from_compose.session("compose", sources, None, {})
        assert (session.arguments["seed"], session.notes) == (session_seed, notes)

    def test_a_cell_that_is_still_running_shows_what_it_has(self) -> None:
        half = ONE[: ONE.index(b'"kind":"finish"') + 20]
        running = CellRecords(cell="cpu1", stream=half, outcome=Outcome(exit_code=None), running=True)
        session = from_compose.session("x", [running], None, {})
        assert from_compose.is_incomplete(session)
        assert session.results[0].reason == "it is still running"
        assert session.results[0].faults == ()
        assert len(session.results[0].records) == 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, stream in (
        ("cpu1", ONE),
        ("cpu2", records("cpu2", (0, 1), asked="0-1", pinned_by="engine")),
        ("cpu4", records("cpu4", (0, 1), pinned_by="none")),
        ("cpuall", ALL),
    ):
        (tmp_path / f"{name}.jsonl").write_bytes(stream)
    return tmp_path


class TestGatherFromFiles:
    def test_the_table_of_limits_says_who_pinned_each_cell(self, folder: Path, lab: Lab) -> None:
        code, out, err = lab("gather", "--full", "--records", str(folder))
        assert (code, err) == (0, "")
        table = rows(out)
        assert "2: engine (CPU set);" in out
        assert "1: worker (affinity)" in " ".join(out.split())
        assert [table[label][-1] for label in table] == ["measured", "measured", "untestable", "measured"]
        assert "4 CPUs: untestable: needs 4 CPUs, this machine has 2" in out
        assert max(map(len, out.splitlines())) <= 88

    def test_every_format_of_run_is_there(self, folder: Path, lab: Lab) -> None:
        _, out, _ = lab("gather", "--records", str(folder), "--format", "json")
        document: dict[str, Any] = json.loads(out)
        assert [cell["pinned_by"] for cell in document["cells"]] == ["worker", "engine", "none", "none"]
        assert [cell["cpus"] for cell in document["cells"]] == [[], [0, 1], [], []]

    @pytest.mark.parametrize(
        ("messages", "lenient", "strict"),
        [
            pytest.param(scripts.pipe(), 0, 0, id="as expected"),
            pytest.param([scripts.observe("answered", False)], 1, 1, id="a surprise"),
            pytest.param([*scripts.pipe(), scripts.observe("answered", False)], 0, 1, id="inconclusive"),
        ],
    )
    def test_the_exit_codes_are_those_of_run(
        self, tmp_path: Path, lab: Lab, messages: list[scripts.Said], lenient: int, strict: int
    ) -> None:
        (tmp_path / "cpu1.jsonl").write_bytes(records("cpu1", (0,), messages=messages))
        assert lab("gather", "--records", str(tmp_path))[0] == lenient
        assert lab("gather", "--records", str(tmp_path), "--strict")[0] == strict

    def test_broken_records_are_an_error_and_the_others_are_shown(self, folder: Path, lab: Lab) -> None:
        (folder / "cpu2.jsonl").write_bytes(b"\0" * 100)
        code, out, _ = lab("gather", "--full", "--records", str(folder))
        assert code == 3
        table = rows(out)
        assert [table[label][-1] for label in ("1", "2", "all")] == ["measured", "error", "measured"]

    @pytest.mark.parametrize("presence", [True, False], ids=["an empty folder", "no folder"])
    def test_a_folder_without_records_is_bad_input(self, tmp_path: Path, lab: Lab, presence: bool) -> None:
        where = tmp_path if presence else tmp_path / "missing"
        code, out, err = lab("gather", "--records", str(where))
        assert (code, out) == (2, "")
        assert err == f"lab: {where} has no records (*.jsonl); name the folder that the cells wrote to\n"


class NoEngine:
    """In the place of a client of an engine."""

    def close(self) -> None:
        """As the SDK's."""


def found(project: str, cell: str, stream: bytes | None, exit_code: int | None = 0) -> Collected:
    outcome = Outcome(exit_code=exit_code, outside={"cpuset": "", "warnings": []})
    image = "multicore-lab-cell:latest"
    return Collected(project=project, cell=cell, image=image, running=False, stream=stream, outcome=outcome)


@pytest.fixture
def containers(monkeypatch: pytest.MonkeyPatch) -> list[Collected]:
    """The containers that an engine would have; a test puts them in."""
    engine_containers: list[Collected] = []

    def collect(client: object, project: str | None = None) -> Iterator[Collected]:
        return (container for container in engine_containers if project in (None, container.project))

    monkeypatch.setattr(lab_containers, "client_for_this_environment", NoEngine)
    monkeypatch.setattr(compose, "collect", collect)
    return engine_containers


class TestGatherFromTheEngine:
    def test_what_the_containers_recorded_is_reported(self, containers: list[Collected], lab: Lab) -> None:
        containers += [found("one", "cpuall", ALL), found("one", "cpu1", ONE)]
        code, out, err = lab("gather", "--full")
        assert (code, err) == (0, "")
        assert list(rows(out)) == ["1", "all"]
        assert "engine compose, image multicore-lab-cell:latest" in out

    @pytest.mark.parametrize("arguments", [(), ("--project", "mine")], ids=["any project", "one project"])
    def test_without_containers_the_next_step_is_named(
        self, containers: list[Collected], lab: Lab, arguments: tuple[str, ...]
    ) -> None:
        code, out, err = lab("gather", *arguments)
        assert (code, out) == (2, "")
        assert err.endswith("start them with docker compose up\n")
        assert err.count("\n") == 1

    def test_of_several_projects_with_results_one_must_be_chosen(self, containers: list[Collected], lab: Lab) -> None:
        containers += [found("one", "cpu1", ONE), found("two", "cpu1", ONE)]
        code, _, err = lab("gather")
        assert code == 2
        assert err == "lab: 2 Compose projects have results: one, two; choose one with --project\n"
        assert lab("gather", "--project", "two")[0] == 0

    def test_a_project_without_results_does_not_hide_one_that_has_some(
        self, containers: list[Collected], lab: Lab
    ) -> None:
        containers += [found("one", "cpu1", ONE), found("two", "cpu1", None, exit_code=None)]
        assert lab("gather")[0] == 0

    def test_a_cell_that_has_still_to_run_makes_the_result_incomplete(
        self, containers: list[Collected], lab: Lab
    ) -> None:
        containers += [found("one", "cpu1", ONE), found("one", "cpu2", None, exit_code=None)]
        code, out, _ = lab("gather", "--full")
        assert code == 3
        assert rows(out)["2"][-1] == "not run"
        assert "2 CPUs: not run: it was not started" in out

    def test_when_no_cell_recorded_anything_each_says_why_in_one_line(
        self, containers: list[Collected], lab: Lab
    ) -> None:
        containers += [found("one", "cpu1", None, exit_code=2), found("one", "cpu2", None, exit_code=None)]
        code, out, err = lab("gather", "--full")
        assert (code, out, err.count("\n")) == (3, "", 1)
        assert "cpu1: it exited with status 2 and left no records" in err
        assert "cpu2: it was not started" in err


class TestOwnCode:
    """From the records of a function of the user's to the arguments of a session."""

    CASE = Case(
        label="work.py:busy", source="file", where="work.py", name="busy", places=[], chunks=[], call_seconds=0.001
    )

    def gathered(self, *cases: object) -> Session:
        stream = scripts.stream("cpu1", (0,), {self.CASE.experiment: [scripts.observe("case", case) for case in cases]})
        return from_compose.session("x", [CellRecords(cell="cpu1", stream=stream)], None, {})

    def test_the_cells_say_which_functions_they_measured(self) -> None:
        arguments = self.gathered(self.CASE.to_stored()).arguments
        assert arguments["experiments"] == ["scale:work.py:busy"]
        assert [from_stored(case) for case in arguments["cases"]] == [self.CASE]
        assert target_from_stored(arguments["target"]).case == self.CASE

    def test_the_experiments_of_the_lab_have_no_target(self) -> None:
        session = from_compose.session("x", [CellRecords(cell="cpu1", stream=ONE)], None, {})
        assert not {"target", "cases"} & session.arguments.keys()

    @pytest.mark.parametrize("case", [{"label": "other.py:f", "source": "file", "where": "other.py"}, {"n": 1}, 1])
    def test_records_of_no_case_are_not_believed(self, case: object) -> None:
        assert "cases" not in self.gathered(case).arguments
