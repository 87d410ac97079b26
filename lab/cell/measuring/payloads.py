"""Payloads: what the workers of a crew repeat, in pure Python and in C code that gives the GIL up."""

from __future__ import annotations

from typing import Any, Callable, NamedTuple


class Tools(NamedTuple):
    """What a payload works with."""

    #: A MiB of zeros.
    block: bytes
    #: A lock that all workers of the crew share.
    lock: Any


def counting(numbers: int) -> Callable[[Tools], object]:
    """Pure Python on objects of its own, 50 ns a number: needs the GIL all the time.

    Its constants are below 257. CPython keeps these for ever and does not count their references. Any other constant
    belongs to the code that all threads share, and without a GIL 3.13 makes threads contend for its reference count.
    Constants are immortal only in code that was compiled after the first thread started (Python 3.13's HOWTO on free
    threading, "Immortalization").
    """

    def payload(tools: Tools) -> int:
        total = 0
        for number in range(numbers):
            total = (total * 31 + number) & 255
        return total

    return payload


count = counting(1000)


def in_turn(tools: Tools) -> None:
    """The same under one lock for all: serial by construction."""
    with tools.lock:
        count(tools)


#: Bytes hashed at a time. hashlib gives the GIL up above 2047 bytes (its documentation, hash.update()).
DIGEST_SIZES = (512, 2047, 2048, 2**14, 2**17, 2**20)


def digest_of(size: int) -> Callable[[Tools], object]:
    """A payload in C code: SHA-256 of ``size`` bytes.

    A small size is hashed several times, so that reading the clock costs little in comparison. 1 MiB takes 0.5 to
    4 ms, so that taking the GIL back costs little too.
    """

    def payload(tools: Tools) -> None:
        import hashlib

        part = memoryview(tools.block)[:size]
        for _ in range(max(1, 2**14 // size)):
            hashlib.sha256(part).digest()

    return payload


PAYLOADS: dict[str, Callable[[Tools], object]] = {
    "count": count,
    "count 2 % more": counting(1020),
    "count 5 % more": counting(1050),
    "count 10 % more": counting(1100),
    "count in turn": in_turn,
    **{"digest %d" % size: digest_of(size) for size in DIGEST_SIZES},
}
