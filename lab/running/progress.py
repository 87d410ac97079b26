"""Progress on standard error: live on a terminal, plain lines elsewhere.

Where the results go to a terminal too, the verdicts so far stand above the line that moves. So do the tables, with a
row for each of the last cells that have ended. At the end they make room for the report.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lab.cell.experiments import PROGRAM, load, shown
from lab.messages import printable, tell
from lab.model.cell import Cell, CellResult, Record, Status
from lab.text import names, units

if TYPE_CHECKING:
    from rich.console import Group
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from lab.running.early_verdicts import EarlyVerdicts

#: The experiment of a function of the user's -> the id of a cell -> about how many seconds it takes there.
OwnCosts = Mapping[str, Mapping[str, float]]
_NONE: OwnCosts = {}
#: The lines of the tables for the cells that have been measured, and a width in characters -> the lines.
Tables = Callable[[Sequence[CellResult], int], Sequence[str]]

#: How often a second the line on a terminal changes. More would take time from what is measured.
_REFRESHES = 2
#: The lines of a terminal that are left for the line that moves, which may be broken on a narrow one.
_LEFT_LINES = 3
#: The tables on a terminal have a row for so many cells: all rows are made again after each cell.
_MOST_ROWS = 20


class Plain:
    """Prints a line when an experiment begins, and a line when a cell ends."""

    def __init__(self, coming: Mapping[str, int], seconds: float, own_costs: OwnCosts = _NONE) -> None:
        self._costs = {name: cost([name], seconds) for name in coming if name not in own_costs}
        self._coming = {name: coming[name] for name in self._costs}
        self._own_costs = {name: dict(of_cells) for name, of_cells in own_costs.items()}
        self._cells: dict[str, str] = {}  # by id: several cells may run at once

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    @property
    def _left(self) -> float:
        """About how long the rest of the run takes, in seconds."""
        own = sum(sum(of_cells.values()) for of_cells in self._own_costs.values())
        return own + sum(self._costs[name] * count for name, count in self._coming.items())

    def cell_begins(self, cell: Cell) -> None:
        self._cells[cell.id] = names.full_words(cell)

    def record(self, record: Record) -> None:
        name, cell = record.data.get("experiment"), self._cells.get(record.cell, record.cell)
        if record.kind == "begin" and name:
            self.begins(cell, shown(name), f"about {units.seconds(max(self._left, 1))} left")
        elif record.kind == "finish" and name:
            self._ended(name, record.cell, record.data.get("seconds"))
            if record.data["outcome"] != "ok":
                self.say(f"{cell}: {shown(name)} {record.data['reason']}")

    def _ended(self, name: str, cell: str, seconds: object) -> None:
        """Count an experiment that has ended. How long a program of the user's takes is known only then."""
        self._own_costs.get(name, {}).pop(cell, None)
        if name in self._coming:
            self._coming[name] -= 1
            if name.startswith(PROGRAM) and isinstance(seconds, int | float):
                self._costs[name] = float(seconds)

    def cell_ends(self, result: CellResult) -> None:
        what = result.status.value + (f": {result.reason}" if result.reason else "")
        self.say(f"{names.full_words(result.cell)}: {what} in {units.seconds(result.wall_seconds)}")

    def begins(self, cell: str, experiment: str, left: str) -> None:
        """Say that an experiment begins in a cell. ``left`` is the remaining time of the run, in words."""
        self.say(f"{cell}: {experiment} ({left})")

    def say(self, line: str) -> None:
        tell(line)


