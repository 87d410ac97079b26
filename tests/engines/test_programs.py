"""Programs of the user's in containers: any image, with a Python that it has or is lent, as the image runs them."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab.containers.client import SESSION_LABEL
from lab.containers.image_config import ImageSettings
from lab.engines.program_room import placed
from lab.model.room import Room
from tests.support.static_program import EXIT_CODE, file_system, static_program
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

#: Makes an image of an archive, or of another image, with these instructions of a Dockerfile.
Maker = Callable[..., str]


@pytest.fixture
def make(engine: DockerClient) -> Iterator[Maker]:
    from docker.errors import ImageNotFound

    names: list[str] = []

    def made(*changes: str, archive: bytes = b"", base: str = "") -> str:
        tag = uuid.uuid4().hex[:8]
        names.append(f"multicore-lab-test:{tag}")
        if archive:
            engine.api.import_image_from_data(archive, repository="multicore-lab-test", tag=tag, changes=list(changes))
            return names[-1]
        container = engine.api.create_container(base, command=["true"])["Id"]
        try:
            engine.api.commit(container, repository="multicore-lab-test", tag=tag, changes=list(changes))
        finally:
            engine.api.remove_container(container)
        return names[-1]

    yield made
    for name in names:
        with contextlib.suppress(ImageNotFound):
            engine.images.remove(name, force=True)


@pytest.fixture
def plain(make: Maker, image: str) -> str:
    """An image with the usual user, and with an entry point that runs its arguments."""
    return make('ENTRYPOINT ["/usr/bin/env"]', "USER 0:0", base=image)


@pytest.fixture
def execute(lab: Lab, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """Runs ``lab exec`` once in a cell of one CPU of an image. Returns the exit code and what was printed."""

    def executed(image: str, *words: str) -> tuple[int, str, str]:
        options = ("--image", image, "--cpus", "1", "--runs", "1", "--session", str(tmp_path / "sessions"))
        return lab("exec", *options, *words)

    return executed


def runs_of(folder: Path) -> list[dict[str, Any]]:
    """The runs in the records of the session in a folder."""
    lines = (json.loads(line) for file in sorted(folder.glob("*/*.jsonl")) for line in file.read_text().splitlines())
    samples = (record["data"] for record in lines if record["kind"] == "sample")
    return [sample["values"]["program"] for sample in samples if sample["name"] == "run"]


@pytest.mark.engine
def test_an_image_with_one_static_program_is_lent_a_python(
    engine: DockerClient, execute: Callable[..., tuple[int, str, str]], make: Maker, image: str
) -> None:
    program = static_program()
    if program is None:
        pytest.skip("there is no static program for this machine")
    name = make(archive=file_system("program", program))
    code, out, err = execute(name, "--ignore-failure=7", "--", "/program")
    assert code == 0, err
    assert "it is lent that of" in err
    assert "1 CPU" in out
    code, out, err = execute(name, "--", "/program")
    assert code == 1, err
    assert f"it ended with exit code {EXIT_CODE}" in out
    assert execute(name, "--", "/other")[0] == 2
    assert not engine.volumes.list(filters={"label": SESSION_LABEL})


@pytest.mark.engine
def test_a_program_runs_as_its_image_says(
    execute: Callable[..., tuple[int, str, str]], make: Maker, image: str
) -> None:
    name = make('ENTRYPOINT ["/bin/sh"]', "USER 1234", "WORKDIR /tmp", "ENV ONE=1", base=image)
    code, out, err = execute(name, "--env", "TWO=2", "--", "-c", 'echo "$(id -u) $(pwd) $ONE $TWO" >&2; exit 3')
    assert code == 1, err
    assert "1234 /tmp 1 2" in out
    assert execute(name, "--entrypoint", "", "--", "true")[0] == 0


@pytest.mark.engine
def test_a_container_counts_what_its_group_used(
    execute: Callable[..., tuple[int, str, str]], plain: str, tmp_path: Path
) -> None:
    source = "import time; b = bytearray(100_000_000)\nwhile time.process_time() < 0.3: pass"
    code, out, _ = execute(plain, "--quota", "0.5", "--", "python3", "-c", source)
    assert code == 0, out
    (run,) = runs_of(tmp_path / "sessions")
    assert run["counted_by"] == "group"
    assert 0.3 <= run["cpu"] < 0.6
    assert run["throttled_periods"] > 0
    assert 0.9 < run["group_memory"] / 100e6 < 1.3


@pytest.mark.engine
def test_a_program_or_a_child_that_holds_too_much_memory_is_killed_and_that_is_said(
    execute: Callable[..., tuple[int, str, str]], plain: str, tmp_path: Path
) -> None:
    source = "b = bytearray(b'x') * 1_000_000_000"
    code, out, err = execute(plain, "--memory", "100MB", "--", "python3", "-c", source)
    assert code == 1, err
    assert "it was killed by SIGKILL: memory ran out" in " ".join(out.split())
    assert err.splitlines()[-1] == "exit code 1: a command was killed by a signal"
    (run,) = runs_of(tmp_path / "sessions")
    assert run["oom_kills"] >= 1
    words = ("--shell", "--", f'python3 -c "{source}"; exit 5')
    code, out, err = execute(plain, "--memory", "100MB", *words)
    assert code == 1, err
    assert "it ended with exit code 5, after memory had run out and a process of it was killed" in " ".join(out.split())
    code, out, err = execute(plain, "--memory", "100MB", "--ignore-failure=5", *words)
    assert code == 0, err
    assert "in 1 run memory ran out, and a process of the command was killed" in " ".join(out.split())


@pytest.mark.engine
def test_a_folder_of_the_users_may_be_written_unless_it_is_read_only(
    execute: Callable[..., tuple[int, str, str]], plain: str, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    words = ("--workdir", str(folder), "--shell", "echo hello > out && echo hello > /root-is-writable")
    assert execute(plain, "--mount", str(folder), *words)[0] == 0
    assert (folder / "out").read_text() == "hello\n"
    code, out, _ = execute(plain, "--mount", f"{folder}:ro", *words)
    assert code == 1
    assert "Read-only file system" in out


@pytest.mark.engine
def test_a_container_has_what_the_options_say(
    execute: Callable[..., tuple[int, str, str]], plain: str, tmp_path: Path
) -> None:
    """A variable, a network, a folder that can only be read, a name, and threads of one core."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "text").write_text("hello\n")
    options = ("--smt", "--name", "my words", "--env", "WORDS=a b", "--network", "bridge", "--format", "json")
    line = 'test "$WORDS" = "a b" && ls /sys/class/net/eth0 && grep -q hello text && ! touch other'
    folder = ("--mount", f"{tmp_path}/in:ro", "--workdir", f"{tmp_path}/in")
    code, out, err = execute(plain, *options, *folder, "--shell", line)
    assert code == 0, out + err
    [program] = json.loads(out)["programs"]
    assert (program["name"], len(program["runs"]), program["failures"]) == ("my words", 1, [])
    code, out, err = execute(plain, "--network", "no-such-network-1", "--", "true")
    assert code == 2
    assert "no-such-network-1" in err


