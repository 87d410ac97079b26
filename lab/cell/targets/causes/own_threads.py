"""The target starts threads of its own, which multiply with the workers."""

from __future__ import annotations

from lab.cell.claims.claim import Evidence, Facts, Finding
from lab.cell.targets.causes import Cause, excluded, found, undecided
from lab.cell.targets.figures import BASE, cores

#: One worker that uses more cores than this does not compute in one thread.
SEVERAL = 1.1


def judge(evidence: Evidence, facts: Facts) -> Finding:
    trial = evidence.last("trial")
    used = cores(BASE).estimate(evidence.rounds("round"))
    count, libraries = trial["own_threads"], ", ".join(trial["libraries"])
    if not count:
        if used is not None and used.low > SEVERAL:
            return found("one worker uses %.2f cores, in processes or threads that end with each call" % used.value)
        return excluded("no thread was started")
    text = "%d thread%s started%s" % (count, "" if count == 1 else "s", ", by " + libraries if libraries else "")
    if used is None:
        return undecided(text)
    text += "; one worker uses %.2f cores" % used.value
    return found(text) if used.low > SEVERAL or libraries else undecided(text)


CAUSE = Cause(
    "the function starts threads of its own, and each worker starts them again",
    judge,
    "take one worker, or tell the library how many threads to start (OMP_NUM_THREADS, OPENBLAS_NUM_THREADS,"
    " RAYON_NUM_THREADS, threadpoolctl)",
)
