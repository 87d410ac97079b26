"""The table that compares predictions with measurements."""

from __future__ import annotations

from lab.cell.claims.estimates import Estimate
from lab.judging import speedups
from lab.model.cell import CellResult
from lab.model.session import Session
from lab.reports.tables import columns
from lab.reports.tables.rows import grouped_rows
from lab.teaching.predictions import NEAR, Prediction, is_right, of_session, words
from lab.text import units
from lab.text.table import Table

#: A prediction whose ``of`` has this prefix is a speed-up of the cores table; the name of the arm follows.
_CORES = "cores."


def prediction_rows(session: Session) -> list[tuple[Prediction, tuple[str, str, str, str]]]:
    """Each prediction with four texts: predicted, measured, its 95 % interval, and whether it was right."""
    results = {result.cell.id: result for result in session.results}
    rows = []
    for prediction in of_session(session):
        estimate = measured_estimate(session, prediction, results.get(prediction.cell))
        predicted = words(prediction, prediction.value)
        if estimate is None:
            texts = (predicted, "?", "-", "not measured")
        else:
            exact = estimate.low == estimate.high
            interval = "exact" if exact else units.interval(estimate.low, estimate.high, "")
            texts = (predicted, words(prediction, estimate.value), interval, judge_prediction(prediction, estimate))
        rows.append((prediction, texts))
    return rows


def prediction_tables(session: Session) -> list[Table]:
    """What was predicted beside what was measured, number by number; no table without a prediction."""
    labels = columns.cell_labels(session)
    rows = prediction_rows(session)
    if not rows:
        return []
    lines: list[tuple[str, ...]] = []
    for number in dict.fromkeys(prediction.of for prediction, _ in rows):
        same = [(prediction, texts) for prediction, texts in rows if prediction.of == number]
        what = same[0][0].what
        lines += grouped_rows((what, labels.get(each.cell, each.cell), *texts) for each, texts in same)
    head = ("prediction", "CPUs", "predicted", "measured", "95 % interval", "result")
    legend = (
        "right: a predicted count equals the measured count; any other predicted number lies within"
        f" {NEAR * 100:.0f} % of the measured interval."
    )
    return [Table(title="Prediction beside measurement", head=head, rows=tuple(lines), notes=(legend,))]


def measured_estimate(session: Session, prediction: Prediction, result: CellResult | None) -> Estimate | None:
    """The measured number that was predicted, with its interval; ``None`` if the cell has no such number."""
    if result is None or not result.proof:
        return None
    if prediction.of.startswith(_CORES):
        arm = prediction.of.removeprefix(_CORES)
        return next((row.speed_up for row in speedups.of_cell(result) if row.arm == arm), None)
    for judgement in session.judgements:
        is_predicted = (judgement.claim, judgement.cell) == (prediction.of, prediction.cell)
        if is_predicted and judgement.value is not None:
            low, high = (judgement.value if bound is None else bound for bound in (judgement.low, judgement.high))
            return Estimate(judgement.value, low, high, judgement.accepted or 1)
    return None


def judge_prediction(prediction: Prediction, measured: Estimate) -> str:
    """``right``, or by how much the prediction is off."""
    if is_right(prediction, measured.value, measured.low, measured.high):
        return "right"
    return f"off by {words(prediction, abs(prediction.value - measured.value))}"
