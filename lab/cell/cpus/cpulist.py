"""CPU lists as the Linux kernel writes them (``0-3,8``): text to tuple and back.

Format: "List format" in the kernel's Documentation/core-api/kernel-api (``bitmap_parselist``); man 7 cpuset.
Python 3.9's syntax: it also runs inside the cells.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: No kernel is built for more CPUs than five digits number: a list that reaches further would fill the memory.
_PART = re.compile("([0-9]{1,5})(?:-([0-9]{1,5}))?")


def parse(text: str) -> tuple[int, ...]:
    """The CPU ids named by a list such as ``0-3,8``, sorted, each once; an empty text names none.

    Raises ValueError when the text is not such a list.
    """
    ids: set[int] = set()
    for part in filter(None, (piece.strip() for piece in text.strip().split(","))):
        match = _PART.fullmatch(part)
        if not match:
            raise ValueError(f"{part!r} is not a CPU id or a range such as 0-3")
        low, high = int(match[1]), int(match[2] or match[1])
        if high < low:
            raise ValueError(f"the range {part!r} runs backwards")
        ids.update(range(low, high + 1))
    return tuple(sorted(ids))


def members(text: str | None) -> set[int] | None:
    """The same as a set; ``None`` where it is no list, such as ``(null)``, which old kernels write for an empty one."""
    try:
        return set(parse(text or ""))
    except ValueError:
        return None


def render(ids: Iterable[int]) -> str:
    """The shortest list that names these CPU ids: ``(0, 1, 2, 8)`` becomes ``0-2,8``."""
    runs: list[list[int]] = []
    for cpu in sorted(set(ids)):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in runs)
