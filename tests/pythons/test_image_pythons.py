"""Any image with a Python that can run a cell: which of its Pythons is taken, as whom, and what is said of it."""

from __future__ import annotations

import contextlib
import io
import json
import tarfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
from docker.errors import ImageNotFound

from lab.containers.client import client_for_this_environment
from lab.containers.image_config import NOBODY
from lab.engines import cell_containers
from lab.engines.docker import Docker
from lab.model.machine import Machine
from lab.pythons import image_pythons, images
from lab.pythons.identity import MARK
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.engine

#: What a Python 2.7 says of itself.
SAID = (
    '{"version": [2, 7, 18], "release": "2.7.18", "implementation": "cpython", "executable": "/usr/bin/python2.7",'
    ' "free_threaded": false, "gil_enabled": true, "jit": null, "lacks": []}'
)
#: One, as far as it is asked: it does not know -I.
PYTHON_2 = f"""#!/bin/sh
if [ "$1" = -I ]; then
    echo "Unknown option: -I" >&2
    echo "usage: python [option] ... [-c cmd | -m mod | file | -] [arg] ..." >&2
    exit 2
fi
[ "$1 $2 $3 $4" = "-E -s -S -c" ] && echo '{MARK}{SAID}'
"""

#: A Python that is changed before it runs what it is told to: Debian has none so old, and no PyPy of its kind.
ALTERED = """#!{python}
import os, sys
{change}
sys.argv = sys.argv[sys.argv.index("-c"):]
exec(sys.argv.pop(1))
"""
OLD = 'sys.version_info = (3, 6, 15, "final", 0); sys.version = "3.6.15 (default)"'
PYPY = 'del os.sched_getaffinity; sys.implementation.name = "pypy"; sys.version = "3.9.16 (7.3)"'
WITHOUT_ZLIB = "sys.modules['zlib'] = None"
FOREIGN = 'os.uname = lambda known=os.uname(): os.uname_result((*known[:4], "{machine}"))'


class Maker:
    """Makes images out of another one, and removes them."""

    def __init__(self, engine: DockerClient, base: str) -> None:
        self._engine = engine
        self._base = base
        self.names: list[str] = []
        asked = images.asked(engine, base)
        assert asked
        self.python = asked.executable

    def altered(self, change: str) -> str:
        """The base's Python, changed."""
        return ALTERED.format(python=self.python, change=change)

    def __call__(
        self,
        *changes: str,
        folder: tuple[str, int, int] = ("/opt", 0o755, 0),
        programs: Mapping[str, str] = MappingProxyType({}),
        **more: str,
    ) -> str:
        """An image with these instructions of a Dockerfile and these programs, each a script or ``-> TARGET``, in a
        folder of (path, mode, owner)."""
        path, mode, owner = folder
        memory = io.BytesIO()
        with tarfile.open(fileobj=memory, mode="w") as tar:
            entry = tarfile.TarInfo(path.strip("/"))
            entry.type, entry.mode, entry.uid = tarfile.DIRTYPE, mode, owner
            tar.addfile(entry)
            for name, text in {**programs, **more}.items():
                entry = tarfile.TarInfo(f"{path.strip('/')}/{name}")
                entry.mode, entry.uid, content = 0o755, owner, b""
                if text.startswith("-> "):
                    entry.type, entry.linkname = tarfile.SYMTYPE, text[3:]
                else:
                    content = text.encode()
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        self.names.append(f"multicore-lab-test:{uuid.uuid4().hex[:8]}")
        made = self._engine.api.create_container(self._base, command=["true"])
        try:
            self._engine.api.put_archive(made["Id"], "/", memory.getvalue())
            repository, _, tag = self.names[-1].partition(":")
            self._engine.api.commit(made["Id"], repository=repository, tag=tag, changes=list(changes))
        finally:
            self._engine.api.remove_container(made["Id"])
        return self.names[-1]


@pytest.fixture
def make(engine: DockerClient, two_builds: tuple[str, str]) -> Iterator[Maker]:
    maker = Maker(engine, f"multicore-lab-base:{two_builds[1]}")  # it has neither entry point nor user
    yield maker
    for name in maker.names:
        with contextlib.suppress(ImageNotFound):
            engine.images.remove(name, force=True)


@pytest.fixture
def probe() -> Iterator[Callable[[str], tuple[Machine, list[str]]]]:
    """What the engine says of its machine with an image, and what it notes."""
    engines: list[Docker] = []

    def asked(name: str) -> tuple[Machine, list[str]]:
        lines: list[str] = []
        engines.append(Docker(client_for_this_environment(), name, f"test-{uuid.uuid4().hex[:8]}", lines.append))
        return engines[-1].probe(), lines

    yield asked
    for docker in engines:
        docker.close()


