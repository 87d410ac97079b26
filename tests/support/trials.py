"""One command of the lab as a process of its own, under a fault; and what is wrong with how it ended.

Each command gets its own folder for temporary files, and as root its own ``/dev/shm``, so that whatever it leaves there
is known to be its own.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.judging.records import read_records
from lab.sessions import listing
from tests.support import cells
from tests.support.daemons import Daemon

#: The exit codes that docs/formats.md names.
EXIT_CODES = (0, 1, 2, 3, 130)
#: How long the end may take after Ctrl-C, in seconds, and after a second one. A busy machine gets some more.
ONCE_SECONDS, TWICE_SECONDS = 10.0, 4.0
#: How long a command may take that nobody interrupts, whatever its engine does, in seconds: an image may have several
#: Pythons, and each has 30 s to say what it is (docs/running.md).
LONGEST_SECONDS = 240.0
#: How long processes and containers may take to vanish after the lab has ended, in seconds.
_VANISH_SECONDS = 15.0

#: What ends the words of a cell that was measured: its line of progress.
_MEASURED = re.compile(r"^(\d+) CPUs? .*: measured in ", re.MULTILINE)
#: Gives a command a /dev/shm of its own, and becomes that command: it keeps the process id.
_PRIVATE_SHM = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /dev/shm && exec "$@"']
_CAN_UNSHARE = os.geteuid() == 0 and shutil.which("unshare") is not None


@dataclass(kw_only=True)
class Trial:
    """How a command ended under a fault."""

    #: The row of the table that it belongs to.
    row: str
    #: What was done, in words.
    fault: str
    #: What is wrong with its end, its messages and its exit code, in words.
    wrong: list[str] = field(default_factory=list)
    #: The cells that it called measured and whose records are not in the session's folder.
    lost: list[str] = field(default_factory=list)
    #: What it has left behind, apart from what a command removes that the lab has named, or ``lab clean`` where it was
    #: killed.
    left: list[str] = field(default_factory=list)
    #: How long it took to end after it was asked to, in seconds; ``None`` where it was not asked.
    ending_seconds: float | None = None

    @property
    def failures(self) -> list[str]:
        """All that is wrong, in words."""
        lost = [f"the records of {cell} are lost" for cell in self.lost]
        return [*self.wrong, *lost, *(f"left behind: {thing}" for thing in self.left)]


class Command:
    """A command of the lab that runs; use as a context manager."""

    def __init__(self, *words: str, engine: Daemon | None = None, settings: Mapping[str, str] | None = None) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lab-trial-"))
        self.sessions, self.temporary, self.shm = (self.folder / name for name in ("sessions", "tmp", "shm"))
        self.temporary.mkdir()
        self.shm.mkdir()
        self.mark = f"MULTICORE_LAB_TRIAL_{uuid.uuid4().hex}"
        self.engine = engine
        self._environment = {name: value for name, value in os.environ.items() if name != "DOCKER_CONTEXT"}
        # Without an engine of the campaign there is none: nobody else's engine may be touched.
        self._environment |= {"DOCKER_HOST": engine.address if engine else f"unix://{self.folder}/none.sock"}
        self._environment |= {"TMPDIR": str(self.temporary), **(settings or {})}
        self._ends_by = 0.0
        #: When it was last asked to end.
        self.asked_at: float | None = None
        #: Whether it was killed.
        self.killed = False
        #: Whether the signal came before the lab listens to signals.
        self.early = False
        shm = [*_PRIVATE_SHM, str(self.shm)] if _CAN_UNSHARE else []
        command = [*shm, sys.executable, "-m", "lab", *(word.format(sessions=self.sessions) for word in words)]
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                cwd=self.folder,
                env={**self._environment, self.mark: "1"},
            )

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *error: object) -> None:
        for line in cells.living(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.partition(":")[0]), signal.SIGKILL)
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def out(self) -> str:
        """Standard output, as far as there is any."""
        return (self.folder / "out").read_text("utf-8", "replace")

    @property
    def err(self) -> str:
        """Standard error, as far as there is any."""
        return (self.folder / "err").read_text("utf-8", "replace")

    def wait_for(self, condition: Callable[[], object], seconds: float) -> bool:
        """Wait until the condition holds, the command has ended, or the time is up. Returns whether it holds."""
        until = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > until or self.process.poll() is not None:
                return bool(condition())
            time.sleep(0.01)
        return True

    def send(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send a signal to the lab, or to its process group, as a terminal does it for Ctrl-C."""
        self.early = self.early or (self.asked_at is None and not self._listens())
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if group else os.kill)(self.process.pid, number)
        self.asked_at = time.monotonic()
        self.killed = self.killed or number == signal.SIGKILL

    def _listens(self) -> bool:
        """Whether it handles SIGTERM, as the lab does and Python alone does not."""
        with contextlib.suppress(OSError):
            caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{self.process.pid}/status").read_text())
            if caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
                time.sleep(0.02)  # CPython ignores a signal between telling the kernel and setting its own handler
                return True
        return self.process.poll() is not None

    def judged(self, trial: Trial, within: float, codes: Collection[int] = EXIT_CODES) -> Trial:
        """Wait for the end, and write into the trial what is wrong with it."""
        began = time.monotonic() if self.asked_at is None else self.asked_at
        try:
            self.process.wait(max(0.0, began + within + 30 - time.monotonic()))
        except subprocess.TimeoutExpired:
            trial.wrong.append(f"it did not end within {within + 30:g} s; its threads: {', '.join(self._waits())}")
            self.process.kill()
            self.process.wait()
            self.killed = True
        seconds = time.monotonic() - began
        if self.asked_at is not None and not self.killed:
            trial.ending_seconds = seconds
        if seconds > within and not trial.wrong:
            trial.wrong.append(f"it took {seconds:.1f} s to end, and {within:g} s are allowed")
        if not self.killed and not self.early:
            trial.wrong += self._wrong_messages(codes)
        trial.lost += self._lost()
        trial.wrong += self._wrong_sessions()
        trial.left += [*self._left_here(), *(self._left_on(self.engine) if self.engine else ())]
        return trial

    def _waits(self) -> list[str]:
        """Where in the kernel each of its threads is."""
        threads = Path(f"/proc/{self.process.pid}/task").iterdir()
        return [f"{(thread / 'wchan').read_text()} ({(thread / 'syscall').read_text()[:24]})" for thread in threads]

    def _last_line(self) -> str:
        return (self.err.splitlines() or [""])[-1]

    def _wrong_messages(self, codes: Collection[int]) -> list[str]:
        code, text, last = self.process.returncode, self.out + self.err, self._last_line()
        wrong = [f"it printed {word!r}" for word in ("Traceback", "defect of the lab") if word in text]
        if code not in codes:
            wrong.append(f"it exited with {code}, and right are {', '.join(map(str, codes))}")
        if code == 130 and "interrupted" not in text:
            wrong.append("it does not say that it was interrupted")
        if code and (len(last.split()) < 2 or len(last) > 1500):
            wrong.append(f"its last line does not say why it exited with {code}")
        return [f"{words} (last line: {last[:300]!r})" for words in wrong]

    def _folders(self) -> list[Path]:
        return sorted(self.sessions.iterdir()) if self.sessions.is_dir() else []

    def _lost(self) -> list[str]:
        """The cells that were called measured, of which not every record is there."""
        whole = [
            path.stem
            for folder in self._folders()
            for path in folder.glob("*.jsonl")
            if not read_records(path.read_bytes()).faults
        ]
        return [f"cpu{size}" for size in _MEASURED.findall(self.err) if f"cpu{size}" not in whole]

    def _wrong_sessions(self) -> list[str]:
        """What is wrong with the session: every command has to tell its state."""
        try:
            entries = listing.entries(self.sessions) if self._folders() else []
        except Exception as error:  # whatever it is, it is wrong
            return [f"the sessions cannot be listed: {error!r}"]
        states = (listing.State.DAMAGED, listing.State.UNREADABLE)
        return [f"its session is {entry.state}: {entry.reason}" for entry in entries if entry.state in states]

    def _left_here(self) -> list[str]:
        """Processes, temporary files and semaphores."""
        processes = cells.still_living(self.mark, _VANISH_SECONDS)
        if self.killed:
            self._clean()
        for name in re.findall(r"remove it with: rm /dev/shm/(\S+)$", self.err, re.MULTILINE):
            (self.shm / name).unlink()
        files = [path for folder in (self.temporary, self.shm) for path in sorted(folder.iterdir())]
        return [*(f"process {line}" for line in processes), *(str(path.relative_to(self.folder)) for path in files)]

    def _clean(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "lab", "clean"]
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)

    def _left_on(self, engine: Daemon) -> Sequence[str]:
        """What is left on the engine, apart from what ``lab clean`` removes where it was named or nobody could."""
        until = time.monotonic() + _VANISH_SECONDS
        excused = self.killed or "lab clean" in self.err
        while (left := engine.left()) and not excused and time.monotonic() < until:
            time.sleep(0.1)
        if not left:
            return ()
        done = self._clean()
        still = engine.left()
        if still:
            engine.remove_all()
        if done.returncode or still:
            return [
                f"{thing}, after lab clean ({(done.stderr or done.stdout).strip()[-200:]})" for thing in still or left
            ]
        return () if excused else left
