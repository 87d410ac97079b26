"""Engines run cells. Each engine is a file. The rest of the lab knows only the three methods of :class:`Engine`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Protocol

from lab.model.cell import Job, Outcome
from lab.model.machine import Machine

#: Takes each piece of a cell's stream of records as it comes.
Sink = Callable[[bytes], None]


def nothing() -> None:
    """Do nothing. This is the default for work to do while an engine is waited for."""


class Engine(Protocol):
    """Three methods: find the machine, run a cell, leave nothing behind."""

    def probe(self, meanwhile: Callable[[], object] = nothing) -> Machine:
        """Find the CPUs and the Python of the machine that the engine runs on, from an unlimited cell.

        ``meanwhile`` is called while the probe is waited for. Raises EngineError or ImageError when
        the engine cannot run a cell at all.
        """

    def run(self, job: Job, sink: Sink) -> Outcome:
        """Run one cell to its end or its deadline; hand every piece of its records to ``sink``.

        ``sink`` is first called with ``b""``, before the cell's first process starts. This call may block until it is
        the cell's turn; everything else is prepared by then, and the deadline counts from its return. Afterwards
        ``sink`` is called at least every half second, with ``b""`` where nothing came. It may raise to end the cell.

        Nothing of the cell is left behind, also after an exception. Raises CellError when the cell could not start.
        """

    def close(self) -> None:
        """Remove what is left of this session."""


def make(name: str, **options: object) -> Engine:
    """The engine of that name, made by its file's ``connect``."""
    engine: Engine = importlib.import_module(f"lab.engines.{name}").connect(**options)
    return engine
