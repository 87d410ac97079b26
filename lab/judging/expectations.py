"""The verdict that is expected of a claim on each build under each limit, and its source. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.cell.claims.claim import Claim, Experiment, Facts
from lab.judging import verdicts
from lab.model.build import Build, parse_build
from lab.text import units

#: The builds that the tables show: with a GIL, and without, each in the order of versions.
WITH_GIL = ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14", "3.15")
WITHOUT_GIL = ("3.13t", "3.14t", "3.15t")

#: The limits that the tables show: a number of CPUs, and a quota in CPUs or ``None``.
LIMITS: tuple[tuple[int, float | None], ...] = ((1, None), (2, None), (4, None), (2, 1.5))
#: The number of CPUs of the host that the tables are made for.
HOST_CPUS = 8


#: What a table says where no verdict is expected.
UNKNOWN = "not known"


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """Builds of which the same verdicts are expected."""

    #: The builds, in words.
    builds: str
    #: The expected verdict under each of :data:`LIMITS`.
    verdicts: tuple[str, ...]


def expectations_of(claim: Claim) -> tuple[Expectation, ...]:
    """The expectations of a claim; builds that agree under every limit share a row."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for label in (*WITH_GIL, *WITHOUT_GIL):
        row = tuple(_verdict(claim, parse_build(label), cpus, quota) for cpus, quota in LIMITS)
        rows.setdefault(row, []).append(label)
    return tuple(Expectation(builds=_words(labels), verdicts=row) for row, labels in rows.items())


def limits() -> tuple[str, ...]:
    """:data:`LIMITS` in words, for the heads of columns."""
    return tuple(units.cpus(cpus) + (f",\nquota {quota:g}" if quota else "") for cpus, quota in LIMITS)


def _verdict(claim: Claim, build: Build, cpus: int, quota: float | None) -> str:
    assert build.version
    facts = Facts(
        version=build.version,
        gil=not build.free_threaded,
        cpus=cpus,
        rate=quota or float(cpus),
        host_cpus=HOST_CPUS,
    )
    return verdicts.expected_verdict(claim, facts) or UNKNOWN


def _words(labels: Sequence[str]) -> str:
    """These builds in a few words: ``3.9, 3.13 to 3.15, 3.13t to 3.15t``."""
    if len(labels) == len(WITH_GIL) + len(WITHOUT_GIL):
        return "every Python"
    return ", ".join(part for series in (WITH_GIL, WITHOUT_GIL) for part in _runs(series, labels))


def _runs(series: Sequence[str], labels: Sequence[str]) -> list[str]:
    """The labels that are in the series; three or more in a row are written ``first to last``."""
    runs: list[list[str]] = [[]]
    for label in series:
        if label in labels:
            runs[-1].append(label)
        else:
            runs.append([])
    return [part for run in runs for part in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else run)]


def page(experiments: Sequence[Experiment]) -> str:
    """Every claim of these experiments in Markdown: what docs/expected.md holds."""
    return (
        "\n\n".join((_INTRODUCTION, *(f"## {experiment.name}\n\n{_table(experiment)}" for experiment in experiments)))
        + "\n"
    )


_INTRODUCTION = f"""\
# What is expected

The verdict that is expected of each claim, on each build and under a few limits, on a host with {HOST_CPUS} CPUs.
`lab explain --all` prints this page, `lab explain CLAIM` what it says of one claim. A decisive verdict that differs is
a *surprise*.

The source says how the expectation is known. Of 3.10, 3.12, 3.14t and 3.15t there was no image: the document says it
that stands beside; where none does, 3.10 is expected to do as 3.11, 3.12 as 3.11 and 3.13, and free-threaded builds as
3.13t. As
interpreters of a machine 3.10 and 3.12 did what is expected of them in the usual experiments and in `executors`,
`race-atlas`, `fork-threads`, `main-thread` and `silent-failures`, with 1 and with 2 CPUs.
{UNKNOWN.capitalize()}: then no verdict is a surprise."""


def _table(experiment: Experiment) -> str:
    head = ("claim", "Python", *(limit.replace("\n", " ") for limit in limits()), "source")
    rows = [
        (
            f"`{claim.id}`: {claim.statement}" if number == 0 else "",
            row.builds,
            *row.verdicts,
            claim.source * (number == 0),
        )
        for claim in experiment.claims
        for number, row in enumerate(expectations_of(claim))
    ]
    lines = (head, ["---"] * len(head), *rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
