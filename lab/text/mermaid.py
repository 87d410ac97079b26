"""Charts in Markdown, by mermaid (https://mermaid.js.org/syntax/xyChart.html): bars, and lines across them. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from lab.text import units

#: Characters that no text of a chart may have, because mermaid cannot escape quotes.
_UNQUOTABLE = re.compile(r"[^\w =.,:+-]")


def bars(
    title: str,
    labels: Sequence[str],
    values: Sequence[float],
    *lines: Sequence[float],
    axes: tuple[str, str] = ("", ""),
    horizontal: bool = False,
) -> str:
    """A bar for each label, and lines across the bars, under the name that mermaid 10.5 and later know.

    ``axes`` are the titles of the axes. The chart has no legend.
    """
    highest = max(max(values), *(max(line) for line in lines), 0.0)
    names = ", ".join(_quoted(label) for label in labels)
    return "\n".join(
        (
            "```mermaid",
            "xychart-beta horizontal" if horizontal else "xychart-beta",
            f"    title {_quoted(title)}",
            f"    x-axis{_titled(axes[0])} [{names}]",
            f"    y-axis{_titled(axes[1])} 0 --> {math.ceil(highest) or 1}",
            f"    bar {_series(values)}",
            *(f"    line {_series(line)}" for line in lines),
            "```",
        )
    )


def _quoted(text: str) -> str:
    return f'"{_UNQUOTABLE.sub(" ", text)}"'


def _titled(title: str) -> str:
    return f" {_quoted(title)}" if title else ""


def _series(values: Sequence[float]) -> str:
    return f"[{', '.join(map(units.ratio, values))}]"
