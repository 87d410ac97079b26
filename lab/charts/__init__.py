"""Charts: from a session to what can be drawn on paper, on a page or in a terminal.

One noun per file, each with ``charts(session)``: the charts there is something for. All that a chart shows is also in
its table, for those who cannot see it.
"""

from __future__ import annotations

import importlib

from lab.charts.chart import Chart
from lab.model import Session

__all__ = ["Chart", "charts"]

#: In the order to read them.
_NOUNS = ("speedup", "timeline", "handovers", "atlas")


def charts(session: Session) -> tuple[Chart, ...]:
    """Every chart that a session has something for."""
    found: list[Chart] = []
    for noun in _NOUNS:
        found.extend(importlib.import_module(f"lab.charts.{noun}").charts(session))
    return tuple(found)
