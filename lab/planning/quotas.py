"""Quotas as a limit: CPU time per second, in CPUs, on any of the CPUs. Pure.

Source: the kernel's Documentation/scheduler/sched-bwc.rst; ``docker run --cpus`` sets the same.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from lab.errors import UsageError
from lab.model.cell import Cell, Limit
from lab.text import units

#: The kernel accepts no quota below one millisecond per period.
LEAST_CPUS = 0.01

_NONE = "none"


def parse_quotas(text: str) -> tuple[float | None, ...]:
    """The quotas that ``--quota`` names, such as ``0.5,1.5``, in CPUs and in the order given; ``None`` for ``none``.

    Raises UsageError for an empty list, a quota below LEAST_CPUS, a repeated quota, and any text that is no number.
    """
    quotas: list[float | None] = []
    for part in (piece.strip().lower() for piece in text.split(",")):
        if not part:
            raise UsageError(f"--quota {text!r} names no quota; give CPUs, such as --quota 0.5,1.5")
        quota = None if part == _NONE else _quota(part)
        if quota in quotas:
            raise UsageError(f"--quota names {part} twice; name each quota once, such as --quota none,0.5,1.5")
        quotas.append(quota)
    return tuple(quotas)


def _quota(part: str) -> float:
    if not re.fullmatch(r"-?([0-9]{1,6}(\.[0-9]*)?|\.[0-9]+)", part):
        raise UsageError(
            f"--quota: {part[:20]!r} is not a number of CPUs; give numbers above 0, such as 0.5,1.5, or none"
        )
    quota = float(part)
    if quota < LEAST_CPUS:
        raise UsageError(f"--quota: {quota:g} CPUs is too little; the kernel accepts no less than {LEAST_CPUS:g}")
    return round(quota, 5)  # a microsecond in a period


def under_quotas(
    cells: Sequence[Cell], quotas: Sequence[float | None], unpinned: bool, refusal: str | None
) -> list[Cell]:
    """Each of these cells under each of these quotas. ``unpinned`` cells have the quota alone, and no CPU set.

    ``refusal`` says why the engine cannot set a quota, or is ``None``. A quota above the number of the cell's CPUs
    limits nothing. Such a cell could prove nothing, so it is not available.
    """
    return [_under(cell, quota, unpinned, refusal) for cell in cells for quota in quotas]


def _under(cell: Cell, quota: float | None, unpinned: bool, refusal: str | None) -> Cell:
    if quota is None:
        return cell
    limit = replace(cell.limit, quota_cpus=quota)
    if unpinned:
        limit = Limit(quota_cpus=quota)
    under = replace(
        cell,
        id=limit.id,
        limit=limit,
        pinned=not unpinned,
    )
    if not cell.available:
        return under
    reason = refusal
    if refusal is None and quota > cell.size:
        reason = f"a quota of {units.cpus(quota)} limits nothing here: the cell has {units.cpus(cell.size)}"
        if cell.size == 1:
            reason = f"a quota of {units.cpus(quota)} limits nothing on 1 CPU"
    return replace(under, reason=reason, cpus=() if reason else cell.cpus)
