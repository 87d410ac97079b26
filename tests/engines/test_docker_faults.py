"""What goes wrong with an engine, an image or a container: one clear line, the other cells kept, nothing left behind.

It talks through the real SDK to a fake Engine API on a unix socket; test_engine_faults.py has the real engine.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lab.containers import connection
from lab.model.cell import Job
from lab.pythons.identity import MARK
from tests.support import scripts
from tests.support.fake_api import Engine, Play, Server, well
from tests.support.terminal import Lab

pytestmark = pytest.mark.slow  # an engine that hangs takes its time

WHOLE = scripts.stream("cpu1", (0,), {"pipe": scripts.pipe()})
WIDE = scripts.stream("cpu1", (0, 1), {"pipe": scripts.pipe()})


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    """A fake engine that ``DOCKER_HOST`` points at."""
    with Server(tmp_path / "engine.sock") as server:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{server.server_address!s}")
        yield server.engine
    gc.collect()  # a connection that the SDK forgot (see FORGOTTEN) is this test's matter, not that of a later one


#: How long the SDK waits for an answer where some never come. Not less: on a busy machine others take their time too.
IMPATIENT_SECONDS = 2.0


@pytest.fixture
def impatient(api: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK that does not wait long for the fake engine."""
    monkeypatch.setattr(connection, "_API_SECONDS", IMPATIENT_SECONDS)
    monkeypatch.setattr(connection._Api, "_seconds_a_byte", 0.0)  # nor as long as a slow line takes for the code


def run(lab: Lab, *arguments: str) -> tuple[int, str, str]:
    return lab.run("pipe", "--engine", "docker", "--cpus", "1,2", *arguments)


def report(lab: Lab) -> dict[str, tuple[str, str | None]]:
    """Status and reason of each cell, as they were stored."""
    (folder,) = lab.sessions.iterdir()
    cells = json.loads((folder / "session.json").read_text())["report"]["cells"]
    return {cell["id"]: (cell["status"], cell["reason"]) for cell in cells}


def test_all_is_well_when_nothing_goes_wrong(lab: Lab, api: Engine) -> None:
    code, out, err = run(lab)
    assert code == 0, err
    assert "confirmed" in out
    assert report(lab) == {"cpu1": ("measured", None), "cpu2": ("measured", None)}
    assert len(api.created) == 4, "the probe, a container that tries both limits, and two cells"
    assert sorted(api.removed) == sorted(api.created)


FAULTS: list[int | str] = [400, 404, 409, 500, "hang", "drop"]

#: When looking at the container fails within its attach(), the SDK forgets the attached connection.
FORGOTTEN = "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"


BEFORE_ANY_CELL = [
    *((step, fault) for step in ("ping", "version", "info", "image") for fault in FAULTS),
    *(((step, "probe"), fault) for step in ("create", "attach", "start", "inspect") for fault in (500, "hang")),
]


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.filterwarnings(FORGOTTEN)
@pytest.mark.parametrize(("step", "fault"), BEFORE_ANY_CELL, ids=str)
def test_an_engine_that_fails_before_the_first_cell_gets_one_line_and_exit_code_3(
    lab: Lab, api: Engine, step: str | tuple[str, str], fault: int | str
) -> None:
    api.faults[step] = fault
    code, out, err = run(lab)
    *_, line = err.splitlines()
    assert code == 3
    assert out == ""
    assert line.startswith("lab: ")
    assert len(line) < 500
    assert (str(fault) if isinstance(fault, int) else "") in line
    assert not lab.sessions.exists()
    assert api.containers == {}


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [500, "hang"], ids=str)
def test_auto_goes_on_without_an_engine_that_fails(lab: Lab, api: Engine, fault: int | str) -> None:
    api.faults["info"] = fault
    code, out, err = lab.run("pipe", "--cpus", "1")
    assert code == 0
    assert err.startswith("engine: local (docker: ")
    assert "local processes" in out


