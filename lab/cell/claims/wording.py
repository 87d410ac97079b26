"""Texts that have to be short, and durations as text. The orchestrator takes both from here."""

from __future__ import annotations


def shortened(text: str, most: int) -> str:
    """The text if it has at most ``most`` characters; else its beginning, cut between two words, and an ellipsis.

    A word is cut if more than half of the room would stay empty without its beginning.
    """
    if len(text) <= most:
        return text
    words, _, _ = text[:most].rpartition(" ")
    return (words if 2 * len(words) >= most else text[: most - 1]).rstrip() + "…"


def seconds(value: float) -> str:
    """A duration given in seconds, in the unit that reads best: ``3.2 s``, ``5.07 ms``, ``120 µs``."""
    size = abs(value)
    if size >= 60:
        minutes, rest = divmod(round(value), 60)
        return f"{minutes} min {rest} s"
    if size >= 0.9995:
        return f"{value:.1f} s"
    if size >= 0.9995e-3:  # what would round to 1000 µs is 1 ms
        return f"{three_figures(value * 1e3)} ms"
    return f"{three_figures(value * 1e6)} µs"


def three_figures(value: float) -> str:
    """Three significant figures, or all figures before the point: ``5.07``, ``0.31``, ``1234``."""
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"
