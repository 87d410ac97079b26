"""Engines: what runs a cell. One file each; :class:`Engine` is all that the rest of the lab knows of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Protocol

from lab.model.cell import Job, Outcome
from lab.model.machine import Machine

#: Takes each piece of a cell's stream of records as it comes.
Sink = Callable[[bytes], None]


def nothing() -> None:
    """What is to be done meanwhile, where nothing is."""


class Engine(Protocol):
    """Three methods: find the machine, run a cell, leave nothing behind."""

    def probe(self, meanwhile: Callable[[], object] = nothing) -> Machine:
        """Find the CPUs and the Python of the machine that the engine runs on, from an unlimited cell.

        ``meanwhile`` is called while that is waited for; see :func:`alongside`. Raises EngineError or ImageError when
        the engine cannot run a cell at all.
        """

    def run(self, job: Job, sink: Sink) -> Outcome:
        """Run one cell to its end or its deadline; hand every piece of its records to ``sink``.

        ``sink`` is called once before the cell's first process is started, with ``b""``: it may block, so that all that
        can be made ahead is made by then, and the deadline counts from its return. From then on it is called at least
        every half second, also with ``b""`` when nothing came: it may raise to end the cell.
        Whatever happens, also an exception, nothing of the cell is left behind. Raises CellError when it could not be
        started.
        """

    def close(self) -> None:
        """Remove whatever is left of this session."""


def make(name: str, **options: object) -> Engine:
    """The engine of that name, made by its file's ``connect``."""
    engine: Engine = importlib.import_module(f"lab.engines.{name}").connect(**options)
    return engine
