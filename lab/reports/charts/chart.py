"""What a chart is: its words, its numbers as a table, and how it is drawn. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from lab.model.cell import CellResult, Status
from lab.model.session import Session
from lab.text import names
from lab.text.table import Table

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Cell = TypeVar("_Cell")

#: The colours that charts draw with; on a page each becomes a variable of that name, which the dark scheme sets anew.
INK, MUTED, GRID, PAPER = "#1b1f24", "#5a6472", "#d9dee4", "#ffffff"
SERIES = ("#1f5fbf", "#b8500b", "#17794a", "#8a3fa0", "#0f7a85", "#a3324c", "#6b6a00", "#4a4fc4")
NAMES = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"} | {
    colour: f"series-{number}" for number, colour in enumerate(SERIES, 1)
}

#: What stands above an axis, below it, and what its last label needs beside it.
_TITLE_PIXELS, _FOOT_PIXELS, _RIGHT_PIXELS = 24.0, 42.0, 14.0

#: Not by colour alone: each series has a marker of its own too.
MARKERS = "osD^vPX*"


@dataclass(kw_only=True)
class Canvas:
    """What a chart is drawn on: a figure, whether it is as narrow as a phone, and a sentence for each mark on it."""

    figure: Figure
    narrow: bool = False
    tips: dict[str, str] = field(default_factory=dict)
    _axes: list[Axes] = field(default_factory=list)
    _left: float = 0.0
    _weights: Sequence[float] = ()
    _entries: Sequence[tuple[Artist, str]] = ()

    def mark(self, artist: Artist, tip: str) -> None:
        """This artist stands for data, which the sentence says in words."""
        name = f"mark{len(self.tips)}"
        artist.set_gid(name)
        self.tips[name] = tip

    def dot(self, axes: Axes, x: float, y: float, tip: str, **style: Any) -> None:
        """A marked point. Not by ``plot``, which takes as long as a whole axis."""
        from matplotlib.lines import Line2D

        point = Line2D([x], [y], linestyle="none", **style)
        axes.add_line(point)
        self.mark(point, tip)

    def bar(self, axes: Axes, corner: tuple[float, float], width: float, height: float, tip: str, **style: Any) -> None:
        """A marked bar. Not by ``bar``, for the same reason."""
        from matplotlib.patches import Rectangle

        rectangle = Rectangle(corner, width, height, **style)
        axes.add_patch(rectangle)
        self.mark(rectangle, tip)

    def panels(
        self, count: int, *, left: float, weights: Sequence[float] = (), legend: Sequence[tuple[Artist, str]] = ()
    ) -> list[Axes]:
        """That many axes, with room of ``left`` pixels for their labels, and a legend above them.

        Below each other, as high as these ``weights``; without, and where it is wide, beside each other.
        """
        self._axes = [self.figure.add_axes((0, 0, 1, 1)) for _ in range(count)]
        self._left, self._weights, self._entries = left, weights, legend
        self._arrange()
        return self._axes

    def resize(self, width: float, height: float, *, narrow: bool) -> None:
        """Make what is drawn so many pixels wide and high. To draw it anew would take as long again."""
        self.figure.set_size_inches(width / 72, height / 72)
        self.narrow = narrow
        self._arrange()

    def _arrange(self) -> None:
        """Put axes and legend where they belong. The room is counted out, not asked of a layout engine, which would
        draw everything twice."""
        width, height = (72 * inches for inches in self.figure.get_size_inches())
        columns = 2 if self.narrow else 5
        top = 24.0 * -(-len(self._entries) // columns)
        for former in self.figure.legends:
            former.remove()
        if self._entries:
            self.figure.legend(
                [handle for handle, _ in self._entries],
                [label for _, label in self._entries],
                loc="upper left",
                bbox_to_anchor=(0, 1),
                borderaxespad=0.2,
                ncols=columns,
                frameon=False,
            )
        count = len(self._axes)
        stacked = bool(self._weights) or self.narrow
        shares = list(self._weights or [1.0] * count) if stacked else [1.0]
        wide = width / (1 if stacked else count)
        high = height - top - len(shares) * (_TITLE_PIXELS + _FOOT_PIXELS)
        for number, axes in enumerate(self._axes):
            row, column = (number, 0) if stacked else (0, number)
            mine = high * shares[row] / sum(shares)
            above = top + (row + 1) * _TITLE_PIXELS + row * _FOOT_PIXELS + high * sum(shares[:row]) / sum(shares)
            place = (
                (column * wide + self._left) / width,
                1 - (above + mine) / height,
                (wide - self._left - _RIGHT_PIXELS) / width,
                mine / height,
            )
            axes.set_position(place)


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """A line, or a point, made of one character; ``series`` is the number of its colour, from 0, or ``None``."""

    xs: tuple[float, ...]
    ys: tuple[float, ...]
    marker: str
    series: int | None = None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """What a terminal shows of a chart: strokes between axes, so many ``rows`` high."""

    title: str
    strokes: tuple[Stroke, ...]
    rows: int
    x_label: str
    x_ticks: tuple[tuple[float, str], ...] = ()
    y_ticks: tuple[tuple[float, str], ...] = ()
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart. ``reading`` says how to read it, ``description`` what is to be seen, for who cannot see it.

    ``height`` gives the height in CSS pixels, of the wide form and of the narrow one. ``panels`` are for a terminal,
    and ``key`` says what their characters mean; without panels a terminal shows the table.
    """

    name: str
    title: str
    reading: str
    description: str
    table: Table
    height: tuple[int, int]
    draw: Callable[[Canvas], None]
    panels: tuple[Panel, ...] = ()
    key: str = ""


def build_of(result: CellResult) -> str:
    """The build that a cell ran on, in a few words: ``CPython 3.13.5``, ``CPython 3.14.0 without the GIL``."""
    return names.printable(names.python_words(result.python, short=True))


def cell_of(result: CellResult) -> str:
    """The cell in a few words, for a session of several: ``CPython 3.13.5, 2 CPUs, quota 1.5``."""
    machine = f", {result.cell.machine}" if result.cell.machine else ""
    return f"{build_of(result)}, {names.limit_words(result.cell)}{machine}"


def measured(session: Session) -> list[CellResult]:
    """The cells that a chart may show: their limits were real."""
    return [result for result in session.results if result.status is Status.MEASURED and result.proof]


def extremes(cells: Sequence[_Cell]) -> list[_Cell]:
    """The first and the last of them: a chart shows how it is with the fewest CPUs and with the most."""
    return [*cells[:1], *cells[1:][-1:]]
