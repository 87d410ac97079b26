"""Rows of a table in groups: a name that repeats is shown once, and claims stand below their experiment. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence


def grouped_rows(rows: Iterable[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """The rows, with an empty first text wherever it would repeat the first text of the row above."""
    grouped: list[tuple[str, ...]] = []
    previous = ""
    for first, *texts in rows:
        grouped.append(("" if first == previous else first, *texts))
        previous = first
    return tuple(grouped)


def rows_by_experiment(rows: Iterable[Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Rows that begin with a claim, below a heading for each experiment; ``pool.waves`` becomes ``  waves``."""
    heading = ""
    for claim, *texts in rows:
        experiment, _, name = claim.rpartition(".")
        if experiment != heading:
            heading = experiment
            yield (experiment, *[""] * len(texts))
        yield (f"  {name}", *texts)
