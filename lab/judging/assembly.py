"""A session put together from the results of its cells."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lab import __version__
from lab.cell.experiments import load
from lab.judging import changes, programs, verdicts
from lab.model.cell import CellResult
from lab.model.machine import Machine
from lab.model.session import Session


def assemble(
    *,
    id: str,  # noqa: A002 - the session's own word for it
    began: float,
    machine: Machine,
    arguments: Mapping[str, Any],
    experiments: Sequence[str],
    results: Sequence[CellResult],
    code_sha256: str,
    wall_seconds: float,
    notes: Sequence[str] = (),
    interrupted: bool = False,
) -> Session:
    """The session with these results, and with every claim of its experiments judged."""
    loaded = [load(name) for name in experiments]
    judgements = verdicts.judge_claims(loaded, results)
    session = Session(
        id=id,
        began=began,
        machine=machine,
        arguments=arguments,
        lab_version=__version__,
        code_sha256=code_sha256,
        results=tuple(results),
        judgements=judgements,
        changes=changes.changes_between_builds(loaded, results, judgements),
        quantities=verdicts.quantities(loaded, results),
        wall_seconds=wall_seconds,
        notes=tuple(notes),
        interrupted=interrupted,
    )
    own = programs.quantities(programs.measured(session))
    return dataclasses.replace(session, quantities=(*session.quantities, *own)) if own else session
