"""Generators as targets: a call reads one to its end, and what it yields is what a worker would hand over."""

from __future__ import annotations

import collections
import sys
from typing import Any, Callable

#: So many elements are kept at most, and so many bytes, to see what it costs at least to hand them over.
MOST_YIELDED, MOST_BYTES = 100_000, 2**25


class _Part:
    """The first elements of what a generator yields."""

    def __init__(self) -> None:
        self.elements: list[Any] = []
        self._bytes = 0

    def takes(self, element: Any) -> bool:
        """Keep an element. Returns whether there is room for more."""
        self.elements.append(element)
        self._bytes += sys.getsizeof(element)
        return len(self.elements) < MOST_YIELDED and self._bytes < MOST_BYTES


class Drained:
    """Reads a generator to its end, and keeps nothing of what it yields."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def __call__(self) -> None:
        collections.deque(self._call(), maxlen=0)

    def collected(self) -> list[Any]:
        """What it yields, which is what a worker hands over; of very much the first part."""
        part = _Part()
        for element in self._call():
            if not part.takes(element):
                break
        return part.elements


class DrainedLater:
    """Reads an asynchronous generator to its end, and keeps nothing of what it yields."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call

    def __call__(self) -> None:
        import asyncio

        async def drain() -> None:
            async for _ in self._call():
                pass

        asyncio.run(drain())

    def collected(self) -> list[Any]:
        """What it yields, which is what a worker hands over; of very much the first part."""
        import asyncio

        async def collect() -> list[Any]:
            part, generator = _Part(), self._call()
            async for element in generator:
                if not part.takes(element):
                    await generator.aclose()
                    break
            return part.elements

        return asyncio.run(collect())


def result_of(call: Callable[[], object], result: Any) -> Any:
    """What a worker would hand over of a call that gave ``result``: of a generator, what it yields."""
    return call.collected() if isinstance(call, (Drained, DrainedLater)) else result
