"""A program: one command of the user's, and how its runs go. It travels into the cell as JSON."""

from __future__ import annotations

import shlex
from typing import Any, Mapping, NamedTuple, Optional, Sequence

#: The name of an experiment that runs a program is this prefix and the program's label.
PREFIX = "exec:"

#: Where standard output goes if not into a file: nowhere, into a pipe that the lab empties, or to the user.
NULL, PIPE, INHERIT = "null", "pipe", "inherit"

#: The parameter that names the other version which a program takes turns with.
AGAINST = "against"

#: The shell for commands that are one text, as POSIX has it.
SHELL = "/bin/sh"


class Program(NamedTuple):
    """What is run again and again, and how."""

    #: What it is called in tables.
    label: str
    #: The command and its arguments, as they are executed; with ``by_shell`` one text for the shell.
    words: Sequence[str]
    #: Whether the shell runs it.
    by_shell: bool = False
    #: The values that stand in the command in the place of ``{NAME}``.
    parameters: Mapping[str, str] = {}
    #: Variables of its environment, besides those that the cell has.
    environment: Mapping[str, str] = {}
    #: The folder that it starts in; empty: the cell's.
    folder: str = ""
    #: ``null``, ``pipe``, ``inherit``, or the path of a file.
    output: str = NULL
    #: A command for the shell, once before the runs of a cell; empty: none.
    setup: str = ""
    #: A command for the shell before each run.
    prepare: str = ""
    #: A command for the shell after each run.
    conclude: str = ""
    #: A command for the shell once after the runs of a cell.
    cleanup: str = ""
    #: How many runs come before those that count.
    warmup: int = 0
    #: How many runs a cell makes at least.
    least_runs: int = 1
    #: How many runs a cell makes at most; ``None``: as many as ``seconds`` hold.
    most_runs: Optional[int] = None
    #: How long a cell goes on with its runs, in seconds, where ``most_runs`` does not end them sooner.
    seconds: float = 0.0
    #: How long a run may take, in seconds, before it is ended.
    deadline_seconds: float = 3600.0
    #: The exit codes that are no failure; empty: 0 alone; ``None``: each of them.
    ignored_codes: Optional[Sequence[int]] = ()
    #: Whether the cell's control group is its own, as in a container.
    alone: bool = False
    #: The user's standard output and standard error as descriptors that the cell has, for ``inherit``; else empty.
    inherited: Sequence[int] = ()

    @property
    def experiment(self) -> str:
        """The name of the experiment that runs it."""
        return PREFIX + self.label

    @property
    def command(self) -> str:
        """The command as a line for a shell."""
        return " ".join(self.words) if self.by_shell else " ".join(map(shlex.quote, self.words))

    @property
    def needs_shell(self) -> bool:
        """Whether a shell is needed for it or for what comes before and after it."""
        return self.by_shell or any((self.setup, self.prepare, self.conclude, self.cleanup))

    @property
    def longest_seconds(self) -> float:
        """How long the runs of a cell may take, in seconds, if each takes all of its time."""
        runs = self.warmup + (self.least_runs + 1 if self.most_runs is None else self.most_runs)
        around = bool(self.prepare) + bool(self.conclude)
        once = bool(self.setup) + bool(self.cleanup)
        return self.seconds + self.deadline_seconds * (runs * (1 + around) + once)

    def succeeded(self, code: Optional[int]) -> bool:
        """Whether a run with this exit code is no failure. ``None`` stands for a run that a signal ended."""
        return self.ignored_codes is None or code == 0 or code in self.ignored_codes

    def to_stored(self) -> dict[str, Any]:
        """The program as a job and a manifest have it."""
        return self._asdict()


def from_stored(stored: Mapping[str, Any]) -> Program:
    """The program that :meth:`Program.to_stored` has written. Raises TypeError for anything else."""
    return Program(**stored)
