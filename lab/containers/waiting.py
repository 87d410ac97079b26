"""What the lab waits for where an engine takes long to answer, said to the user while it waits."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from lab.messages import tell

#: How long the lab waits until it says what for, and until it says so again, in seconds.
TOLD_SECONDS = 10.0

_here = threading.local()


@contextlib.contextmanager
def doing(words: str) -> Iterator[None]:
    """Within the context this thread does what these words say, unless a context around it has said so already.

    Of what has no words nothing is said.
    """
    before = getattr(_here, "words", None)
    _here.words = words if before is None else before
    try:
        yield
    finally:
        _here.words = before


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Say again and again what this thread does, if the end of the context takes long to come, and if it is known."""
    words, over = getattr(_here, "words", None), threading.Event()
    if not words:
        yield
        return

    def tell_until_over() -> None:
        waited = 0.0
        while not over.wait(TOLD_SECONDS):
            waited += TOLD_SECONDS
            tell(f"waiting for the engine for {waited:g} s: {words}")

    threading.Thread(target=tell_until_over, daemon=True).start()
    try:
        yield
    finally:
        over.set()
