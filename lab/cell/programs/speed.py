"""How fast this machine is just now: what one process computes, for a comparison of runs on different days."""

from __future__ import annotations

import time
from typing import Any

from lab.cell.measuring.payloads import Tools, count

#: For so many seconds it is looked at, before each run.
_SECONDS = 0.01


def speed() -> dict[str, Any]:
    """A block of one process alone: payloads a second of CPU time, so that others on the CPU do not count."""
    tools = Tools(b"", None)
    made, begun, until = 0, time.process_time(), time.monotonic() + _SECONDS
    while not made or time.monotonic() < until:
        count(tools)
        made += 1
    spent = max(time.process_time() - begun, 1e-9)
    return {"rate": round(made / spent, 2), "disturbed": None}
