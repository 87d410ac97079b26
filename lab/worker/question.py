"""What an interpreter is asked before it may run a cell: ``python -I -S -c SOURCE`` prints one line of JSON.

It may be any Python, old ones too, or something else of that name: so SOURCE is valid in Python 2 as well, imports
little, and says itself what a cell would miss. ``MARK`` starts the line, since what else a program prints is no answer.
"""

MARK = "multicore-lab-python:"

SOURCE = r"""
import json, os, sys
needed = ("sched_getaffinity", "sched_setaffinity", "fork", "waitid")
gil, jit = getattr(sys, "_is_gil_enabled", None), getattr(sys, "_jit", None)
found = {
    "version": list(sys.version_info[:3]),
    "release": sys.version.split()[0],
    "implementation": sys.implementation.name if sys.version_info >= (3, 3) else "python",
    "free_threaded": "t" in getattr(sys, "abiflags", ""),
    "gil_enabled": True if gil is None else bool(gil()),
    "jit": None if jit is None else {"available": jit.is_available(), "enabled": jit.is_enabled()},
    "executable": os.path.realpath(sys.executable),
    "lacks": ["os." + name for name in needed if not hasattr(os, name)],
}
sys.stdout.write("MARK" + json.dumps(found) + "\n")
""".replace("MARK", MARK)