Probe = Callable[[str], tuple[Machine, list[str]]]


def settings(machine: Machine) -> Mapping[str, Any]:
    details: Mapping[str, Any] = machine.details["image_settings"]
    return details


def test_in_the_usual_image_nothing_is_looked_for_and_nothing_said(
    image: str, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_pythons, "look", lambda *_: pytest.fail("nothing is to be looked for"))
    machine, lines = probe(image)
    assert lines == []
    assert (settings(machine)["interpreter"], settings(machine)["user"]) == ("python3", NOBODY)


@pytest.mark.parametrize(
    ("owner", "user", "changes"),
    [
        (1234, "1234", ("USER 1234",)),
        (0, "0:0", ()),
        (0, "0:0", ("USER 1234",)),
        (0, "0:0", ("USER nosuchuser",)),
    ],
    ids=["the image's user", "root", "root behind another user", "root behind a user that is not there"],
)
def test_a_python_that_only_its_owner_may_reach_runs_as_its_owner_and_it_is_said(
    lab: Lab, make: Maker, owner: int, user: str, changes: tuple[str, ...]
) -> None:
    name = make("ENV PATH=/locked", *changes, folder=("/locked", 0o700, owner), python3=f"-> {make.python}")
    code, out, err = lab.run("pipe", "--image", name, "--cpus", "1", "--time-limit", "0.5", "--format", "json")
    assert code == 0, err
    assert f"the image {name}: cells run as user {user}, since {NOBODY} may not start its Python\n" in err
    details = json.loads(out)["session"]["details"]
    assert details["image_settings"]["interpreter"] == "/locked/python3"
    assert details["image_settings"]["user"] == user
    (folder,) = lab.sessions.iterdir()
    manifest = json.loads((folder / "session.json").read_text())
    assert manifest["machine"]["details"]["image_settings"] == details["image_settings"]


