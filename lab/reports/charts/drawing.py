"""Charts as SVG and PNG. matplotlib draws; this module adapts its SVG to a page.

On a page the colours are variables and the text has the page's font. Ids are unique to each chart, and every mark has
a class and a title.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree

from lab.errors import MissingExtraError
from lab.reports.charts.chart import GRID, INK, MUTED, NAMES, PAPER, Canvas, Chart

#: Widths in CSS pixels: of a page's column, and of a phone.
WIDE, NARROW = 760, 360

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_COLOUR = re.compile("|".join(NAMES))
_FAMILY = re.compile(r"font-family: [^;]*;? ?")
_FONT = re.compile(r"font: (?:\w+ )??([\d.]+px)[^;]*")  # as written by releases before 3.11

_STYLE: dict[Any, Any] = {  # the stubs of matplotlib list each key
    "svg.fonttype": "none",  # text stays text: it can be read aloud, searched, and shown in the page's font
    "text.parse_math": False,  # a dollar sign in what a session holds is a dollar sign
    "font.size": 11.5,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "grid.color": GRID,
    "legend.borderpad": 0.1,
    "legend.columnspacing": 1.2,
    "legend.handlelength": 1.6,
    "axes.formatter.useoffset": False,
}


def elements(chart: Chart) -> tuple[str, str]:
    """The chart as SVG elements for a page: the wide form and the narrow form.

    Raises MissingExtraError without matplotlib.
    """
    with _drawn(chart) as canvas:
        wide = _svg(chart, canvas, chart.name, transparent=True)
        canvas.resize(NARROW, chart.height[1], narrow=True)
        narrow = _svg(chart, canvas, f"{chart.name}-narrow", transparent=True)
    return _for_a_page(wide), _for_a_page(narrow)


def _for_a_page(root: ElementTree.Element) -> str:
    for size in ("width", "height"):
        del root.attrib[size]
    return _COLOUR.sub(lambda match: f"var(--{NAMES[match[0]]}, {match[0]})", _text(root))


def svg(chart: Chart) -> bytes:
    """The chart as an SVG file, on white. Raises MissingExtraError without matplotlib."""
    with _drawn(chart) as canvas:
        root = _svg(chart, canvas, chart.name, transparent=False)
    root.set("style", "font-family: sans-serif")
    return _text(root).encode()


def png(chart: Chart) -> bytes:
    """The chart as a PNG of twice the pixels. Raises MissingExtraError without matplotlib."""
    with _drawn(chart) as canvas:
        memory = io.BytesIO()
        canvas.figure.savefig(memory, format="png", dpi=144, facecolor=PAPER, metadata={"Software": None})
        return memory.getvalue()


def _svg(chart: Chart, canvas: Canvas, name: str, *, transparent: bool) -> ElementTree.Element:
    memory = io.StringIO()
    paper = {"transparent": True} if transparent else {"facecolor": PAPER}
    canvas.figure.savefig(memory, format="svg", metadata={"Date": None, "Creator": None}, **paper)
    root = ElementTree.fromstring(memory.getvalue())  # noqa: S314 - matplotlib wrote it just now
    _clean(root)
    _rename(root, name)
    _describe(root, chart, canvas, name)
    return root


def _text(root: ElementTree.Element) -> str:
    ElementTree.register_namespace("", _SVG[1:-1])
    return ElementTree.tostring(root, encoding="unicode")


@contextmanager
def _drawn(chart: Chart) -> Iterator[Canvas]:
    """A canvas with the wide form of the chart. A CSS pixel is one point of matplotlib."""
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtraError("charts", "report", error) from error
    with mpl.rc_context({**_STYLE, "svg.hashsalt": chart.name}), warnings.catch_warnings():
        # Names in a session may hold any letter. A page and a browser have more fonts than matplotlib.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure = Figure(figsize=(WIDE / 72, chart.height[0] / 72), dpi=72)
        canvas = Canvas(figure=figure)
        chart.draw(canvas)
        yield canvas


def _clean(root: ElementTree.Element) -> None:
    """Remove the metadata, and the fonts of texts."""
    for child in [*root.findall(f"{_SVG}metadata"), *root.findall(f"{_SVG}defs")]:
        if child.tag.endswith("metadata") or all(part.tag.endswith("style") for part in child):
            root.remove(child)
    for element in root.iter():
        style = element.get("style")
        if style and element.tag == f"{_SVG}text":
            element.set("style", _FAMILY.sub("", _FONT.sub(r"font-size: \1", style)))


def _rename(root: ElementTree.Element, name: str) -> None:
    """Give ids that no other chart on the page has, and only to elements that something points at."""
    pointed = set(re.findall(r"#([\w.-]+)", ElementTree.tostring(root, encoding="unicode")))
    for element in root.iter():
        for key, value in list(element.attrib.items()):
            if key == "id":
                if value in pointed:
                    element.set("id", f"{name}-{value}")
                elif not value.startswith("mark"):
                    del element.attrib["id"]
            elif key == _XLINK:
                del element.attrib[key]
                element.set("href", f"#{name}-{value[1:]}")
            elif "url(#" in value:
                element.set(key, value.replace("url(#", f"url(#{name}-"))


def _describe(root: ElementTree.Element, chart: Chart, canvas: Canvas, name: str) -> None:
    """Add the words: a title and a description of the chart, and a title for each mark."""
    parts = {"title": chart.title, "desc": chart.description}
    for place, (tag, text) in enumerate(parts.items()):
        element = ElementTree.Element(_SVG + tag, {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(place, element)
    root.set("role", "img")
    root.set("class", "narrow" if name.endswith("-narrow") else "wide")
    root.set("aria-labelledby", " ".join(f"{name}-{tag}" for tag in parts))
    for element in root.iter():
        tip = canvas.tips.get(element.get("id", ""))
        if tip is not None:
            del element.attrib["id"]
            element.set("class", "mark")
            title = ElementTree.Element(_SVG + "title")
            title.text = tip
            element.insert(0, title)