def one_in_each_cell(api: Engine, step: str, faults: Sequence[int | str]) -> str:
    """Lets a step fail in a different way in each cell but the last. Returns the sizes of the cells."""
    sizes = range(1, len(faults) + 2)
    api.faults.update({(step, f"cpu{size}"): fault for size, fault in zip(sizes, faults, strict=False)})
    return ",".join(map(str, sizes))


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.filterwarnings(FORGOTTEN)
@pytest.mark.parametrize("step", ["create", "attach", "start", "inspect"])
def test_a_request_that_fails_costs_its_cell_and_no_other(lab: Lab, api: Engine, step: str) -> None:
    faults = [*FAULTS, "lost"]
    code, out, err = lab.run("pipe", "--engine", "docker", "--cpus", one_in_each_cell(api, step, faults))
    *broken, last = report(lab).values()
    assert code == 3
    for (status, reason), fault in zip(broken, faults, strict=True):
        assert status == "error"
        assert reason
        assert "\n" not in reason
        assert (str(fault) if isinstance(fault, int) else "") in reason
    assert last == ("measured", None)
    assert "confirmed" in out
    assert "1 CPU (0): error: " in err
    assert sorted(api.removed) == sorted(api.created)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_log_that_cannot_be_read_leaves_what_came_live(lab: Lab, api: Engine) -> None:
    sizes = one_in_each_cell(api, "logs", FAULTS)
    for size in map(int, sizes.split(",")):
        play = well(f"cpu{size}", tuple(range(size)))
        api.cells[f"cpu{size}"] = replace(play, attached_bytes=len(play.stdout) - 200)
    code, out, _ = lab.run("pipe", "--engine", "docker", "--cpus", sizes)
    *torn, last = report(lab).values()
    assert code == 3
    assert set(torn) == {("error", "a torn last line; the end record is missing")}
    assert last == ("measured", None)
    assert "confirmed" in out
    assert api.containers == {}


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_what_cannot_be_removed_at_once_is_removed_at_the_end(lab: Lab, api: Engine) -> None:
    sizes = one_in_each_cell(api, "remove", FAULTS)

    def healed(cell: str, cpus: tuple[int, ...]) -> Play:
        if len(cpus) == len(FAULTS) + 1:
            api.faults.clear()
        return well(cell, cpus)

    api.plays = healed
    code, _, _ = lab.run("pipe", "--engine", "docker", "--cpus", sizes)
    assert code == 0
    assert api.containers == {}
    assert len(api.created) == len(FAULTS) + 3


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_what_cannot_be_removed_at_all_is_named_and_the_results_are_kept(lab: Lab, api: Engine) -> None:
    faults: list[int | str] = [400, 500, "hang", "drop"]
    code, out, err = lab.run("pipe", "--engine", "docker", "--cpus", one_in_each_cell(api, "remove", faults))
    assert code == 0
    assert "confirmed" in out
    assert len(api.containers) == len(faults)
    for left in api.containers.values():
        (line,) = [line for line in err.splitlines() if left.name in line]
        assert line.startswith(f"left behind: container {left.name}: ")
        assert line.endswith("; remove it with: lab clean")


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [500, "hang"], ids=str)
def test_an_engine_that_cannot_even_list_what_is_left_takes_no_result_away(
    lab: Lab, api: Engine, fault: int | str
) -> None:
    api.faults["containers"] = fault
    code, out, _ = run(lab)
    assert code == 0
    assert "confirmed" in out
    assert api.containers == {}, "each cell was removed when it ended"


@pytest.mark.parametrize("fault", [400, 404, 500, "drop"], ids=str)
def test_an_image_that_is_not_there_and_cannot_be_pulled_gets_one_line_with_what_to_do(
    lab: Lab, api: Engine, fault: int | str
) -> None:
    api.images.clear()
    api.faults["pull"] = fault
    code, out, err = run(lab, "--image", "no/such:1.0")
    assert (code, out) == (3, "")
    pulling, line = err.splitlines()
    assert pulling == "pulling the image no/such:1.0 …"
    assert line.startswith("lab: the image no/such:1.0 is not on this engine and cannot be pulled: ")
    assert "--image" in line
    assert "--engine local" in line


def test_without_the_usual_image_the_newest_base_image_is_taken(lab: Lab, api: Engine) -> None:
    api.images.clear()
    api.images |= {f"multicore-lab-base:{name}" for name in ("3.9", "3.11", "3.14t", "trixie")}
    api.cells["cpu1"] = Play(stdout=WHOLE)
    _, out, _ = run(lab, "--cpus", "1")
    text = " ".join(out.split())
    assert "image multicore-lab-base:3.11 (the newest base image), Docker" in text
    assert "Also here (lab run --python all): 3.9, 3.11, 3.14t (t: no GIL)." in text


