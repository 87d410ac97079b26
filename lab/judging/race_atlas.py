"""The race atlas: what became of each statement on each build at each switch interval, and its bytecode. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lab.cell.experiments.race_atlas import EXPERIMENT, renamed
from lab.model.cell import CellResult
from lab.model.session import Session
from lab.text.names import printable

#: The experiment that has it.
NAME = EXPERIMENT.name


_COUNTS = ("made", "lost", "hand_overs")


@dataclass(frozen=True, kw_only=True)
class Field:
    """One statement at one switch interval in one cell. Of so many times that it was ``made`` it ``lost`` so many,
    in at least so many ``hand_overs``. ``bytecode``: (name, whether another thread can come in after it), in order."""

    statement: str
    text: str
    interval_seconds: float
    made: int
    lost: int
    hand_overs: int
    bytecode: tuple[tuple[str, bool], ...]

    @property
    def share(self) -> float:
        return self.lost / self.made if self.made else 0.0


def fields(result: CellResult) -> tuple[Field, ...]:
    """Every field of a cell; a record that lacks what it needs is left out."""
    found: dict[tuple[str, float], Field] = {}
    for record in result.records_of(NAME):
        if record.kind == "observation" and record.data["name"] == "atlas" and isinstance(record.data["value"], dict):
            value = renamed(record.data["value"])
            if isinstance(value.get("interval_seconds"), float | int) and all(
                isinstance(value.get(name), int) and value[name] >= 0 for name in _COUNTS
            ):
                one = _field(value)
                found[one.statement, one.interval_seconds] = one
    return tuple(found.values())


def _field(value: Mapping[str, Any]) -> Field:
    statement = printable(str(value.get("statement")))
    pairs = value.get("bytecode")
    pairs = pairs if isinstance(pairs, list) else []
    return Field(
        statement=statement,
        text=_in_a_line(str(value.get("text", ""))),
        bytecode=tuple((printable(str(one[0])), bool(one[1])) for one in pairs if isinstance(one, list) and one[1:]),
        interval_seconds=value["interval_seconds"],
        **{name: value[name] for name in _COUNTS},
    )


def _in_a_line(text: str) -> str:
    """Python on one line, also where it would not run like that."""
    found = ""
    for line in map(str.strip, text.splitlines()):
        found += ("" if not found else " " if found.endswith(":") else "; ") + line
    return printable(found)


def document(session: Session) -> Iterator[dict[str, Any]]:
    """The same as JSON-able data: an entry for each statement in each cell."""
    for result in session.results:
        found = fields(result)
        for statement in dict.fromkeys(one.statement for one in found):
            mine = [one for one in found if one.statement == statement]
            yield {
                "cell": result.cell.id,
                "statement": statement,
                "text": mine[0].text,
                "bytecode": [{"name": name, "hand_over": here} for name, here in mine[0].bytecode],
                "intervals": [
                    {
                        "interval_seconds": one.interval_seconds,
                        "made": one.made,
                        "lost": one.lost,
                        "share": one.share,
                        "hand_overs": one.hand_overs,
                    }
                    for one in mine
                ],
            }
