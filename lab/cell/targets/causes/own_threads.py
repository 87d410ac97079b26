"""The target starts threads of its own, which multiply with the workers."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding
from lab.cell.targets.causes import Cause, excluded, found, undecided
from lab.cell.targets.figures import BASE, cores
from lab.cell.targets.trial import SEVERAL


def judge(evidence: Evidence, facts: Facts) -> Finding:
    trial = evidence.last("trial")
    used = cores(BASE).estimate(evidence.rounds("round"))
    count, libraries = trial["own_threads"], ", ".join(trial["libraries"])
    text = "%s thread%s of its own%s" % (
        count or "no",
        "" if count == 1 else "s",
        " (%s)" % libraries if count and libraries else "",
    )
    found_text = text if count else text + " that stay: they end with each call, or are processes"
    share = trial.get("others_share", 0.0)  # of sessions of earlier versions it is not known
    if used and used.low > SEVERAL:
        return found("one worker uses %.2f cores, with %s" % (used.value, found_text))
    if 1 + share > SEVERAL:
        return found(
            "threads besides the one that called it had %.0f %% of its CPU time, with %s" % (100 * share, found_text)
        )
    if trial["cores"] > SEVERAL and used and used.high < trial["cores"] / 2:
        return found("its first calls used %.2f cores, most of them in processes that live on" % trial["cores"])
    if used is None:
        return undecided("it has %s, and too few rounds were undisturbed" % text)
    text = "one worker uses %.2f cores, with %s" % (used.value, text)
    if used.high < SEVERAL and (facts.cpus > 1 or not count):
        return excluded(text)
    return undecided(text)


CAUSE = Cause(
    "the function starts threads of its own, and each worker starts them again",
    judge,
    "take one worker, or tell the library how many threads to start (OMP_NUM_THREADS, OPENBLAS_NUM_THREADS,"
    " RAYON_NUM_THREADS, threadpoolctl)",
)
