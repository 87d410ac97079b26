"""What Compose's cells record, and what ``lab gather`` makes of it; no engine needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab import containers as lab_containers
from lab import experiments, gathering
from lab.__main__ import run as main
from lab.commands import compose_env
from lab.containers import Collected
from lab.engines import docker
from lab.errors import EngineError
from lab.gathering import Source
from lab.model import Outcome, Status
from lab.worker import service
from lab.worker.channel import Channel
from tests import scripts

ROOT = Path(__file__).parent.parent
ENDED = Outcome(exit_code=0, outside={"cpuset": "", "warnings": []})


def records(
    cell: str,
    cpus: Sequence[int],
    *,
    asked: str = "",
    pinned_by: str = "worker",
    host_cpus: int = 2,
    said: Sequence[scripts.Said] = tuple(scripts.pipe()),
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
            for kind, data in said:
                channel.emit(kind, {**data, "experiment": "pipe"})
            channel.emit("finish", {"experiment": "pipe", "outcome": "ok", "reason": None, "seconds": 0.1})
        channel.end({"proof": proof, "stopped": False})
        file.seek(0)
        return file.read()


ONE = records("cpu1", (0,))
TWO = records("cpu2", (0, 1), pinned_by="none")
ALL = records("cpuall", (0, 1), pinned_by="none")


def lab(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Run a command line: (exit code, standard output, standard error)."""
    usual, sys.argv = sys.argv, ["lab", *arguments]
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = usual
    said = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, said.out, said.err


def rows(table: str) -> dict[str, list[str]]:
    """The rows of the first table, the limits: first column -> all columns."""
    lines = table.split("Limits\n")[1].split("\n\n")[1].splitlines()
    body = lines[next(number for number, line in enumerate(lines) if line.startswith("--")) + 1 :]
    return {line.split()[0]: [cell.strip() for cell in line.split("  ") if cell.strip()] for line in body}


def cells(*sources: Source) -> dict[str, tuple[Status, str | None]]:
    found = gathering.session("compose", sources, None, {})
    return {result.cell.id: (result.status, result.reason) for result in found.results}


class TestTheServicesJob:
    """What :mod:`lab.worker.service` makes of its environment."""

    @pytest.mark.parametrize(
        ("size", "cpuset", "allowed", "pin", "pinned_by"),
        [
            pytest.param("2", "0-1", (0, 1), None, "engine", id="pinned by the engine"),
            pytest.param("2", "", (0, 1, 2, 3), [0, 1], "worker", id="pins itself"),
            pytest.param("2", "", (3, 5, 8), [3, 5], "worker", id="pins itself to ids with gaps"),
            pytest.param("2", "", (0, 1), None, "none", id="has just that many"),
            pytest.param("4", "", (0, 1), None, "none", id="has too few"),
            pytest.param("all", "", (0, 1, 2, 3), None, "none", id="all"),
            pytest.param("all", "0-3", (0, 1, 2, 3), None, "engine", id="all, pinned by the engine"),
        ],
    )
    def test_who_pins_follows_from_the_size_and_the_cpu_set(
        self, size: str, cpuset: str, allowed: tuple[int, ...], pin: list[int] | None, pinned_by: str
    ) -> None:
        job = service.job({"LAB_SIZE": size, "LAB_CPUSET": cpuset}, allowed)
        assert (job["pin"], job["pinned_by"], job["asked"]) == (pin, pinned_by, cpuset)
        assert job["cell"] == f"cpu{size}"

    def test_settings_that_are_there_but_empty_are_as_good_as_none(self) -> None:
        empty = dict.fromkeys(("LAB_CPUSET", "LAB_EXPERIMENTS", "LAB_SECONDS", "LAB_SEED"), "")
        assert service.job({"LAB_SIZE": "1", **empty}, (0,)) == service.job({"LAB_SIZE": "1"}, (0,))

    def test_experiments_run_in_the_tutorials_order_and_each_once(self) -> None:
        job = service.job({"LAB_EXPERIMENTS": "gil, pool pool"}, (0,))
        assert job["experiments"] == ["pool", "gil"]

    def test_without_names_no_extra_experiment_runs(self) -> None:
        wanted = service.job({}, (0,))["experiments"]
        assert wanted == [name for name in experiments.in_order() if not experiments.load(name).extra]
        assert len(wanted) < len(experiments.names())

    @pytest.mark.parametrize(
        "setting",
        [
            {"LAB_SIZE": "two"},
            {"LAB_SIZE": "0"},
            {"LAB_SIZE": "-1"},
            {"LAB_SECONDS": "soon"},
            {"LAB_SECONDS": "0"},
            {"LAB_SECONDS": "inf"},
            {"LAB_SEED": "-1"},
            {"LAB_SEED": "4294967296"},
            {"LAB_SEED": "²"},
            {"LAB_EXPERIMENTS": "pool nonsense"},
        ],
        ids=str,
    )
    def test_a_setting_that_cannot_be_used_is_named_with_its_value(self, setting: dict[str, str]) -> None:
        ((name, value),) = setting.items()
        with pytest.raises(ValueError, match=name) as refused:
            service.job(setting, (0,))
        assert value.split()[-1] in str(refused.value)


