"""Functions that compute: in Python, in C with the GIL, and in C without it."""

from __future__ import annotations

import hashlib
import json
import random
import re
import zlib

MEBIBYTE = bytes(range(256)) * 4096
KIBIBYTE = MEBIBYTE[:1024]
WORDS = " ".join("word%d" % (number * 7919 % 10007) for number in range(20_000))
DOCUMENT = json.dumps([{"id": number, "name": "name %d" % number, "tags": ["a", "b"]} for number in range(2000)])
NUMBERS = random.Random(1).sample(range(1_000_000), 20_000)


def loop() -> int:
    """Compute in Python alone."""
    total = 0
    for number in range(20_000):
        total = (total * 31 + number) & 255
    return total


def microseconds() -> int:
    """Compute for a few microseconds: less than an executor needs to hand a call over."""
    total = 0
    for number in range(60):
        total += number
    return total


def hash_mebibyte() -> bytes:
    """SHA-256 gives the GIL up for inputs above 2,047 bytes."""
    return hashlib.sha256(MEBIBYTE).digest()


def hash_kibibyte() -> bytes:
    """SHA-256 keeps the GIL for short inputs."""
    return hashlib.sha256(KIBIBYTE).digest()


def compress() -> int:
    """Compress a mebibyte; zlib gives the GIL up."""
    return len(zlib.compress(MEBIBYTE, 6))


def match() -> int:
    """Search a long text with a regular expression, which keeps the GIL."""
    return len(re.findall(r"\b\w+7\b", WORDS))


def parse() -> int:
    """Parse JSON, which keeps the GIL."""
    return len(json.loads(DOCUMENT))


def sort() -> int:
    """Sort numbers, which keeps the GIL."""
    return sorted(NUMBERS)[0]


def playout() -> int:
    """Play a game at random to its end: stones on a board of 9 × 9, as a player that searches by playouts does.

    It has a generator of its own. Without a GIL threads that share one wait for each other at every number.
    """
    shuffled = list(range(81))
    random.Random().shuffle(shuffled)
    board = [0] * 81
    score = 0
    for turn, point in enumerate(shuffled):
        colour = 1 if turn % 2 else -1
        board[point] = colour
        neighbours = [point + step for step in (-9, -1, 1, 9) if 0 <= point + step < 81]
        taken = [other for other in neighbours if board[other] == -colour]
        if len(taken) == len(neighbours):
            board[point] = 0
        score += sum(board[other] == colour for other in neighbours)
    return score


def large_result() -> bytes:
    """Return 50 MB, which cost more to hand over than to make."""
    return b"x" * 50_000_000


_memory = bytearray()


def read_memory() -> int:
    """Read 200 MB, which no cache holds; searching a byte is quicker than memory."""
    if not _memory:
        _memory.extend(b"x" * 200_000_000)
    return _memory.find(b"y")
