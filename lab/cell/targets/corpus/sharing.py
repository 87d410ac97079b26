"""Functions that work on an object: ``state`` says whether threads share it, or each has its own."""

from __future__ import annotations

import queue
import threading
from typing import Any

_TIMES = range(500)


class Counter:
    """Something that is counted."""

    def __init__(self) -> None:
        self.count = 0


class Locked:
    """A counter behind a lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0


def make_dict() -> dict[int, int]:
    """A dictionary."""
    return dict.fromkeys(range(64), 0)


def make_list() -> list[int]:
    """A list."""
    return [0] * 64


def make_counter() -> Counter:
    """A counter."""
    return Counter()


def make_locked() -> Locked:
    """A counter behind a lock."""
    return Locked()


def make_queue() -> queue.Queue[int]:
    """A queue."""
    return queue.Queue()


def write_dict(shared: dict[int, int]) -> None:
    """Write into a dictionary."""
    for number in _TIMES:
        shared[number & 63] = number


def write_list(shared: list[int]) -> None:
    """Write into a list."""
    for number in _TIMES:
        shared[number & 63] = number


def count(shared: Counter) -> None:
    """Count; that updates are lost is of no interest here."""
    for _ in _TIMES:
        shared.count += 1


def count_locked(shared: Locked) -> None:
    """Count behind a lock."""
    for _ in _TIMES:
        with shared.lock:
            shared.count += 1


def pass_on(shared: Any) -> None:
    """Put something into a queue, and take something out."""
    for number in range(100):
        shared.put(number)
        shared.get()
