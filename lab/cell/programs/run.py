"""One run of a program: started in a session of its own, waited for, and ended with all that it has left."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from typing import Any, Iterator, List, NamedTuple, Optional, Tuple

from lab.cell.claims.recorder import NotMeasuredError
from lab.cell.measuring.process_tree import own_peak
from lab.cell.programs.group_counters import Counters, OwnGroup
from lab.cell.programs.look_after import Attendant, Offspring
from lab.cell.programs.program import INHERIT, NULL, PIPE, SHELL, Program

#: How much of the end of standard error is told, in characters.
_WORDS = 600


class Run(NamedTuple):
    """What one run took, and how it ended. What is not known is ``None``."""

    #: From the start of the program to its end, in seconds.
    wall: float
    #: CPU time of the program and all that it started, in seconds.
    cpu: float
    #: The part of it outside of the kernel.
    user: float
    #: The part of it inside the kernel.
    system: float
    #: Who has counted the CPU time: ``group``, the control group, or ``tree``, the processes that were waited for.
    counted_by: str
    #: The exit code; ``None``: a signal ended it.
    code: Optional[int]
    #: The name of the signal that ended it.
    signal: Optional[str] = None
    #: Whether it took longer than it may, and was ended.
    late: bool = False
    #: How many processes were killed because memory ran out.
    oom_kills: Optional[int] = None
    #: How many processes it has left behind.
    left: int = 0
    #: The most memory that its processes held together, in bytes.
    tree_memory: Optional[int] = None
    #: The most memory that the control group held, less what it held before, in bytes.
    group_memory: Optional[int] = None
    #: The most processes that were seen at a time.
    processes: Optional[int] = None
    #: The most threads that were seen at a time.
    threads: Optional[int] = None
    #: Periods of the quota.
    periods: Optional[int] = None
    #: Periods in which the quota stopped it.
    throttled_periods: Optional[int] = None
    #: For how long the quota stopped it, in seconds.
    throttled_seconds: Optional[float] = None
    #: For how long a task waited for a CPU, in seconds.
    pressure: Optional[float] = None
    #: CPU time on each CPU, by its number, in seconds.
    each_cpu: Optional[List[float]] = None
    #: The end of what it wrote to standard error, if it did not end well.
    words: str = ""

    def failed(self, program: Program) -> bool:
        """Whether it did not end as it should."""
        return self.late or not program.succeeded(self.code)

    @property
    def ending(self) -> str:
        """How it ended, in words that go on from the program's name."""
        if self.signal and not self.late:
            return "was killed by %s%s" % (self.signal, ": memory ran out" if self.oom_kills else "")
        how = "did not end before its deadline" if self.late else "ended with exit code %s" % self.code
        return how + (", after memory had run out and a process of it was killed" if self.oom_kills else "")


