"""Which engine runs which build: what can be asked for, what is proven of it, and where each cell goes."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab import asked, choice, hardware, interpreters, packed, summary
from lab.engines import Sink, nothing
from lab.engines.fake import Fake
from lab.errors import CellError, EngineError, ImageError, UsageError
from lab.model import Job, Machine, Outcome
from lab.store import SessionFolder
from tests import scripts
from tests.test_packed import job, packed_stop

if TYPE_CHECKING:
    from docker import DockerClient


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        pytest.param(
            choice.Wanted(engine="local", image="x"), "--image needs an engine", id="an image without an engine"
        ),
        pytest.param(choice.Wanted(engine="auto", image="x", pythons=("3.13",)), "both name a Python", id="both"),
        pytest.param(choice.Wanted(engine="auto", pythons=("3.8",)), "3.8", id="too old"),
        pytest.param(choice.Wanted(engine="auto", pythons=("3.13", "3.13")), "twice", id="twice"),
        pytest.param(choice.Wanted(engine="auto", pythons=("3.13+gil",)), "gil", id="an option that it has not"),
    ],
)
def test_what_cannot_be_is_refused_before_any_engine_is_asked(wanted: choice.Wanted, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        wanted.check()


def machine(**python: Any) -> Machine:
    return dataclasses.replace(scripts.machine(), python={**scripts.python(), **python})


def several(machines: Mapping[str, Machine]) -> choice.Several:
    def script(job: Job, sink: Sink) -> Outcome:
        sink(scripts.stream(job.cell.id, job.cell.cpus, {}))
        return Outcome(exit_code=0)

    names = ["a", "b", "_sentinel", "_companion"]
    return choice.Several(
        {label: Fake(machine=one, cells=dict.fromkeys(names, script)) for label, one in machines.items()}
    )


def test_each_cell_goes_to_the_engine_of_its_build_and_every_build_is_proven() -> None:
    engine = several({"3.13": machine(), "3.14": machine(version=[3, 14, 0], release="3.14.0")})
    proofs = engine.probe().details["builds"]
    assert [(one["build"], one["python"]["release"]) for one in proofs] == [("3.13", "3.13.5"), ("3.14", "3.14.0")]
    engine.run(job("a", 1, build="3.14"), lambda piece: None)
    parts = {
        label: [one.cell.id for one in part.jobs] for label, part in engine.parts.items() if isinstance(part, Fake)
    }
    assert parts == {"3.13": [], "3.14": ["a"]}
    engine.close()
    assert all(part.closed for part in engine.parts.values() if isinstance(part, Fake))


def test_a_sentinel_runs_on_a_build_that_there_is(tmp_path: Path) -> None:
    engine = several({"3.13": machine(), "3.14": machine()})
    jobs = [job("a", 1, build="3.13"), job("b", 1, build="3.14")]
    with SessionFolder(tmp_path, "s") as folder:
        found = packed.check(engine, hardware.flat(range(4)), jobs[0], folder, packed_stop())
    assert not found.allowed, "it measured nothing"


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
    said: list[str] = []
    broken = Broken()
    engine = choice.Several({"3.13": broken, "3.14": several({"3.14": machine()}).parts["3.14"]}, note=said.append)
    found = engine.probe()
    assert [(one["build"], bool(one["python"])) for one in found.details["builds"]] == [("3.13", False), ("3.14", True)]
    assert said == ["3.13 will not run: it was killed by signal 11"]
    with pytest.raises(CellError, match="signal 11"):
        engine.run(job("a", 1, build="3.13"), lambda piece: None)
    assert engine.run(job("a", 1, build="3.14"), lambda piece: None).exit_code == 0
    session = dataclasses.replace(scripts.session(), machine=found)
    assert "Python 3.13 (it did not run), 3.14 (3.13.5)" in summary.headline(session)[0]
    engine.close()
    assert broken.closed


def test_one_that_nobody_named_is_left_out_when_it_crashes() -> None:
    said: list[str] = []
    engine = choice.Several(
        {"3.12": Broken(), "3.13": several({"3.13": machine()}).parts["3.13"]}, {"3.12"}, said.append
    )
    assert [one["build"] for one in engine.probe().details["builds"]] == ["3.13"]
    assert said == ["without 3.12: it was killed by signal 11"]


def test_where_every_interpreter_crashes_nothing_runs() -> None:
    with pytest.raises(ImageError, match="signal 11"):
        choice.Several({"3.12": Broken(), "3.13": Broken()}, {"3.12"}).probe()


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
    from lab import builds

    chosen = builds.parse_many(("3.9", "3.13t"))
    assert choice.Wanted(engine="docker", pythons=pythons).spare(chosen) == spare


def test_where_no_python_can_run_a_cell_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interpreters, "find", lambda: ())
    with pytest.raises(EngineError, match="name the path of one with --python"):
        choice.choose(choice.Wanted(engine="local", pythons=("all",)), "s", print, print)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3.13t+gil", "3.13t+gil"), ("./python+gil", "/here/python+gil"), ("~/python", "/home/me/python"), ("a/", "a/")],
)
def test_a_path_is_remembered_so_that_it_means_the_same_in_any_folder(
    text: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getcwd", lambda: "/here")
    monkeypatch.setenv("HOME", "/home/me")
    assert asked.located(text) == expected


@pytest.mark.parametrize(
    ("build", "python", "complaint"),
    [
        pytest.param("3.14", {}, "was to be Python 3.14, and is 3.13", id="another version"),
        pytest.param("3.13t", {}, "was to be Python 3.13t, and is 3.13", id="not free-threaded"),
        pytest.param("3.13t+gil", {"free_threaded": True, "gil_enabled": False}, "GIL off", id="no option"),
        pytest.param("3.13", {}, None, id="as asked for"),
        pytest.param("3.13t+gil", {"free_threaded": True, "gil_enabled": True}, None, id="with its option"),
    ],
)
def test_a_python_that_is_not_the_build_asked_for_is_refused(
    build: str, python: dict[str, Any], complaint: str | None
) -> None:
    from lab import builds

    said = {"python": {**scripts.python(), **python}, "image": "an-image"}
    if complaint is None:
        choice._check(builds.parse(build), said)
    else:
        with pytest.raises(ImageError, match=complaint):
            choice._check(builds.parse(build), said)


def test_a_path_is_run_by_the_local_engine() -> None:
    said: list[str] = []
    engine, found = choice.choose(
        choice.Wanted(engine="auto", pythons=(sys.executable,)), "s", said.append, said.append
    )
    engine.close()
    assert found.engine == "local"
    (proof,) = found.details["builds"]
    assert tuple(proof["python"]["version"][:2]) == sys.version_info[:2]


def test_a_build_that_is_not_on_this_machine_says_what_is_and_how_to_get_it() -> None:
    with pytest.raises(EngineError, match=r"there is no Python 3\.99") as caught:
        choice.choose(choice.Wanted(engine="local", pythons=("3.99",)), "s", print, print)
    assert "uv python install" in str(caught.value)


@pytest.mark.engine
def test_a_build_without_an_image_says_what_there_is_and_how_to_get_it(engine: DockerClient) -> None:
    with pytest.raises(ImageError, match=r"lab images build 3\.99"):
        choice.choose(choice.Wanted(engine="docker", pythons=("3.99",)), "s", print, print)