def test_a_cell_that_runs_as_root_is_kept_apart_like_any_other(
    engine: DockerClient, make: Maker, probe: Probe, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = make("ENV PATH=/locked", folder=("/locked", 0o700, 0), python3=f"-> {make.python}")
    seen: list[dict[str, Any]] = []
    usual = cell_containers._start

    def start(api: Any, container: str, program: str) -> None:
        seen.append(api.inspect_container(container))
        usual(api, container, program)

    monkeypatch.setattr(cell_containers, "_start", start)
    probe(name)
    assert seen[-1]["Config"]["User"] == "0:0"
    host = seen[-1]["HostConfig"]
    assert (host["CapDrop"], host["CapAdd"], host["Privileged"]) == (["ALL"], None, False)
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["ReadonlyRootfs"] is True
    assert host["NetworkMode"] == "none"


@pytest.mark.parametrize(
    ("first", "second"),
    [("python3", "python"), ("python3", "python3.13"), ("python3", "pypy3"), ("python3.9", "python3.13t")],
)
def test_one_that_is_too_old_is_passed_over(make: Maker, probe: Probe, first: str, second: str) -> None:
    programs = {first: make.altered(OLD), second: f"-> {make.python}"}
    name = make("ENV PATH=/opt", programs=programs)
    machine, lines = probe(name)
    assert settings(machine)["interpreter"] == f"/opt/{second}"
    assert lines == []


def test_a_python_without_zlib_gets_code_that_it_can_read(lab: Lab, make: Maker) -> None:
    name = make("ENV PATH=/opt", python3=make.altered(WITHOUT_ZLIB))
    code, out, err = lab.run("pipe", "--image", name, "--cpus", "1", "--time-limit", "0.5", "--format", "json")
    assert code == 0, err
    assert {verdict["verdict"] for verdict in json.loads(out)["verdicts"]} == {"confirmed"}


def test_the_same_name_in_a_later_folder_is_tried_too(make: Maker, probe: Probe) -> None:
    name = make("ENV PATH=/opt:/usr/local/bin:/usr/bin", python3=make.altered(OLD))
    assert settings(probe(name)[0])["interpreter"] == "/usr/local/bin/python3"


@pytest.mark.parametrize("instruction", ["ENTRYPOINT", "CMD"])
def test_the_python_that_the_image_itself_runs_is_found_off_the_path(
    make: Maker, probe: Probe, instruction: str
) -> None:
    name = make(
        "ENV PATH=/nowhere", f'{instruction} ["/opt/python3.13", "-u"]', programs={"python3.13": f"-> {make.python}"}
    )
    assert settings(probe(name)[0])["interpreter"] == "/opt/python3.13"


def test_an_image_without_a_shell_is_looked_into_all_the_same(make: Maker, probe: Probe) -> None:
    shells = dict.fromkeys(("sh", "dash", "bash"), "-> /gone")
    changes = (f'ENTRYPOINT ["{make.python}"]', "ENV PATH=/nowhere")
    name = make(*changes, folder=("/usr/bin", 0o755, 0), programs=shells)
    assert settings(probe(name)[0])["interpreter"] == make.python


def test_python_2_is_named(lab: Lab, make: Maker) -> None:
    name = make("ENV PATH=/opt", python=PYTHON_2)
    code, out, err = lab.run("pipe", "--image", name)
    assert (code, out) == (3, "")
    assert err.startswith(
        f"lab: the image {name} cannot run a cell: /opt/python: Python 2.7.18 is too old (a cell needs 3.9 or later);"
    )


def test_pypy_is_refused_with_what_it_lacks(lab: Lab, make: Maker) -> None:
    name = make("ENV PATH=/opt", pypy3=make.altered(PYPY))
    code, out, err = lab.run("pipe", "--image", name)
    assert (code, out) == (3, "")
    assert (
        "/opt/pypy3: PyPy 3.9.16 has no os.sched_getaffinity: no limit can be set or proven from inside; name an" in err
    )


def test_a_foreign_root_file_system_that_was_imported_is_refused_by_what_its_python_says(
    lab: Lab, engine: DockerClient, make: Maker
) -> None:
    foreign = "aarch64" if engine.info()["Architecture"] == "x86_64" else "x86_64"
    name = make("ENV PATH=/opt", python3=make.altered(FOREIGN.format(machine=foreign)))
    code, out, err = lab.run("pipe", "--image", name)
    assert (code, out) == (3, "")
    assert "emulated, its timings would say nothing" in err


def test_what_is_replaced_ignored_and_kept_is_said_in_one_line_and_remembered(lab: Lab, make: Maker) -> None:
    name = make(
        'ENTRYPOINT ["/entry.sh"]',
        "USER 1234",
        "ENV PYTHON_GIL=1 PYTHONOPTIMIZE=2 PYTHONUNBUFFERED=1 MALLOC_ARENA_MAX=1",
    )
    code, out, err = lab.run("pipe", "--image", name, "--cpus", "1", "--time-limit", "0.5", "--format", "json")
    assert code == 0, err
    (line,) = [line for line in err.splitlines() if line.startswith(f"the image {name}")]
    assert line == (
        f"the image {name}: replaced: entry point /entry.sh by python3, user 1234 by {NOBODY}; ignored, since Python"
        " runs isolated (-I): PYTHONOPTIMIZE, PYTHON_GIL; kept, and may change times or memory: MALLOC_ARENA_MAX"
    )
    image_settings = json.loads(out)["session"]["details"]["image_settings"]
    assert image_settings["entrypoint"] == ["/entry.sh"]
    assert image_settings["image_user"] == "1234"
    assert image_settings["kept"] == {"MALLOC_ARENA_MAX": "1"}
    assert image_settings["ignored"]["PYTHON_GIL"] == "1"


def test_a_list_of_images_says_why_no_python_answers(engine: DockerClient, make: Maker) -> None:
    answer, trouble = images._looked_at(engine, make("ENV PATH=/opt", python3="-> /gone"))
    assert answer is None
    assert trouble.startswith("/opt/python3: ")
    assert trouble.endswith("exec /opt/python3 failed: No such file or directory")
    assert images._looked_at(engine, make("ENV PATH=/nowhere")) == (None, "it has none on its PATH")


def test_the_image_of_a_build_may_have_it_as_python_alone(engine: DockerClient, make: Maker) -> None:
    answer = images.asked(engine, make("ENV PATH=/opt", python=f"-> {make.python}"))
    assert answer
    assert answer.problem is None


@pytest.mark.parametrize("output", [1, 2], ids=["standard output", "standard error"])
def test_a_program_that_prints_for_ever_is_ended_whichever_output_it_prints_to(
    engine: DockerClient, make: Maker, output: int
) -> None:
    image = make(endless=f"#!/bin/sh\nexec yes >&{output}\n")
    answer, outcome = image_pythons._asked(engine, image, "/opt/endless", "", "test-endless")
    assert answer is None
    assert outcome.reason
    assert "it printed more than 1 MiB" in outcome.reason
