"""Rounds of the gil experiment, and what its real claims say of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from lab.cell.claims.claim import CONFIRMED, REFUTED, Evidence, Facts, Finding, Round
from lab.cell.claims.measured import CAPACITY
from lab.cell.experiments import load
from tests.support import scripts

#: A cell with two cores to itself.
PLAIN = Facts(version=(3, 13), gil=True, cpus=2, rate=2.0, host_cpus=2)

#: The gil claims that compare several CPUs, and what each says of the rounds of :func:`scripts.gil` as they are.
PARALLEL = {
    "gil.one-core": CONFIRMED,
    "gil.no-speedup": CONFIRMED,
    "gil.processes-scale": CONFIRMED,
    "gil.always-one-core": REFUTED,
}
PINNED = "gil.always-one-core"


def gil_rounds(**script: Any) -> list[Round]:
    """Rounds of the gil experiment with two CPUs."""
    return [data["values"] for kind, data in scripts.gil(2, **script) if kind == "sample"]


def changed(rounds: Sequence[Round], arms: Iterable[str], **entries: object) -> list[Round]:
    """The same rounds with other entries in the blocks of these arms."""
    wanted = set(arms)
    return [
        {name: {**block, **entries} if name in wanted else block for name, block in blocks.items()} for blocks in rounds
    ]


def delivered(rounds: Sequence[Round]) -> str:
    """The CPUs that the machine gave in these rounds, as a reason has them."""
    estimate = CAPACITY.estimate(rounds)
    assert estimate
    return f"{estimate.value:.2f}"


def gil(name: str, rounds: Sequence[Round], where: Facts = PLAIN) -> Finding:
    """What the gil experiment's real claim of that name says of these rounds."""
    (real,) = [claim for claim in load("gil").claims if claim.id == name]
    return real.judge(Evidence([], [("round", blocks) for blocks in rounds]), where)