def run_once(program: Program, group: Optional[OwnGroup] = None) -> Run:
    """Run a program to its end. ``group`` is this process's control group, if nobody else is in it.

    Raises NotMeasuredError where the program cannot be started.
    """
    offspring = Offspring()
    before = group.read() if group else Counters()
    with _streams(program) as (output, pipes):
        begun = time.perf_counter()
        process = _start(program, output, pipes)
        attendant = Attendant(
            offspring, process.pid, [reader for reader, _ in pipes], time.monotonic() + program.deadline_seconds
        )
        for _, writer in pipes:
            os.close(writer)
        attendant.start()
        status = offspring.wait(process.pid)
        wall = time.perf_counter() - begun
        attendant.stand_back()
        process.returncode = status  # subprocess need not wait for it
        left = offspring.end()
        after = group.read() if group else Counters()
        attendant.dismiss()
        words = attendant.tail(pipes[-1][0]).decode("utf-8", "replace") if pipes else ""
    code = os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
    # A child begins with the resident size of the process that forked it, which says nothing of the program.
    floor = own_peak()
    sizes = [size for size in (attendant.memory, offspring.largest if offspring.largest > floor else None) if size]
    run = Run(
        wall=wall,
        **_cpu(before, after, offspring),
        code=code,
        signal=_name_of(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else None,
        late=attendant.is_late,
        left=left,
        tree_memory=max(sizes, default=None),
        processes=attendant.processes,
        threads=attendant.threads,
        **counted(before, after),
    )
    return run._replace(words=_plain(words)[-_WORDS:].strip()) if run.failed(program) else run


def _plain(text: str) -> str:
    """The text with a sign for each character that cannot be shown."""
    return "\n".join("".join(sign if sign.isprintable() else "?" for sign in line) for line in text.splitlines())


def _start(program: Program, output: int, pipes: List[Tuple[int, int]]) -> "subprocess.Popen[bytes]":
    """Start the program. Raises NotMeasuredError where that fails."""
    words = [SHELL, "-c", *program.words] if program.by_shell else list(program.words)
    try:
        return subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=pipes[-1][1] if pipes else program.inherited[1],
            cwd=program.folder or None,
            env={**os.environ, **program.environment},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        for _, writer in pipes:
            os.close(writer)
        reason = getattr(error, "strerror", None) or error
        raise NotMeasuredError("%s cannot be started: %s" % (words[0], reason)) from error


@contextlib.contextmanager
def _streams(program: Program) -> Iterator[Tuple[int, List[Tuple[int, int]]]]:
    """Where standard output goes, and the pipes that have to be emptied, as (reader, writer). The last one is that of
    standard error; without a pipe, the user has that too. Whoever starts the program closes the writers."""
    pipes: List[Tuple[int, int]] = []
    opened: List[int] = []
    if program.inherited:
        output = program.inherited[0]
    elif program.output == PIPE:
        pipes = [os.pipe(), os.pipe()]
        output = pipes[0][1]
    else:
        output = _opened(program)
        pipes, opened = [os.pipe()], [output]
    try:
        yield output, pipes
    finally:
        for descriptor in [*opened, *(reader for reader, _ in pipes)]:
            os.close(descriptor)


def _opened(program: Program) -> int:
    """The file that takes the output. Raises NotMeasuredError where it cannot be written."""
    path = os.devnull if program.output in (NULL, INHERIT) else os.path.join(program.folder, program.output)
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    except OSError as error:
        raise NotMeasuredError("cannot write to %s: %s" % (path, error.strerror)) from error


def _cpu(before: Counters, after: Counters, offspring: Offspring) -> dict[str, Any]:
    """The CPU time of a run: what the group has counted without this process, else what the processes had."""
    tree = (offspring.user, offspring.system)
    if before.cpu is None or after.cpu is None:
        return {"cpu": sum(tree), "user": tree[0], "system": tree[1], "counted_by": "tree"}
    own = [late - early for early, late in zip(before.own, after.own)]
    cpu = max(0.0, after.cpu - before.cpu - sum(own))
    parts = [
        max(0.0, late - early - mine)
        for early, late, mine in zip((before.user, before.system), (after.user, after.system), own)
        if early is not None and late is not None
    ]
    user, system = parts if len(parts) == 2 else tree
    return {"cpu": cpu, "user": user, "system": system, "counted_by": "group"}


def counted(before: Counters, after: Counters) -> dict[str, Any]:
    """What else the group has counted during a run, by the names of :class:`Run`."""
    differences: dict[str, Any] = {
        name: _difference(getattr(before, name), getattr(after, name))
        for name in ("periods", "throttled_periods", "throttled_seconds", "pressure", "oom_kills")
    }
    if before.each_cpu and after.each_cpu:
        differences["each_cpu"] = [round(late - early, 6) for early, late in zip(before.each_cpu, after.each_cpu)]
    # The peak is that of the group's whole life: only a new one is that of this run.
    if before.memory is not None and (after.memory_peak or 0) > (before.memory_peak or 0):
        differences["group_memory"] = (after.memory_peak or 0) - before.memory
    return differences


def _difference(early: Any, late: Any) -> Any:
    return None if early is None or late is None else late - early


def _name_of(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return "signal %d" % number  # a real-time signal
