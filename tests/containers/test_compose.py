"""``docker compose up`` on the real engine: the order, who pinned whom, and every setting that keeps a cell apart."""

from __future__ import annotations

import itertools
import os
import re
import signal
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from lab.cell.cpus import cpulist
from lab.containers import client
from lab.engines import cell_containers
from lab.model.cell import Cell, Limit
from lab.reports.formats.screen import most_lines
from tests.support.compose_project import LONG, Project, lab, project_with
from tests.support.hardening import HARDENED, hardening

if TYPE_CHECKING:
    from docker import DockerClient

pytestmark = pytest.mark.engine

SIZES = {"cpu1": 1, "cpu2": 2, "cpu4": 4, "cpuall": None}
SERVICES = (*SIZES, "report")
QUICK = {"LAB_EXPERIMENTS": "pool process", "LAB_SECONDS": "1"}


@pytest.fixture(scope="session")
def unpinned(compose_settings: dict[str, str]) -> dict[str, str]:
    """What ``lab compose-env`` prints, without CPU sets."""
    return {name: value for name, value in compose_settings.items() if not name.startswith("LAB_CPUSET")}


@pytest.fixture
def project(compose_settings: dict[str, str]) -> Iterator[Project]:
    """A project that is pinned by the engine, not started yet."""
    with project_with(compose_settings) as compose_project:
        yield compose_project


@pytest.fixture(scope="module", params=["engine", "worker"])
def ended(
    request: pytest.FixtureRequest, compose_settings: dict[str, str], unpinned: dict[str, str]
) -> Iterator[Project]:
    """A project after ``docker compose up``, pinned by the engine (CPU sets) or by the worker (affinity)."""
    with project_with(compose_settings if request.param == "engine" else unpinned) as compose_project:
        done = compose_project.compose("up", **QUICK)
        assert done.returncode == 0, done.stdout
        compose_project.output.extend(done.stdout.splitlines())
        yield compose_project


def times(container: Mapping[str, Any]) -> tuple[datetime, datetime]:
    state = container["State"]
    return datetime.fromisoformat(state["StartedAt"]), datetime.fromisoformat(state["FinishedAt"])


def expected_pin(project: Project, size: int | None, engine_cpus: tuple[int, ...]) -> str:
    """Who is to have pinned a cell: nobody where there was nothing to take away."""
    if project.settings.get(f"LAB_CPUSET_{size or 'ALL'}"):
        return "engine"
    return "worker" if size and size < len(engine_cpus) else "none"


@pytest.mark.usefixtures("compose_settings")
@pytest.mark.parametrize(("settings", "prefix"), [({}, ""), ({"LAB_REGISTRY": "ghcr.io/owner"}, "ghcr.io/owner/")])
def test_compose_warns_of_nothing_and_takes_images_from_the_registry_that_is_named(
    settings: Mapping[str, str], prefix: str
) -> None:
    plain = Project(name="multicore-lab", settings=settings)  # what a bare docker compose up has
    done = plain.compose("config", "--images")
    assert done.returncode == 0, done.stdout
    assert {*done.stdout.split()} == {f"{prefix}multicore-lab:latest", f"{prefix}multicore-lab-cell:latest"}


def test_the_services_run_one_after_the_other_and_all_end_well(ended: Project, engine: DockerClient) -> None:
    containers = ended.containers(engine)
    assert set(containers) == set(SERVICES)
    assert {name: container["State"]["ExitCode"] for name, container in containers.items()} == dict.fromkeys(
        SERVICES, 0
    )
    for earlier, later in itertools.pairwise(SERVICES):
        assert times(containers[earlier])[1] <= times(containers[later])[0], f"{later} began before {earlier} had ended"


def test_each_service_says_who_pinned_it_and_what_it_did(ended: Project, engine_cpus: tuple[int, ...]) -> None:
    words = {"engine": "pinned by the engine (CPU set)", "worker": "pinned by itself (affinity)", "none": "not pinned"}
    for service, size in SIZES.items():
        lines = ended.said(service).splitlines()
        assert lines[0].endswith(words[expected_pin(ended, size, engine_cpus)]), lines
        if size and size > len(engine_cpus):
            assert lines[1:] == [f"untestable: needs {size} CPUs, this machine has {len(engine_cpus)}"]
        else:
            assert [line.partition(" in ")[0] for line in lines[1:]] == ["process: ok", "pool: ok"]


def test_the_report_shows_every_size_and_who_pinned_it(ended: Project, engine_cpus: tuple[int, ...]) -> None:
    full = lab("gather", "--full", "--project", ended.name).stdout
    table = full.split("Limits\n")[1].split("\n\n")[1]
    rows = {line.split()[0]: line for line in table.partition("\n--")[2].splitlines()[1:]}
    assert list(rows) == ["1", "2", "4", "all"]
    words = {"engine": "engine (CPU set)", "worker": "worker (affinity)", "none": "nobody"}
    pinned = " ".join(full.split("Limits\n")[1].split("\n\n")[0].split())
    for (label, row), size in zip(rows.items(), SIZES.values(), strict=True):
        assert words[expected_pin(ended, size, engine_cpus)] in pinned
        assert row.endswith("untestable" if size and size > len(engine_cpus) else "measured"), f"{label}: {row}"


