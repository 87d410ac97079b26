"""An engine whose answers are incomplete or make no sense: a sentence, or the rest of the answer; never a traceback."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.containers.client import CELL_LABEL, SESSION_LABEL
from lab.containers.compose import RECORDS_LABEL
from lab.containers.container import COMPOSE_LABEL
from tests.support import scripts
from tests.support.fake_api import Container, Engine, Play, Server, well
from tests.support.terminal import Lab

pytestmark = pytest.mark.slow  # each test starts the command line

#: The labels of a cell that Compose has started.
LABELS = {
    SESSION_LABEL: "compose",
    CELL_LABEL: "cpu1",
    RECORDS_LABEL: "/records/cpu1.jsonl",
    f"{COMPOSE_LABEL}.project": "a-project",
    f"{COMPOSE_LABEL}.oneoff": "False",
}


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Engine]:
    """A fake engine that ``DOCKER_HOST`` points at, with a dead container of a cell of Compose."""
    with Server(tmp_path / "engine.sock") as server:
        monkeypatch.setenv("DOCKER_HOST", f"unix://{server.server_address!s}")
        body = {"Labels": LABELS, "Image": "multicore-lab-base:3.13", "HostConfig": {}}
        dead = Container("a-dead-cell", body, well("cpu1", (0,)))
        dead.started.set()
        dead.ended.set()
        server.engine.containers["d" * 64] = dead
        yield server.engine
    gc.collect()


def each(**fields: object) -> Callable[[Any], object]:
    """Sets these fields in an object, or in every object of a list."""

    def alter(body: Any) -> object:
        if isinstance(body, list):
            return [{**entry, **fields} for entry in body]
        return {**body, **fields}

    return alter


def lacking(*names: str) -> Callable[[Any], object]:
    """Leaves these fields out, likewise."""

    def alter(body: Any) -> object:
        if isinstance(body, list):
            return [alter(entry) for entry in body]
        return {name: value for name, value in body.items() if name not in names}

    return alter


def only(value: object) -> Callable[[Any], object]:
    """Answers this instead."""
    return lambda body: value


def state(**fields: object) -> Callable[[Any], object]:
    """Sets these fields in the state of a container."""
    return lambda body: {**body, "State": {**body["State"], **fields}}


ODD: Mapping[str, tuple[str, Callable[[Any], object]]] = {
    "Names null": ("containers", each(Names=None)),
    "Names empty": ("containers", each(Names=[])),
    "Names missing": ("containers", lacking("Names")),
    "Labels null": ("containers", each(Labels=None)),
    "no container list": ("containers", only(None)),
    "containers without ids": ("containers", lacking("Id")),
    "RepoTags null": ("images", each(RepoTags=None)),
    "no image list": ("images", only(None)),
    "images without ids": ("images", lacking("Id")),
    "NCPU below zero": ("info", each(NCPU=-1)),
    "NCPU a word": ("info", each(NCPU="two")),
    "NCPU null": ("info", each(NCPU=None)),
    "no info": ("info", only(None)),
    "info a list": ("info", only([1])),
    "warnings a word": ("info", each(Warnings="WARNING: No cpuset support")),
    "options null": ("info", each(SecurityOptions=None, CgroupVersion=None, Architecture=None)),
    "options a number": ("info", each(SecurityOptions=7)),
    "no version": ("version", only({})),
    "version null": ("version", only(None)),
    "version a number": ("version", each(ApiVersion=1.45)),
    "no id of a new container": ("create", lacking("Id")),
    "warnings a number": ("create", each(Warnings=7)),
    "no state": ("inspect", lacking("State")),
    "state null": ("inspect", each(State=None)),
    "host configuration null": ("inspect", each(HostConfig=None)),
    "a CPU set of words": ("inspect", each(HostConfig={"CpusetCpus": "all of them", "CpuQuota": "much"})),
    "a CPU set of a word": ("inspect", each(HostConfig={"CpusetCpus": "first"})),
    "details null": ("inspect", only(None)),
    "started in year 1": ("inspect", state(StartedAt="0001-01-01T00:00:00Z")),
    "started in year 1, in a zone": ("inspect", state(StartedAt="0001-01-01T00:00:00+02:00", Status="exited")),
    "started never": ("inspect", state(StartedAt="")),
    "started null": ("inspect", state(StartedAt=None)),
    "started at a word": ("inspect", state(StartedAt="soon")),
    "image without configuration": ("image", each(Config=None, Architecture=None)),
    "image null": ("image", only(None)),
    "networks null": ("networks", only(None)),
    "volumes null": ("volumes", only(None)),
    "volumes a list": ("volumes", only([])),
    "containers a page of the web": ("containers", only("<html>")),
    "images a page of the web": ("images", only("<html>")),
}

COMMANDS = {
    "run": ("run", "pipe", "--engine", "docker", "--cpus", "1"),
    "clean": ("clean",),
    "gather": ("gather",),
    "images": ("images", "list"),
    "compose-env": ("compose-env",),
    "plan": ("plan", "--engine", "docker"),
}

#: The quickest of them: it needs nothing but an engine.
FAST = {"clean"}


@pytest.mark.parametrize(
    ("odd", "command"),
    [
        pytest.param(odd, command, marks=[] if command in FAST else [pytest.mark.slow])
        for odd, command in itertools.product(ODD, COMMANDS)
    ],
)
def test_an_odd_answer_never_ends_in_a_traceback(lab: Lab, api: Engine, tmp_path: Path, odd: str, command: str) -> None:
    step, alter = ODD[odd]
    api.altered[step] = alter
    words = COMMANDS[command]
    code, _, err = lab(*words, *(("--output", str(tmp_path / "sessions")) if command == "run" else ()))
    assert code in (0, 2, 3), err
    assert "a defect of the lab" not in err
    if code:
        assert err.splitlines()[-1].startswith(("lab: ", "exit code")), err


def test_a_dead_container_without_a_name_is_removed_and_named_by_its_id(lab: Lab, api: Engine) -> None:
    api.altered["containers"] = each(Names=None)
    code, out, _ = lab("clean")
    assert code == 0
    lines = [line for line in out.splitlines() if not line.startswith("removed folder")]  # of tests that were killed
    assert lines == [f"removed container {'d' * 12}", "nothing is left"]
    assert api.containers == {}


def test_an_image_that_is_gone_when_it_is_looked_at_is_left_out(lab: Lab, api: Engine) -> None:
    api.altered["images"] = lambda body: [*body, {"Id": "gone", "RepoTags": ["multicore-lab-base:3.9"]}]
    code, out, err = lab("images", "list")
    assert (code, err) == (0, "")
    assert "multicore-lab-base:3.13" in out
    assert "multicore-lab-base:3.9" not in out


def test_a_cell_of_compose_that_never_started_is_waited_for(lab: Lab, api: Engine) -> None:
    api.altered["inspect"] = state(StartedAt="0001-01-01T00:00:00Z")
    code, _, err = lab("gather")
    assert code == 3
    assert "cpu1: it was not started" in err


SENSELESS: Mapping[str, Mapping[str, object]] = {
    "no affinity": {"affinity": []},
    "affinity null": {"affinity": None},
    "affinity of words": {"affinity": ["first"]},
    "affinity below zero": {"affinity": [-1, 0]},
    "affinity of a huge CPU": {"affinity": [10**9]},
    "quotas null": {"quotas": None},
    "a quota of words": {"quotas": [{"quota_cpus": "two"}]},
    "a level without its quota": {"quotas": [{"folder": "/"}]},
}


@pytest.mark.parametrize("proof", SENSELESS.values(), ids=SENSELESS)
def test_a_probe_with_a_senseless_affinity_or_quota_is_a_sentence(
    lab: Lab, api: Engine, proof: Mapping[str, object]
) -> None:
    api.cells["probe"] = Play(stdout=scripts.stream("probe", (0,), seen=proof))
    code, _, err = lab.run("pipe", "--engine", "docker", "--cpus", "1")
    assert code == 3
    assert "multicore-lab-base:3.13 has sent a description of its machine that makes no sense" in err


@pytest.mark.parametrize("host", ["", "0-", "all", "9-0", "0-99999999", None, 7])
def test_a_probe_with_senseless_cpus_of_the_host_still_runs_cells(lab: Lab, api: Engine, host: object) -> None:
    api.cells["probe"] = Play(stdout=scripts.stream("probe", (0, 1), seen={"host_cpus": host}))
    code, out, err = lab.run("pipe", "--engine", "docker", "--cpus", "1")
    assert code == 0, err
    assert "confirmed" in out
