"""Texts that have to be short."""

from __future__ import annotations


def shortened(text: str, most: int) -> str:
    """The text if it has at most ``most`` characters; else its beginning, cut between two words, and an ellipsis.

    A word is cut if more than half of the room would stay empty without its beginning.
    """
    if len(text) <= most:
        return text
    words, _, _ = text[:most].rpartition(" ")
    return (words if 2 * len(words) >= most else text[: most - 1]).rstrip() + "…"
