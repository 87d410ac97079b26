"""Three real engines as three hosts of one run: all well, and each lost in a way of its own in the middle of a cell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.model.cell import Status
from lab.sessions import loading
from tests.conftest import skip_or_fail
from tests.support import engine_hosts
from tests.support.engine_hosts import EngineHosts, HostsRun

pytestmark = pytest.mark.engine

GIL_BEGINS = "1 CPU (0): gil ("


@pytest.fixture(scope="module")
def hosts() -> Iterator[EngineHosts]:
    if why := engine_hosts.impossible():
        skip_or_fail(why)
    with engine_hosts.engine_hosts() as started:
        yield started


def test_three_engines_make_one_report_with_a_part_for_each(hosts: EngineHosts, tmp_path: Path) -> None:
    words = ("run", "pool", "pipe", "--quick", "--cpus", "1", "--format", "json", "--output", str(tmp_path))
    with HostsRun(hosts, *words, *hosts.words) as run:
        code, out, err = run.end()
    assert code == 0, err
    document = json.loads(out)
    assert [cell["status"] for cell in document["cells"]] == ["measured"] * 3
    assert [host["name"] for host in document["session"]["arguments"]["hosts"]] == [
        "plain",
        hosts.names[1].removeprefix("ssh://"),
        "secure",
    ]
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
        code, out, err = run.end()
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
    for _ in range(2):
        with HostsRun(hosts, "run", "--resume", "--output", str(folder)) as run:
            assert run.end()[0] == 0
    with HostsRun(hosts, "merge", str(folder), "--format", "json") as run:
        code, out, err = run.end()
    assert code == 0, err
    assert [cell["status"] for cell in json.loads(out)["cells"]] == ["measured"] * 3
    assert hosts.left() == []
