"""Which cells to run on a machine, and on which CPUs. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lab import cpuset, units
from lab.errors import UsageError
from lab.model import Cell

ALL = "all"


def parse_sizes(text: str) -> tuple[int | str, ...]:
    """The sizes named by ``--cpus``, such as ``1,2,4,all``, in the order given.

    Raises UsageError for an empty list, a size below 1, a repeated one, and anything that is neither a number nor
    ``all``.
    """
    sizes: list[int | str] = []
    for part in (piece.strip().lower() for piece in text.split(",")):
        if not part:
            raise UsageError(f"--cpus {text!r} names no size; give numbers of CPUs and 'all', such as --cpus 1,2,all")
        size: int | str = ALL if part == ALL else _size(part)
        if size in sizes:
            raise UsageError(f"--cpus names {part} twice; name each size once, such as --cpus 1,2,all")
        sizes.append(size)
    return tuple(sizes)


def _size(part: str) -> int:
    if not re.fullmatch("-?[0-9]{1,6}", part):
        raise UsageError(
            f"--cpus: {part[:20]!r} is not a number of CPUs; give whole numbers above 0 and 'all', such as 1,2,all"
        )
    size = int(part)
    if size < 1:
        raise UsageError(f"--cpus: a cell needs at least 1 CPU, not {size}; leave it out, or give 1")
    return size


def plan(sizes: Sequence[int | str], cpus: Sequence[int]) -> tuple[Cell, ...]:
    """One cell for each different size, on the first CPUs of the machine, small cells first.

    Sizes that come to the same are merged into one cell ("2 = all"); a size that the machine lacks becomes a cell
    that is not available, with the reason.
    """
    have = len(cpus)
    wanted: dict[int, list[str]] = {}
    for size in sizes:
        wanted.setdefault(have if size == ALL else int(size), []).append(str(size))
    cells = []
    for size in sorted(wanted):
        names = sorted(wanted[size], key=lambda name: name == ALL)
        label = f"{size} = all" if size == have and ALL in names else str(size)
        if size > have:
            lacking = f"needs {units.cpus(size)}, this machine has {have}"
            cells.append(Cell(id=f"cpu{size}", label=label, size=size, reason=lacking))
        else:
            cells.append(Cell(id=f"cpu{size}", label=label, size=size, cpus=tuple(sorted(cpus)[:size])))
    return tuple(cells)


def describe(cell: Cell) -> str:
    """A cell in a few words: ``2 CPUs (0-1), quota 1.5``."""
    where = f" ({cpuset.render(cell.cpus)})" if cell.cpus else ""
    return f"{units.cpus(cell.size)}{where}" + (f", quota {cell.quota_cpus:g}" if cell.quota_cpus else "")
