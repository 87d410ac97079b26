"""``--expect CLAIM=VERDICT``: what it takes, and what it says of what it does not take."""

from __future__ import annotations

import pytest

from lab.errors import UsageError
from lab.planning.expected import check_planned, parse_expected

CLAIMS = {"gil": ["gil.one-core", "gil.no-speedup"], "pool": ["pool.waves"]}


def test_claims_and_claims_in_a_cell() -> None:
    texts = [
        "gil.no-speedup=refuted",
        "gil.no-speedup@cpu1=untestable",
        " pool.waves = confirmed ",
        "pool.waves=confirmed",
    ]
    assert parse_expected(texts, CLAIMS) == {
        "gil.no-speedup": "refuted",
        "gil.no-speedup@cpu1": "untestable",
        "pool.waves": "confirmed",
    }


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["gil.no-speedup"], "is not CLAIM=VERDICT"),
        (["gil.no-speedup@=refuted"], "is not CLAIM=VERDICT"),
        (["gil.no-sped-up=refuted"], "there is no claim 'gil.no-sped-up'; did you mean gil.no-speedup?"),
        (["=refuted"], "there is no claim ''; lab list names them"),
        (["gil.no-speedup=refute"], "there is no verdict 'refute'; did you mean refuted?"),
        (["gil.no-speedup=yes"], "take one of confirmed, refuted, inconclusive, untestable, error"),
        (["pool.waves=refuted", "pool.waves=confirmed"], "two verdicts of pool.waves: refuted and confirmed; keep one"),
    ],
)
def test_what_cannot_be_expected_is_refused_with_the_nearest(texts: list[str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_expected(texts, CLAIMS)
    assert words in str(caught.value)


def test_a_claim_of_an_experiment_that_does_not_run_is_refused() -> None:
    check_planned({"pool.waves@cpu2": "refuted"}, CLAIMS, ["pool"])
    with pytest.raises(UsageError, match="this run has no experiment pool; name it as well"):
        check_planned({"pool.waves@cpu2": "refuted"}, CLAIMS, ["gil"])
