"""What CPython does, by version: expectations that several experiments share."""

from __future__ import annotations

from lab.cell.claims.claim import (
    CONFIRMED,
    REFUTED,
    Facts,
)


def expect_plain_update_loses(facts: Facts) -> str | None:
    """CPython 3.10 and later switch threads only at the end of a loop or at a call, never inside ``n += 1``. Without a
    GIL others may come in anywhere, be it only when the scheduler takes the one CPU away."""
    if not facts.gil:
        return CONFIRMED
    return REFUTED if facts.version >= (3, 10) else CONFIRMED


def pool_size(facts: Facts) -> tuple[int, str]:
    """How many workers ``Pool()`` starts, and what that is a count of. Up to 3.12 it asks os.cpu_count(), from 3.13
    os.process_cpu_count(), which ``-X cpu_count`` overrides; no release looks at the quota."""
    if facts.version < (3, 13):
        return facts.host_cpus, "the host's CPUs"
    if facts.told_cpus:
        return facts.told_cpus, "what -X cpu_count says"
    return facts.cpus, "the CPUs in the affinity mask"
