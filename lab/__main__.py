"""``python -m lab`` and the console script ``lab``. The only place that exits."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import sys

from lab import interrupts, messages, system
from lab.errors import LabError

#: The number of new objects after which the garbage collector runs. The default of 700 (2000 in later Pythons) is
#: reached every few imports, which leave no garbage. The collections would take a tenth of the time until a run begins.
_COLLECT_AFTER = 50_000


def run() -> None:
    """Run the command line and exit with its code. A LabError becomes a line, not a traceback."""
    messages.prepare_streams()
    gc.set_threshold(_COLLECT_AFTER)
    try:
        interrupts.listen_to_signals()
        from lab.cli import main

        code = main(sys.argv[1:])
    except LabError as error:
        messages.tell(f"lab: {messages.printable(str(error))}")
        code = error.exit_code
    except Exception as error:  # a defect: the traceback is for those who look for it
        if os.environ.get("LAB_DEBUG") == "1":
            import traceback

            traceback.print_exc()
        if not interrupts.requested():  # else a terminal was closed, which cannot be written to
            messages.tell(f"lab: {_defect(error)}")
        code = 3
    except KeyboardInterrupt:
        messages.tell("lab: interrupted")
        interrupts.say_remains()
        # sys.exit is not used. After an interrupt within an exec(), such as in a dataclass, CPython would end itself
        # with the signal, whatever the exit code is (run_eval_code_obj in Python/pythonrun.c).
        os._exit(130)
    finally:
        interrupts.say_remains()
        gc.freeze()  # the system frees the memory; a last collection may take a tenth of a second
    if interrupts.requested():
        _leave()
    for number in system.ENDING_SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the command has ended: a late signal would change the exit code
    sys.exit(code)


def _leave() -> None:
    """Exit after a request to end, without waiting for threads, because an engine may not answer them."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # a terminal that was closed
            stream.flush()
    os._exit(130)


#: What the system answers where it lets nobody, or not this user, use a path; and where there is no room on a disk.
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG, errno.ELOOP)
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def _defect(error: Exception) -> str:
    """One line about an exception that nobody foresaw, which asks for a report of it.

    What the system refuses at a path is no defect, and a full disk is none: the line says what to do.
    """
    from lab import release

    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        return f"cannot write: {error.strerror}; make room, or name a folder on another disk"
    if isinstance(error, OSError) and error.errno in _REFUSED and isinstance(error.filename, str | bytes):
        path = messages.printable(os.fsdecode(error.filename))
        return f"cannot use {path}: {error.strerror}; give yourself the right to it, or name another path"
    if others := release.namesakes():
        return (
            f"{' and '.join(others)} in this environment has the same import name and has overwritten files of"
            " multicore-lab; install multicore-lab again, in a virtual environment of its own"
        )
    text = messages.printable(" ".join(str(error).split()))
    return (
        f"this is a defect of the lab: {type(error).__name__}: {text[:200]}. Please report it, with what the same"
        " command prints under LAB_DEBUG=1"
    )


if __name__ == "__main__":
    run()
