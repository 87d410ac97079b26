"""``docker compose up`` on the real engine: the order, who pinned whom, and every setting that keeps a cell apart."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from lab import containers, cpuset
from lab.engines import docker, make
from lab.errors import Interrupted
from lab.model import Cell
from tests import cells
from tests.conftest import skip_or_fail

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parent.parent
SIZES = {"cpu1": 1, "cpu2": 2, "cpu4": 4, "cpuall": None}
SERVICES = (*SIZES, "report")
QUICK = {"LAB_EXPERIMENTS": "pool process", "LAB_SECONDS": "1"}
#: Busy until it is stopped, as far as a test is concerned.
LONG = {"LAB_EXPERIMENTS": "gil", "LAB_SECONDS": "60"}


def lab(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    command = [sys.executable, "-m", "lab", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


@dataclass(frozen=True, kw_only=True)
class Project:
    """Our compose.yaml under a name of its own. ``output`` is what the first ``up`` printed."""

    name: str
    settings: Mapping[str, str]
    output: list[str] = field(default_factory=list)

    def command(self, *arguments: str) -> list[str]:
        """The command line; a developer's own .env is left out of it."""
        file = str(ROOT / "compose.yaml")
        return ["docker", "compose", "--env-file", os.devnull, "--file", file, "-p", self.name, *arguments]

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        usual = {name: value for name, value in os.environ.items() if not name.startswith(("LAB_", "COMPOSE_"))}
        return {**usual, "COMPOSE_ANSI": "never", "COMPOSE_PROGRESS": "plain", **self.settings, **settings}

    def compose(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            env=self.environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )

    def start(self, *arguments: str, **settings: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment(settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def containers(self, client: DockerClient) -> dict[str, dict[str, Any]]:
        """What the engine says of each service's container."""
        filters = {"label": f"com.docker.compose.project={self.name}"}
        found = [client.api.inspect_container(one["Id"]) for one in client.api.containers(all=True, filters=filters)]
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in found}

    def gather(self) -> tuple[int, dict[str, Any]]:
        done = lab("gather", "--project", self.name, "--format", "json")
        return done.returncode, json.loads(done.stdout) if done.stdout else {}

    def said(self, service: str) -> str:
        """What a service printed during the first ``up``, without the prefix."""
        lines = [line.partition(" | ") for line in self.output]
        return "\n".join(text for prefix, _, text in lines if prefix.strip().endswith(f"{service}-1"))


@pytest.fixture(scope="session")
def settings(engine: DockerClient) -> dict[str, str]:
    """What ``lab compose-env`` prints, the images built with it."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        skip_or_fail("docker compose does not run; .ci/setup-engine installs it")
    done = lab("compose-env")
    assert done.returncode == 0, done.stderr
    lines = [line.partition("=") for line in done.stdout.splitlines() if not line.startswith("#")]
    found = {name: value.strip("'") for name, _, value in lines}
    # Under the usual name, which becomes a label of the images: so that they stay the same images.
    built = Project(name="multicore-lab", settings=found).compose("build", "--quiet")
    assert built.returncode == 0, built.stdout
    return found


@pytest.fixture(scope="session")
def unpinned(settings: dict[str, str]) -> dict[str, str]:
    """The same without CPU sets."""
    return {name: value for name, value in settings.items() if not name.startswith("LAB_CPUSET")}


@contextlib.contextmanager
def project_with(settings: Mapping[str, str]) -> Iterator[Project]:
    """A project that leaves nothing behind."""
    project = Project(name=f"mlc-test-{secrets.token_hex(4)}", settings=settings)
    try:
        yield project
    finally:
        done = project.compose("--profile", "quota", "down", "--volumes", "--timeout", "2")
        assert done.returncode == 0, done.stdout


@pytest.fixture
def project(settings: dict[str, str]) -> Iterator[Project]:
    """A project that is pinned by the engine, not started yet."""
    with project_with(settings) as one:
        yield one


@pytest.fixture(scope="module", params=["engine", "worker"])
def ended(request: pytest.FixtureRequest, settings: dict[str, str], unpinned: dict[str, str]) -> Iterator[Project]:
    """A project after ``docker compose up``, pinned by the engine (CPU sets) or by the worker (affinity)."""
    with project_with(settings if request.param == "engine" else unpinned) as one:
        done = one.compose("up", **QUICK)
        assert done.returncode == 0, done.stdout
        one.output.extend(done.stdout.splitlines())
        yield one


@pytest.fixture(scope="module")
def cpus(settings: dict[str, str]) -> tuple[int, ...]:
    """The engine's CPU ids."""
    return cpuset.parse(settings["LAB_CPUSET_ALL"])


def times(container: Mapping[str, Any]) -> tuple[datetime, datetime]:
    state = container["State"]
    return datetime.fromisoformat(state["StartedAt"]), datetime.fromisoformat(state["FinishedAt"])


def expected_pin(project: Project, size: int | None, cpus: tuple[int, ...]) -> str:
    """Who is to have pinned a cell: nobody where there was nothing to take away."""
    if project.settings.get(f"LAB_CPUSET_{size or 'ALL'}"):
        return "engine"
    return "worker" if size and size < len(cpus) else "none"


def test_the_services_run_one_after_the_other_and_all_end_well(ended: Project, engine: DockerClient) -> None:
    containers = ended.containers(engine)
    assert set(containers) == set(SERVICES)
    assert {name: one["State"]["ExitCode"] for name, one in containers.items()} == dict.fromkeys(SERVICES, 0)
    for earlier, later in itertools.pairwise(SERVICES):
        assert times(containers[earlier])[1] <= times(containers[later])[0], f"{later} began before {earlier} had ended"


def test_each_service_says_who_pinned_it_and_what_it_did(ended: Project, cpus: tuple[int, ...]) -> None:
    words = {"engine": "pinned by the engine (CPU set)", "worker": "pinned by itself (affinity)", "none": "not pinned"}
    for service, size in SIZES.items():
        lines = ended.said(service).splitlines()
        assert lines[0].endswith(words[expected_pin(ended, size, cpus)]), lines
        if size and size > len(cpus):
            assert lines[1:] == [f"untestable: needs {size} CPUs, this machine has {len(cpus)}"]
        else:
            assert [line.partition(" in ")[0] for line in lines[1:]] == ["process: ok", "pool: ok"]


def test_the_report_shows_every_size_and_who_pinned_it(ended: Project, cpus: tuple[int, ...]) -> None:
    table = ended.said("report").split("Limits\n")[1].split("\n\n")[1]
    rows = {line.split()[0]: line for line in table.partition("\n--")[2].splitlines()[1:]}
    assert list(rows) == ["1", "2", "4", "all"]
    words = {"engine": "engine (CPU set)", "worker": "worker (affinity)", "none": "nobody"}
    pinned = " ".join(ended.said("report").split("Limits\n")[1].split("\n\n")[0].split())
    for (label, row), size in zip(rows.items(), SIZES.values(), strict=True):
        assert words[expected_pin(ended, size, cpus)] in pinned
        assert row.endswith("untestable" if size and size > len(cpus) else "measured"), f"{label}: {row}"


def test_gather_finds_the_same_after_the_containers_have_ended(ended: Project, cpus: tuple[int, ...]) -> None:
    code, document = ended.gather()
    assert code == 0
    assert document["session"]["host"]["cpus"] == list(cpus)
    for cell, (service, size) in zip(document["cells"], SIZES.items(), strict=True):
        assert cell["id"] == service
        asked = cpuset.parse(ended.settings.get(f"LAB_CPUSET_{size or 'ALL'}", ""))
        assert tuple(cell["cpus"]) == asked
        assert cpuset.parse(cell["proof"]["engine"]["cpuset"]) == asked
        assert cell["pinned_by"] == expected_pin(ended, size, cpus)
        there = len(cpus) if size is None else size
        assert cell["status"] == ("measured" if there <= len(cpus) else "unavailable")
        if there <= len(cpus):
            assert len(cell["proof"]["before"]["affinity"]) == there
    table = lab("gather", "--project", ended.name).stdout
    assert table.split("Claims\n")[1] == ended.said("report").split("Claims\n")[1] + "\n"


def test_the_quota_profile_adds_cells_under_a_quota_and_the_report_waits_for_them(
    project: Project, engine: DockerClient, cpus: tuple[int, ...]
) -> None:
    done = project.compose("--profile", "quota", "up", **QUICK)
    assert done.returncode == 0, done.stdout
    containers = project.containers(engine)
    order = (*SIZES, "q0.5", "q1.5", "report")
    assert set(containers) == set(order)
    for earlier, later in itertools.pairwise(order):
        assert times(containers[earlier])[1] <= times(containers[later])[0]
    code, document = project.gather()
    assert code == 0
    for cell, quota in zip(document["cells"][-2:], (0.5, 1.5), strict=True):
        assert (cell["id"], cell["status"], cell["proof"]["engine"]["quota_cpus"]) == (f"q{quota}", "measured", quota)
        assert cell["rate_cpus"] == min(quota, len(cpus))
    assert "quota 1.5" in done.stdout


def test_a_second_up_shows_only_what_is_new(project: Project) -> None:
    assert project.compose("up", LAB_EXPERIMENTS="process", LAB_SECONDS="1").returncode == 0
    done = project.compose("up", LAB_EXPERIMENTS="pipe", LAB_SECONDS="1")
    assert done.returncode == 0, done.stdout
    assert "pipe: ok" in done.stdout
    assert "process:" not in done.stdout
    _, document = project.gather()
    assert {verdict["claim"].partition(".")[0] for verdict in document["verdicts"]} == {"pipe"}


def test_a_cells_container_is_set_as_one_of_the_docker_engine(
    ended: Project, engine: DockerClient, cpus: tuple[int, ...]
) -> None:
    for service, container in ended.containers(engine).items():
        host, config = container["HostConfig"], container["Config"]
        assert hardening(container) == HARDENED, service
        assert config["Labels"][containers.SESSION_LABEL] == "compose"
        assert [mount["Type"] for mount in container["Mounts"]] == ["volume"]
        assert [mount["RW"] for mount in container["Mounts"]] == [service != "report"]
        if service == "report":
            continue
        size = SIZES[service] or 256
        wanted = docker.settings(Cell(id=service, label="", size=size), "")
        assert host["PidsLimit"] == wanted["pids_limit"]
        assert host["Memory"] == wanted["mem_limit"]
        assert host["MemorySwap"] == wanted["memswap_limit"]
        assert host["Tmpfs"] == wanted["tmpfs"]
        assert config["Labels"][containers.CELL_LABEL] == service
        assert config["StopTimeout"] <= 5


def test_the_volume_carries_the_label_and_there_is_no_network(ended: Project, engine: DockerClient) -> None:
    filters = {"label": f"com.docker.compose.project={ended.name}"}
    (volume,) = engine.api.volumes(filters=filters)["Volumes"]
    assert volume["Labels"][containers.SESSION_LABEL] == "compose"
    assert engine.api.networks(filters=filters) == []


def test_down_leaves_nothing_behind(project: Project, engine: DockerClient) -> None:
    assert project.compose("up", "--detach", "cpu1", **LONG).returncode == 0
    assert project.compose("down", "--volumes").returncode == 0
    assert project.containers(engine) == {}
    filters = {"label": f"com.docker.compose.project={project.name}"}
    assert not engine.api.volumes(filters=filters)["Volumes"]


def test_gather_does_not_wait_for_a_cell_that_is_running(project: Project) -> None:
    assert project.compose("up", "--detach", "cpu1", **LONG).returncode == 0
    until = time.monotonic() + 60
    code, document = project.gather()
    while not document and time.monotonic() < until:  # its first record may still be to come
        code, document = project.gather()
    assert code == 3
    (cell,) = document["cells"]
    assert (cell["status"], cell["reason"]) == ("planned", "not to its end: it is still running")
    assert cell["proof"]["before"]


def test_an_interrupted_up_ends_soon_and_gather_says_what_has_not_run(project: Project, engine: DockerClient) -> None:
    with project.start("up", **LONG) as running:
        assert running.stdout
        next(line for line in running.stdout if "pinned by the engine" in line)
        os.killpg(running.pid, signal.SIGINT)
        begun = time.monotonic()
        rest = running.stdout.read()
        assert running.wait(30) == 130, rest
    assert time.monotonic() - begun < 30, "not when its cell would have ended, after a minute"
    containers = project.containers(engine)
    assert not any(one["State"]["Running"] for one in containers.values())
    assert containers["cpu2"]["State"]["Status"] == "created", "it began although the one before it was stopped"
    code, document = project.gather()
    assert code == 3
    assert [cell["status"] for cell in document["cells"]] == ["error", "planned", "planned", "planned"]


def test_a_cpu_that_is_not_there_ends_up_with_the_engines_own_words(project: Project, cpus: tuple[int, ...]) -> None:
    done = project.compose("up", **QUICK, LAB_CPUSET_2=f"0,{max(cpus) + 1}")
    assert done.returncode != 0
    assert "CPUs are not available" in done.stdout


def test_settings_that_cannot_be_used_end_up_at_once(project: Project) -> None:
    done = project.compose("up", LAB_EXPERIMENTS="nonsense")
    assert done.returncode != 0
    assert "LAB_EXPERIMENTS: there is no 'nonsense'; there are: " in done.stdout
    gathered = lab("gather", "--project", project.name)
    assert gathered.returncode == 3
    assert "cpu1: it exited with status 2" in gathered.stderr


def test_the_image_of_the_cells_has_the_standard_library_only(settings: dict[str, str], engine: DockerClient) -> None:
    program = (
        "import importlib.util as find, lab.worker.service, lab.stats\n"
        "print([name for name in ('docker', 'tabulate', 'rich', 'lab.runner', 'lab.model') if find.find_spec(name)])"
    )
    done = engine.containers.run(
        "multicore-lab-cell:latest", ["-c", program], entrypoint=["python3"], network_mode="none", remove=True
    )
    assert done == b"[]\n"


#: What hardening() is to find in every container of the lab.
HARDENED = {
    "network": "none",
    "read-only": True,
    "capabilities dropped": ["ALL"],
    "capabilities added": [],
    "security options": ["no-new-privileges:true"],
    "privileged": False,
    "user": "65534:65534",
    "init": True,
    "log driver": "json-file",
    "tmpfs": ["/tmp"],
    "restart": "no",
    "host namespaces": [],
}


def hardening(container: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a container that keep it apart, as the engine reports them."""
    host = container["HostConfig"]
    return {
        "network": host["NetworkMode"],
        "read-only": host["ReadonlyRootfs"],
        "capabilities dropped": host["CapDrop"],
        "capabilities added": host["CapAdd"] or [],
        "security options": host["SecurityOpt"],
        "privileged": host["Privileged"],
        "user": container["Config"]["User"],
        "init": host["Init"],
        "log driver": host["LogConfig"]["Type"],
        "tmpfs": list(host["Tmpfs"]),
        "restart": host["RestartPolicy"]["Name"] or "no",
        "host namespaces": [name for name in ("PidMode", "IpcMode", "UTSMode", "UsernsMode") if host[name] == "host"],
    }


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
    said = engine.api.exec_start(order["Id"])
    assert engine.api.exec_inspect(order["Id"])["ExitCode"] == 0, said.decode()
    found: dict[str, Any] = json.loads(said)
    return found


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
    cell = Cell(id="cpu1", label="1", size=1, cpus=cpus[:1])
    job = cells.order(cell, "gil", session=session, seconds=60, width=0.01, experiment_deadline=100)

    def sink(piece: bytes) -> None:
        if piece:
            filters = {"label": f"{containers.SESSION_LABEL}={session}"}
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
    settings: dict[str, str],
    cpus: tuple[int, ...],
    engine: DockerClient,
    with_a_cell: Callable[[Mapping[str, str], tuple[int, ...], DockerClient, Visit], None],
) -> None:
    seen: list[str] = []

    def see(container: str) -> None:
        outside, inside = engine.api.inspect_container(container), look_around(engine, container)
        wanted = docker.settings(Cell(id="cpu1", label="1", size=1), "")
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
        assert inside["affinity"] == [cpus[0]]
        seen.append(container)

    with_a_cell(settings, cpus, engine, see)
    assert len(seen) == 1


def test_compose_does_not_take_a_cell_of_the_docker_engine_for_its_own(
    settings: dict[str, str], cpus: tuple[int, ...], engine: DockerClient
) -> None:
    """Compose labels the images that it builds, and containers inherit that; ``down`` would remove them."""

    def see(container: str) -> None:
        labels = engine.api.inspect_container(container)["Config"]["Labels"]
        assert not labels["com.docker.compose.project"]
        assert not labels["com.docker.compose.service"]

    with_a_cell_of_the_docker_engine(settings, cpus, engine, see)
