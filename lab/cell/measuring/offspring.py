"""Two ties between a process and its offspring that the kernel keeps: who adopts orphans, and who ends with whom."""

from __future__ import annotations

import signal

# include/uapi/linux/prctl.h; see man 2 prctl.
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> bool:
    """From now on every descendant whose parent has ended becomes a child of this process.

    Returns ``False`` without ctypes in this Python, or where the system forbids it: they go to PID 1 as ever.
    """
    return _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, for whatever reason."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, argument: int) -> bool:
    try:
        import ctypes

        return int(ctypes.CDLL(None).prctl(option, argument, 0, 0, 0)) == 0
    except (ImportError, OSError, AttributeError):
        return False
