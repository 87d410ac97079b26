"""What goes wrong with an engine, an image or a container: one clear line, the other cells kept, nothing left behind.

The first half talks through the real SDK to a fake Engine API on a unix socket, the second to the real engine.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import json
import tarfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from docker.errors import ImageNotFound

from lab import containers
from lab.containers import SESSION_LABEL, client_for_this_environment
from lab.engines import docker as docker_engine
from lab.engines.docker import Docker
from lab.errors import CellError, EngineError
from lab.model import Cell, CellResult, Status
from lab.records import Reader
from tests import cells, scripts
from tests.fake_api import Engine, Play, Server, well
from tests.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

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
IMPATIENT_SECONDS = 1.0


@pytest.fixture
def impatient(api: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SDK that does not wait long for the fake engine."""
    monkeypatch.setattr(containers, "_API_SECONDS", IMPATIENT_SECONDS)


def run(lab: Lab, *arguments: str) -> tuple[int, str, str]:
    return lab.run("pipe", "--engine", "docker", "--cpus", "1,2", *arguments)


def report(lab: Lab) -> dict[str, tuple[str, str | None]]:
    """Status and reason of each cell, as they were stored."""
    (folder,) = lab.sessions.iterdir()
    cells = json.loads((folder / "session.json").read_text())["report"]["cells"]
    return {one["id"]: (one["status"], one["reason"]) for one in cells}


def test_all_is_well_when_nothing_goes_wrong(lab: Lab, api: Engine) -> None:
    code, out, err = run(lab)
    assert code == 0, err
    assert "confirmed" in out
    assert report(lab) == {"cpu1": ("measured", None), "cpu2": ("measured", None)}
    assert len(api.created) == 3
    assert sorted(api.removed) == sorted(api.created)


FAULTS: list[int | str] = [400, 404, 409, 500, "hang", "drop"]

#: When looking at the container fails within its attach(), the SDK forgets the attached connection.
FORGOTTEN = "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"


BEFORE_ANY_CELL = [
    *((step, fault) for step in ("ping", "version", "info", "image") for fault in FAULTS),
    *(((step, "probe"), fault) for step in ("create", "attach", "start", "inspect") for fault in (500, "hang")),
]


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


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [500, "hang"], ids=str)
def test_auto_goes_on_without_an_engine_that_fails(lab: Lab, api: Engine, fault: int | str) -> None:
    api.faults["info"] = fault
    code, out, err = lab.run("pipe", "--cpus", "1")
    assert code == 0
    assert err.startswith("engine: local (docker: ")
    assert "engine local" in out


def one_in_each_cell(api: Engine, step: str, faults: Sequence[int | str]) -> str:
    """Lets a step fail in a different way in each cell but the last. Returns the sizes of the cells."""
    sizes = range(1, len(faults) + 2)
    api.faults.update({(step, f"cpu{size}"): fault for size, fault in zip(sizes, faults, strict=False)})
    return ",".join(map(str, sizes))


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


@pytest.mark.usefixtures("impatient")
def test_a_log_that_cannot_be_read_leaves_what_came_live(lab: Lab, api: Engine) -> None:
    code, _, _ = lab.run("pipe", "--engine", "docker", "--cpus", one_in_each_cell(api, "logs", FAULTS))
    assert code == 0
    assert set(report(lab).values()) == {("measured", None)}
    assert api.containers == {}


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
    assert len(api.created) == len(FAULTS) + 2


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


def test_an_image_that_a_registry_has_is_pulled(lab: Lab, api: Engine) -> None:
    api.images.clear()
    api.registry.add("python:3.13-slim")
    code, out, err = run(lab)
    assert code == 0
    assert err.startswith("pulling the image python:3.13-slim …\n")
    assert "image python:3.13-slim" in out


def test_an_image_that_vanishes_after_the_probe_is_an_error_of_the_lab_not_a_traceback(lab: Lab, api: Engine) -> None:
    def vanishing(cell: str, cpus: tuple[int, ...]) -> Play:
        api.images.clear()
        return well(cell, cpus)

    api.plays = vanishing
    code, _, err = run(lab)
    assert code == 3
    assert "Traceback" not in err
    for status, reason in report(lab).values():
        assert status == "error"
        assert reason is not None
        assert "No such image: multicore-lab-base:3.13" in reason


