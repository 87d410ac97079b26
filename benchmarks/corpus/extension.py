"""A function of an extension in C that does not say whether it is safe without the GIL (``keeps_gil.c``)."""

from __future__ import annotations

import keeps_gil


def loop_in_c() -> int:
    """Compute in C, and keep the GIL."""
    return int(keeps_gil.loop(300_000))