def test_an_image_that_a_registry_has_is_pulled(lab: Lab, api: Engine) -> None:
    api.images.clear()
    api.registry.add("python:3.13-slim")
    code, out, err = run(lab)
    assert code == 0
    assert err.startswith("pulling the image python:3.13-slim …\n")
    assert "image python:3.13-slim" in out


def test_an_image_that_vanishes_during_a_run_is_an_error_of_the_lab_not_a_traceback(lab: Lab, api: Engine) -> None:
    def vanishing(cell: str, cpus: tuple[int, ...]) -> Play:
        if cell != "probe":
            api.images.clear()
        return well(cell, cpus)

    api.plays = vanishing
    code, _, err = run(lab)
    assert code == 3
    assert "Traceback" not in err
    cells = report(lab)
    assert cells["cpu1"] == ("measured", None)
    status, reason = cells["cpu2"]
    assert status == "error"
    assert reason is not None
    assert "No such image: multicore-lab-base:3.13" in reason


ROOTLESS_PODMAN = {"Rootless": True, "CgroupVersion": "1", "CPUSet": True, "CpuCfsQuota": True}
ROOTLESS_DOCKER = {"SecurityOptions": ["name=seccomp,profile=default", "name=rootless"], "CgroupVersion": "2"}


@pytest.mark.parametrize(
    ("info", "words"),
    [
        (ROOTLESS_PODMAN, ("rootless, on version 1", "systemd.unified_cgroup_hierarchy=1", "Delegate=cpu cpuset")),
        (ROOTLESS_DOCKER, ("rootless, on version 2", "Delegate=cpu cpuset io memory pids", "user@.service.d")),
        ({"CgroupVersion": "2"}, ("the cpuset controller",)),
    ],
    ids=["podman, version 1", "docker, version 2", "no controller"],
)
def test_an_engine_that_drops_cpu_sets_without_a_word_is_refused_before_any_cell(
    lab: Lab, api: Engine, info: dict[str, Any], words: Sequence[str]
) -> None:
    api.info.update(info)
    api.dropped = {"CpusetCpus", "CpuQuota", "CpuPeriod"}
    code, out, err = run(lab)
    assert (code, out) == (3, "")
    assert "there are no CPU sets here: the engine was asked for CPUs 0-7, and set none" in err
    assert all(word in err for word in words), err
    assert not lab.sessions.exists()
    assert api.containers == {}


def test_an_engine_that_drops_quotas_alone_runs_the_cells_that_have_none(lab: Lab, api: Engine) -> None:
    api.dropped = {"CpuQuota", "CpuPeriod"}
    assert run(lab)[0] == 0
    _, out, _ = lab.run("pipe", "--engine", "docker", "--quota", "0.5")
    assert "this engine sets no quota" in out


NO_CONTROLLER = "crun: the requested cgroup controller `cpuset` is not available: OCI runtime error"


def without_a_controller(key: str, words: str) -> Callable[[Mapping[str, Any]], str]:
    """An engine that starts no container whose host configuration has this limit."""
    return lambda host: words if host.get(key) else ""


def test_an_engine_that_starts_no_container_with_a_cpu_set_is_refused_before_any_cell(lab: Lab, api: Engine) -> None:
    api.info.update({"Rootless": True, "CgroupVersion": "2"})
    api.refuses = without_a_controller("CpusetCpus", NO_CONTROLLER)
    code, out, err = run(lab)
    assert (code, out) == (3, "")
    (line,) = err.splitlines()
    assert line.startswith("lab: there are no CPU sets here: ")
    assert NO_CONTROLLER in line
    assert "Delegate=cpu cpuset" in line
    assert not lab.sessions.exists()
    assert api.containers == {}
    code, out, _ = lab("doctor")
    text = " ".join(out.split())
    assert code == 3
    assert "no cells in containers: there are no CPU sets here: " in text
    assert "fix: write [Service] and Delegate=cpu cpuset io memory pids" in text
    assert "ok cells in containers" not in text


def test_an_engine_that_starts_no_container_with_a_quota_runs_the_cells_that_have_none(lab: Lab, api: Engine) -> None:
    api.info["CgroupVersion"] = "2"
    api.refuses = without_a_controller("CpuQuota", "open /sys/fs/cgroup/x/cpu.max: no such file or directory")
    assert run(lab)[0] == 0
    _, out, _ = lab.run("pipe", "--engine", "docker", "--quota", "0.5")
    assert "this engine starts no container with a quota" in out
    _, out, _ = lab("doctor")
    assert "no  cells with a quota: this engine starts no container with a quota" in out
    assert "Delegate=cpu cpuset" in out


