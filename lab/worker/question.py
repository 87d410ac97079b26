"""What an interpreter is asked before it may run a cell: ``python -E -s -S -c SOURCE`` prints one line of JSON.

It may be any Python, old ones too, or something else of that name: so SOURCE is valid in Python 2 as well, imports
little, and says itself what a cell would miss. For the same reason not ``-I``, which came with Python 3.4: of all that
it does, SOURCE itself keeps the current folder off the path. ``MARK`` starts the line, since what else a program prints
is no answer.
"""

MARK = "multicore-lab-python:"

#: Of the functions that a cell needs, ``waitid`` is only for where no ``pidfd_open`` works; see lab/worker/child.py.
SOURCE = r"""
import sys
sys.path[:] = [folder for folder in sys.path if folder]
import json, os
needed = ["sched_getaffinity", "sched_setaffinity", "fork"]
try:
    os.close(os.pidfd_open(os.getpid()))
except (AttributeError, OSError):
    needed.append("waitid")
kind = "pypy" if "PyPy" in sys.version else "cpython"
gil, jit = getattr(sys, "_is_gil_enabled", None), getattr(sys, "_jit", None)
found = {
    "version": list(sys.version_info[:3]),
    "release": sys.version.split()[0],
    "implementation": sys.implementation.name if hasattr(sys, "implementation") else kind,
    "debug": hasattr(sys, "gettotalrefcount"),
    "free_threaded": "t" in getattr(sys, "abiflags", ""),
    "gil_enabled": True if gil is None else bool(gil()),
    "jit": None if jit is None else {"available": jit.is_available(), "enabled": jit.is_enabled()},
    "executable": os.path.realpath(sys.executable),
    "lacks": ["os." + name for name in needed if not hasattr(os, name)],
}
sys.stdout.write("MARK" + json.dumps(found) + "\n")
""".replace("MARK", MARK)

#: What comes after the interpreter to ask it.
ARGUMENTS = ("-E", "-s", "-S", "-c", SOURCE)