@pytest.mark.parametrize(
    "play",
    [
        pytest.param(
            Play(error='exec: "python3": executable file not found in $PATH: unknown'), id="the engine says so"
        ),
        pytest.param(
            Play(stderr=b"[FATAL tini (7)] exec python3 failed: No such file or directory\n", exit_code=127),
            id="its init says so",
        ),
    ],
)
def test_an_image_without_python_is_said_to_have_none(lab: Lab, api: Engine, play: Play) -> None:
    api.cells["probe"] = play
    code, _, err = run(lab)
    assert code == 3
    assert err == (
        "lab: the image multicore-lab-base:3.13 has no python3, python, pypy3 on its PATH; name an image with Python"
        " 3.9 or later, such as --image python:3.13-slim\n"
    )
    assert [step for step, _ in api.asked].count("create") == 3, "each name was tried"
    assert api.containers == {}


def test_an_image_with_an_old_python_is_named(lab: Lab, api: Engine) -> None:
    api.cells["probe"] = Play(stdout=b'{"kind": "refused", "reason": "Python 3.6"}\n', exit_code=64)
    code, _, err = run(lab)
    assert code == 3
    assert "the image multicore-lab-base:3.13 has Python 3.6; a cell needs Python 3.9 or later" in err


def test_an_image_that_does_something_else_is_quoted(lab: Lab, api: Engine) -> None:
    api.cells["probe"] = Play(stderr=b"usage: python3 [--frobnicate]\n", exit_code=2)
    code, _, err = run(lab)
    assert code == 3
    assert "did not run the probe: 2; it said 'usage: python3 [--frobnicate]'" in err


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
    assert "inconclusive" in out


def test_a_warning_about_something_else_taints_nothing(lab: Lab, api: Engine) -> None:
    api.cells["cpu1"] = Play(stdout=WHOLE, warnings=("Your kernel does not support swap limit capabilities.",))
    assert run(lab)[0] == 0


def test_the_engines_log_is_believed_where_it_differs_from_what_came_live(lab: Lab, api: Engine) -> None:
    api.cells["cpu1"] = Play(stdout=WHOLE[:500], log=WHOLE)
    assert run(lab)[0] == 0
    (folder,) = lab.sessions.iterdir()
    assert (folder / "cpu1.jsonl").read_bytes() == WHOLE


def test_a_log_that_is_torn_shows_as_a_torn_stream(lab: Lab, api: Engine) -> None:
    api.cells["cpu1"] = Play(stdout=WHOLE, log=WHOLE[:-200])
    assert run(lab)[0] == 3
    assert report(lab)["cpu1"] == ("error", "a torn last line; the end record is missing")


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


@pytest.mark.parametrize(
    ("play", "reason"),
    [
        (Play(stdout=WHOLE[:700], exit_code=1), "a torn last line; the end record is missing"),
        (Play(stdout=WHOLE[:700], exit_code=137), "the worker was killed (exit code 137)"),
        (Play(stdout=WHOLE[:700], exit_code=137, out_of_memory=True), "it was killed for want of memory (OOM)"),
        (
            Play(stderr=b"Traceback\nImportError: no _posixsubprocess\n", exit_code=1),
            "no record came; it said: ImportError",
        ),
        (Play(stdout=b"x" * 2**20), "a line longer than 8192 bytes"),
        (Play(stdout=b"\xff\xfe\xfd\n" + WHOLE), "a line that is not a record"),
    ],
    ids=["exits 1", "killed", "out of memory", "dies at once", "a megabyte without a newline", "invalid UTF-8"],
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
    from dataclasses import replace

    from lab import asked

    usual = asked.job_of
    monkeypatch.setattr(asked, "job_of", lambda *given: replace(usual(*given), cell_deadline=0.3))
    api.cells["cpu1"] = Play(stdout=WHOLE[:700], attached_bytes=attached, seconds=60)
    code, _, _ = run(lab)
    assert code == 3
    assert "it passed its deadline and was ended" in str(report(lab)["cpu1"][1])
    assert report(lab)["cpu2"] == ("measured", None)
    assert api.containers == {}


@pytest.mark.filterwarnings(FORGOTTEN)
@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("unix:///nowhere/engine.sock", "no Docker engine can be reached"),
        ("tcp://127.0.0.1:1", "no Docker engine can be reached"),
        ("what://is.this", "Invalid bind address protocol"),
        ("ssh://nobody@nowhere.invalid", "no Docker engine can be reached"),
    ],
)
def test_an_engine_that_is_not_there_gets_one_line_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, host: str, words: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", host)
    with pytest.raises(EngineError) as caught:
        client_for_this_environment()
    message = str(caught.value)
    assert words in message
    assert message.endswith("start one, point DOCKER_HOST at one, or use --engine local")
    assert "\n" not in message
    del caught
    gc.collect()  # now: what the SDK has forgotten is to be found in this test, which expects it


