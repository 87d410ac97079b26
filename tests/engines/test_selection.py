"""Which engine runs which build: what can be asked for, what is proven of it, and where each cell goes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab import engines
from lab.commands import _options
from lab.containers import client as containers
from lab.engines import Engine, Sink, nothing, selection
from lab.engines import composite as several_builds
from lab.engines.composite import CompositeEngine
from lab.engines.fake import Fake
from lab.errors import CellError, EngineError, ImageError, UsageError
from lab.model import build as builds
from lab.model import topology
from lab.model.cell import Job, Outcome
from lab.model.machine import BuildFacts, Machine
from lab.planning.request import Request
from lab.planning.targets import Target
from lab.pythons import discovery, images, programs
from lab.pythons.discovery import Discovery
from lab.reports import tables
from lab.running import measurement, parallel_cells
from lab.sessions.folder import SessionFolder
from tests.running.test_parallel_cells import job, packed_stop
from tests.support import own_code, scripts
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from docker import DockerClient


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        pytest.param(
            selection.Wanted(engine="local", image="x"), "--image needs an engine", id="an image without an engine"
        ),
        pytest.param(selection.Wanted(engine="auto", image="x", pythons=("3.13",)), "both name a Python", id="both"),
        pytest.param(selection.Wanted(engine="auto", pythons=("3.8",)), "3.8", id="too old"),
        pytest.param(selection.Wanted(engine="auto", pythons=("3.13", "3.13")), "twice", id="twice"),
        pytest.param(selection.Wanted(engine="auto", pythons=("3.13+gil",)), "gil", id="an option that it has not"),
    ],
)
def test_what_cannot_be_is_refused_before_any_engine_is_asked(wanted: selection.Wanted, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        wanted.check()


def machine(**python: Any) -> Machine:
    return dataclasses.replace(scripts.machine(), python={**scripts.python(), **python})


def newer() -> Machine:
    return machine(version=[3, 14, 0], release="3.14.0")


def several(machines: Mapping[str, Machine]) -> CompositeEngine:
    def script(job: Job, sink: Sink) -> Outcome:
        sink(scripts.stream(job.cell.id, job.cell.cpus, {}))
        return Outcome(exit_code=0)

    names = ["a", "b", "_sentinel", "_companion"]
    return CompositeEngine(
        {
            label: Fake(machine=description, cells=dict.fromkeys(names, script))
            for label, description in machines.items()
        }
    )


def test_each_cell_goes_to_the_engine_of_its_build_and_every_build_is_proven() -> None:
    engine = several({"3.13": machine(), "3.14": newer()})
    proofs = engine.probe().details["builds"]
    releases = {proof["build"]: proof["python"]["release"] for proof in proofs}
    assert releases == {"3.13": "3.13.5", "3.14": "3.14.0"}
    engine.run(job("a", 1, build="3.14"), lambda piece: None)
    parts = {
        label: [order.cell.id for order in part.jobs] for label, part in engine.parts.items() if isinstance(part, Fake)
    }
    assert parts == {"3.13": [], "3.14": ["a"]}
    engine.close()
    assert all(part.closed for part in engine.parts.values() if isinstance(part, Fake))


def test_a_sentinel_runs_on_a_build_that_there_is(tmp_path: Path) -> None:
    engine = several({"3.13": machine(), "3.14": newer()})
    jobs = [job("a", 1, build="3.13"), job("b", 1, build="3.14")]
    with SessionFolder(tmp_path, "s") as folder:
        choice = parallel_cells.check_side_by_side(engine, topology.flat(range(4)), jobs[0], folder, packed_stop())
    assert not choice.allowed, "it measured nothing"


class Broken:
    """An engine whose Python crashes when it is asked what it is."""

    closed = False

    def probe(self, meanwhile: Callable[[], object] = nothing) -> Machine:
        raise ImageError("it was killed by signal 11")

    def run(self, job: Job, sink: Sink) -> Outcome:
        raise AssertionError("it is not to run anything")

    def close(self) -> None:
        self.closed = True


def test_an_interpreter_that_crashes_costs_the_cells_of_its_build() -> None:
    lines: list[str] = []
    broken = Broken()
    engine = CompositeEngine({"3.13": broken, "3.14": several({"3.14": newer()}).parts["3.14"]}, note=lines.append)
    description = engine.probe()
    answers = {proof["build"]: bool(proof["python"]) for proof in description.details["builds"]}
    assert answers == {"3.13": False, "3.14": True}
    assert lines == ["3.13 will not run: it was killed by signal 11"]
    with pytest.raises(CellError, match="signal 11"):
        engine.run(job("a", 1, build="3.13"), lambda piece: None)
    assert engine.run(job("a", 1, build="3.14"), lambda piece: None).exit_code == 0
    session = dataclasses.replace(scripts.session(), machine=description)
    assert "Python 3.13 (it did not run), 3.14 (3.14.0)" in tables.headline(session).lines[0]
    engine.close()
    assert broken.closed


def test_one_that_nobody_named_is_left_out_when_it_crashes() -> None:
    lines: list[str] = []
    engine = CompositeEngine(
        {"3.12": Broken(), "3.13": several({"3.13": machine()}).parts["3.13"]}, {"3.12"}, lines.append
    )
    assert [proof["build"] for proof in engine.probe().details["builds"]] == ["3.13"]
    assert lines == ["without 3.12: it was killed by signal 11"]


def test_where_every_interpreter_crashes_nothing_runs() -> None:
    with pytest.raises(ImageError, match="signal 11"):
        CompositeEngine({"3.12": Broken(), "3.13": Broken()}, {"3.12"}).probe()


@pytest.mark.parametrize(
    ("pythons", "spare"),
    [
        (("all",), {"3.9", "3.13t"}),
        (("all,3.9",), {"3.13t"}),
        (("3.13t", "all"), {"3.9"}),
        (("3.9", "3.13t"), set()),
    ],
)
def test_only_those_that_all_has_added_are_spare(pythons: tuple[str, ...], spare: set[str]) -> None:
    chosen = builds.parse_builds(("3.9", "3.13t"))
    assert selection.Wanted(engine="docker", pythons=pythons).spare(chosen) == spare


def test_where_no_python_can_run_a_cell_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "find_interpreters", Discovery)
    with pytest.raises(EngineError, match="name the path of an interpreter with --python"):
        selection.choose(selection.Wanted(engine="local", pythons=("all",)), "s", note=print, before_slow_step=print)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3.13t+gil", "3.13t+gil"),
        ("./python+gil", "/here/python+gil"),
        ("~/python", "/home/me/python"),
        ("a/", "a/"),
        ("3.13,./python,all", "3.13,/here/python,all"),
        ("sub/python,b,~/python", "/here/sub/python,b,/home/me/python"),
    ],
)
def test_a_path_is_remembered_so_that_it_means_the_same_in_any_folder(
    text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getcwd", lambda: "/here")
    monkeypatch.setenv("HOME", "/home/me")
    assert _options.located(text) == expected


@pytest.mark.parametrize(
    ("build", "python", "complaint"),
    [
        pytest.param("3.14", {}, "should be Python 3.14, but is 3.13", id="another version"),
        pytest.param("3.13t", {}, "should be Python 3.13t, but is 3.13", id="not free-threaded"),
        pytest.param(
            "3.13t+gil", {"free_threaded": True, "gil_enabled": False}, "its GIL is off; remove .gil$", id="no option"
        ),
        pytest.param("pypy3.13", {}, r"pypy3\.13, but is 3\.13", id="another implementation"),
        pytest.param("3.13", {"implementation": "GraalPy"}, "but is graalpy3.13", id="one that has no name"),
        pytest.param("3.13", {}, None, id="as asked for"),
        pytest.param("3.13t+gil", {"free_threaded": True, "gil_enabled": True}, None, id="with its option"),
    ],
)
def test_a_python_that_is_not_the_build_asked_for_is_refused(
    build: str, python: dict[str, Any], complaint: str | None
) -> None:
    facts = BuildFacts(label=build, python={**scripts.python(), **python}, image="an-image")
    if complaint is None:
        several_builds._check(builds.parse_build(build), facts)
    else:
        with pytest.raises(ImageError, match=complaint):
            several_builds._check(builds.parse_build(build), facts)


@pytest.mark.slow
def test_a_path_is_run_by_the_local_engine() -> None:
    engine, description = selection.choose(
        selection.Wanted(engine="auto", pythons=(sys.executable,)),
        "s",
        note=print,
        before_slow_step=print,
    )
    engine.close()
    assert description.engine == "local"
    (proof,) = description.details["builds"]
    assert tuple(proof["python"]["version"][:2]) == sys.version_info[:2]


@pytest.mark.parametrize(
    ("against", "options", "engine"),
    [
        ({"label": "venv", "python": sys.executable}, {}, "local"),
        ({"label": "venv", "python": sys.executable}, {"image": "x"}, "auto"),
        ({"label": "venv", "python": sys.executable}, {"host": "big"}, "auto"),
        ({"label": "venv", "python": sys.executable}, {"engine": "slurm"}, "slurm"),
        ({"label": "folder", "project": "folder"}, {}, "auto"),
    ],
)
def test_code_that_is_compared_with_a_python_of_this_machine_is_run_by_the_local_engine(
    against: Mapping[str, str], options: Mapping[str, Any], engine: str
) -> None:
    target = Target(case=own_code.BUSY._replace(against=against), project=".")
    request = Request(experiments=(), seconds=1.0, width=0.1, target=target, **options)
    assert measurement.wanted(request).engine == engine


@pytest.mark.slow
def test_a_build_that_is_not_on_this_machine_says_what_is_and_how_to_get_it() -> None:
    with pytest.raises(EngineError, match=r"there is no Python 3\.99") as caught:
        selection.choose(selection.Wanted(engine="local", pythons=("3.99",)), "s", note=print, before_slow_step=print)
    assert "uv python install" in str(caught.value)


@pytest.mark.engine
def test_a_build_without_an_image_says_what_there_is_and_how_to_get_it(engine: DockerClient) -> None:
    with pytest.raises(ImageError, match=r"lab images build 3\.99"):
        selection.choose(selection.Wanted(engine="docker", pythons=("3.99",)), "s", note=print, before_slow_step=print)


def crashing(folder: Path) -> Path:
    """A program that is killed whenever it is started."""
    path = folder / "python"
    path.write_text("#!/bin/sh\nkill -SEGV $$\n", encoding="utf-8")
    path.chmod(0o755)
    return path


@pytest.mark.slow
def test_a_local_interpreter_that_crashes_costs_its_own_cells_only(lab: Lab, tmp_path: Path) -> None:
    bad = crashing(tmp_path)
    code, out, err = lab.run("pipe", "--python", f"{bad},{sys.executable}", "--cpus", "1", "--quick")
    assert code == 3
    assert f"{bad} will not run: {bad} was killed by signal 11 (SIGSEGV); name a Python 3.9 or later" in err
    assert "1 of 2 cells measured" in err
    assert "confirmed" in out


@pytest.mark.slow
def test_one_that_hangs_costs_its_own_cells_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_SECONDS", 1.0)
    bad = crashing(tmp_path)
    bad.write_text("#!/bin/sh\nsleep 60\n", encoding="utf-8")
    called: list[str] = []
    wanted = selection.Wanted(engine="local", pythons=(str(bad), sys.executable))
    engine, description = selection.choose(
        wanted, "s", note=print, before_slow_step=print, meanwhile=lambda: called.append("meanwhile")
    )
    assert called == ["meanwhile"]
    with contextlib.closing(engine):
        assert [(proof["build"], bool(proof["python"])) for proof in description.details["builds"]] == [
            (str(bad), False),
            (sys.executable, True),
        ]
        with pytest.raises(CellError, match="gave no answer within 1 s"):
            engine.run(job("a", 1, build=str(bad)), lambda piece: None)


@pytest.mark.slow
def test_where_every_local_interpreter_crashes_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="SIGSEGV"):
        selection.choose(
            selection.Wanted(engine="local", pythons=(str(crashing(tmp_path)),)),
            "s",
            note=print,
            before_slow_step=print,
        )


@pytest.mark.slow
def test_one_that_is_not_there_is_refused_before_anything_runs(lab: Lab, tmp_path: Path) -> None:
    code, _, err = lab.run("pipe", "--python", f"{tmp_path}/none,{sys.executable}", "--cpus", "1")
    assert (code, f"there is nothing at {tmp_path}/none" in err) == (3, True)
    assert not lab.sessions.exists()


def test_the_home_of_nobody_is_wrong_usage_and_no_traceback(lab: Lab) -> None:
    code, _, err = lab.run("pipe", "--python", "~nosuchuser/python")
    assert (code, "no home folder of ~nosuchuser" in err) == (2, True)


def test_a_stale_one_that_nobody_named_is_left_out() -> None:
    lines: list[str] = []
    engine = several({"3.13": machine(), "3.14": machine()})
    spare = CompositeEngine(engine.parts, {"3.14"}, lines.append)
    assert [proof["build"] for proof in spare.probe().details["builds"]] == ["3.13"]
    (line,) = lines
    assert line.startswith(
        "without 3.14: the image python:3.13-slim should be Python 3.14, but is 3.13; build it again"
    )
    assert line.endswith(": lab images build 3.14")
    with pytest.raises(ImageError, match=r"should be Python 3\.14"):
        engine.probe()


def test_an_interpreter_of_another_build_is_not_built_again_as_an_image_is() -> None:
    with pytest.raises(ImageError, match=r"^/usr/bin/python3 should .* but is 3\.13; name the path of another Python$"):
        several_builds._check(builds.parse_build("3.14"), BuildFacts(label="3.14", python=scripts.python()))


@pytest.mark.slow
def test_where_an_engine_cannot_be_made_none_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Fake] = []

    def make(name: str, **options: object) -> Engine:
        if made:
            raise OSError("no space left on the device")
        made.append(Fake(machine=machine(), cells={}))
        return made[0]

    monkeypatch.setattr(engines, "make", make)
    interpreter = discovery.interpreter_of(builds.parse_build(sys.executable))
    monkeypatch.setattr(discovery, "interpreter_of", lambda build, pythons: interpreter)
    with pytest.raises(OSError, match="no space"):
        selection.choose(
            selection.Wanted(engine="local", pythons=("/a", "/b")), "s", note=print, before_slow_step=print
        )
    assert [engine.closed for engine in made] == [True]


def test_one_that_cannot_be_closed_leaves_none_of_the_others_open() -> None:
    class Stuck(Broken):
        def close(self) -> None:
            raise EngineError("it is gone")

    last, first = Broken(), Broken()
    with pytest.raises(EngineError, match="it is gone"):
        CompositeEngine({"3.12": first, "3.13": Stuck(), "3.14": last}).close()
    assert (first.closed, last.closed) == (True, True)


@pytest.mark.parametrize(
    ("details", "lines"),
    [
        ({"build": {"debug": True}}, ["this Python is a debug build"]),
        ({"build": {"debug": False}}, []),
        ({"build": None}, []),
        (
            {"builds": [{"build": "3.13", "proof": {"debug": True}}, {"build": "3.14", "proof": None}]},
            ["3.13 is a debug build"],
        ),
    ],
    ids=["the only one", "a usual one", "nothing known", "one of several"],
)
def test_a_debug_build_is_told_of(details: dict[str, Any], lines: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    notes: list[str] = []
    monkeypatch.setattr(
        engines, "make", lambda name, **_: Fake(machine=dataclasses.replace(machine(), details=details), cells={})
    )
    selection.choose(selection.Wanted(engine="local"), "s", note=notes.append, before_slow_step=notes.append)
    assert [line.partition(" (Py_DEBUG)")[0] for line in notes] == lines


@pytest.mark.slow
def test_all_says_in_one_line_what_it_leaves_out(monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[str] = []
    pythons = discovery.find_interpreters()
    broken = programs.Broken(path="/opt/python3.12", reason="was killed by signal 11 (SIGSEGV)")
    own = next(python for python in pythons.interpreters if python.path == os.path.realpath(sys.executable))
    monkeypatch.setattr(discovery, "find_interpreters", lambda: Discovery(interpreters=(own,), broken=(broken,)))
    engine, _ = selection.choose(
        selection.Wanted(engine="local", pythons=("all",)), "s", note=lines.append, before_slow_step=print
    )
    engine.close()
    assert lines == ["all leaves out /opt/python3.12 was killed by signal 11 (SIGSEGV)"]


class Client:
    """An engine's client that can only be closed."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize(
    ("pythons", "asked_for"),
    [
        (("all",), ["3.9", "3.11", "3.12", "3.13", "3.13t", "3.14", "3.14t", "3.15"]),
        (("3.13",), ["3.13"]),
        (("3.12,3.14t",), ["3.12", "3.14t"]),
    ],
    ids=["all", "one", "those alone"],
)
def test_all_is_the_usual_builds_and_those_that_the_engine_has_images_of(
    pythons: tuple[str, ...], asked_for: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def tags(client: object) -> Iterator[tuple[str, builds.Build, dict[str, Any]]]:
        assert pythons == ("all",), "they are listed only where it matters"
        for name in ("3.12", "3.13", "3.14t"):
            yield f"multicore-lab-base:{name}", builds.parse_build(name), {}

    monkeypatch.setattr(images, "tagged", tags)
    monkeypatch.setattr(images, "image_of", lambda client, build, pull: f"an-image:{build.name}")
    monkeypatch.setattr(containers, "client_for_this_environment", lambda host: Client())

    def make(name: str, image: str, **options: object) -> Engine:
        build = builds.parse_build(image.partition(":")[2])
        assert build.version
        version = {"version": [*build.version, 0], "free_threaded": build.free_threaded}
        return Fake(machine=machine(**version), cells={})

    monkeypatch.setattr(engines, "make", make)
    _, description = selection.choose(
        selection.Wanted(engine="docker", pythons=pythons), "s", note=print, before_slow_step=print
    )
    assert [proof["build"] for proof in description.details["builds"]] == asked_for


@pytest.mark.engine
def test_a_stale_image_of_no_usual_build_is_looked_at_for_all_and_left_out(engine: DockerClient, image: str) -> None:
    stale = "multicore-lab-base:3.96"  # nobody else's
    engine.images.get(image).tag(stale)
    lines: list[str] = []
    try:
        made, description = selection.choose(
            selection.Wanted(engine="docker", pythons=("all",)), "choice", note=lines.append, before_slow_step=print
        )
        made.close()
    finally:
        engine.images.remove(stale)
    assert "3.96" not in [proof["build"] for proof in description.details["builds"]]
    assert any(line.startswith(f"without 3.96: the image {stale} should be Python 3.96, but is ") for line in lines)
