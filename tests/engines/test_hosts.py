"""Three real engines as three hosts of one run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import skip_or_fail
from tests.support import engine_hosts
from tests.support.engine_hosts import EngineHosts, HostsRun

pytestmark = pytest.mark.engine


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