def test_gather_finds_the_same_after_the_containers_have_ended(ended: Project, engine_cpus: tuple[int, ...]) -> None:
    code, document = ended.gather()
    assert code == 0
    assert document["session"]["host"]["cpus"] == list(engine_cpus)
    for cell, (service, size) in zip(document["cells"], SIZES.items(), strict=True):
        assert cell["id"] == service
        asked = cpulist.parse(ended.settings.get(f"LAB_CPUSET_{size or 'ALL'}", ""))
        assert tuple(cell["cpus"]) == asked
        assert cpulist.parse(cell["proof"]["engine"]["cpuset"]) == asked
        assert cell["pinned_by"] == expected_pin(ended, size, engine_cpus)
        count = len(engine_cpus) if size is None else size
        assert cell["status"] == ("measured" if count <= len(engine_cpus) else "unavailable")
        if count <= len(engine_cpus):
            assert len(cell["proof"]["before"]["affinity"]) == count
    screen = lab("gather", "--project", ended.name).stdout
    gathered, said = (
        re.search(r"\d+ verdicts on [^.]+", " ".join(text.split())) for text in (screen, ended.said("report"))
    )
    assert gathered
    assert said
    assert gathered[0] == said[0]


def test_up_ends_in_a_screen_that_fits_beside_the_names_of_the_services(ended: Project) -> None:
    lines = ended.said("report").splitlines()
    assert len(lines) <= most_lines(66)
    assert max(map(len, lines)) <= 66
    shown = [re.sub(r"\x1b\[\d*[A-Z]", "", line) for line in ended.output]
    assert max(len(line) for line in shown if "report-1" in line) <= 80
    text = " ".join(ended.said("report").split())
    assert "Pool() start" in text
    assert "Tables: lab report --terminal." in text


def test_the_quota_profile_adds_cells_under_a_quota_and_the_report_waits_for_them(
    project: Project, engine: DockerClient, engine_cpus: tuple[int, ...]
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
        assert cell["rate_cpus"] == min(quota, len(engine_cpus))
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
    ended: Project, engine: DockerClient, engine_cpus: tuple[int, ...]
) -> None:
    for service, container in ended.containers(engine).items():
        host, config = container["HostConfig"], container["Config"]
        assert hardening(container) == HARDENED, service
        assert config["Labels"][client.SESSION_LABEL] == "compose"
        assert [mount["Type"] for mount in container["Mounts"]] == ["volume"]
        assert [mount["RW"] for mount in container["Mounts"]] == [service != "report"]
        if service == "report":
            continue
        size = SIZES[service] or 256
        wanted = cell_containers.settings(Cell(id=service, limit=Limit(cpus=size), size=size))
        assert host["PidsLimit"] == wanted["pids_limit"]
        assert host["Memory"] == wanted["mem_limit"]
        assert host["MemorySwap"] == wanted["memswap_limit"]
        assert host["Tmpfs"] == wanted["tmpfs"]
        assert config["Labels"][client.CELL_LABEL] == service
        assert config["StopTimeout"] <= 5


def test_the_volume_carries_the_label_and_there_is_no_network(ended: Project, engine: DockerClient) -> None:
    filters = {"label": f"com.docker.compose.project={ended.name}"}
    (volume,) = engine.api.volumes(filters=filters)["Volumes"]
    assert volume["Labels"][client.SESSION_LABEL] == "compose"
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
    assert (cell["status"], cell["reason"]) == ("planned", "it is still running")
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
    assert not any(container["State"]["Running"] for container in containers.values())
    assert containers["cpu2"]["State"]["Status"] == "created", "it began although the one before it was stopped"
    code, document = project.gather()
    assert code == 3
    assert [cell["status"] for cell in document["cells"]] == ["error", "planned", "planned", "planned"]


def test_a_cpu_that_is_not_there_ends_up_with_the_engines_own_words(
    project: Project, engine_cpus: tuple[int, ...]
) -> None:
    done = project.compose("up", **QUICK, LAB_CPUSET_2=f"0,{max(engine_cpus) + 1}")
    assert done.returncode != 0
    assert "CPUs are not available" in done.stdout


def test_settings_that_cannot_be_used_end_up_at_once(project: Project) -> None:
    done = project.compose("up", LAB_EXPERIMENTS="nonsense")
    assert done.returncode != 0
    assert "LAB_EXPERIMENTS: there is no 'nonsense'; there are: " in done.stdout
    gathered = lab("gather", "--project", project.name)
    assert gathered.returncode == 3
    assert "cpu1: it exited with status 2" in gathered.stderr


def test_the_image_of_the_cells_has_the_standard_library_only(
    compose_settings: dict[str, str], engine: DockerClient
) -> None:
    program = (
        "import importlib.util as find, lab.cell.worker.compose_service, lab.cell.claims.estimates\n"
        "names = ('docker', 'tabulate', 'rich', 'lab.running', 'lab.model')\n"
        "print([name for name in names if find.find_spec(name)])"
    )
    done = engine.containers.run(
        "multicore-lab-cell:latest", ["-c", program], entrypoint=["python3"], network_mode="none", remove=True
    )
    assert done == b"[]\n"


@pytest.mark.parametrize(("words", "says"), [(["--format", "value"], b"1\n"), (["--for", "gunicorn"], b"--workers")])
def test_the_image_of_the_cells_also_says_how_many_cpus_there_are(
    compose_settings: dict[str, str], engine: DockerClient, words: list[str], says: bytes
) -> None:
    done = engine.containers.run(
        "multicore-lab-cell:latest",
        ["-m", "lab", "cpus", "--no-measure", *words],
        entrypoint=["python3"],
        network_mode="none",
        cpuset_cpus="0",
        remove=True,
    )
    assert says in done
