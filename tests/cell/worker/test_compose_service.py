"""What Compose starts in each container: its job, from its settings, and the service that runs it; no engine needed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cell import experiments
from lab.cell.targets.case import PREFIX, SHARED, from_stored
from lab.cell.worker import compose_service
from lab.model.cell import Status
from lab.planning.request import SCALE_LEVELS
from lab.planning.targets import parse_target
from lab.sessions.from_compose import CellRecords
from tests.support import scripts
from tests.support.gathered import cells, rows
from tests.support.paths import ROOT
from tests.support.terminal import Lab

#: What an earlier run left.
ONE = scripts.stream("cpu1", (0,), {"pipe": scripts.pipe()})


class TestTheServicesJob:
    """What :mod:`lab.cell.worker.compose_service` makes of its environment."""

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
        job = compose_service.job({"LAB_SIZE": size, "LAB_CPUSET": cpuset}, allowed)
        assert (job.pin, job.pinned_by, job.asked) == (pin, pinned_by, cpuset)
        assert job.cell == f"cpu{size}"

    def test_settings_that_are_there_but_empty_are_as_good_as_none(self) -> None:
        empty = dict.fromkeys(("LAB_CPUSET", "LAB_EXPERIMENTS", "LAB_SECONDS", "LAB_SEED"), "")
        assert compose_service.job({"LAB_SIZE": "1", **empty}, (0,)) == compose_service.job({"LAB_SIZE": "1"}, (0,))

    def test_experiments_run_in_the_tutorials_order_and_each_once(self) -> None:
        job = compose_service.job({"LAB_EXPERIMENTS": "gil, pool pool"}, (0,))
        assert job.experiments == ["pool", "gil"]

    def test_without_names_no_extra_experiment_runs(self) -> None:
        wanted = compose_service.job({}, (0,)).experiments
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
            {"LAB_TARGET": "1+1"},
            {"LAB_TARGET": "missing.py"},
        ],
        ids=str,
    )
    def test_a_setting_that_cannot_be_used_is_named_with_its_value(self, setting: dict[str, str]) -> None:
        ((name, value),) = setting.items()
        with pytest.raises(ValueError, match=name) as refused:
            compose_service.job(setting, (0,))
        assert value.split()[-1] in str(refused.value)

    def test_a_target_is_measured_instead_of_the_experiments(self, tmp_path: Path) -> None:
        (tmp_path / "work.py").touch()
        settings = {"LAB_TARGET": "work.py:f", "LAB_PROJECT": str(tmp_path), "LAB_EXPERIMENTS": "pool"}
        own = {"LAB_SETUP": "make", "LAB_STATE": "shared", "LAB_ITEMS": "many", "LAB_CHUNK": "1,10"}
        job = compose_service.job({**settings, **own, "LAB_PARAM": "n=1,10; kind='a'"}, (0,))
        assert job.experiments == [PREFIX]
        assert (job.seconds, job.width) == SCALE_LEVELS["default"]
        (stored,) = (job.cases or {}).values()
        case = dict(stored)
        assert case.pop("params") == {"n": [1, 10], "kind": ["a"]}
        wanted = parse_target(["work.py:f"], "make", SHARED, is_statement=False)
        assert from_stored(case) == wanted._replace(project=str(tmp_path), items="many", chunks=[1, 10])

    @pytest.mark.parametrize("name", ["LAB_SETUP", "LAB_STATE", "LAB_ITEMS", "LAB_CHUNK", "LAB_PARAM"])
    def test_what_goes_with_a_target_needs_one(self, name: str) -> None:
        with pytest.raises(ValueError, match="go with LAB_TARGET"):
            compose_service.job({name: "n=1", "LAB_TARGET": ""}, (0,))

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("LAB_STATE", "mine", "take one of shared, own, both"),
            ("LAB_STATE", "own", "there is no setup"),
            ("LAB_CHUNK", "1,x", "give whole numbers above 0"),
            ("LAB_CHUNK", "1,10", "but there is no list"),
        ],
    )
    def test_a_state_or_a_size_that_means_nothing_is_refused(self, name: str, value: str, message: str) -> None:
        with pytest.raises(ValueError, match=f"{name}=.*{message}"):
            compose_service.job({"LAB_TARGET": "json:loads", name: value}, (0,))

    @pytest.mark.parametrize("params", ["n", "n=x", "n=1; n=2"])
    def test_parameters_that_are_no_literals_are_refused(self, params: str) -> None:
        with pytest.raises(ValueError, match="LAB_PARAM="):
            compose_service.job({"LAB_TARGET": "json:loads", "LAB_PARAM": params}, (0,))


def serve(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run the service here, as a container would; its records go into ``folder``."""
    environment = {**os.environ, "LAB_RECORDS": str(folder / "cpu1.jsonl"), "LAB_EXPERIMENTS": "pipe", **settings}
    command = [sys.executable, "-m", "lab.cell.worker.compose_service"]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


