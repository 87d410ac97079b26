"""Several hosts at once: a process of the lab for each host, and all of their sessions joined.

Each process has the command line of the user with one host. It plans for its own machine, keeps a session of its own,
and says on standard error what it does. A host that is lost costs nothing but its own cells.
"""

from __future__ import annotations

import contextlib
import math
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab import interrupts, system
from lab.errors import EngineError, LabError, UsageError
from lab.interrupts import StopFlag
from lab.messages import tell
from lab.model.host import name_of
from lab.model.session import Session

#: How long a host may take to say which engine it is, in seconds. A host that takes longer is not compared with others.
_MEETING_SECONDS = 15.0
#: After how long it is said that a host has not answered yet, in seconds.
_TOLD_SECONDS = 5.0
#: How often a request to end is looked for, in seconds.
_POLL_SECONDS = 0.1
#: What the last message of a run that failed begins with.
_LAST_WORDS = "lab: "


@dataclass(kw_only=True)
class _Part:
    """The process of the lab that runs at one host."""

    #: The host, as the user wrote it.
    host: str
    #: The process.
    process: subprocess.Popen[str]
    #: Passes on what the process says.
    thread: threading.Thread = field(init=False)
    #: Why the process failed, in its own words; empty: it has not said so.
    failure: str = ""

    def start(self) -> None:
        """Begin to pass on what the process says."""
        self.thread = threading.Thread(target=self._pass_on, daemon=True)
        self.thread.start()

    def _pass_on(self) -> None:
        assert self.process.stderr
        with self.process.stderr as lines:
            for line in lines:
                text = line.rstrip("\n")
                if text.startswith(_LAST_WORDS):
                    self.failure = text.removeprefix(_LAST_WORDS)
                tell(f"{name_of(self.host)}: {text}")
        self.process.wait()
        if self.process.stdin:
            self.process.stdin.close()

    @property
    def loss(self) -> str:
        """Why the host did not come to an end of its own; empty where it did."""
        code = self.process.poll()
        if code is None:
            return "it has not ended in time after the request to end"
        return self.failure or (f"its process was ended by {signal.Signals(-code).name}" if code < 0 else "")


def check_distinct(hosts: Sequence[str]) -> None:
    """Raise UsageError where two of the hosts are the same engine, as far as the hosts answer.

    Two engines are the same if they have the same id, machine's name and folder. Machines that were cloned may share
    the id, and so may several engines of one machine.
    """
    from lab.containers.address import host_address

    by_address: dict[object, str] = {}
    for host in hosts:
        try:
            address = host_address(host).url
        except LabError:
            address = host  # its own process says why nothing can be there
        _check_new(by_address, address, host)
    by_engine: dict[object, str] = {}
    for host, engine in _engines(list(by_address.values())):
        _check_new(by_engine, engine, host)


def _check_new(known: dict[object, str], engine: object, host: str) -> None:
    """Note the host of an engine. Raises UsageError if another host is the same engine."""
    if engine in known:
        raise UsageError(
            f"--host {known[engine]} and --host {host} are the same engine",
            "name each machine once, because its cells would disturb each other",
        )
    known[engine] = host


def _engines(hosts: Sequence[str]) -> Iterator[tuple[str, object]]:
    """Each host with what tells its engine from others. Those that do not say it, or not in time, are left out."""
    answers: queue.Queue[tuple[str, object]] = queue.Queue()
    for host in hosts:
        threading.Thread(target=lambda host=host: answers.put((host, _identity(host))), daemon=True).start()
    until, silent = time.monotonic() + _MEETING_SECONDS, set(hosts)
    while silent and (left := until - time.monotonic()) > 0:
        try:
            host, engine = answers.get(timeout=min(left, _TOLD_SECONDS))
        except queue.Empty:
            tell(f"waiting for {', '.join(sorted(silent))} to say which engine is there, for at most {left:.0f} s more")
            continue
        silent.discard(host)
        if engine:
            yield host, engine


def _identity(host: str) -> object:
    """The id, the machine's name and the folder of the engine at this host; ``None`` where it has no id."""
    from lab.containers import waiting
    from lab.containers.client import client_for_this_environment, translated

    with (
        contextlib.suppress(LabError),
        waiting.doing(""),  # what is waited for is said of all hosts at once
        contextlib.closing(client_for_this_environment(host)) as client,
    ):
        with translated("asking the engine what it is"):
            info = client.info()
        return tuple(info.get(name) for name in ("ID", "Name", "DockerRootDir")) if info.get("ID") else None
    return None


def run_all(hosts: Sequence[str], words: Callable[[str], Sequence[str]], stop: StopFlag) -> dict[str, str]:
    """Run the lab once for each host, all at the same time, and pass on what they say.

    ``words`` makes the command line of a host. Returns the hosts that are lost, each with the reason. A request to stop
    reaches all of them, and so does a second one, which raises Interrupted here.
    """
    parts: list[_Part] = []
    try:
        for host in hosts:
            parts.append(_Part(host=host, process=_started(words(host))))
            parts[-1].start()
        _wait(parts, stop)
        return {part.host: part.loss for part in parts if part.loss}
    finally:
        _ask_to_end(parts)  # none of them outlives this function for long, whatever has happened


def _started(words: Sequence[str]) -> subprocess.Popen[str]:
    """The lab with this command line, as a process."""
    command, environment = system.this_lab(*words)
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,  # it ends when this pipe closes, also where this process is killed
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env={**environment, interrupts.HELD: "1"},
        **system.APART,  # it gets each signal once, and from here
    )


def _wait(parts: Sequence[_Part], stop: StopFlag) -> None:
    """Wait until all have ended. After a request to stop, which is passed on, they have only some seconds."""
    until = math.inf
    while (living := [part for part in parts if part.thread.is_alive()]) and time.monotonic() < until:
        if stop.requested and until == math.inf:
            until = time.monotonic() + interrupts.CLEAN_UP_SECONDS
            _ask_to_end(living)
        living[0].thread.join(_POLL_SECONDS)


def _ask_to_end(parts: Sequence[_Part]) -> None:
    """Ask every process that is still there to end. Its own guard sees to it that it does."""
    for part in parts:
        if part.process.poll() is None:
            with contextlib.suppress(OSError):
                part.process.send_signal(system.ASK_TO_END)


def joined(
    folder: Path, hosts: Sequence[str], lost: Mapping[str, str], *, seconds: float, interrupted: bool
) -> Session:
    """The sessions of all hosts below a folder, in the order of the hosts, joined under the name of the folder.

    The run took ``seconds``, and ``interrupted`` says whether the user ended it. Raises EngineError where no host has
    left a session.
    """
    import dataclasses

    from lab.sessions import loading, merging

    below = loading.folders(folder)
    if not below:
        raise EngineError(f"none of the {len(hosts)} hosts ran anything", "the lines above say why")
    with loading.making_sense_of(*below):
        sessions = sorted(map(loading.load_session, below), key=lambda session: hosts.index(session.host))
        session = merging.join(sessions, lost)
    return dataclasses.replace(session, id=folder.name, wall_seconds=seconds, interrupted=interrupted)
