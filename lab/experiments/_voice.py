"""How an experiment speaks: observations, samples of measurement, and the events of its story."""

import json
import os
import threading
import time


class Voice:
    """Handed to every experiment's ``run``; each call becomes one record of the cell.

    ``seconds`` is the most time that the experiment may spend measuring, ``width`` the half-width of intervals, as a
    share of the value, at which it may stop sooner; ``cpus`` the ids it may run on.
    """

    def __init__(self, descriptor, seconds, width):
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self.seconds = seconds
        self.width = width
        self.cpus = tuple(sorted(os.sched_getaffinity(0)))
        self.began = time.monotonic()

    def observe(self, name, value, unit=""):
        """State one value, under the name by which the experiment's claims look it up."""
        self._say({"kind": "observation", "name": name, "value": value, "unit": unit})

    def sample(self, name, values):
        """Store one round of raw measurement: what each arm measured, by its name."""
        self._say({"kind": "sample", "name": name, "values": values})

    def tell(self, text, who=None):
        """Add an event to the story. ``who`` is what :func:`here` returned where it happened; by default, here."""
        who = dict(who or here())
        who["at"] -= self.began
        self._say(dict(who, kind="event", text=text))

    def _say(self, message):
        line = json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]


def here():
    """Who runs this, where and when: pid, thread name, CPU, and the monotonic clock in seconds (the same for all)."""
    return {
        "pid": os.getpid(),
        "thread": threading.current_thread().name,
        "cpu": cpu_now(),
        "at": time.monotonic(),
    }


def cpu_now():
    """The CPU on which the calling thread last ran: field 39 of /proc/thread-self/stat (man 5 proc), or ``None``."""
    try:
        with open("/proc/thread-self/stat") as stream:
            return int(stream.read().rpartition(")")[2].split()[36])
    except (OSError, ValueError, IndexError):
        return None