@pytest.mark.parametrize(
    "play",
    [
        Play(stderr=b"exec /sbin/docker-init: operation not permitted\n", exit_code=255),
        Play(stdout=b"exec /sbin/docker-init: operation not permitted\n", exit_code=255),
        Play(error="OCI runtime create failed: exec /sbin/docker-init: operation not permitted"),
    ],
    ids=["standard error", "standard output", "answer"],
)
def test_an_engine_that_forbids_every_container_is_at_fault_and_not_the_image(
    lab: Lab, api: Engine, play: Play
) -> None:
    api.plays = lambda cell, cpus: play
    code, _, err = run(lab)
    assert code == 3
    assert err.startswith("lab: this engine forbids the init of a container and no-new-privileges, as Docker from the")
    assert "multicore-lab-base" not in err
    assert "snap remove docker" in err
    assert api.containers == {}


NO_SUCH = Play(stderr=b"[FATAL tini (7)] exec python3 failed: No such file or directory\n", exit_code=127)


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(
            Play(error='exec: "python3": executable file not found in $PATH: unknown'), id="the engine says so"
        ),
        pytest.param(NO_SUCH, id="its init says so"),
    ],
)
def test_an_image_without_python_is_said_to_have_none(lab: Lab, api: Engine, play: Play) -> None:
    api.cells["probe"] = play
    code, _, err = run(lab)
    assert code == 3
    assert err == (
        "lab: the image multicore-lab-base:3.13 has none of python3, python, pypy3, graalpy, python3.15 to python3.9 on"
        " its PATH; name an image with Python 3.9 or later, such as --image python:3.13-slim\n"
    )
    assert [step for step, _ in api.asked].count("create") == 3, "one to try, one for its limits, one to look into"
    assert api.containers == {}


def answer(**fields: object) -> Play:
    """A Python that says what it is."""
    defaults = {"implementation": "cpython", "free_threaded": False, "gil_enabled": True, "jit": None, "lacks": []}
    values = {**defaults, "executable": "/usr/bin/python", **fields}
    return Play(stdout=f"{MARK}{json.dumps(values)}\n".encode())


def test_all_that_was_tried_is_named_with_what_is_wrong_with_it(lab: Lab, api: Engine) -> None:
    api.files |= {"/usr/bin/python3", "/usr/bin/python", "/usr/bin/pypy3"}
    api.cells = {
        "probe": Play(stdout=b'{"kind": "refused", "reason": "Python 3.6"}\n', exit_code=64),
        "/usr/bin/python3": answer(version=[3, 6, 8], release="3.6.8"),
        "/usr/bin/python": answer(version=[2, 7, 18], release="2.7.18", implementation="python"),
        "/usr/bin/pypy3": answer(version=[3, 9, 16], release="3.9.16", implementation="pypy", lacks=["os.fork"]),
    }
    code, _, err = run(lab)
    assert code == 3
    assert err == (
        "lab: the image multicore-lab-base:3.13 cannot run a cell: /usr/bin/python3: Python 3.6.8 is too old (a cell"
        " needs 3.9 or later); /usr/bin/python: Python 2.7.18 is too old (a cell needs 3.9 or later); /usr/bin/pypy3:"
        " PyPy 3.9.16 has no os.fork: no experiment can be run in a child; name an image with Python 3.9 or later, such"
        " as --image python:3.13-slim\n"
    )
    assert api.containers == {}


@pytest.mark.parametrize(
    ("play", "words"),
    [
        pytest.param(
            Play(stderr=b"usage: python3 [--frobnicate]\n", exit_code=2),
            "/usr/bin/python3: no answer: exit code 2; it said 'usage: python3 [--frobnicate]'",
            id="another program",
        ),
        pytest.param(
            Play(stderr=b"python3: error while loading shared libraries: libpython3.so: No such file\n", exit_code=127),
            "/usr/bin/python3: no answer: exit code 127; it said 'python3: error while loading shared libraries: ",
            id="a library is missing",
        ),
        pytest.param(
            Play(error="failed to write to cgroup: no such file or directory: unknown"),
            "failed to write to cgroup: no such file or directory",
            id="the engine cannot start anything",
        ),
    ],
)
def test_an_image_that_does_something_else_is_quoted(lab: Lab, api: Engine, play: Play, words: str) -> None:
    api.files.add("/usr/bin/python3")
    api.cells |= {"probe": play, "/usr/bin/python3": play}
    code, _, err = run(lab)
    assert code == 3
    assert words in err


