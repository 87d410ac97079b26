"""What a cell can do on the real engine, whoever started it: nothing that it need not."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from lab.containers import client
from lab.engines import cell_containers, make
from lab.errors import Interrupted
from lab.model.cell import Cell, Limit
from tests.support import cells
from tests.support.compose_project import LONG, project_with
from tests.support.hardening import HARDENED, hardening

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.engine

#: Runs inside a cell; says what it can and cannot do there.
LOOK_AROUND = r"""
import json, os, socket, subprocess

def refusal(act):
    try:
        act()
    except OSError as error:
        return type(error).__name__ + " " + os.strerror(error.errno)
    return "no"

def write(path):
    return refusal(lambda: open(path, "a").close())

def run_from_tmp():
    with open("/tmp/program", "w") as file:
        file.write("#!/bin/sh\n")
    os.chmod("/tmp/program", 0o755)
    subprocess.run(["/tmp/program"])

def first(*paths):
    return next(open(path).read().strip() for path in paths if os.path.exists(path))

def status(pid):
    fields = dict(line.split(":", 1) for line in open("/proc/%s/status" % pid))
    names = ("Uid", "Gid", "NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapBnd")
    return {name: fields[name].split()[0] for name in names}

print(json.dumps({
    "init": open("/proc/1/comm").read().strip(),
    "status": [status(1), status("self")],
    "refused": {path: write(path) for path in ("/new", "/etc/passwd", "/usr/new", "/proc/sys/kernel/hostname")},
    "allowed": {path: write(path) for path in ("/tmp/new", "/dev/shm/new")},
    "run from /tmp": refusal(run_from_tmp),
    "interfaces": sorted(os.listdir("/sys/class/net")),
    "connect": refusal(lambda: socket.create_connection(("192.0.2.1", 80), 2)),
    "pids": int(first("/sys/fs/cgroup/pids/pids.max", "/sys/fs/cgroup/pids.max")),
    "memory": int(first("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory.max")),
    "affinity": sorted(os.sched_getaffinity(0)),
}))
"""


def look_around(engine: DockerClient, container: str) -> dict[str, Any]:
    order = engine.api.exec_create(container, ["python3", "-c", LOOK_AROUND])
    output = engine.api.exec_start(order["Id"])
    assert engine.api.exec_inspect(order["Id"])["ExitCode"] == 0, output.decode()
    view: dict[str, Any] = json.loads(output)
    return view


#: Has the cell of one CPU running and hands its container to this: the CPU id is the first one there.
Visit = Callable[[str], None]


def with_a_cell_of_compose(
    settings: Mapping[str, str], cpus: tuple[int, ...], engine: DockerClient, see: Visit
) -> None:
    with project_with(settings) as project:
        assert project.compose("up", "--detach", "cpu1", **LONG).returncode == 0
        see(project.containers(engine)["cpu1"]["Id"])


def with_a_cell_of_the_docker_engine(
    settings: Mapping[str, str], cpus: tuple[int, ...], engine: DockerClient, see: Visit
) -> None:
    session = f"test-{secrets.token_hex(4)}"
    cell = Cell(id="cpu1", limit=Limit(cpus=1), size=1, cpus=cpus[:1])
    job = cells.order(cell, "gil", session=session, seconds=60, width=0.01, experiment_deadline=100)

    def sink(piece: bytes) -> None:
        if piece:
            filters = {"label": f"{client.SESSION_LABEL}={session}"}
            (container,) = engine.api.containers(filters=filters)
            see(container["Id"])
            raise Interrupted("seen enough")

    lab_engine = make("docker", image="multicore-lab-cell:latest", session=session)
    try:
        with pytest.raises(Interrupted, match="seen enough"):
            lab_engine.run(job, sink)
    finally:
        lab_engine.close()


@pytest.mark.parametrize(
    "with_a_cell", [with_a_cell_of_compose, with_a_cell_of_the_docker_engine], ids=["compose", "docker engine"]
)
def test_a_running_cell_can_do_nothing_that_it_need_not(
    compose_settings: dict[str, str],
    engine_cpus: tuple[int, ...],
    engine: DockerClient,
    with_a_cell: Callable[[Mapping[str, str], tuple[int, ...], DockerClient, Visit], None],
) -> None:
    seen: list[str] = []

    def see(container: str) -> None:
        outside, inside = engine.api.inspect_container(container), look_around(engine, container)
        wanted = cell_containers.settings(Cell(id="cpu1", limit=Limit(cpus=1), size=1))
        assert hardening(outside) == HARDENED
        for status in inside["status"]:
            assert (status["Uid"], status["Gid"], status["NoNewPrivs"]) == ("65534", "65534", "1")
            assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd")} == {0}
        assert inside["init"] in ("docker-init", "tini", "catatonit")
        assert set(inside["refused"].values()) <= {"OSError Read-only file system", "PermissionError Permission denied"}
        assert inside["refused"]["/new"] == "OSError Read-only file system"
        assert set(inside["allowed"].values()) == {"no"}
        assert inside["run from /tmp"] == "PermissionError Permission denied"
        assert inside["interfaces"] == ["lo"]
        assert inside["connect"] == "OSError Network is unreachable"
        assert (inside["pids"], inside["memory"]) == (wanted["pids_limit"], wanted["mem_limit"])
        assert inside["affinity"] == [engine_cpus[0]]
        seen.append(container)

    with_a_cell(compose_settings, engine_cpus, engine, see)
    assert len(seen) == 1


def test_compose_does_not_take_a_cell_of_the_docker_engine_for_its_own(
    compose_settings: dict[str, str], engine_cpus: tuple[int, ...], engine: DockerClient
) -> None:
    """Compose labels the images that it builds, and containers inherit that; ``down`` would remove them."""

    def see(container: str) -> None:
        labels = engine.api.inspect_container(container)["Config"]["Labels"]
        assert not labels["com.docker.compose.project"]
        assert not labels["com.docker.compose.service"]

    with_a_cell_of_the_docker_engine(compose_settings, engine_cpus, engine, see)
