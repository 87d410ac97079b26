"""Numbers as text: the one place where units are formatted."""

from __future__ import annotations

import re
from collections.abc import Mapping

from lab.cell.claims.wording import seconds as seconds
from lab.cell.claims.wording import three_figures


def ratio(value: float) -> str:
    """A speed-up, or a number of CPUs, with two decimals."""
    return f"{value:.2f}"


def share(value: float) -> str:
    """A fraction between 0 and 1, as a percentage."""
    return f"{value * 100:.1f} %"


def size(value: float) -> str:
    """A number of bytes, in the unit that reads best: ``131 MB``, ``2.4 GB``."""
    for unit, bytes_of_it in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= 0.9995 * bytes_of_it:
            return f"{three_figures(value / bytes_of_it)} {unit}"
    return f"{value:.0f} B"


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
    if unit == "bytes":
        return size(value)
    if abs(value) >= 10000:
        return f"{three_figures(value / 1e6)} M" if abs(value) >= 1e6 else f"{three_figures(value / 1e3)} k"
    text = ratio(value) if value != int(value) or unit in ("", "CPUs") else str(int(value))
    return f"{text} {unit}".rstrip()


def interval(low: float, high: float, unit: str) -> str:
    """A 95 % interval: ``1.81 to 1.93``. A unit that both ends have is written once: ``5.1 to 5.2 ms``."""
    first, last = quantity(low, unit), quantity(high, unit)
    number, _, first_unit = first.partition(" ")
    return f"{number if first_unit and last.endswith(' ' + first_unit) else first} to {last}"


#: Unit -> how many bytes it is.
BYTES = {"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
#: Unit -> how many seconds it is.
SECONDS = {"ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}


def parsed(text: str, units: Mapping[str, float]) -> float | None:
    """A number above 0 with one of these units, such as ``500 MiB``; ``None``: the text is no such number."""
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?) ?([A-Za-z]+)", text.strip())
    if not match or match[2] not in units:
        return None
    number = float(match[1]) * units[match[2]]
    return number if 0 < number < 1e300 else None
