"""``python -m lab`` and the console script ``lab``. The only place that exits."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import signal
import sys

from lab import interrupts
from lab.errors import LabError

#: New objects after which to look for unreachable ones. The usual 700 (2000 later) come about every few imports, of
#: which nothing becomes unreachable: looking takes a tenth of the time until a run begins.
_COLLECT_AFTER = 50_000


def run() -> None:
    """Run the command line and exit with its code; a user's mistake gets a line, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without “ still gets its tables
    gc.set_threshold(_COLLECT_AFTER)
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, interrupts.end)
        from lab.cli import main

        code = main(sys.argv[1:])
        sys.stdout.flush()
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)  # noqa: T201 - an error is not a result: it goes to standard error
        code = error.exit_code
    except BrokenPipeError:
        # The reader (head, a pager) has what it wanted. Nothing may be flushed into the closed pipe at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 0
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):
            print("lab: interrupted", file=sys.stderr, flush=True)  # noqa: T201 - as above
        # Not sys.exit: an interrupt that fell into an exec(), as while a dataclass is made, makes CPython end itself by
        # the signal, whatever the exit code (run_eval_code_obj in Python/pythonrun.c).
        os._exit(130)
    finally:
        gc.freeze()  # the memory goes back anyway: to look first what of it is unreachable may take a tenth of a second
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # all is said and done: one that came late would change the exit code
    sys.exit(code)


if __name__ == "__main__":
    run()
