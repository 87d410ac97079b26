"""What a chart is: its words, its numbers as a table, and how it is drawn. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lab.model import CellResult, Session, Status
from lab.summary import Table

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The colours that charts draw with; on a page each becomes a variable of that name, which the dark scheme sets anew.
INK, MUTED, GRID, PAPER = "#1b1f24", "#5a6472", "#d9dee4", "#ffffff"
SERIES = ("#1f5fbf", "#b8500b", "#17794a", "#8a3fa0", "#0f7a85", "#a3324c", "#6b6a00", "#4a4fc4")
NAMES = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"} | {
    colour: f"series-{number}" for number, colour in enumerate(SERIES, 1)
}

#: Not by colour alone: each series has a marker of its own too.
MARKERS = "osD^vPX*"


@dataclass(kw_only=True)
class Canvas:
    """What a chart is drawn on: a figure, whether it is as narrow as a phone, and a sentence for each mark on it."""

    figure: Figure
    narrow: bool
    tips: dict[str, str] = field(default_factory=dict)

    def mark(self, artist: Artist, tip: str) -> None:
        """This artist stands for data, which the sentence says in words."""
        name = f"mark{len(self.tips)}"
        artist.set_gid(name)
        self.tips[name] = tip

    def panels(self, count: int, heights: Sequence[float] | None = None) -> list[Axes]:
        """That many axes: below each other with these ``heights``; without, and where it is wide, beside each other."""
        rows, columns = (count, 1) if heights or self.narrow else (1, count)
        options: dict[str, Any] = {"height_ratios": heights} if heights else {}
        axes = self.figure.subplots(rows, columns, squeeze=False, gridspec_kw=options)
        return [one for row in axes for one in row]


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart. ``reading`` says how to read it, ``description`` what is to be seen, for who cannot see it.

    ``height`` gives the height in CSS pixels, of the wide form and of the narrow one.
    """

    name: str
    title: str
    reading: str
    description: str
    table: Table
    height: tuple[int, int]
    draw: Callable[[Canvas], None]


def build_of(result: CellResult) -> str:
    """The build that a cell ran on, in a few words: ``CPython 3.13.5``, ``CPython 3.14.0 without the GIL``."""
    python = result.python
    return f"{python['implementation']} {python['release']}" + ("" if python["gil_enabled"] else " without the GIL")


def measured(session: Session) -> list[CellResult]:
    """The cells that a chart may show: their limits were real."""
    return [result for result in session.results if result.status is Status.MEASURED and result.proof]


def extremes(results: Sequence[CellResult]) -> list[CellResult]:
    """The first and the last of them: a chart shows how it is with the fewest CPUs and with the most."""
    return [*results[:1], *results[1:][-1:]]