# From here on with the real engine.

#: Experiments that go wrong: name -> the body of ``run(voice)``.
BAD = {
    "hangs": "time.sleep(600)",
    "exits": "os._exit(3)",
    "kills": "os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)",
    "eats": "hoard = [bytearray(b'x') * 2**20 for _ in range(2000)]",
    "noise": "os.write(1, b'x' * 2**20); os.write(2, b'\\xff' * 2**20)",
}


@pytest.fixture
def docker(image: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Docker]:
    """A docker engine whose cells know the bad experiments too."""
    monkeypatch.setattr(docker_engine, "cell_code", lambda *_: cells.code_with(BAD))
    found = Docker(client_for_this_environment(), image, f"test-{uuid.uuid4().hex[:8]}")
    yield found
    found.close()


def outcome(
    docker: Docker, *experiments: str, seconds: float = 30, watch: Callable[[Reader], None] = lambda reader: None
) -> CellResult:
    """What becomes of a cell that runs these experiments; ``watch`` may look at what came so far."""
    cell = Cell(id="cpu1", label="1", size=1, cpus=(0,))
    return cells.run_on(docker, cells.order(cell, *experiments, session=docker._session, cell_deadline=seconds), watch)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("exits", "exits exited with status 3"),
        ("kills", "the worker was killed (exit code 137); the end record is missing"),
    ],
)
def test_a_worker_that_ends_badly_in_a_container_says_how(docker: Docker, name: str, reason: str) -> None:
    result = outcome(docker, "pipe", name)
    assert (result.status, result.reason) == (Status.ERROR, reason)
    assert any(record.kind == "finish" for record in result.records), "what ran before is kept"


@pytest.mark.engine
def test_noise_on_both_outputs_damages_no_record(docker: Docker) -> None:
    result = outcome(docker, "noise", "pipe")
    assert (result.status, result.reason) == (Status.MEASURED, None)


@pytest.mark.engine
def test_a_cell_that_runs_out_of_memory_says_so(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_engine, "_MEBIBYTE", 2**17)  # an eighth of the memory
    result = outcome(docker, "pipe", "eats")
    assert result.status is Status.ERROR
    assert result.reason
    assert "memory" in result.reason
    assert any(record.kind == "finish" for record in result.records)


@pytest.mark.engine
def test_a_worker_that_hangs_is_ended_at_the_cells_deadline(docker: Docker) -> None:
    result = outcome(docker, "pipe", "hangs", seconds=6)  # time enough for the first of them
    assert result.status is Status.ERROR
    assert result.reason
    assert result.reason.startswith("it passed its deadline and was ended")
    assert any(record.kind == "finish" for record in result.records)


@pytest.mark.engine
@pytest.mark.parametrize(
    ("end", "reason"),
    [
        ("kill", "the worker was killed (exit code 137); the end record is missing"),
        ("stop", "hangs the cell was asked to stop"),
        ("remove", "No such container"),
    ],
)
def test_a_container_that_somebody_else_ends_costs_its_cell(
    docker: Docker, engine: DockerClient, end: str, reason: str
) -> None:
    acts: dict[str, Callable[[str], None]] = {
        "kill": engine.api.kill,
        "stop": engine.api.stop,
        "remove": lambda container: engine.api.remove_container(container, force=True),
    }
    done: list[str] = []

    def watch(reader: Reader) -> None:
        if not done and any(record.data.get("experiment") == "hangs" for record in reader.records):
            (found,) = engine.api.containers(filters={"label": f"{SESSION_LABEL}={docker._session}"})
            done.append(found["Id"])
            acts[end](found["Id"])

    if end == "remove":
        with pytest.raises(CellError, match=reason):
            outcome(docker, "pipe", "hangs", watch=watch)
        return
    result = outcome(docker, "pipe", "hangs", watch=watch)
    assert (result.status, result.reason) == (Status.ERROR, reason)


