"""The table of predictions beside measurements."""

from __future__ import annotations

from lab.cell.claims.estimates import Estimate
from lab.judging import speedups
from lab.model.cell import CellResult
from lab.model.session import Session
from lab.reports.tables import columns
from lab.teaching.predictions import Prediction, of_session
from lab.text import units
from lab.text.table import Table

#: A number predicted within this share of the measured one is right, also where the interval is narrower.
NEAR = 0.05


#: ``of`` with this prefix is a speed-up of the cores table: that of the arm whose name follows.
_CORES = "cores."


def rows(session: Session) -> list[tuple[Prediction, tuple[str, str, str, str]]]:
    """Each prediction with four texts: predicted, measured, its 95 % interval, and whether it was right."""
    results = {result.cell.id: result for result in session.results}
    found = []
    for one in of_session(session):
        value = measured(session, one, results.get(one.cell))
        if value is None:
            texts = (_text(one, one.value), "?", "-", "not measured")
        else:
            exact = value.low == value.high
            interval = "exact" if exact else units.interval(value.low, value.high, "")
            texts = (_text(one, one.value), _text(one, value.value), interval, judged(one, value))
        found.append((one, texts))
    return found


def prediction_tables(session: Session) -> list[Table]:
    """What was predicted beside what was measured, number by number; no table without a prediction."""
    labels = columns.labels(session)
    found, lines = rows(session), []
    for of in dict.fromkeys(one.of for one, _ in found):
        mine = [(one, texts) for one, texts in found if one.of == of]
        names = (mine[0][0].what, *[""] * (len(mine) - 1))
        lines += [
            (name, labels.get(one.cell, one.cell), *texts) for name, (one, texts) in zip(names, mine, strict=True)
        ]
    head = ("prediction", "CPUs", "predicted", "measured", "95 % interval", "it was")
    near = f"right: the same count; else within {NEAR * 100:.0f} % of the interval"
    return [Table(title="Prediction beside measurement", head=head, rows=tuple(lines), notes=(near,))] if lines else []


def measured(session: Session, one: Prediction, result: CellResult | None) -> Estimate | None:
    """The number that was predicted, with its interval; ``None`` when the cell did not give it."""
    if result is None or not result.proof:
        return None
    if one.of.startswith(_CORES):
        arm = one.of.removeprefix(_CORES)
        return next((row.speed_up for row in speedups.of_cell(result) if row.arm == arm), None)
    for claim in session.judgements:
        if (claim.claim, claim.cell) == (one.of, one.cell) and claim.value is not None:
            low, high = (claim.value if bound is None else bound for bound in (claim.low, claim.high))
            return Estimate(claim.value, low, high, claim.accepted or 1)
    return None


def judged(one: Prediction, found: Estimate) -> str:
    """``right``, or by how much it is off. A count is right when it is the same; any other number when the interval
    reaches to within :data:`NEAR` of it: a speed-up of 2 is never quite reached."""
    if one.whole:
        right = one.value == found.value
    else:
        right = found.low <= one.value * (1 + NEAR) and one.value * (1 - NEAR) <= found.high
    return "right" if right else f"off by {_text(one, abs(one.value - found.value))}"


def _text(one: Prediction, value: float) -> str:
    return f"{value:g}" if one.whole else units.ratio(value)