@pytest.mark.engine
def test_what_cannot_be_started_in_a_container_is_wrong_usage_before_anything_runs(
    execute: Callable[..., tuple[int, str, str]], plain: str, tmp_path: Path
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    # The head of a program for SPARC: that is no machine on which this test runs.
    (folder / "foreign").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\x02\x00" + bytes(40))
    (folder / "foreign").chmod(0o755)
    (folder / "closed").write_text("#!/bin/sh\n")
    (folder / "closed").chmod(0o644)
    for name, message in (
        ("foreign", "is built for machine 2, and this machine is"),
        ("closed", "may not be executed; make it executable with chmod +x"),
        ("missing", "there is no program"),
    ):
        options = ("--mount", f"{folder}:ro", "--entrypoint", "")
        code, out, err = execute(plain, *options, "--", f"{folder}/{name}")
        assert (code, out) == (2, ""), err
        assert message in " ".join(err.split())
    assert not (tmp_path / "sessions").exists()


def test_an_entry_point_comes_before_the_command() -> None:
    settings = ImageSettings(entrypoint=("/init", "--"), folder="/srv", environment={})
    case = {"words": ["make"], "by_shell": False, "folder": ""}
    assert placed({"exec:make": case}, settings, Room())["exec:make"] == {
        "words": ["/init", "--", "make"],
        "by_shell": False,
        "folder": "/srv/",
    }
    assert placed({"a": {**case, "by_shell": True}}, settings, Room())["a"]["words"][2:] == ["/bin/sh", "-c", "make"]
    assert placed({"a": case}, settings, Room(entrypoint=""))["a"]["words"] == ["make"]
    assert placed({"a": {**case, "folder": "/x"}}, settings, Room(entrypoint="/o"))["a"]["folder"] == "/x"
    listed = placed({"exec:": {"programs": [case]}}, settings, Room())["exec:"]["programs"]
    assert listed[0]["words"] == ["/init", "--", "make"]