class Live(Plain):
    """Shows one line that changes in place, with a bar and the remaining time.

    Above it stand the ``verdicts``, if given, and the ``tables`` of the cells that have ended.
    """

    def __init__(
        self,
        coming: Mapping[str, int],
        seconds: float,
        verdicts: EarlyVerdicts | None = None,
        own_costs: OwnCosts = _NONE,
        tables: Tables | None = None,
    ) -> None:
        super().__init__(coming, seconds, own_costs)
        from rich.console import Console
        from rich.live import Live as RichLive
        from rich.progress import BarColumn, Progress, RenderableColumn, TextColumn

        self._verdicts = verdicts
        #: The lines above the bar: made in this thread, and drawn in another one.
        self._lines: tuple[str, ...] = ()
        self._tables = tables
        self._measured: list[CellResult] = []
        self._rows: Sequence[str] = ()
        self._total = max(self._left, 0.1)
        self._begun: float | None = None
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            RenderableColumn(self),
        )
        console = Console(stderr=True)
        self._bar: RichProgress = Progress(*columns, console=console)
        self._screen = RichLive(
            console=console, get_renderable=self._picture, transient=True, refresh_per_second=_REFRESHES
        )
        self._task: TaskID = self._bar.add_task("starting", total=self._total)

    def __enter__(self) -> Self:
        self._screen.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._screen.stop()

    def begins(self, cell: str, experiment: str, left: str) -> None:
        self._begun = time.monotonic()
        self._total = max(self._total, self._left)
        self._bar.update(
            self._task,
            description=printable(f"{cell}: {experiment}"),
            total=self._total,
            completed=max(0.0, self._total - self._left),
        )

    def __rich__(self) -> str:
        """The remaining time, which also moves while one experiment runs. rich asks for it at each refresh."""
        if self._begun is None:
            return ""
        seconds = max(self._left - (time.monotonic() - self._begun), 1)
        return f"about {units.seconds(round(seconds))} left"

    def _picture(self) -> Group:
        """The verdicts and tables so far, as many last lines as there is room for, and the line that moves."""
        from rich.console import Group
        from rich.text import Text

        most = max(0, self._bar.console.height - _LEFT_LINES)
        lines = [*self._lines, *[""][: len(self._rows)], *self._rows]
        lines = lines[max(0, len(lines) - most) :]
        so_far = [Text("\n".join(map(printable, lines)), no_wrap=True, overflow="ellipsis")] if lines else []
        return Group(*so_far, self._bar.get_renderable())

    def cell_begins(self, cell: Cell) -> None:
        super().cell_begins(cell)
        if self._verdicts:
            self._verdicts.cell_begins(cell)

    def record(self, record: Record) -> None:
        super().record(record)
        if self._verdicts and self._verdicts.record(record):
            self._lines = self._verdicts.lines
            self._screen.refresh()

    def cell_ends(self, result: CellResult) -> None:
        if result.status is not Status.MEASURED:
            super().cell_ends(result)
        if self._verdicts:
            self._verdicts.cell_ends(result)
            self._lines = self._verdicts.lines
        if self._tables and result.status is Status.MEASURED:
            self._show(result, self._tables)
        if self._verdicts and self._bar.console.is_dumb_terminal:  # on which nothing can be taken away again
            for line in (*self._verdicts.lines_of(result.cell), *self._rows):
                self.say(line)

    def _show(self, result: CellResult, tables: Tables) -> None:
        """Show a cell in the tables too. Nothing changes where its records are malformed: the report says that."""
        from lab.judging.records import MALFORMED

        with contextlib.suppress(*MALFORMED):
            measured = [*self._measured, result][-_MOST_ROWS:]
            self._rows = tables(measured, self._bar.console.width)
            self._measured = measured

    def say(self, line: str) -> None:
        self._bar.console.print(printable(line), highlight=False, markup=False)


def for_this_terminal(
    coming: Mapping[str, int], seconds: float, own_costs: OwnCosts = _NONE, tables: Tables | None = None
) -> Plain:
    """Live progress when standard error is a terminal, plain lines elsewhere.

    ``coming`` says of each experiment in how many cells it is going to run. Verdicts and ``tables`` are shown where the
    results go to a terminal too.
    """
    if not sys.stderr.isatty():
        return Plain(coming, seconds, own_costs)
    if not sys.stdout.isatty():
        return Live(coming, seconds, own_costs=own_costs)
    from lab.running.early_verdicts import EarlyVerdicts

    return Live(coming, seconds, EarlyVerdicts(coming), own_costs, tables)


def cost(experiments: Sequence[str], seconds: float, own_costs: OwnCosts = _NONE) -> float:
    """About how long these experiments take in one cell, in seconds; those of the user's in the slowest cell."""
    loaded = [load(name) for name in experiments if name not in own_costs]
    own = sum(max(of_cells.values(), default=0.0) for of_cells in own_costs.values())
    return own + sum(each.typical_seconds or each.typical_share * seconds for each in loaded)
