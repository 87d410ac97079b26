"""How this Python was compiled, as it remembers: GIL, optimisation, flags, and its JIT. For the probe of a build.

Not for every cell: ``sysconfig`` takes tens of milliseconds to load what it knows. Sources: the variables of CPython's
Makefile, through ``sysconfig.get_config_vars``; ``sys._jit`` (3.14 and later).
"""

from __future__ import annotations

import re
import sys
from typing import Any, Mapping

#: Characters of each text that are kept: a record has to stay below 8 KiB.
_KEPT = 1000


def describe() -> dict[str, Any]:
    """What is known of the build, as a JSON-able dict.

    ``gil_at_build`` is whether it was compiled to have a GIL, ``gil_now`` whether it has one now. ``optimisation`` is
    the last ``-O`` that the compiler was given for the interpreter's core (it counts), ``None`` where none was.
    ``by_profile`` (PGO) and ``link_time`` (LTO) are ``True`` or ``None``, never ``False``: distributions leave out of
    ``configure`` and ``flags`` some of what they used, as Debian does. ``jit`` is ``None`` before 3.14; ``options`` are
    the ``-X`` that this process was started with.
    """
    import sysconfig

    try:
        return _from(sysconfig.get_config_vars())
    except ImportError:  # small images leave out the module that has it (_sysconfigdata…)
        return _from({})


def _from(known: Mapping[str, Any]) -> dict[str, Any]:
    flags = " ".join(("%s %s" % (known.get("PY_CFLAGS") or "", known.get("PY_CFLAGS_NODIST") or "")).split())
    levels = re.findall(r"(?<!\S)-(O\w*)", flags)
    configure = " ".join((known.get("CONFIG_ARGS") or "").split())
    gil = getattr(sys, "_is_gil_enabled", None)
    jit = getattr(sys, "_jit", None)
    return {
        "gil_at_build": not (known.get("Py_GIL_DISABLED") or "t" in sys.abiflags),
        "gil_now": True if gil is None else bool(gil()),
        "optimisation": levels[-1] if levels else None,
        "by_profile": "--enable-optimizations" in configure or None,
        "link_time": "-flto" in flags or "--with-lto" in configure or None,
        "debug": bool(known.get("Py_DEBUG")),
        "configure": configure[:_KEPT],
        "flags": flags[:_KEPT],
        "jit": None if jit is None else {"available": jit.is_available(), "enabled": jit.is_enabled()},
        "options": {name: value for name, value in sys._xoptions.items() if name in ("gil", "cpu_count")},
    }