class TestTheService:
    """:mod:`lab.cell.worker.compose_service` as a process."""

    def test_it_says_a_line_for_each_step_and_writes_records_that_gather_can_read(
        self, tmp_path: Path, lab: Lab
    ) -> None:
        done = serve(tmp_path, LAB_SIZE="1")
        assert done.returncode == 0, done.stderr
        first, second = done.stdout.splitlines()
        assert first.startswith("Python ")
        assert " on 1 CPU (" in first
        assert second.startswith("pipe: ok in ")
        code, out, _ = lab("gather", "--full", "--records", str(tmp_path))
        assert code == 0
        assert rows(out)["1"][-1] == "measured"

    def test_a_size_that_is_not_there_says_so_and_is_no_failure(self, tmp_path: Path, lab: Lab) -> None:
        have = len(os.sched_getaffinity(0))
        done = serve(tmp_path, LAB_SIZE=str(have + 1), LAB_RECORDS=str(tmp_path / f"cpu{have + 1}.jsonl"))
        assert done.returncode == 0
        lacking = f"untestable: needs {have + 1} CPUs, this machine has {have}"
        assert done.stdout.splitlines()[1:] == [lacking]
        code, out, _ = lab("gather", "--records", str(tmp_path))
        assert (code, f"Not tried   a cell of {have + 1} CPUs: this machine has {have} CPU" in out) == (0, True)

    @pytest.mark.slow
    def test_the_first_one_clears_what_an_earlier_up_left_and_the_others_do_not(self, tmp_path: Path) -> None:
        old, notes = tmp_path / "cpu4.jsonl", tmp_path / "notes.txt"
        old.write_bytes(ONE)
        notes.write_text("not ours")
        serve(tmp_path, LAB_SIZE="1")
        assert old.exists()
        serve(tmp_path, LAB_SIZE="1", LAB_CLEAR="1")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["cpu1.jsonl", "notes.txt"]

    def test_its_own_old_records_are_gone_when_it_starts(self, tmp_path: Path) -> None:
        (tmp_path / "cpu1.jsonl").write_bytes(ONE * 50)
        serve(tmp_path, LAB_SIZE="1")
        ((status, reason),) = cells(CellRecords(cell="cpu1", stream=(tmp_path / "cpu1.jsonl").read_bytes())).values()
        assert (status, reason) == (Status.MEASURED, None)

    def test_its_seed_is_that_of_the_gathered_session(self, tmp_path: Path, lab: Lab) -> None:
        assert serve(tmp_path, LAB_SIZE="1", LAB_SEED="7").returncode == 0
        _, out, _ = lab("gather", "--records", str(tmp_path), "--format", "json")
        assert json.loads(out)["session"]["arguments"]["seed"] == 7

    def test_settings_that_cannot_be_used_end_it_with_a_sentence(self, tmp_path: Path) -> None:
        done = serve(tmp_path, LAB_SECONDS="soon")
        assert done.returncode == compose_service.WRONG_SETTINGS
        assert done.stdout == "LAB_SECONDS is 'soon'; give a number of seconds above 0, such as 1.5\n"
        assert done.stderr == ""

    def test_records_that_cannot_be_written_end_it_with_a_sentence(self, tmp_path: Path) -> None:
        done = serve(tmp_path, LAB_RECORDS=str(tmp_path / "missing" / "cpu1.jsonl"))
        assert done.returncode == compose_service.NO_RECORDS
        assert "No such file or directory" in done.stdout
        assert done.stderr == ""

    def test_a_full_disk_costs_the_rest_of_the_cell_but_not_the_services_after_it(self) -> None:
        done = serve(Path(), LAB_RECORDS="/dev/full", LAB_SIZE="1")
        assert done.returncode == 0
        assert done.stdout == "the worker cannot go on: [Errno 28] No space left on device\n"

    @pytest.mark.slow
    def test_a_function_of_the_users_is_measured_and_gather_advises(self, tmp_path: Path, lab: Lab) -> None:
        (tmp_path / "work.py").write_text("def busy(n):\n    return sum(range(n))\n")
        own = {"LAB_TARGET": "work.py:busy", "LAB_PARAM": "n=10000", "LAB_PROJECT": str(tmp_path)}
        done = serve(tmp_path, LAB_SIZE="1", LAB_SECONDS="1", **own)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.splitlines()[1].startswith("work.py:busy, n=10000: ok in ")
        code, out, _ = lab("gather", "--records", str(tmp_path))
        assert (code, "work.py:busy, n=10000, 1 CPU" in out, "\nAdvice: " in out) == (0, True, True)

    @pytest.mark.parametrize(
        ("target", "code", "message"),
        [
            ("work.py:nope", "", "work has no nope"),
            ("work.py:f", "def f(n): 1", "LAB_PARAM=NAME=VALUE"),
            ("work.py:f", "import nope", "ModuleNotFoundError: No module named 'nope'"),
            ("work.py:f", "import os\ndef f(): os._exit(4)", "at its first calls it exited with status 4"),
        ],
    )
    def test_a_wrong_target_ends_it_with_a_sentence(self, tmp_path: Path, target: str, code: str, message: str) -> None:
        (tmp_path / "work.py").write_text(code)
        done = serve(tmp_path, LAB_SIZE="1", LAB_TARGET=target, LAB_PROJECT=str(tmp_path))
        assert done.returncode == compose_service.WRONG_SETTINGS
        assert done.stdout.startswith("LAB_TARGET: ")
        assert message in done.stdout
        assert not list(tmp_path.glob("*.jsonl")), "gather then says that it exited, and where to look"

    def test_asked_to_stop_while_it_looks_a_target_up_it_ends_at_once(self, tmp_path: Path) -> None:
        called = tmp_path / "called"
        os.mkfifo(called)
        (tmp_path / "work.py").write_text(f"import time\ndef f():\n    open({str(called)!r}, 'w'); time.sleep(60)\n")
        own = {"LAB_TARGET": "work.py:f", "LAB_PROJECT": str(tmp_path), "LAB_SIZE": "1"}
        with subprocess.Popen(
            [sys.executable, "-m", "lab.cell.worker.compose_service"],
            env={**os.environ, "LAB_RECORDS": str(tmp_path / "cpu1.jsonl"), **own},
            cwd=ROOT,
        ) as worker:
            called.open().close()  # waits for the first call
            worker.terminate()
            assert worker.wait(30) == compose_service.STOPPED

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
    def test_when_asked_to_stop_it_ends_at_once_and_no_further_service_starts(
        self, tmp_path: Path, number: signal.Signals
    ) -> None:
        environment = {**os.environ, "LAB_RECORDS": str(tmp_path / "cpu1.jsonl"), "LAB_EXPERIMENTS": "gil"}
        with subprocess.Popen(
            [sys.executable, "-m", "lab.cell.worker.compose_service"],
            env={**environment, "LAB_SIZE": "1"},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as worker:
            assert worker.stdout
            assert worker.stdout.readline().startswith("Python ")
            worker.send_signal(number)
            assert worker.wait(60) == compose_service.STOPPED
            assert worker.stdout.read().startswith("gil: the cell was asked to stop in ")
        ((status, reason),) = cells(CellRecords(cell="cpu1", stream=(tmp_path / "cpu1.jsonl").read_bytes())).values()
        assert status is Status.ERROR
        assert "asked to stop" in str(reason)

    def test_asked_to_stop_before_the_worker_listens_it_stops_too(self) -> None:
        program = (
            "import os, signal, sys, time; from lab.cell.worker import compose_service as service; fork = os.fork\n"
            "def asked():\n    os.kill(os.getpid(), signal.SIGTERM)\n    return fork()\n"
            "os.fork = asked; sys.exit(service.watched(lambda: time.sleep(60)))"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (compose_service.STOPPED, "", "")

    def test_it_outlives_a_worker_that_is_killed(self) -> None:
        program = (
            "import os, sys; from lab.cell.worker.compose_service import watched;"
            " sys.exit(watched(lambda: os.kill(os.getpid(), 9)))"
        )
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, "the worker was killed by SIGKILL (out of memory?)\n")
