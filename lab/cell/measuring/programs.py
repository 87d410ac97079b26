"""Programs of their own: a few lines of Python in a fresh interpreter, with what they print and how they end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import textwrap
import time
from typing import Callable, NamedTuple

#: A program or a child that has not ended after this time counts as hanging. Each one needs a fraction of it.
PATIENCE_SECONDS = 10.0


class Ended(NamedTuple):
    """What became of a program."""

    #: The exit status; negative: the signal that ended it; ``None``: it had to be killed.
    status: int | None
    #: What it printed.
    out: str
    #: What it printed on standard error.
    err: str


def program(source: str) -> Ended:
    """Run the source in a fresh interpreter that reads no settings, with this one's GIL and number of CPUs, and wait
    for its end."""
    options = [word for name in ("gil", "cpu_count") if name in sys._xoptions for word in ("-X", _option(name))]
    words = [sys.executable, "-I", "-S", *options, "-c", textwrap.dedent(source)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return Ended(None, out, err)
    return Ended(process.returncode, out, err)


def _option(name: str) -> str:
    value = sys._xoptions[name]
    return name if value is True else "%s=%s" % (name, value)


def forked(body: Callable[[], bool]) -> bool | None:
    """What ``body`` returns in a child forked from the calling thread, or ``None`` when it did not return in time.

    Unlike a process of ``multiprocessing`` the child runs nothing else, neither before nor after.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, b"yes" if body() else b"no")
        finally:
            os._exit(0)
    os.close(writer)
    try:
        ready, _, _ = select.select([reader], [], [], PATIENCE_SECONDS)
        answer = os.read(reader, 3) if ready else b""
    finally:
        os.close(reader)
        os.kill(child, signal.SIGKILL)  # not yet waited for, so the pid is still its own
        os.waitpid(child, 0)
    return {b"yes": True, b"no": False}.get(answer)


def wait_until(happened: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> bool:
    """Wait until ``happened`` returns true, asking every millisecond. Returns whether it did within ``seconds``."""
    until = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > until:
            return False
        time.sleep(0.001)
    return True
