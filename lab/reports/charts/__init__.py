"""Charts: from a session to what can be drawn on paper, on a page or in a terminal.

One noun per file, each with ``charts(session)``: the charts there is something for, and ``NEEDS``: the experiments of
which it draws any that ran. All that a chart shows is also in its table, for those who cannot see it.
"""

from __future__ import annotations

import importlib

from lab.model.session import Session
from lab.reports.charts.chart import Chart

__all__ = ["Chart", "charts", "needs"]

#: In the order to read them.
_NOUNS = ("speedup", "timeline", "handovers", "atlas")


def charts(session: Session) -> tuple[Chart, ...]:
    """Every chart that a session has something for."""
    found: list[Chart] = []
    for noun in _NOUNS:
        found.extend(importlib.import_module(f"lab.reports.charts.{noun}").charts(session))
    return tuple(found)


def needs() -> tuple[str, ...]:
    """The experiments that there is a chart of, each once."""
    modules = (importlib.import_module(f"lab.reports.charts.{noun}") for noun in _NOUNS)
    return tuple(dict.fromkeys(name for module in modules for name in module.NEEDS))
