"""Verdicts while the cells still run: a line for each experiment that has ended.

An experiment that has ended leaves no more evidence, so what its evidence says stays. Only one thing can still change
its verdicts: a limit that turns out not to have been real, which is proven when the cell ends. Until then the lines of
a cell have the words "so far", and those of a cell with such a limit are taken back.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from lab.cell.experiments import load, shown
from lab.judging.records import MALFORMED
from lab.judging.verdicts import judge_claims
from lab.model.cell import Cell, CellResult, Record, Status
from lab.model.session import Judgement, Verdict
from lab.text import names

#: The states of a cell in which no verdict rests on evidence.
_TAKEN_BACK = (Status.TAINTED, Status.UNAVAILABLE)


@dataclass
class _SoFar:
    """What has come of one cell."""

    #: The cell.
    cell: Cell
    #: The record that it began with; ``None``: it has not come yet.
    start: Record | None = None
    #: The number of the next record. With a gap before it, evidence may be missing until the cell has ended.
    next_seq: int = 0
    #: The records of each experiment that runs.
    running: dict[str, list[Record]] = field(default_factory=dict)
    #: The judgements of each experiment that has ended.
    ended: dict[str, tuple[Judgement, ...]] = field(default_factory=dict)
    #: Whether the cell has ended too, and its limit was real.
    is_final: bool = False


class EarlyVerdicts:
    """Judges each experiment of each cell when it has ended."""

    def __init__(self, experiments: Collection[str]) -> None:
        self._experiments = {name: load(name) for name in experiments}
        self._cells: dict[str, _SoFar] = {}

    def cell_begins(self, cell: Cell) -> None:
        """Note a cell that starts."""
        self._cells[cell.id] = _SoFar(cell)

    def record(self, record: Record) -> bool:
        """Note a record; return whether it brought the verdicts of an experiment."""
        name, so_far = record.data.get("experiment"), self._cells.get(record.cell)
        if so_far is None or record.seq != so_far.next_seq:
            return False
        so_far.next_seq += 1
        if record.kind == "start":
            so_far.start = record
        if so_far.start is None or name not in self._experiments:
            return False
        if name in so_far.ended:  # no worker of ours adds to it: all of it is judged when the cell has ended
            so_far.ended[name] = ()
            return False
        so_far.running.setdefault(name, []).append(record)
        if record.kind == "finish":
            so_far.ended[name] = self._judged(so_far.cell, name, (so_far.start, *so_far.running.pop(name)))
        return bool(so_far.ended.get(name))

    def _judged(self, cell: Cell, name: str, records: tuple[Record, ...]) -> tuple[Judgement, ...]:
        """The judgements of an experiment. None where its records are malformed: that is said when all has come."""
        result = CellResult(cell=cell, status=Status.MEASURED, reason=None, records=records)
        with contextlib.suppress(*MALFORMED):
            return judge_claims([self._experiments[name]], [result])
        return ()

    def cell_ends(self, result: CellResult) -> None:
        """Note how a cell has ended: its verdicts are final, or taken back."""
        so_far = self._cells.get(result.cell.id)
        if so_far is None:
            return
        so_far.is_final = True
        if result.status in _TAKEN_BACK:
            so_far.ended.clear()

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """All judgements so far, in the order in which they came."""
        return tuple(each for cell in self._cells.values() for ended in cell.ended.values() for each in ended)

    @property
    def lines(self) -> tuple[str, ...]:
        """A line for each cell, and below it a line for each of its experiments that has ended."""
        return tuple(line for cell in self._cells.values() for line in self.lines_of(cell.cell))

    def lines_of(self, cell: Cell) -> list[str]:
        """The lines of one cell; none before its first verdict, and none after it was taken back."""
        so_far = self._cells.get(cell.id, _SoFar(cell))
        width = max(map(len, map(shown, self._experiments)), default=0)
        rows = [f"  {shown(name):{width}}  {_counts(ended)}" for name, ended in so_far.ended.items() if ended]
        head = names.full_words(cell) + ("" if so_far.is_final else ", so far")
        return [head, *rows] if rows else []


def _counts(judgements: Sequence[Judgement]) -> str:
    """How many verdicts of each kind there are, and which claims were surprises: ``5 confirmed, 1 refuted``."""
    counts = Counter(judgement.verdict for judgement in judgements)
    text = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict if counts[verdict])
    surprises = [f"{judgement.claim} is {judgement.verdict}" for judgement in judgements if judgement.surprise]
    return f"{text}; not as expected: {', '.join(surprises)}" if surprises else text
