"""Charts: from a session to drawings for paper, a page or a terminal.

Each module has one kind of chart. ``charts(session)`` gives the charts for which the session has data, and ``NEEDS``
the experiments that have such data. A chart's table has all of its numbers, for readers who cannot see the drawing.
"""

from __future__ import annotations

import importlib

from lab.model.session import Session
from lab.reports.charts.chart import Chart

__all__ = ["Chart", "charts", "needs"]

#: In the order to read them.
_NOUNS = ("workers", "speedup", "timeline", "handovers", "atlas")


def charts(session: Session) -> tuple[Chart, ...]:
    """Every chart for which the session has data."""
    drawn: list[Chart] = []
    for noun in _NOUNS:
        drawn.extend(importlib.import_module(f"lab.reports.charts.{noun}").charts(session))
    return tuple(drawn)


def needs() -> tuple[str, ...]:
    """The experiments that have a chart, each once."""
    modules = (importlib.import_module(f"lab.reports.charts.{noun}") for noun in _NOUNS)
    return tuple(dict.fromkeys(name for module in modules for name in module.NEEDS))
