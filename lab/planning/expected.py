"""The verdicts that a user expects of claims, from ``--expect CLAIM=VERDICT``. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence

from lab.errors import UsageError
from lab.model.session import Verdict


def parse_expected(texts: Sequence[str], claims: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Claim, or ``CLAIM@CELL`` -> the verdict that is expected of it.

    ``claims`` has the ids of the claims of each experiment. Raises UsageError for an unknown claim or verdict, with the
    nearest one that there is, and for two different verdicts of one claim.
    """
    known = [claim for ids in claims.values() for claim in ids]
    expected: dict[str, str] = {}
    for text in texts:
        name, equals, verdict = (part.strip() for part in text.partition("="))
        claim, at, cell = name.partition("@")
        if not equals or bool(at) != bool(cell):
            raise UsageError(f"--expect {text!r} is not CLAIM=VERDICT", "write --expect gil.no-speedup=refuted")
        if claim not in known:
            near = nearest(claim, known) or nearest(claim, claims)
            raise UsageError(f"--expect {text}: there is no claim {claim!r}", near or "lab list names them")
        if verdict not in list(Verdict):
            near = nearest(verdict, [str(choice) for choice in Verdict])
            raise UsageError(
                f"--expect {text}: there is no verdict {verdict!r}", near or f"take one of {', '.join(Verdict)}"
            )
        if expected.setdefault(name, verdict) != verdict:
            raise UsageError(f"--expect names two verdicts of {name}: {expected[name]} and {verdict}", "keep one")
    return expected


def nearest(word: str, known: Collection[str]) -> str:
    """A question for the nearest of the known words; empty where none is near."""
    near = difflib.get_close_matches(word, known, 1)
    return f"did you mean {near[0]}?" if near else ""


def check_planned(expected: Mapping[str, str], claims: Mapping[str, Collection[str]], planned: Collection[str]) -> None:
    """Raise UsageError where the experiment of an expected claim is not among the planned ones."""
    for name in expected:
        claim = name.partition("@")[0]
        experiment = next(experiment for experiment, ids in claims.items() if claim in ids)
        if experiment not in planned:
            raise UsageError(f"--expect names {claim}, and this run has no experiment {experiment}", "name it as well")
