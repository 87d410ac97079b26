"""A containerised multi-core lab for Python: claims, run under exact CPU limits, proven from inside, and judged.

As a library it has two functions. ``lab.effective_cpus()`` says how many CPUs this process really has, on Python 3.9
and later with the standard library alone. ``lab.scale()`` says which executor and how many workers a function of yours
should have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.cell.cpus.effective import EffectiveCpus, effective_cpus
    from lab.running.scaling import Scaling, scale

__version__ = "1.0.0"

__all__ = ["EffectiveCpus", "Scaling", "__version__", "effective_cpus", "scale"]


def __getattr__(name: str) -> object:
    """The library's names are loaded when they are first used (PEP 562): a cell and the command line need them not."""
    if name in ("EffectiveCpus", "effective_cpus"):
        from lab.cell.cpus import effective

        return getattr(effective, name)
    if name in ("Scaling", "scale"):
        import importlib
        import sys

        if sys.version_info < (3, 11):
            version = "%d.%d" % sys.version_info[:2]
            raise ImportError(
                "lab.%s needs Python 3.11 or later, this is %s; lab.effective_cpus() works here" % (name, version)
            )
        # By its name: what this file imports travels into every cell.
        return getattr(importlib.import_module("lab.running.scaling"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