def serve(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the service here, as a container would; its records go into ``folder``."""
    environment = {**os.environ, "LAB_RECORDS": str(folder / "cpu1.jsonl"), "LAB_EXPERIMENTS": "pipe", **settings}
    command = [sys.executable, "-m", "lab.worker.service"]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


class TestTheService:
    """:mod:`lab.worker.service` as a process."""

    def test_it_says_a_line_for_each_step_and_writes_records_that_gather_can_read(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        done = serve(tmp_path, LAB_SIZE="1")
        assert done.returncode == 0, done.stderr
        first, second = done.stdout.splitlines()
        assert first.startswith("Python ")
        assert " on 1 CPU (" in first
        assert second.startswith("pipe: ok in ")
        code, out, _ = lab(capsys, "gather", "--records", str(tmp_path))
        assert code == 0
        assert rows(out)["1"][-1] == "measured"

    def test_a_size_that_is_not_there_says_so_and_is_no_failure(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        have = len(os.sched_getaffinity(0))
        done = serve(tmp_path, LAB_SIZE=str(have + 1), LAB_RECORDS=str(tmp_path / f"cpu{have + 1}.jsonl"))
        assert done.returncode == 0
        lacking = f"untestable: needs {have + 1} CPUs, this machine has {have}"
        assert done.stdout.splitlines()[1:] == [lacking]
        code, out, _ = lab(capsys, "gather", "--records", str(tmp_path))
        assert (code, lacking in out) == (0, True)

    def test_the_first_one_clears_what_an_earlier_up_left_and_the_others_do_not(self, tmp_path: Path) -> None:
        old, other = tmp_path / "cpu4.jsonl", tmp_path / "notes.txt"
        old.write_bytes(ONE)
        other.write_text("not ours")
        serve(tmp_path, LAB_SIZE="1")
        assert old.exists()
        serve(tmp_path, LAB_SIZE="1", LAB_CLEAR="1")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["cpu1.jsonl", "notes.txt"]

    def test_its_own_old_records_are_gone_when_it_starts(self, tmp_path: Path) -> None:
        (tmp_path / "cpu1.jsonl").write_bytes(ONE * 50)
        serve(tmp_path, LAB_SIZE="1")
        ((status, reason),) = cells(Source(cell="cpu1", stream=(tmp_path / "cpu1.jsonl").read_bytes())).values()
        assert (status, reason) == (Status.MEASURED, None)

    def test_its_seed_is_that_of_the_gathered_session(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert serve(tmp_path, LAB_SIZE="1", LAB_SEED="7").returncode == 0
        _, out, _ = lab(capsys, "gather", "--records", str(tmp_path), "--format", "json")
        assert json.loads(out)["session"]["arguments"]["seed"] == 7

    def test_settings_that_cannot_be_used_end_it_with_a_sentence(self, tmp_path: Path) -> None:
        done = serve(tmp_path, LAB_SECONDS="soon")
        assert done.returncode == service.WRONG_SETTINGS
        assert done.stdout == "LAB_SECONDS is 'soon'; give a number of seconds above 0, such as 1.5\n"
        assert done.stderr == ""

    def test_records_that_cannot_be_written_end_it_with_a_sentence(self, tmp_path: Path) -> None:
        done = serve(tmp_path, LAB_RECORDS=str(tmp_path / "missing" / "cpu1.jsonl"))
        assert done.returncode == service.NO_RECORDS
        assert "No such file or directory" in done.stdout
        assert done.stderr == ""

    def test_a_full_disk_costs_the_rest_of_the_cell_but_not_the_services_after_it(self) -> None:
        done = serve(Path(), LAB_RECORDS="/dev/full", LAB_SIZE="1")
        assert done.returncode == 0
        assert done.stdout == "the worker cannot go on: [Errno 28] No space left on device\n"

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
    def test_when_asked_to_stop_it_ends_at_once_and_no_further_service_starts(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        environment = {**os.environ, "LAB_RECORDS": str(tmp_path / "cpu1.jsonl"), "LAB_EXPERIMENTS": "gil"}
        with subprocess.Popen(
            [sys.executable, "-m", "lab.worker.service"],
            env={**environment, "LAB_SIZE": "1"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as worker:
            assert worker.stdout
            assert worker.stdout.readline().startswith("Python ")
            worker.send_signal(number)
            assert worker.wait(10) == service.STOPPED
            assert worker.stdout.read().startswith("gil: the cell was asked to stop in ")
        ((status, reason),) = cells(Source(cell="cpu1", stream=(tmp_path / "cpu1.jsonl").read_bytes())).values()
        assert status is Status.ERROR
        assert "asked to stop" in str(reason)

    def test_it_outlives_a_worker_that_is_killed(self) -> None:
        program = (
            "import os, sys; from lab.worker import service; sys.exit(service.watched(lambda: os.kill(os.getpid(), 9)))"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "the worker was killed by SIGKILL (out of memory?)\n")


class TestGathering:
    """From what was found to a session."""

    def test_cells_are_shown_small_ones_first_and_all_last(self) -> None:
        names = ("cpuall", "cpu16", "cpu2")
        found = gathering.session("x", [Source(cell=name, stream=None, outcome=None) for name in names], None, {})
        assert [result.cell.id for result in found.results] == ["cpu2", "cpu16", "cpuall"]

    def test_a_cell_pinned_by_the_engine_is_held_against_what_compose_was_told(self) -> None:
        told = records("cpu2", (0, 1), asked="0-1", pinned_by="engine", host_cpus=4)
        set_as_told = Outcome(exit_code=0, outside={"cpuset": "0-1", "warnings": []})
        assert cells(Source(cell="cpu2", stream=told, outcome=set_as_told))["cpu2"] == (Status.MEASURED, None)
        set_otherwise = Outcome(exit_code=0, outside={"cpuset": "2-3", "warnings": []})
        status, reason = cells(Source(cell="cpu2", stream=told, outcome=set_otherwise))["cpu2"]
        assert (status, reason) == (Status.TAINTED, "asked for CPUs 0-1, the engine says it set 2-3")

    def test_a_cpu_set_that_the_engine_dropped_is_noticed(self) -> None:
        dropped = records("cpu1", (0, 1, 2, 3), asked="0", pinned_by="engine", host_cpus=4)
        status, reason = cells(Source(cell="cpu1", stream=dropped, outcome=ENDED))["cpu1"]
        assert status is Status.TAINTED
        assert "asked for CPUs 0, inside saw 0-3" in str(reason)

    @pytest.mark.parametrize(("asked", "cpus"), [("0-2", (0, 1, 2)), ("0", (0,))], ids=["too many", "too few"])
    def test_a_cpu_set_of_another_size_than_the_services_is_noticed(self, asked: str, cpus: tuple[int, ...]) -> None:
        wrong = records("cpu2", cpus, asked=asked, pinned_by="engine", host_cpus=4)
        status, reason = cells(Source(cell="cpu2", stream=wrong))["cpu2"]
        assert status is Status.TAINTED
        assert reason == f"told to take 2 CPUs, it had {len(cpus)} ({asked})"

    def test_a_machine_that_is_too_small_makes_a_size_untestable(self) -> None:
        small = records("cpu4", (0, 1), pinned_by="none")
        assert cells(Source(cell="cpu4", stream=small, outcome=ENDED))["cpu4"] == (
            Status.UNAVAILABLE,
            "needs 4 CPUs, this machine has 2",
        )

    def test_all_cpus_are_as_many_as_the_cell_without_a_limit_saw(self) -> None:
        found = gathering.session("x", [Source(cell="cpu1", stream=ONE), Source(cell="cpuall", stream=ALL)], None, {})
        assert found.machine.cpus == (0, 1)
        assert [(result.cell.label, result.cell.size) for result in found.results] == [("1", 1), ("all", 2)]

    @pytest.mark.parametrize(
        ("source", "status", "reason"),
        [
            pytest.param(Source(cell="cpu2", stream=None), Status.PLANNED, "was not started", id="no container ran"),
            pytest.param(
                Source(cell="cpu2", stream=None, outcome=Outcome(exit_code=None)),
                Status.PLANNED,
                "was not started",
                id="created",
            ),
            pytest.param(
                Source(cell="cpu2", stream=None, outcome=ENDED), Status.PLANNED, "cleared its records", id="cleared"
            ),
            pytest.param(
                Source(cell="cpu2", stream=None, outcome=Outcome(exit_code=2)),
                Status.ERROR,
                "exited with status 2 and left no records; see docker compose logs cpu2",
                id="wrong settings",
            ),
            pytest.param(
                Source(cell="cpu2", stream=None, outcome=Outcome(exit_code=137, reason="it was killed")),
                Status.ERROR,
                "it was killed and left no records",
                id="killed at once",
            ),
            pytest.param(Source(cell="cpu2", stream=b""), Status.ERROR, "no record came", id="an empty file"),
            pytest.param(Source(cell="cpu2", stream=b"\xff\n" * 9), Status.ERROR, "not a record", id="noise"),
            pytest.param(Source(cell="cpu2", stream=TWO[:-300]), Status.ERROR, "end record", id="cut off"),
            pytest.param(
                Source(cell="cpu2", stream=TWO.replace(b'"affinity"', b'"mask"')),
                Status.ERROR,
                "do not describe a cell of this lab",
                id="of another version",
            ),
        ],
    )
    def test_a_cell_without_whole_records_says_why_and_costs_no_other(
        self, source: Source, status: Status, reason: str
    ) -> None:
        found = cells(Source(cell="cpu1", stream=ONE, outcome=ENDED), source)
        assert found["cpu1"] == (Status.MEASURED, None)
        assert found["cpu2"][0] is status
        assert reason in str(found["cpu2"][1])

    @pytest.mark.parametrize(
        ("seeds", "said", "notes"),
        [
            pytest.param((7, 7), 7, (), id="the same"),
            pytest.param((7, 8), None, ("note: the cells had different seeds: cpu1 7, cpu2 8",), id="different"),
        ],
    )
    def test_the_session_has_the_seed_of_its_cells(
        self, seeds: tuple[int, int], said: int | None, notes: tuple[str, ...]
    ) -> None:
        sources = [
            Source(cell=f"cpu{size}", stream=records(f"cpu{size}", range(size), seed=seed), outcome=ENDED)
            for size, seed in enumerate(seeds, 1)
        ]
        found = gathering.session("compose", sources, None, {})
        assert (found.arguments["seed"], found.notes) == (said, notes)

    def test_a_cell_that_is_still_running_shows_what_it_has(self) -> None:
        half = ONE[: ONE.index(b'"kind":"finish"') + 20]
        running = Source(cell="cpu1", stream=half, outcome=Outcome(exit_code=None), running=True)
        found = gathering.session("x", [running], None, {})
        assert gathering.incomplete(found)
        assert found.results[0].reason == "not to its end: it is still running"
        assert found.results[0].faults == ()
        assert len(found.results[0].records) == 5


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
    def test_the_table_of_limits_says_who_pinned_each_cell(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, out, err = lab(capsys, "gather", "--records", str(folder))
        assert (code, err) == (0, "")
        found = rows(out)
        assert "2: engine (CPU set);" in out
        assert "1: worker\n  (affinity)" in out
        assert [found[label][-1] for label in found] == ["measured", "measured", "untestable", "measured"]
        assert "4 CPUs: untestable: needs 4 CPUs, this machine has 2" in out
        assert max(map(len, out.splitlines())) <= 88

    def test_every_format_of_run_is_there(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        _, out, _ = lab(capsys, "gather", "--records", str(folder), "--format", "json")
        document: dict[str, Any] = json.loads(out)
        assert [cell["pinned_by"] for cell in document["cells"]] == ["worker", "engine", "none", "none"]
        assert [cell["cpus"] for cell in document["cells"]] == [[], [0, 1], [], []]

    @pytest.mark.parametrize(
        ("said", "lenient", "strict"),
        [
            pytest.param(scripts.pipe(), 0, 0, id="as expected"),
            pytest.param([scripts.observe("answered", False)], 1, 1, id="a surprise"),
            pytest.param([*scripts.pipe(), scripts.observe("answered", False)], 0, 1, id="inconclusive"),
        ],
    )
    def test_the_exit_codes_are_those_of_run(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], said: list[scripts.Said], lenient: int, strict: int
    ) -> None:
        (tmp_path / "cpu1.jsonl").write_bytes(records("cpu1", (0,), said=said))
        assert lab(capsys, "gather", "--records", str(tmp_path))[0] == lenient
        assert lab(capsys, "gather", "--records", str(tmp_path), "--strict")[0] == strict

    def test_broken_records_are_an_error_and_the_others_are_shown(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (folder / "cpu2.jsonl").write_bytes(b"\0" * 100)
        code, out, _ = lab(capsys, "gather", "--records", str(folder))
        assert code == 3
        found = rows(out)
        assert [found[label][-1] for label in ("1", "2", "all")] == ["measured", "error", "measured"]

    @pytest.mark.parametrize("there", [True, False], ids=["an empty folder", "no folder"])
    def test_a_folder_without_records_is_bad_input(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], there: bool
    ) -> None:
        where = tmp_path if there else tmp_path / "missing"
        code, out, err = lab(capsys, "gather", "--records", str(where))
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
    there: list[Collected] = []

    def collect(client: object, project: str | None = None) -> Iterator[Collected]:
        return (one for one in there if project in (None, one.project))

    monkeypatch.setattr(lab_containers, "client_for_this_environment", NoEngine)
    monkeypatch.setattr(lab_containers, "collect", collect)
    return there


class TestGatherFromTheEngine:
    def test_what_the_containers_recorded_is_reported(
        self, containers: list[Collected], capsys: pytest.CaptureFixture[str]
    ) -> None:
        containers += [found("one", "cpuall", ALL), found("one", "cpu1", ONE)]
        code, out, err = lab(capsys, "gather")
        assert (code, err) == (0, "")
        assert list(rows(out)) == ["1", "all"]
        assert "engine compose, image multicore-lab-cell:latest" in out

    @pytest.mark.parametrize("arguments", [(), ("--project", "mine")], ids=["any project", "one project"])
    def test_without_containers_the_next_step_is_named(
        self, containers: list[Collected], capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
    ) -> None:
        code, out, err = lab(capsys, "gather", *arguments)
        assert (code, out) == (2, "")
        assert err.endswith("start them: docker compose up\n")
        assert err.count("\n") == 1

    def test_of_several_projects_with_results_one_must_be_chosen(
        self, containers: list[Collected], capsys: pytest.CaptureFixture[str]
    ) -> None:
        containers += [found("one", "cpu1", ONE), found("two", "cpu1", ONE)]
        code, _, err = lab(capsys, "gather")
        assert code == 2
        assert err == "lab: 2 Compose projects have results: one, two; choose with --project\n"
        assert lab(capsys, "gather", "--project", "two")[0] == 0

    def test_a_project_without_results_does_not_hide_one_that_has_some(
        self, containers: list[Collected], capsys: pytest.CaptureFixture[str]
    ) -> None:
        containers += [found("one", "cpu1", ONE), found("two", "cpu1", None, exit_code=None)]
        assert lab(capsys, "gather")[0] == 0

    def test_a_cell_that_has_still_to_run_makes_the_result_incomplete(
        self, containers: list[Collected], capsys: pytest.CaptureFixture[str]
    ) -> None:
        containers += [found("one", "cpu1", ONE), found("one", "cpu2", None, exit_code=None)]
        code, out, _ = lab(capsys, "gather")
        assert code == 3
        assert rows(out)["2"][-1] == "not run"
        assert "2 CPUs: not run: it was not started" in out

    def test_when_no_cell_recorded_anything_each_says_why_in_one_line(
        self, containers: list[Collected], capsys: pytest.CaptureFixture[str]
    ) -> None:
        containers += [found("one", "cpu1", None, exit_code=2), found("one", "cpu2", None, exit_code=None)]
        code, out, err = lab(capsys, "gather")
        assert (code, out, err.count("\n")) == (3, "", 1)
        assert "cpu1: it exited with status 2 and left no records" in err
        assert "cpu2: it was not started" in err


class TestComposeEnv:
    @pytest.mark.parametrize(
        ("cpus", "lines"),
        [
            pytest.param(
                (0, 1),
                ["1=0", "2=0-1", "# needs 4 CPUs, this machine has 2", "4=", "ALL=0-1"],
                id="two CPUs",
            ),
            pytest.param(
                (0,),
                [
                    "1=0",
                    "# needs 2 CPUs, this machine has 1",
                    "2=",
                    "# needs 4 CPUs, this machine has 1",
                    "4=",
                    "ALL=0",
                ],
                id="one CPU",
            ),
            pytest.param((2, 3, 6, 7, 9), ["1=2", "2=2-3", "4=2-3,6-7", "ALL=2-3,6-7,9"], id="ids with gaps"),
        ],
    )
    def test_each_service_gets_cpus_that_are_there(self, cpus: tuple[int, ...], lines: list[str]) -> None:
        first, *rest = compose_env.cpuset_lines(cpus)
        assert first.startswith("#")
        assert [line.removeprefix("LAB_CPUSET_") for line in rest] == lines

    @pytest.mark.parametrize(
        ("images", "base"),
        [
            pytest.param([], None, id="nothing there"),
            pytest.param([docker.OFFICIAL_IMAGE, "multicore-lab-base:3.13"], None, id="the official image is there"),
            pytest.param(["multicore-lab-base:3.14", "multicore-lab-base:3.13"], "multicore-lab-base:3.13", id="ours"),
            pytest.param(["multicore-lab-base:3.14", "multicore-lab-base:3.9"], "multicore-lab-base:3.14", id="others"),
            pytest.param(["multicore-lab-base:3.9"], None, id="too old for the report"),
        ],
    )
    def test_our_own_base_image_stands_in_for_the_official_one(self, images: list[str], base: str | None) -> None:
        lines = [line for line in compose_env.base_lines(images) if not line.startswith("#")]
        assert lines == ([f"LAB_BASE={base}"] if base else [])

    def test_certificates_that_are_trusted_here_are_handed_to_the_build(self, tmp_path: Path) -> None:
        bundle = tmp_path / "ca.crt"
        bundle.touch()
        comment, line = compose_env.certificate_lines({"SSL_CERT_FILE": str(bundle)})
        assert comment.startswith("# SSL_CERT_FILE")
        assert line == f"LAB_CA_BUNDLE='{bundle}'"

    def test_certificates_that_are_not_there_are_left_out(self, tmp_path: Path) -> None:
        assert compose_env.certificate_lines({}) == []
        assert compose_env.certificate_lines({"PIP_CERT": str(tmp_path / "missing")}) == []

    def test_without_an_engine_nothing_is_printed_and_the_exit_code_is_3(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def no_engine() -> None:
            raise EngineError("no Docker engine answers")

        monkeypatch.setattr(lab_containers, "client_for_this_environment", no_engine)
        assert lab(capsys, "compose-env") == (3, "", "lab: no Docker engine answers\n")
