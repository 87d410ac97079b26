"""A function to measure: it reads the lines of a web server's log, and counts the bytes of each address."""

from __future__ import annotations

import re

LINE = re.compile(r'(\S+) \S+ \S+ \[([^\]]+)\] "(\S+) (\S+) [^"]*" (\d{3}) (\d+|-)')

LINES = [
    f"10.0.{number % 7}.{number % 251} - - [28/Nov/2026:10:{number % 60:02}:00 +0000]"
    f' "GET /page/{number % 97} HTTP/1.1" 200 {number * 37 % 50000}'
    for number in range(500)
]


def count(lines: list[str] = LINES) -> dict[str, int]:
    """The bytes that were sent to each address."""
    sent: dict[str, int] = {}
    for line in lines:
        match = LINE.match(line)
        if match and match[6] != "-":
            sent[match[1]] = sent.get(match[1], 0) + int(match[6])
    return sent


def files() -> list[list[str]]:
    """The lines of many files: each item is what one worker counts at a time."""
    return [LINES] * 200
