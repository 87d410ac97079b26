"""A containerised multi-core lab for Python: claims, run under exact CPU limits, proven from inside, and judged.

As a library: ``lab.effective_cpus()``, how many CPUs this process really has, on Python 3.9 and later with the standard
library alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.cell.cpus.effective import EffectiveCpus, effective_cpus

__version__ = "0.1.0"

__all__ = ["EffectiveCpus", "__version__", "effective_cpus"]


def __getattr__(name: str) -> object:
    """The library's names are loaded when they are first used (PEP 562): a cell and the command line need them not."""
    if name in ("EffectiveCpus", "effective_cpus"):
        from lab.cell.cpus import effective

        return getattr(effective, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
