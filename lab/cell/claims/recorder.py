"""How an experiment speaks: observations, samples of measurement, and the events of its story."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any, Mapping

from lab.cell.claims.wording import shortened

#: So many characters of an error are told.
MOST_WORDS = 500
#: So many lines of an exception's way are kept.
MOST_FRAMES = 5
#: The arms of a sample, in bytes of JSON; a message has room for somewhat more.
_LONGEST_PART = 6000


class NotMeasuredError(Exception):
    """An experiment cannot be measured, and this is no fault of the lab's. The message goes on from its name."""


class Recorder:
    """What every experiment's ``run`` is handed. Each call becomes one record of the cell.

    - ``seconds``: the most time that the experiment may spend measuring;
    - ``width``: the half-width of intervals, as a share of the value, at which it may stop sooner;
    - ``cpus``: the ids of the CPUs that it may run on;
    - ``quota``: the quota under test, in CPUs, or ``None``;
    - ``seed``: the seed of everything that is done in random order;
    - ``case``: what to measure, where the experiment measures code of the user's, else ``None``.
    """

    def __init__(
        self,
        descriptor: int,
        seconds: float,
        width: float,
        quota: float | None = None,
        seed: int = 1,
        case: Mapping[str, Any] | None = None,
    ) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self.seconds = seconds
        self.width = width
        self.quota = quota
        self.seed = seed
        self.case = case
        self.cpus = tuple(sorted(os.sched_getaffinity(0)))
        self.began = time.monotonic()

    def observe(self, name: str, value: object, unit: str = "") -> None:
        """State one value, under the name by which the experiment's claims look it up."""
        self._say({"kind": "observation", "name": name, "value": value, "unit": unit})

    def sample(self, name: str, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Store one round of raw measurement: what each arm measured, by its name.

        A round of very many arms is stored in parts, because a message has a longest length.
        """
        *parts, last = _in_parts(values)
        for part in parts:
            self._say({"kind": "sample", "name": name, "values": part, "more": True})
        self._say({"kind": "sample", "name": name, "values": last})

    def tell(self, text: str, who: Mapping[str, Any] | None = None, since: Mapping[str, Any] | None = None) -> None:
        """Add an event to the story. ``who`` is what :func:`here` returned where it happened; by default, here.

        For the end of something, ``since`` is what :func:`here` returned at its beginning. A timeline then shows how
        long it took.
        """
        event = dict(who or here(), kind="event", text=text)
        if since is not None:
            event["since"] = since["at"] - self.began
        event["at"] -= self.began
        self._say(event)

    def end(self, error: BaseException | None = None) -> bool:
        """Say that ``run`` has returned, or that ``error`` ended it. Only the worker calls this.

        An experiment that ends without this call counts as failed. Returns whether it could be said: the experiment may
        have closed what it speaks through.
        """
        plain = isinstance(error, NotMeasuredError)
        why = "" if error is None else ("" if plain else "raised ") + in_words(error)
        last: dict[str, Any] = {"kind": "done"}
        if why:
            last = {"kind": "raised", "error": shortened(why, MOST_WORDS), "frames": frames_of(error)}
        try:
            self._say(last)
        except OSError:
            return False
        return True

    def _say(self, message: Mapping[str, Any]) -> None:
        line = json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        with self._lock:
            while line:
                line = line[os.write(self._descriptor, line) :]


def _in_parts(values: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Mapping[str, Any]]]:
    """The arms of a round, in parts each of which is short enough for a message."""
    parts: list[dict[str, Mapping[str, Any]]] = [{}]
    length = 0
    for name, block in values.items():
        own_length = len(json.dumps({name: block}))
        if parts[-1] and length + own_length > _LONGEST_PART:
            parts.append({})
            length = 0
        parts[-1][name] = block
        length += own_length
    return parts


def frames_of(error: BaseException | None) -> list[str]:
    """Where an exception came from: the last lines of the experiment's own file, and of others than the lab's."""
    frames = []
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        code = trace.tb_frame.f_code
        place = code.co_filename.replace(os.sep, "/")
        if "/lab/cell/experiments/" in place or "/lab/cell/" not in place:
            frames.append("%s, line %d, in %s" % (place.rpartition("/")[2], trace.tb_lineno, code.co_name))
        trace = trace.tb_next
    return [shortened(frame, 200) for frame in frames[-MOST_FRAMES:]]


def in_words(error: BaseException) -> str:
    """An exception in one line, as the last line of its traceback has it, and not too long for a message."""
    try:
        text = " ".join(str(error).split())
    except Exception as another:  # an exception of the user's may have a __str__ that raises
        text = "its own text raises %s" % type(another).__name__
    if isinstance(error, NotMeasuredError):
        return text
    return shortened(("%s: %s" % (type(error).__name__, text)).rstrip(": "), MOST_WORDS)


def here() -> dict[str, Any]:
    """Who runs this, where and when: pid, thread name, CPU, and the monotonic clock in seconds (the same for all)."""
    return {
        "pid": os.getpid(),
        "thread": threading.current_thread().name,
        "cpu": cpu_now(),
        "at": time.monotonic(),
    }


def cpu_now() -> int | None:
    """The CPU on which the calling thread last ran: field 39 of /proc/thread-self/stat (man 5 proc), or ``None``."""
    try:
        with open("/proc/thread-self/stat") as stream:
            return int(stream.read().rpartition(")")[2].split()[36])
    except (OSError, ValueError, IndexError):
        return None
