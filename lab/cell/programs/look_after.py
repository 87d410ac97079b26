"""What is done beside a run, in a thread of its own: its tree is looked at, its output is taken, its time is limited.

A look costs time of the CPUs that the program runs on. So there are only so many looks that all of them together take
0.3 % of a CPU.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from typing import Dict, List, Optional, Sequence, Set

from lab.cell.measuring import process_tree

#: The first look comes so soon after the start, in seconds.
_FIRST_SECONDS = 0.005
#: Two looks are at least so far apart, in seconds.
_LEAST_SECONDS = 0.02
#: All looks together may take this share of a CPU.
_MOST_SHARE = 0.003

#: How long a process that was asked to end has until it is killed, in seconds.
GRACE_SECONDS = 1.0
#: What ends by itself so soon after the program, in seconds, was not left behind: a fork server ends in this way.
_LEAVING_SECONDS = 0.1
#: How long processes are killed again and again, in seconds.
_ENDING_SECONDS = 5.0
_POLL_SECONDS = 0.002

#: How much of the end of an output is kept, in bytes.
_KEPT = 4096
_PIECE = 65536


class Offspring:
    """Every process that descends from this one: waits for what has ended, and ends what goes on."""

    def __init__(self) -> None:
        #: CPU time outside of the kernel, in seconds, of all that was waited for.
        self.user = 0.0
        #: CPU time inside the kernel, likewise.
        self.system = 0.0
        #: The largest resident size of one process that was waited for, in bytes.
        self.largest = 0
        self._lock = threading.Lock()

    def wait(self, pid: int) -> int:
        """Wait for the end of a child. Returns its wait status."""
        _, status, usage = os.wait4(pid, 0)
        self._add(usage)
        return status

    def reap(self, spare: Optional[int] = None) -> None:
        """Wait for all children that have ended. ``spare`` is waited for by somebody else."""
        with self._lock:
            while True:
                try:
                    ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
                except ChildProcessError:
                    return
                if ended is None or ended.si_pid == spare:
                    return
                self._add(os.wait4(ended.si_pid, 0)[2])

    def end(self) -> int:
        """End all that goes on, politely at first. Returns how many processes there were."""
        begun = time.monotonic()
        ended: Set[int] = set()
        while True:
            self.reap()
            going_on = [member.pid for member in process_tree.members()]
            seconds = time.monotonic() - begun
            if not going_on or seconds > _ENDING_SECONDS:
                self.reap()  # what has ended since the last time counts too
                return len(ended)
            for pid in going_on if seconds > _LEAVING_SECONDS else ():
                if seconds > _LEAVING_SECONDS + GRACE_SECONDS:
                    send(pid, signal.SIGKILL)
                elif pid not in ended:
                    send(pid, signal.SIGTERM)
                ended.add(pid)
            time.sleep(_POLL_SECONDS)

    def _add(self, usage: "os.struct_rusage") -> None:  # type: ignore[name-defined] # not in the stubs
        self.user += usage.ru_utime
        self.system += usage.ru_stime
        self.largest = max(self.largest, usage.ru_maxrss * 1024)


def send(pid: int, number: int) -> None:
    """Send a signal to a process, if it is still there and may be signalled."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


class Attendant(threading.Thread):
    """Looks after one run until :meth:`dismiss` is called.

    ``main`` is the program's process, ``streams`` are the ends of pipes to be emptied, and ``deadline`` is on the
    monotonic clock.
    """

    def __init__(self, offspring: Offspring, main: int, streams: Sequence[int], deadline: float) -> None:
        super().__init__(daemon=True)
        #: Whether the run took longer than it may.
        self.is_late = False
        #: The most processes that were seen at a time; ``None``: nobody came to look.
        self.processes: Optional[int] = None
        #: The most threads that were seen at a time.
        self.threads: Optional[int] = None
        #: The most memory that was seen, in bytes.
        self.memory: Optional[int] = None
        self._offspring, self._main, self._deadline = offspring, main, deadline
        self._tails: Dict[int, bytes] = dict.fromkeys(streams, b"")
        self._open = list(streams)
        self._woken, self._wake = os.pipe()
        self._over = False
        self._begun = time.monotonic()

    def stand_back(self) -> None:
        """The program has ended: look no more."""
        self._over = True

    def dismiss(self) -> None:
        """Take what is left of the output, and end."""
        self.stand_back()
        os.close(self._wake)
        self.join()
        os.close(self._woken)

    def tail(self, stream: int) -> bytes:
        """The end of what came out of a pipe."""
        return self._tails[stream]

    def run(self) -> None:
        """The thread."""
        spent = time.thread_time()
        next_look = self._begun + _FIRST_SECONDS
        while True:
            wait = max(0.0, min(next_look, self._deadline) - time.monotonic())
            ready, _, _ = select.select([self._woken, *self._open], [], [], None if self._over else wait)
            for stream in [stream for stream in ready if stream in self._tails]:
                self._take(stream)
            if self._woken in ready:
                break
            now = time.monotonic()
            if not self._over and now >= self._deadline:
                self._end_it(now)
            elif not self._over and now >= next_look:
                self._look()
                cost = time.thread_time() - spent
                next_look = max(time.monotonic() + _LEAST_SECONDS, self._begun + cost / _MOST_SHARE)
        for stream in self._open[:]:
            os.set_blocking(stream, False)
            while self._take(stream):
                pass

    def _take(self, stream: int) -> bool:
        """Take a piece of output. Returns whether there may be more."""
        try:
            piece = os.read(stream, _PIECE)
        except BlockingIOError:
            return False
        if not piece:
            self._open.remove(stream)
        self._tails[stream] = (self._tails[stream] + piece)[-_KEPT:]
        return bool(piece)

    def _look(self) -> None:
        self._offspring.reap(spare=self._main)
        members = process_tree.members()
        memory = process_tree.memory(member.pid for member in members)
        if self._over or not members:
            return
        self.processes = max(self.processes or 0, len(members))
        self.threads = max(self.threads or 0, sum(member.threads for member in members))
        if memory is not None:
            self.memory = max(self.memory or 0, memory.largest)

    def _end_it(self, now: float) -> None:
        """End the run, which has had its time: politely at first."""
        pids: List[int] = [member.pid for member in process_tree.members()]
        for pid in pids:
            send(pid, signal.SIGKILL if self.is_late else signal.SIGTERM)
        self.is_late = True
        self._deadline = now + (GRACE_SECONDS if self._deadline <= now else 0)
