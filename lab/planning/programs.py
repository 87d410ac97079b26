"""Programs: the user's own commands, as the command line names them. Pure."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lab.cell.claims.wording import shortened
from lab.cell.programs.program import AGAINST, Program, from_stored
from lab.errors import UsageError
from lab.model.cell import Cell
from lab.model.room import Room
from lab.text import units

#: Each limit has so many turns, in which it makes its share of the runs. The turns of all limits are interleaved.
TURNS = 5
#: So many, where another version takes turns with the program: a small difference takes more pairs to tell.
COMPARED_TURNS = 10
#: As many runs as hyperfine makes at least, under each limit.
LEAST_RUNS = 10
#: The runs under a limit go on for so long, in seconds, if nobody has given their number.
LEAST_SECONDS = 3.0
#: The most runs that can be asked for: each leaves a record.
MOST_RUNS = 10000

#: The longest name that is made of a command, in characters.
_LONGEST_NAME = 60


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What ``lab exec`` runs."""

    #: The programs, one for each combination of parameters.
    programs: tuple[Program, ...]
    #: How many runs each has under each limit; ``None``: at least 10, and 3 s.
    runs: int | None = None
    #: What their containers have.
    room: Room = field(default_factory=Room)

    @property
    def turns(self) -> int:
        """How many turns each limit has."""
        most = COMPARED_TURNS if any(AGAINST in program.parameters for program in self.programs) else TURNS
        return most if self.runs is None else min(most, self.runs)

    def in_turn(self, turn: int) -> tuple[Program, ...]:
        """The programs with their share of the runs in a turn, counted from 1. None of them always comes first."""
        programs = self.programs if turn % 2 else self.programs[::-1]
        if self.runs is None:
            least, seconds = -(-LEAST_RUNS // self.turns), LEAST_SECONDS / self.turns
            return tuple(program._replace(least_runs=least, seconds=seconds) for program in programs)
        share = self.runs // self.turns + (turn <= self.runs % self.turns)
        return tuple(program._replace(least_runs=share, most_runs=share) for program in programs)

    def cells(self, cells: Sequence[Cell], seed: int) -> tuple[Cell, ...]:
        """Each cell once in each turn. The order within a turn is random, so that no limit always comes first.

        A cell that the machine does not have stays as it is.
        """
        generator = random.Random(seed)
        available = [cell for cell in cells if cell.available]
        taken = [
            replace(cell, id=f"{cell.id}.{turn}", turn=turn)
            for turn in range(1, self.turns + 1)
            for cell in generator.sample(available, len(available))
        ]
        return (*taken, *(cell for cell in cells if not cell.available))

    def to_stored(self) -> dict[str, Any]:
        """The workload as the manifest keeps it."""
        programs = [program.to_stored() for program in self.programs]
        return {"programs": programs, "runs": self.runs, "room": self.room.to_stored()}


def workload_from_stored(stored: Mapping[str, Any]) -> Workload:
    """The workload that :meth:`Workload.to_stored` has written."""
    return Workload(
        programs=tuple(map(from_stored, stored["programs"])),
        runs=stored["runs"],
        room=Room.from_stored(stored["room"]),
    )


def check_runs(runs: int | None, warmup: int, deadline: float) -> None:
    """Raise UsageError for numbers that cannot be used."""
    if runs is not None and not 1 <= runs <= MOST_RUNS:
        raise UsageError(f"--runs {runs}: give a whole number from 1 to {MOST_RUNS}")
    if not 0 <= warmup <= MOST_RUNS:
        raise UsageError(f"--warmup {warmup}: give a whole number from 0 to {MOST_RUNS}")
    if not 0 < deadline < float("inf"):
        raise UsageError(f"--deadline {deadline:g}: give a number of seconds above 0, such as 60")


def parse_memory(text: str) -> int:
    """A number of bytes, from ``--memory 500MiB``. Raises UsageError for what is no such number, and below 6 MiB, which
    is the least that engines take."""
    size = units.parsed(text, units.BYTES)
    if size is None or size < 6 * 2**20:
        raise UsageError(
            f"--memory {text}: give at least 6 MiB, with one of the units {', '.join(units.BYTES)}",
            "such as --memory 500MiB",
        )
    return int(size)


def parse_codes(text: str | None) -> tuple[int, ...] | None:
    """The exit codes that are no failure, from ``--ignore-failure`` (``all``, every code) or ``=1,2``.

    ``None`` as the text means that only 0 is no failure; ``None`` as the result means every code.
    """
    if text is None:
        return ()
    if text == "all":
        return None
    codes = [part.strip() for part in text.split(",")]
    if not all(code.isdecimal() and int(code) < 256 for code in codes):
        raise UsageError(f"--ignore-failure={text} is no list of exit codes", "give numbers below 256, such as =1,3")
    return tuple(map(int, codes))


def parse_parameters(lists: Sequence[Sequence[str]]) -> dict[str, list[str]]:
    """The values of each parameter, from ``--parameter-list NAME VALUES``. A comma separates values.

    Raises UsageError for a name that no program can have in its command, or that comes twice, and for equal values.
    """
    parameters: dict[str, list[str]] = {}
    for name, values in lists:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", name):
            raise UsageError(f"--parameter-list {name!r} is no name", "give both: --parameter-list n 1,2,4")
        if name in parameters:
            raise UsageError(f"--parameter-list names {name} twice", "give each name all of its values at once")
        parameters[name] = values.split(",")
        repeated = [value for value in parameters[name] if parameters[name].count(value) > 1]
        if repeated:
            raise UsageError(f"--parameter-list {name} has the value {repeated[0]!r} twice", "name each value once")
    return parameters


def with_parameters(program: Program, parameters: Mapping[str, Sequence[str]]) -> tuple[Program, ...]:
    """The program once for each combination of values, which stand in the place of ``{NAME}``.

    Raises UsageError for a parameter that the command does not have.
    """
    commands = " ".join((*program.words, program.setup, program.prepare, program.conclude, program.cleanup))
    for name in parameters:
        if f"{{{name}}}" not in commands:
            raise UsageError(f"the command has no {{{name}}} for --parameter-list {name}", f"write {{{name}}} in it")
    return tuple(
        _filled(program, dict(zip(parameters, values, strict=True)))
        for values in itertools.product(*parameters.values())
    )


def _filled(program: Program, values: Mapping[str, str]) -> Program:
    def fill(text: str) -> str:
        return re.sub(r"\{([A-Za-z_][A-Za-z0-9_-]*)\}", lambda match: values.get(match[1], match[0]), text)

    given = ", ".join(f"{name}={value}" for name, value in values.items())
    return program._replace(
        label=", ".join(filter(None, (program.label, given))),
        words=tuple(map(fill, program.words)),
        parameters=dict(values),
        output=fill(program.output),
        setup=fill(program.setup),
        prepare=fill(program.prepare),
        conclude=fill(program.conclude),
        cleanup=fill(program.cleanup),
    )


def compared(programs: Sequence[Program], other: str, label: str) -> tuple[Program, ...]:
    """Each program in its own folder, and the same program in the folder ``other``, in turns. ``label`` names that one.

    Raises UsageError where the programs have a parameter of that name.
    """
    if any(AGAINST in program.parameters for program in programs):
        raise UsageError(
            f"--parameter-list {AGAINST} and --against cannot be combined", "give the parameter a new name"
        )
    return tuple(
        version
        for program in programs
        for version in (
            program,
            program._replace(
                label=f"{program.label}, {AGAINST}={label}",
                folder=other,
                parameters={**program.parameters, AGAINST: label},
            ),
        )
    )


def name_of(command: str) -> str:
    """What a command is called in tables, if the user has not said it."""
    return shortened(" ".join(command.split()), _LONGEST_NAME)
