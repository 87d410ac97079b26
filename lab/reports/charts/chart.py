"""A chart: its words, its numbers as a table, and the function that draws it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from lab.messages import printable
from lab.model.cell import CellResult, Status
from lab.model.session import Session
from lab.text import names
from lab.text.table import Table

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_Cell = TypeVar("_Cell")

#: The colours of charts. On a page each colour becomes a variable of that name, which the dark scheme overrides.
INK, MUTED, GRID, PAPER = "#1b1f24", "#5a6472", "#d9dee4", "#ffffff"
SERIES = ("#1f5fbf", "#b8500b", "#17794a", "#8a3fa0", "#0f7a85", "#a3324c", "#6b6a00", "#4a4fc4")
NAMES = {INK: "ink", MUTED: "muted", GRID: "grid", PAPER: "paper"} | {
    colour: f"series-{number}" for number, colour in enumerate(SERIES, 1)
}

#: Room above an axis for its title, below it for its labels, and to the right for the last label.
_TITLE_PIXELS, _FOOT_PIXELS, _RIGHT_PIXELS = 24.0, 42.0, 14.0

#: Each series has its own marker, so that readers need not tell colours apart.
MARKERS = "osD^vPX*"


@dataclass(kw_only=True)
class Canvas:
    """The surface that a chart is drawn on."""

    #: The figure of matplotlib.
    figure: Figure
    #: Whether the figure is as narrow as a phone.
    narrow: bool = False
    #: Id of a mark -> the sentence that describes the mark.
    tips: dict[str, str] = field(default_factory=dict)
    #: The axes of the panels, in reading order.
    _axes: list[Axes] = field(default_factory=list)
    #: Room to the left of each panel, in pixels.
    _left: float = 0.0
    #: Relative heights of the panels; empty if all are equally high.
    _weights: Sequence[float] = ()
    #: The entries of the legend.
    _entries: Sequence[tuple[Artist, str]] = ()

    def mark(self, artist: Artist, tip: str) -> None:
        """Mark an artist that shows data; ``tip`` describes the data in a sentence."""
        name = f"mark{len(self.tips)}"
        artist.set_gid(name)
        self.tips[name] = tip

    def dot(self, axes: Axes, x: float, y: float, tip: str, **style: Any) -> None:
        """Draw a marked point. ``plot`` would take as long as a whole axis."""
        from matplotlib.lines import Line2D

        point = Line2D([x], [y], linestyle="none", **style)
        axes.add_line(point)
        self.mark(point, tip)

    def bar(self, axes: Axes, corner: tuple[float, float], width: float, height: float, tip: str, **style: Any) -> None:
        """Draw a marked bar. matplotlib's ``bar`` would take as long as a whole axis."""
        from matplotlib.patches import Rectangle

        rectangle = Rectangle(corner, width, height, **style)
        axes.add_patch(rectangle)
        self.mark(rectangle, tip)

    def panels(
        self, count: int, *, left: float, weights: Sequence[float] = (), legend: Sequence[tuple[Artist, str]] = ()
    ) -> list[Axes]:
        """Axes for ``count`` panels, with ``left`` pixels of room for their labels, and a legend above the panels.

        With ``weights`` the panels are stacked, and these are their relative heights. Without ``weights`` the panels
        stand side by side on a wide figure and are stacked on a narrow one.
        """
        self._axes = [self.figure.add_axes((0, 0, 1, 1)) for _ in range(count)]
        self._left, self._weights, self._entries = left, weights, legend
        self._arrange()
        return self._axes

    def resize(self, width: float, height: float, *, narrow: bool) -> None:
        """Change the size of the drawn figure, in pixels. Drawing it again would take twice as long."""
        self.figure.set_size_inches(width / 72, height / 72)
        self.narrow = narrow
        self._arrange()

    def _arrange(self) -> None:
        """Place the axes and the legend. The room is computed here, because a layout engine would draw twice."""
        width, height = (72 * inches for inches in self.figure.get_size_inches())
        columns = 2 if self.narrow else 5
        top = 24.0 * -(-len(self._entries) // columns)
        for legend in self.figure.legends:
            legend.remove()
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
            panel_height = high * shares[row] / sum(shares)
            above = top + (row + 1) * _TITLE_PIXELS + row * _FOOT_PIXELS + high * sum(shares[:row]) / sum(shares)
            place = (
                (column * wide + self._left) / width,
                1 - (above + panel_height) / height,
                (wide - self._left - _RIGHT_PIXELS) / width,
                panel_height / height,
            )
            axes.set_position(place)


@dataclass(frozen=True, kw_only=True)
class Stroke:
    """A line or a point in a terminal, made of one character."""

    #: The horizontal positions.
    xs: tuple[float, ...]
    #: The vertical positions, as many as the horizontal ones.
    ys: tuple[float, ...]
    #: The character to draw with.
    marker: str
    #: The number of the colour, from 0; ``None`` for no colour.
    series: int | None = None


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One diagram of a chart in a terminal: strokes between two axes."""

    #: The line above the diagram.
    title: str
    #: The lines and points, in the order to draw them.
    strokes: tuple[Stroke, ...]
    #: The height in lines of text.
    rows: int
    #: The label of the horizontal axis.
    x_label: str
    #: Positions on the horizontal axis with their labels; empty to let the library choose.
    x_ticks: tuple[tuple[float, str], ...] = ()
    #: Positions on the vertical axis with their labels; empty to let the library choose.
    y_ticks: tuple[tuple[float, str], ...] = ()
    #: The ends of the vertical axis; ``None`` to let the library choose.
    y_range: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One chart, for paper, a page or a terminal."""

    #: The name of the chart's file: ``speed-up``.
    name: str
    #: The heading.
    title: str
    #: How to read the chart, in a sentence or two.
    reading: str
    #: What the chart shows, for a person who cannot see it.
    description: str
    #: All numbers that the chart shows.
    table: Table
    #: The heights in CSS pixels: of the wide form and of the narrow form.
    height: tuple[int, int]
    #: The function that draws the chart on a canvas.
    draw: Callable[[Canvas], None]
    #: The diagrams for a terminal; without diagrams a terminal shows the table.
    panels: tuple[Panel, ...] = ()
    #: What the characters of the diagrams mean.
    key: str = ""


def build_of(result: CellResult) -> str:
    """The build of a cell in a few words: ``CPython 3.13.5``, ``CPython 3.14.0 without the GIL``."""
    return printable(names.python_words(result.python, short=True))


def place_of(result: CellResult, build_names: Mapping[str, str]) -> str:
    """The build and the machine of a cell, whose points have a line of their own: ``3.14t, machine 2``."""
    build = build_names[result.cell.build] or names.python_words(result.python, short=True)
    place = ", ".join(filter(None, (build, result.cell.machine)))
    return printable(" ".join(place.split()))  # it is drawn on one line


def cell_of(result: CellResult) -> str:
    """The cell in a few words, for a session of several: ``CPython 3.13.5, 2 CPUs, quota 1.5``."""
    machine = f", {result.cell.machine}" if result.cell.machine else ""
    return f"{build_of(result)}, {names.limit_words(result.cell)}{machine}"


def measured(session: Session) -> list[CellResult]:
    """The cells that a chart may show: cells whose limits were proven."""
    return [result for result in session.results if result.status is Status.MEASURED and result.proof]


def extremes(cells: Sequence[_Cell]) -> list[_Cell]:
    """The first and the last cell: a chart compares the fewest CPUs with the most CPUs."""
    return [*cells[:1], *cells[1:][-1:]]
