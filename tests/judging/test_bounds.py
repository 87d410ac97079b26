"""Bounds on a speed-up: what is met, what fails, and what a busy machine leaves open."""

from __future__ import annotations

import pytest

from lab.cell.claims.estimates import Estimate
from lab.judging.bounds import Ratio, at_least, at_most, team_of
from lab.model.gates import Outcome
from tests.support import own_code


def ratio(low: float, high: float, full: tuple[float, float] | None = None, trouble: str = "") -> Ratio:
    """A speed-up with this interval, and with another one as it would be if all CPUs had been delivered."""
    middle = (low + high) / 2
    estimate = Estimate(middle, low, high, 20)
    undisturbed = Estimate(sum(full) / 2, *full, 20) if full else estimate
    return Ratio(label="speed-up", estimate=estimate, undisturbed=undisturbed, trouble=trouble)


UNKNOWN = Ratio(label="speed-up", estimate=None, undisturbed=None, trouble="run delay")


@pytest.mark.parametrize(
    ("measured", "outcome"),
    [
        pytest.param(ratio(1.6, 1.9), Outcome.MET, id="the whole interval above"),
        pytest.param(ratio(1.5, 1.9), Outcome.MET, id="it begins at the bound"),
        pytest.param(ratio(1.4, 1.6), Outcome.INCONCLUSIVE, id="it reaches over the bound"),
        pytest.param(ratio(0.9, 1.1), Outcome.FAILED, id="the whole interval below"),
        pytest.param(ratio(0.9, 1.1, full=(1.8, 2.0)), Outcome.INCONCLUSIVE, id="only because little was delivered"),
        pytest.param(ratio(0.9, 1.1, full=(1.3, 1.6)), Outcome.INCONCLUSIVE, id="perhaps because of that"),
        pytest.param(UNKNOWN, Outcome.INCONCLUSIVE, id="too few undisturbed rounds"),
    ],
)
def test_at_least(measured: Ratio, outcome: Outcome) -> None:
    assert at_least(measured, 1.5).outcome is outcome


@pytest.mark.parametrize(
    ("measured", "outcome"),
    [
        pytest.param(ratio(0.9, 1.1), Outcome.MET, id="the whole interval below"),
        pytest.param(ratio(1.4, 1.6), Outcome.INCONCLUSIVE, id="it reaches over the bound"),
        pytest.param(ratio(1.6, 1.9), Outcome.FAILED, id="the whole interval above"),
        pytest.param(ratio(0.9, 1.1, full=(1.8, 2.0)), Outcome.INCONCLUSIVE, id="only because little was delivered"),
        pytest.param(UNKNOWN, Outcome.INCONCLUSIVE, id="too few undisturbed rounds"),
    ],
)
def test_at_most(measured: Ratio, outcome: Outcome) -> None:
    assert at_most(measured, 1.5).outcome is outcome


def test_the_sentence_has_the_interval_and_what_disturbed() -> None:
    sentence = at_least(ratio(1.4, 1.6, trouble="the machine delivered 1.50 of 2 CPUs"), 1.5).sentence
    assert sentence == (
        "inconclusive: the speed-up is 1.50 (95 % interval 1.40 to 1.60), to be at least 1.5;"
        " the machine delivered 1.50 of 2 CPUs"
    )
    assert at_least(ratio(1.6, 1.8, trouble="x"), 1.5).sentence == (
        "the speed-up is 1.70 (95 % interval 1.60 to 1.80), to be at least 1.5"
    )
    assert at_least(UNKNOWN, 1.5).sentence == "inconclusive: the speed-up is not known, to be at least 1.5; run delay"


def test_a_session_tells_of_its_workers() -> None:
    session = own_code.one_case(own_code.FREE)
    team = team_of(session.arguments["experiments"][0], session.results[-1], "2 threads", 2)
    assert team.broken == ""
    assert team.speed_up.estimate
    assert team.efficiency.estimate
    assert team.speed_up.undisturbed
    assert team.speed_up.undisturbed.value == pytest.approx(2 * team.efficiency.estimate.value)
    missing = team_of(session.arguments["experiments"][0], session.results[-1], "7 threads", 7)
    assert missing.speed_up.estimate is None
    assert at_least(missing.speed_up, 1.5).outcome is Outcome.INCONCLUSIVE
