"""Which cells to run on a machine, and on which CPUs. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from lab.cell.cpus import cpulist
from lab.errors import UsageError
from lab.model import topology as hardware
from lab.model.cell import Cell, Limit
from lab.model.topology import Topology
from lab.planning import placement
from lab.text import units

ALL = "all"

#: What ``--cpus`` can name: a number of CPUs, ``all``, or CPU ids.
Size = int | str | tuple[int, ...]

_IDS = "ids:"


def parse_sizes(text: str) -> tuple[Size, ...]:
    """The sizes that ``--cpus`` names, such as ``1,2,4,all``, in the order given; or one set of CPU ids.

    The text names ids if it begins with ``ids:``, or has a range (``0-3,8``), or has a 0 in a list (``0,2``): no cell
    has 0 CPUs. Raises UsageError for an empty list, a size below 1, a repeated size, and any other text.
    """
    parts = [piece.strip().lower() for piece in text.split(",")]
    if parts[0].startswith(_IDS) or any(re.fullmatch("[0-9]+-[0-9]+", part) for part in parts):
        return (_ids(text),)
    if len(parts) > 1 and "0" in parts:
        return (_ids(text),)
    sizes: list[Size] = []
    for part in parts:
        if not part:
            raise UsageError(f"--cpus {text!r} names no size; give numbers of CPUs and 'all', such as --cpus 1,2,all")
        size: int | str = ALL if part == ALL else _size(part)
        if size in sizes:
            raise UsageError(f"--cpus names {part} twice; name each size once, such as --cpus 1,2,all")
        sizes.append(size)
    return tuple(sizes)


def _ids(text: str) -> tuple[int, ...]:
    listed = text.strip().lower().removeprefix(_IDS)
    try:
        if not re.fullmatch("[0-9, -]*[0-9][0-9, -]*", listed) or re.search("[0-9]{7}", listed):
            raise ValueError(f"{listed[:20]!r} is not a list of CPU ids below 1000000")
        return cpulist.parse(listed)
    except ValueError as error:
        raise UsageError(
            f"--cpus {text[:40]!r}: {error}; give CPU ids such as 0-3,8 or ids:3, or numbers of CPUs such as 1,2,all"
        ) from error


def _size(part: str) -> int:
    if not re.fullmatch("-?[0-9]{1,6}", part):
        raise UsageError(
            f"--cpus: {part[:20]!r} is not a number of CPUs; give whole numbers above 0 and 'all', such as 1,2,all"
        )
    size = int(part)
    if size < 1:
        raise UsageError(
            f"--cpus: a cell needs at least 1 CPU, not {size}; give 1, or, for the CPU with the id 0, ids:0"
        )
    return size


def plan(sizes: Sequence[Size], machine: Topology | Sequence[int], *, smt: bool = False) -> tuple[Cell, ...]:
    """One cell for each different size, small cells first, on the CPUs that :mod:`lab.planning.placement` chooses.

    ``machine`` is a topology, or CPU ids without a known topology. Equal sizes are merged into one cell ("2 = all"). A
    size that the machine does not have becomes an unavailable cell, with the reason. Raises UsageError for CPU ids
    that cannot be used.
    """
    topology = machine if isinstance(machine, Topology) else hardware.flat(machine)
    named = [_checked(size, topology) for size in sizes if isinstance(size, tuple)]
    wanted: dict[int, list[str]] = {}
    for size in sizes:
        if not isinstance(size, tuple):
            wanted.setdefault(len(topology.usable) if size == ALL else int(size), []).append(str(size))
    cells = [_cell(topology, size, wanted[size], smt) for size in sorted(wanted)]
    cells += [_on(topology, Limit(cpus=len(ids)), placement.describe(topology, ids)) for ids in named]
    return tuple(cells)


def _cell(topology: Topology, size: int, names: Sequence[str], smt: bool) -> Cell:
    limit = Limit(cpus=size, is_all=size == len(topology.usable) and ALL in names)
    choice = placement.choose(topology, size, smt=smt)
    if choice is None:
        allowed, total = len(topology.allowed), len(topology.cpus)
        have = f"this machine has {allowed}"
        if allowed != total:
            have = f"only {allowed} of this machine's {total} may be used"
        return Cell(id=limit.id, limit=limit, size=size, reason=f"needs {units.cpus(size)}, {have}")
    return _on(topology, limit, choice)


def _on(topology: Topology, limit: Limit, choice: placement.Choice) -> Cell:
    size = len(choice.cpus)
    notes = placement.notes(topology, choice)
    return Cell(id=limit.id, limit=limit, size=size, cpus=choice.cpus, notes=notes)


def _checked(ids: tuple[int, ...], topology: Topology) -> tuple[int, ...]:
    """The same ids, if a cell can use all of them. Raises UsageError."""
    allowed, offline = {*topology.allowed}, {*topology.offline}
    for wrong, what in (
        ([cpu for cpu in ids if cpu in offline], "off line"),
        ([cpu for cpu in ids if cpu not in topology.by_id and cpu not in offline], "not on this machine"),
        ([cpu for cpu in ids if cpu in topology.by_id and cpu not in allowed], "outside this process's CPU affinity"),
    ):
        if wrong:
            which = f"CPU {wrong[0]} is" if len(wrong) == 1 else f"CPUs {cpulist.render(wrong)} are"
            have = cpulist.render(topology.allowed)
            raise UsageError(f"--cpus {cpulist.render(ids)}: {which} {what}; choose from {have}")
    return ids


def across(cells: Sequence[Cell], labels: Sequence[str]) -> tuple[Cell, ...]:
    """Each of these cells on each build with these labels, limit by limit. Without labels, the cells are unchanged."""
    if not labels:
        return tuple(cells)
    return tuple(
        replace(cell, id=cell.limit.on(build, cell.machine), build=build) for cell in cells for build in labels
    )


def narrowed(cells: Sequence[Cell], experiments: Sequence[str]) -> tuple[Cell, ...]:
    """The same cells, of which only the largest available ones of each build run everything.

    The others run these ``experiments`` only.
    """
    largest: dict[str, int] = {}
    for cell in cells:
        if cell.available:
            largest[cell.build] = max(cell.size, largest.get(cell.build, 0))
    return tuple(
        cell if cell.size >= largest.get(cell.build, 0) else replace(cell, experiments=tuple(experiments))
        for cell in cells
    )