def test_an_image_whose_python_speaks_of_control_groups_is_still_at_fault(lab: Lab, api: Engine) -> None:
    words = b"RuntimeError: no cgroup controller cpuset; seccomp: unknown runtime specified"
    api.files.add("/usr/bin/python3")
    api.plays = lambda cell, cpus: Play(stderr=words, exit_code=1)
    code, _, err = run(lab)
    assert code == 3
    assert err.startswith("lab: the image multicore-lab-base:3.13 cannot run a cell: ")


def test_a_python_that_answers_and_runs_no_worker_is_quoted(lab: Lab, api: Engine) -> None:
    api.files.add("/usr/bin/python3")
    api.cells |= {
        "probe": Play(stderr=b"ModuleNotFoundError: No module named 'hashlib'\n", exit_code=1),
        "/usr/bin/python3": answer(version=[3, 13, 1], release="3.13.1"),
    }
    code, _, err = run(lab)
    assert code == 3
    assert "/usr/bin/python3: no probe: exit code 1; it said \"ModuleNotFoundError: No module named 'hashlib'\"" in err


def test_a_cpu_set_that_the_kernel_discards_taints_the_cell(lab: Lab, api: Engine) -> None:
    warning = "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded."
    api.cells["cpu1"] = Play(stdout=WIDE, warnings=(warning,), cpuset_set="")
    code, out, _ = run(lab)
    status, reason = report(lab)["cpu1"]
    assert code == 3
    assert status == "tainted"
    assert reason
    assert warning in reason
    assert "asked for CPUs 0, inside saw 0-1" in reason
    assert "Failed      a cell of 1 CPU: " in out


def test_a_warning_about_something_else_taints_nothing(lab: Lab, api: Engine) -> None:
    api.cells["cpu1"] = Play(stdout=WHOLE, warnings=("Your kernel does not support swap limit capabilities.",))
    assert run(lab)[0] == 0


def test_the_engines_log_is_believed_where_it_differs_from_what_came_live(lab: Lab, api: Engine) -> None:
    api.cells["cpu1"] = Play(stdout=WHOLE[:500], log=WHOLE)
    assert run(lab)[0] == 0
    (folder,) = lab.sessions.iterdir()
    assert (folder / "cpu1.jsonl").read_bytes() == WHOLE


def test_a_log_that_is_torn_shows_as_a_torn_stream(lab: Lab, api: Engine) -> None:
    api.cells["cpu1"] = Play(stdout=WHOLE, attached_bytes=300, log=WHOLE[:-200])
    assert run(lab)[0] == 3
    assert report(lab)["cpu1"] == ("error", "a torn last line; the end record is missing")


def test_a_cell_that_prints_too_much_is_ended_and_its_log_is_not_read(
    lab: Lab, api: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Job, "most_bytes", 2**20)
    api.cells["cpu1"] = Play(stdout=b"y\n" * 2**20, seconds=60)
    assert run(lab)[0] == 3
    status, reason = report(lab)["cpu1"]
    assert status == "error"
    assert reason
    assert reason.startswith("it printed more than 1 MiB and was ended")
    assert ("logs", "cpu1") not in api.asked
    assert report(lab)["cpu2"] == ("measured", None)


def test_a_connection_that_breaks_before_anything_came_costs_nothing(lab: Lab, api: Engine) -> None:
    faults: dict[str | tuple[str, str], int | str] = {("start", "cpu1"): "drop", ("create", "cpu2"): "drop"}

    class Once(dict[str | tuple[str, str], int | str]):
        def get(self, key: Any, default: Any = None) -> Any:
            return self.pop(key, default)

    api.faults = Once(faults)
    code, _, err = run(lab)
    assert code == 0, err
    assert report(lab) == {"cpu1": ("measured", None), "cpu2": ("measured", None)}
    assert api.containers == {}


def test_the_logs_of_all_containers_have_a_limit(lab: Lab, api: Engine) -> None:
    configurations: list[dict[str, Any]] = []

    def noting(cell: str, cpus: tuple[int, ...]) -> Play:
        configurations.extend(container.body["HostConfig"]["LogConfig"] for container in api.containers.values())
        return well(cell, cpus)

    api.plays = noting
    run(lab)
    assert configurations
    assert all(log["Config"]["max-size"] == "128m" for log in configurations)


