"""What ``lab gather`` makes of records, as tests look at it."""

from __future__ import annotations

from lab.model.cell import Status
from lab.sessions import from_compose
from lab.sessions.from_compose import CellRecords


def rows(table: str) -> dict[str, list[str]]:
    """The rows of the first table, the limits: first column -> all columns."""
    lines = table.split("Limits\n")[1].split("\n\n")[1].splitlines()
    body = lines[next(number for number, line in enumerate(lines) if line.startswith("--")) + 1 :]
    return {line.split()[0]: [cell.strip() for cell in line.split("  ") if cell.strip()] for line in body}


def cells(*sources: CellRecords) -> dict[str, tuple[Status, str | None]]:
    """What becomes of cells whose records were found like this: cell -> (status, reason)."""
    session = from_compose.session("compose", sources, None, {})
    return {result.cell.id: (result.status, result.reason) for result in session.results}
