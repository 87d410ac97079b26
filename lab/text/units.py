"""Numbers as text: the one place where units are formatted."""

from __future__ import annotations


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


def ratio(value: float) -> str:
    """A speed-up, or a number of CPUs, with two decimals."""
    return f"{value:.2f}"


def share(value: float) -> str:
    """A fraction between 0 and 1, as a percentage."""
    return f"{value * 100:.1f} %"


def counted(count: int, noun: str) -> str:
    """A number with its noun: ``1 cell``, ``2 cells``."""
    return f"{count} {noun}" + "s" * (count != 1)


def cpus(count: float) -> str:
    """A number of CPUs with its noun: ``1 CPU``, ``1.5 CPUs``."""
    return f"{count:g} CPU" if count == 1 else f"{count:g} CPUs"


def quantity(value: float, unit: str) -> str:
    """A value with its unit; an empty unit means a plain ratio. Large counts are shortened: ``2.44 M``."""
    if unit == "s":
        return seconds(value)
    if unit == "share":
        return share(value)
    if abs(value) >= 10000:
        return f"{three_figures(value / 1e6)} M" if abs(value) >= 1e6 else f"{three_figures(value / 1e3)} k"
    text = ratio(value) if value != int(value) or unit in ("", "CPUs") else str(int(value))
    return f"{text} {unit}".rstrip()


def interval(low: float, high: float, unit: str) -> str:
    """A 95 % interval: ``1.81 to 1.93``. A unit that both ends have is written once: ``5.1 to 5.2 ms``."""
    first, last = quantity(low, unit), quantity(high, unit)
    number, _, first_unit = first.partition(" ")
    return f"{number if first_unit and last.endswith(' ' + first_unit) else first} to {last}"