def test_a_stream_that_came_whole_needs_no_log(lab: Lab, api: Engine) -> None:
    api.cells["cpu1"] = Play(stdout=WHOLE, log=WHOLE[:-200])
    api.faults[("logs", "cpu2")] = 500
    assert run(lab)[0] == 0
    assert set(report(lab).values()) == {("measured", None)}


@pytest.mark.slow
def test_a_worker_that_hangs_is_known_by_its_silence(lab: Lab, api: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "longest_silence", 1.0)
    api.cells["cpu1"] = Play(stdout=WHOLE[:700], seconds=60)
    assert run(lab)[0] == 3
    assert "it said nothing for 1 s and was ended" in str(report(lab)["cpu1"][1])
    assert report(lab)["cpu2"] == ("measured", None)


@pytest.mark.slow
def test_a_worker_that_cannot_be_heard_does_not_hang(lab: Lab, api: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Job, "longest_silence", 1.0)
    api.cells["cpu1"] = Play(stdout=WHOLE, attached_bytes=300, seconds=2.5)
    assert run(lab)[0] == 0
    assert report(lab)["cpu1"] == ("measured", None)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "seconds", [0.1, 1.5 * IMPATIENT_SECONDS], ids=["ends soon", "ends later than the API's time limit"]
)
def test_an_attached_stream_that_breaks_midway_costs_nothing(lab: Lab, api: Engine, seconds: float) -> None:
    api.cells["cpu1"] = Play(stdout=WHOLE, attached_bytes=300, seconds=seconds)
    assert run(lab)[0] == 0
    assert report(lab)["cpu1"] == ("measured", None)
    (folder,) = lab.sessions.iterdir()
    assert (folder / "cpu1.jsonl").read_bytes() == WHOLE


@pytest.mark.slow
@pytest.mark.parametrize(
    ("play", "reason"),
    [
        (Play(stdout=WHOLE[:700], exit_code=1), "a torn last line; the end record is missing"),
        (Play(stdout=WHOLE[:700], exit_code=137), "the worker was killed by signal 9 (Killed)"),
        (Play(stdout=WHOLE[:700], exit_code=132), "the worker was killed by signal 4 (Illegal instruction)"),
        (Play(stdout=WHOLE[:700], exit_code=137, out_of_memory=True), "killed: out of memory (OOM)"),
        (
            Play(stderr=b"Traceback\nImportError: no _posixsubprocess\n", exit_code=1),
            "no record came; it said: ImportError",
        ),
        (Play(stdout=b"x" * 2**20), "a line longer than 8192 bytes"),
        (Play(stdout=b"\xff\xfe\xfd\n" + WHOLE), "a line that is not a record"),
    ],
    ids=[
        "exits 1",
        "killed",
        "an instruction that the CPU has not",
        "out of memory",
        "dies at once",
        "a megabyte without a newline",
        "invalid UTF-8",
    ],
)
def test_a_worker_that_ends_badly_costs_its_cell_and_no_other(lab: Lab, api: Engine, play: Play, reason: str) -> None:
    api.cells["cpu1"] = play
    code, out, _ = run(lab)
    cells = report(lab)
    assert code == 3
    assert cells["cpu1"][0] == "error"
    assert reason in str(cells["cpu1"][1])
    assert cells["cpu2"] == ("measured", None)
    assert "confirmed" in out
    assert api.containers == {}


@pytest.mark.parametrize("attached", [None, 300], ids=["attached", "attached stream broken"])
def test_a_worker_that_never_ends_is_ended_at_the_cells_deadline(
    lab: Lab, api: Engine, monkeypatch: pytest.MonkeyPatch, attached: int | None
) -> None:
    from lab.planning import jobs

    usual = jobs.job_of

    def impatient(*given: Any) -> Job:
        order = usual(*given)
        return replace(order, cell_deadline=0.3) if order.cell.id == "cpu1" else order

    monkeypatch.setattr(jobs, "job_of", impatient)
    api.cells["cpu1"] = Play(stdout=WHOLE[:700], attached_bytes=attached, seconds=60)
    code, _, _ = run(lab)
    assert code == 3
    assert "it passed its deadline and was ended" in str(report(lab)["cpu1"][1])
    assert report(lab)["cpu2"] == ("measured", None)
    assert api.containers == {}
