"""Three real engines as three hosts of one run: all well, and each lost in a way of its own in the middle of a cell."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lab.containers import waiting
from lab.containers.client import client_for_this_environment
from lab.containers.image_transfer import send_image
from lab.model.cell import Status
from lab.sessions import loading
from tests.conftest import skip_or_fail
from tests.support import cells, daemons, engine_hosts
from tests.support.engine_hosts import EngineHost, EngineHosts, HostsRun

pytestmark = pytest.mark.engine

GIL_BEGINS = "1 CPU (0): gil ("
#: How long what was killed may take to leave nothing on a host, in seconds.
SECONDS = 60.0


@pytest.fixture(scope="module")
def hosts() -> Iterator[EngineHosts]:
    if why := engine_hosts.impossible():
        skip_or_fail(why)
    with engine_hosts.engine_hosts() as started:
        yield started


@pytest.fixture
def new_image(tmp_path: Path) -> Iterator[str]:
    """An image that only the engine of the environment has."""
    name, folder = "multicore-lab-hosts-test:1", tmp_path / "image"
    folder.mkdir()
    (folder / "Dockerfile").write_text(f"FROM {daemons.IMAGE}\nCOPY Dockerfile /\n")
    settings = {**os.environ, "DOCKER_BUILDKIT": "0"}
    subprocess.run(["docker", "build", "--quiet", "--tag", name, folder], check=True, capture_output=True, env=settings)
    yield name
    subprocess.run(["docker", "image", "rm", name], check=True, capture_output=True)


def test_three_engines_get_an_image_and_code_and_make_one_report_with_a_part_for_each(
    hosts: EngineHosts, tmp_path: Path, new_image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, sessions = tmp_path / "project", tmp_path / "sessions"
    project.mkdir()
    (project / "task.py").write_text("def work():\n    return sum(range(1000))\n")
    words = ("--cpus", "1", "--quick", "--time-limit", "0.5", "--format", "json", "--output", str(sessions))
    sent = ("--image", new_image, "--send-image", "--project", str(project))
    with HostsRun(hosts, "scale", f"{project}/task.py:work", *words, *sent, *hosts.words) as run:
        code, out, err = run.end()
    assert code == 0, err
    assert err.count(f": sending the image {new_image}, ") == err.count(f": sending the folder {project}, ") == 3
    document = json.loads(out)
    assert [cell["status"] for cell in document["cells"]] == ["measured"] * 3
    assert [host["name"] for host in document["session"]["arguments"]["hosts"]] == [
        "plain",
        hosts.names[1].removeprefix("ssh://"),
        "secure",
    ]
    assert hosts.left() == []

    source = client_for_this_environment()
    with contextlib.closing(source), contextlib.closing(client_for_this_environment(plain(hosts))) as target:
        lines: list[str] = []
        assert send_image(source, target, new_image, lines.append) == new_image
        assert lines == [], "what is there is not sent again"
        target.api.remove_image(new_image)
        hosts.by_kind["plain"].relay.bytes_a_second = 20_000_000
        monkeypatch.setattr(waiting, "TOLD_SECONDS", 1.0)
        assert send_image(source, target, new_image, lines.append) == new_image
        hosts.by_kind["plain"].relay.bytes_a_second = 0
        assert len(lines) > 1
        assert all(line.startswith(f"sending the image {new_image}: ") for line in lines[1:])


def plain(hosts: EngineHosts) -> str:
    """The address of the first host, which needs no settings."""
    return f"tcp://127.0.0.1:{hosts.by_kind['plain'].relay.port}"


def test_nothing_is_left_on_any_host_when_the_lab_is_killed_and_each_can_be_resumed(
    hosts: EngineHosts, tmp_path: Path
) -> None:
    words = ("run", "pipe", "gil", "--cpus", "1", "--quick", "--output", str(tmp_path), *hosts.words)
    with HostsRun(hosts, *words) as run:

        def kill(host: EngineHost) -> None:
            os.kill(run.parts[host.name], signal.SIGKILL)

        run.act({host.says(GIL_BEGINS): functools.partial(kill, host) for host in hosts.by_kind.values()})
        run.process.kill()
        run.end()
    until = time.monotonic() + SECONDS
    while hosts.left() and time.monotonic() < until:
        time.sleep(0.1)
    assert hosts.left() == []
    assert cells.still_living(f"HOME={hosts.environment['HOME']}") == []

    (folder,) = tmp_path.iterdir()
    resume_and_join(hosts, folder, loading.folders(folder))


def resume_and_join(hosts: EngineHosts, folder: Path, lost: Sequence[Path]) -> None:
    """Measure the missing cells of these sessions, and join all. Each host then has its cell, and no container."""
    with contextlib.ExitStack() as stack:
        runs = [stack.enter_context(HostsRun(hosts, "run", "--resume", str(part), "--yes")) for part in lost]
        assert [run.end()[0] for run in runs] == [0] * len(lost)
    with HostsRun(hosts, "merge", str(folder), "--format", "json") as run:
        code, out, err = run.end()
    assert code == 0, err
    assert [cell["status"] for cell in json.loads(out)["cells"]] == ["measured"] * 3
    assert hosts.left() == []


def test_hosts_that_are_lost_in_the_middle_of_a_cell_cost_their_cells_and_no_record(
    hosts: EngineHosts, tmp_path: Path
) -> None:
    plain, by_ssh, by_tls = hosts.by_kind.values()
    output = ("--output", str(tmp_path))
    with HostsRun(hosts, "run", "pipe", "gil", "--cpus", "1", "--quick", *output, *hosts.words) as run:
        run.act(
            {
                plain.says(GIL_BEGINS): plain.daemon.kill,
                by_ssh.says(GIL_BEGINS): by_ssh.daemon.freeze,
                by_tls.says(GIL_BEGINS): by_tls.relay.cut,
                plain.says("1 CPU (0): error"): lambda: None,
                by_tls.says("1 CPU (0): error"): lambda: None,
            }
        )
        by_ssh.daemon.thaw()
        code, _, err = run.end()
    assert code == 3, err
    (folder,) = tmp_path.iterdir()
    joined = {result.cell.machine: result for result in loading.load_session(folder).results}
    assert [result.status for result in joined.values()] == [Status.ERROR, Status.MEASURED, Status.ERROR]
    assert all("is the engine still running?" in str(joined[name].reason) for name in ("plain", "secure"))
    assert "remove them with: lab clean --host plain" in err
    for part in loading.folders(folder):
        (result,) = loading.load_session(part).results
        (other,) = [each for each in joined.values() if each.records and each.records[0].session == part.name]
        assert other.records == result.records
        assert result.records_of("pipe"), "what came before is kept"

    plain.daemon.start()
    by_tls.relay.mend()
    lost = [part for part in loading.folders(folder) if loading.load_session(part).results[0].status is Status.ERROR]
    assert len(lost) == 2
    resume_and_join(hosts, folder, lost)
