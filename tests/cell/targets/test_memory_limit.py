"""The memory of workers: each may take its share, so that one that leaks does not take the memory of the machine."""

from __future__ import annotations

import multiprocessing
import resource

from lab.cell.targets import memory_limit, pools


def test_the_processes_of_a_pool_have_a_limit_and_this_process_has_none() -> None:
    before = resource.getrlimit(resource.RLIMIT_DATA)
    limits = []
    for most in (4, 8):
        with pools._made(pools.Pool("2 processes (fork)", "fork", 2, 1), "", most) as pool:
            limits.append(pool.submit(resource.getrlimit, resource.RLIMIT_DATA).result()[0])
    assert 0 < limits[1] < limits[0]
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


def _limits_of_threads() -> list[int]:
    """The limits of a process that is one of eight workers, while one, two and nine threads of it work, and one again.

    Its parent was limited before, and the process has grown since.
    """
    memory_limit.set_for(1)
    grown = bytearray(16 * 2**20)
    memory_limit.set_for(8)
    assert grown
    limits = [*memory_limit._granted, resource.getrlimit(resource.RLIMIT_DATA)[1]]
    for threads in (1, 2, 9, 1):
        memory_limit.share_among(threads)
        limits.append(resource.getrlimit(resource.RLIMIT_DATA)[0])
    return limits


def test_each_thread_of_a_team_has_the_share_of_a_worker() -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        own, share, most, *limits = pool.apply(_limits_of_threads)
    assert share > 0
    wanted = [min(own + threads * share, most) for threads in (1, 2, 9, 9)]  # what the threads keep stays
    page = resource.getpagesize()
    assert [limit // page for limit in limits] == [limit // page for limit in wanted]
    assert limits[0] < most, "a worker has its share, although its parent has grown"
