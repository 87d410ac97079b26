"""The race atlas: how many updates each statement lost at each switch interval, and its bytecode. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.cell.experiments.race_atlas import EXPERIMENT, renamed
from lab.messages import printable
from lab.model.cell import CellResult
from lab.model.session import Session

#: The experiment that records it.
NAME = EXPERIMENT.name


_COUNTS = ("made", "lost", "hand_overs")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One statement at one switch interval in one cell."""

    #: The name of the statement.
    statement: str
    #: The statement as Python, on one line.
    text: str
    #: The switch interval.
    interval_seconds: float
    #: How many updates the threads made.
    made: int
    #: How many of these updates were lost.
    lost: int
    #: In how many hand-overs between threads, at least.
    hand_overs: int
    #: The bytecode in order: each name, and whether another thread can come in after it.
    bytecode: tuple[tuple[str, bool], ...]

    @property
    def share(self) -> float:
        """The lost updates, as a share."""
        return self.lost / self.made if self.made else 0.0


def fields(result: CellResult) -> tuple[Field, ...]:
    """Every field of a cell; incomplete records are left out."""
    by_place: dict[tuple[str, float], Field] = {}
    for record in result.records_of(NAME):
        if record.kind == "observation" and record.data["name"] == "atlas" and isinstance(record.data["value"], dict):
            value = renamed(record.data["value"])
            if isinstance(value.get("interval_seconds"), float | int) and all(
                isinstance(value.get(name), int) and value[name] >= 0 for name in _COUNTS
            ):
                field = _field(value)
                by_place[field.statement, field.interval_seconds] = field
    return tuple(by_place.values())


def _field(value: Mapping[str, Any]) -> Field:
    statement = printable(str(value.get("statement")))
    pairs = value.get("bytecode")
    pairs = pairs if isinstance(pairs, list) else []
    return Field(
        statement=statement,
        text=_in_a_line(str(value.get("text", ""))),
        bytecode=tuple(
            (printable(str(pair[0])), bool(pair[1])) for pair in pairs if isinstance(pair, list) and pair[1:]
        ),
        interval_seconds=value["interval_seconds"],
        **{name: value[name] for name in _COUNTS},
    )


def _in_a_line(text: str) -> str:
    """Python on one line, to be read; it may not run in this form."""
    joined = ""
    for line in map(str.strip, text.splitlines()):
        joined += ("" if not joined else " " if joined.endswith(":") else "; ") + line
    return printable(joined)


def document(session: Session) -> Iterator[dict[str, Any]]:
    """The race atlas of a session as JSON-able data: an entry for each statement in each cell."""
    for result in session.results:
        all_fields = fields(result)
        for statement in dict.fromkeys(field.statement for field in all_fields):
            own = [field for field in all_fields if field.statement == statement]
            yield {
                "cell": result.cell.id,
                "statement": statement,
                "text": own[0].text,
                "bytecode": [{"name": name, "hand_over": here} for name, here in own[0].bytecode],
                "intervals": [
                    {
                        "interval_seconds": field.interval_seconds,
                        "made": field.made,
                        "lost": field.lost,
                        "share": field.share,
                        "hand_overs": field.hand_overs,
                    }
                    for field in own
                ],
            }
