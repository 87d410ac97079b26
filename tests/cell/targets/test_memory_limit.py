"""The memory of workers: each may take its share, so that one that leaks does not take the memory of the machine."""

from __future__ import annotations

import resource

from lab.cell.targets import pools


def test_the_processes_of_a_pool_have_a_limit_and_this_process_has_none() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limits = []
    for most in (4, 8):
        with pools._made(pools.Pool("2 processes (fork)", "fork", 2, 1), "", most) as pool:
            limits.append(pool.submit(resource.getrlimit, resource.RLIMIT_DATA).result()[0])
    assert 0 < limits[1] < limits[0]
    assert resource.getrlimit(resource.RLIMIT_DATA) == before
