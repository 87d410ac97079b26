"""The docker engine on a real engine: real CPU sets, hardened containers, and nothing left behind."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from lab.cell.claims.claim import disturbances
from lab.cell.cpus import cpulist
from lab.cell.experiments import load
from lab.containers.cleanup import remove_all
from lab.containers.client import CELL_LABEL, SESSION_LABEL, client_for_this_environment
from lab.engines import cell_containers
from lab.engines import docker as docker_engine
from lab.engines.docker import Docker
from lab.errors import Interrupted
from lab.judging import verdicts
from lab.judging.records import Reader
from lab.model.cell import Cell, Job, Limit, Status
from lab.model.machine import Machine
from lab.model.session import Verdict
from tests.conftest import labelled
from tests.support import cells

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.engine

INSIDE = """
    def attempt(act):
        try:
            act()
        except OSError as error:
            return error.strerror
        return "allowed"

    status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
    recorder.observe("user", [os.getuid(), os.getgid()])
    recorder.observe("root", attempt(lambda: open("/hello", "w")))
    recorder.observe("tmp", attempt(lambda: open("/tmp/hello", "w")))
    recorder.observe("network", sorted(os.listdir("/sys/class/net")))
    recorder.observe("capabilities", int(status["CapEff"], 16) | int(status["CapBnd"], 16))
    recorder.observe("no new privileges", status["NoNewPrivs"].strip())
    recorder.observe("init", open("/proc/1/comm").read().strip())
    """

#: Experiments of these tests: name -> the body of ``run(recorder)``.
OURS = {
    "inside": INSIDE,
    "hangs": "time.sleep(600)",
    "slow": "for step in range(3):\n    recorder.tell('step %d' % step)\n    time.sleep(1)",
}


@pytest.fixture
def session() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def docker(image: str, session: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Docker]:
    """A docker engine whose cells know the experiments of these tests too."""
    monkeypatch.setattr(docker_engine, "cell_code", lambda *_, **__: cells.code_with(OURS))
    engine = Docker(client_for_this_environment(), image, session)
    yield engine
    engine.close()


def job(session: str, *experiments: str, cpus: tuple[int, ...] = (0,), seconds: float = 30) -> Job:
    cell = Cell(id=f"cpu{len(cpus)}", limit=Limit(cpus=len(cpus)), size=len(cpus), cpus=cpus)
    return cells.order(cell, *experiments, session=session, cell_deadline=seconds)


def test_the_probe_finds_the_engines_machine_and_the_images_python(docker: Docker, image: str) -> None:
    machine: Machine = docker.probe()
    assert machine.engine == "docker"
    assert machine.image == image
    assert len(machine.cpus) == machine.details["engine_cpus"]
    assert machine.details["image_id"].startswith("sha256:")
    assert tuple(machine.python["version"]) >= (3, 9)


def test_the_limit_is_real_and_each_side_says_the_same(docker: Docker, session: str) -> None:
    last = docker.probe().cpus[-1:]
    result = cells.run_on(docker, job(session, "pipe", cpus=last))
    assert (result.status, result.reason) == (Status.MEASURED, None)
    assert result.outcome
    assert result.outcome.outside["cpuset"] == cpulist.render(last)
    assert result.outcome.exit_code == 0
    assert result.proof["affinity"] == list(last)
    assert result.proof["cpuset_effective"] in (None, cpulist.render(last))
    assert result.pinned_by == "engine"


def test_a_container_has_nothing_that_it_does_not_need(docker: Docker, engine: DockerClient, session: str) -> None:
    seen: dict[str, Any] = {}

    def watch(reader: Reader) -> None:
        if reader.records and not seen:
            (container,) = engine.api.containers(filters={"label": f"{SESSION_LABEL}={session}"})
            seen.update(engine.api.inspect_container(container["Id"]))

    result = cells.run_on(docker, job(session, "inside"), watch)
    host, configuration = seen["HostConfig"], seen["Config"]
    assert configuration["User"] == "65534:65534"
    assert configuration["Labels"].items() >= {SESSION_LABEL: session, CELL_LABEL: "cpu1"}.items()
    assert host["CpusetCpus"] == "0"
    assert host["NetworkMode"] == "none"
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] is None
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert list(host["Tmpfs"]) == ["/tmp"]
    assert host["Binds"] is None
    assert host["Privileged"] is False
    assert host["PidsLimit"] > 100
    assert 0 < host["Memory"] == host["MemorySwap"]
    assert host["Init"] is True
    assert seen["Mounts"] == []
    inside = {record.data["name"]: record.data["value"] for record in result.records if record.kind == "observation"}
    assert inside == {
        "user": [65534, 65534],
        "root": "Read-only file system",
        "tmp": "allowed",
        "network": ["lo"],
        "capabilities": 0,
        "no new privileges": "1",
        "init": inside["init"],
    }
    assert inside["init"] != "python3", "signals and orphans are an init's work"


def test_records_come_while_the_cell_runs_and_agree_with_the_engines_log(docker: Docker, session: str) -> None:
    counts: list[int] = []
    result = cells.run_on(docker, job(session, "slow"), lambda reader: counts.append(len(reader.records)))
    assert len(set(counts)) > 2
    assert result.outcome
    assert result.outcome.stream is None, "the log holds just what came live"


def test_a_sink_that_raises_ends_the_cell_at_once(docker: Docker, engine: DockerClient, session: str) -> None:
    def watch(reader: Reader) -> None:
        if any(record.kind == "begin" for record in reader.records):
            raise Interrupted("enough")

    with pytest.raises(Interrupted):
        cells.run_on(docker, job(session, "hangs"), watch)
    assert labelled(engine, session) == set()


def test_what_a_session_left_is_removed_by_its_label_and_nothing_else_is(engine: DockerClient, image: str) -> None:
    session_id, neighbour = f"test-{uuid.uuid4().hex[:8]}", f"test-{uuid.uuid4().hex[:8]}"
    for session in (session_id, neighbour):
        labels = {SESSION_LABEL: session}
        engine.volumes.create(session, labels=labels)
        engine.networks.create(session, labels=labels)
        engine.containers.run(
            image,
            entrypoint=["sleep"],
            command=["600"],
            detach=True,
            name=session,
            labels=labels,
            network=session,
            volumes={session: {"bind": "/data"}},
        )
    try:
        removed, kept = remove_all(engine, session_id)
        assert sorted(removed) == [f"container {session_id}", f"network {session_id}", f"volume {session_id}"]
        assert kept == []
        assert labelled(engine, session_id) == set()
        assert len(labelled(engine, neighbour)) == 3
        assert remove_all(engine, session_id) == ([], [])
    finally:
        remove_all(engine, neighbour)


def test_what_is_in_use_elsewhere_is_kept_and_named_with_the_reason(engine: DockerClient, image: str) -> None:
    session = f"test-{uuid.uuid4().hex[:8]}"
    volume = engine.volumes.create(session, labels={SESSION_LABEL: session})
    user = engine.api.create_container(
        image, command=["true"], host_config=engine.api.create_host_config(binds=[f"{session}:/data"])
    )
    try:
        removed, kept = remove_all(engine, session)
        assert removed == []
        assert len(kept) == 1
        assert kept[0].startswith(f"volume {session}: ")
        assert "in use" in kept[0]
    finally:
        engine.api.remove_container(user["Id"])
        volume.remove()


def test_a_quota_that_nobody_asked_for_is_named_and_decides_nothing(
    docker: Docker, session: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = cell_containers.settings
    monkeypatch.setattr(
        cell_containers, "settings", lambda cell: {**usual(cell), "cpu_period": 20_000, "cpu_quota": 5_000}
    )
    result = cells.run_on(docker, job(session, "_control-idle"))
    assert result.status is Status.MEASURED, result.reason
    (same,) = [
        verdict
        for verdict in verdicts.judge_claims([load("_control-idle")], [result])
        if verdict.claim == "_control-idle.same-is-same"
    ]
    assert same.verdict is Verdict.INCONCLUSIVE
    assert "throttling" in same.reason
    assert same.accepted == 0


def test_a_neighbour_on_the_cells_cpu_is_named(docker: Docker, session: str) -> None:
    result = cells.run_on(docker, job(session, "_control-full"))
    rounds = verdicts.evidence_of("_control-full", result).rounds("round")
    causes = disturbances(rounds, "one process", "probe")
    assert set(causes) <= {"run delay", "lost time"}
    assert "run delay" in causes