@pytest.fixture
def name_of_an_image(engine: DockerClient) -> Iterator[str]:
    """A name for an image that a test makes; the image is removed afterwards."""
    name = f"multicore-lab-test:{uuid.uuid4().hex[:8]}"
    yield name
    with contextlib.suppress(ImageNotFound):
        engine.images.remove(name, force=True)


def archive(**files: bytes) -> bytes:
    """A tar archive of executable files."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            tar.addfile(entry, io.BytesIO(content))
    return memory.getvalue()


@pytest.mark.engine
def test_an_image_that_no_registry_has_is_an_error_with_what_to_do(lab: Lab) -> None:
    code, out, err = lab.run("pipe", "--image", "multicore-lab-test:there-is-none")
    assert (code, out) == (3, "")
    line = err.splitlines()[-1]
    assert line.startswith("lab: the image multicore-lab-test:there-is-none is not on this engine and cannot be pulled")
    assert "--engine local" in line


@pytest.mark.engine
def test_an_engine_without_any_image_is_passed_over_for_the_local_one(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docker_engine, "OWN_IMAGES", ())
    monkeypatch.setattr(docker_engine, "OFFICIAL_IMAGE", "multicore-lab-test:there-is-none")
    code, out, err = lab.run("pipe", "--cpus", "1")
    assert code == 0
    assert "engine: local (docker: the image multicore-lab-test:there-is-none is not on this engine" in err
    assert "engine local" in out


@pytest.mark.engine
def test_a_real_image_without_python_is_said_to_have_none(
    lab: Lab, engine: DockerClient, name_of_an_image: str
) -> None:
    repository, _, tag = name_of_an_image.partition(":")
    engine.api.import_image_from_data(archive(hello=b"hello"), repository=repository, tag=tag)
    code, out, err = lab.run("pipe", "--image", name_of_an_image)
    assert (code, out) == (3, "")
    assert err.startswith(f"lab: the image {name_of_an_image} has no python3, python, pypy3 on its PATH")


@pytest.mark.engine
def test_a_real_image_of_another_architecture_is_refused_since_emulated_timings_say_nothing(
    lab: Lab, engine: DockerClient, name_of_an_image: str
) -> None:
    native = engine.version()["Arch"]
    other = "arm64" if native == "amd64" else "amd64"
    layer = archive(hello=b"hello")
    config = {
        "architecture": other,
        "os": "linux",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]},
    }
    manifest = [{"Config": "config.json", "RepoTags": [name_of_an_image], "Layers": ["layer.tar"]}]
    files = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    engine.images.load(archive(**files))
    code, out, err = lab.run("pipe", "--image", name_of_an_image)
    assert (code, out) == (3, "")
    assert err.startswith(
        f"lab: the image {name_of_an_image} is for {other}, and the engine's machine is {native}: emul"
    )


@pytest.mark.engine
def test_a_real_image_with_an_old_python_is_named(
    lab: Lab, engine: DockerClient, image: str, docker: Docker, name_of_an_image: str
) -> None:
    # A stand-in: the image's own Python, which says that it is 3.6. The local engine's tests try a real one.
    stand_in = STAND_IN.format(docker.probe().python["executable"])
    made = engine.api.create_container(image, command=["true"])
    try:
        engine.api.put_archive(made["Id"], "/opt", archive(python3=stand_in.encode()))
        repository, _, tag = name_of_an_image.partition(":")
        engine.api.commit(made["Id"], repository=repository, tag=tag, changes=["ENV PATH=/opt:/usr/bin:/bin"])
    finally:
        engine.api.remove_container(made["Id"])
    code, out, err = lab.run("pipe", "--image", name_of_an_image)
    assert (code, out) == (3, "")
    assert err == (
        f"lab: the image {name_of_an_image} has Python 3.6; a cell needs Python 3.9 or later: name another one\n"
    )


STAND_IN = """#!{}
import sys
sys.version_info = (3, 6, 15, "final", 0)
sys.argv = sys.argv[sys.argv.index("-c"):]
exec(sys.argv.pop(1))
"""
