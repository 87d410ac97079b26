"""Measure many things: in turns, and again those that a disturbed machine left without a number."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Key = TypeVar("Key")
Result = TypeVar("Result")


def until_measured(
    keys: Iterable[Key], measure: Callable[[Key], Result], is_missing: Callable[[Result], bool], minutes: float
) -> list[Result]:
    """The result of every key. Those without a number are measured again, pass by pass, while minutes are left.

    Whether there is a number depends on the machine alone, never on what the number says.
    """
    end = time.monotonic() + 60 * minutes
    results = {key: measure(key) for key in keys}
    while any(map(is_missing, results.values())) and time.monotonic() < end:
        for key in [key for key, result in results.items() if is_missing(result)]:
            if time.monotonic() < end:
                results[key] = measure(key)
    return list(results.values())


def in_turn(keys: Sequence[Key], number: int) -> Sequence[Key]:
    """The keys in the order of the round of this number: each round begins with the next key, and goes around."""
    first = number % len(keys)
    return [*keys[first:], *keys[:first]]
