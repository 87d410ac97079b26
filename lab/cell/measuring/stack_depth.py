"""The depth of a block on the stack, which is another one in the next round.

On some processors two cache lines hinder each other where their addresses happen to have the same hash. If one of them
is on the stack and the other one on the heap, a loop takes up to twice as long. Forked processes have the same
addresses, so all of them can be slow, from their start to their end. The median of rounds at different depths does not
rest on such a chance. Within a round all blocks have the same depth, so that a process can be compared with itself.

See Mytkowicz and others 2009 ("Producing Wrong Data Without Doing Anything Obviously Wrong!"), Curtsinger and Berger
2013 ("Stabilizer: Statistically Sound Performance Evaluation"), and Lipp and others 2020 ("Take A Way", on the way
predictor of AMD's first-level cache).
"""

from __future__ import annotations

import functools
from typing import Callable, TypeVar

_Result = TypeVar("_Result")

#: How many depths there are. One level takes some hundred bytes, a cache line 64.
DEPTHS = 8


def at_depth(depth: int, act: Callable[[], _Result]) -> _Result:
    """What ``act`` returns, called so many levels down. Each level passes through C code and so takes some of the
    stack; Python code that calls Python code does not."""
    if not depth:
        return act()
    deeper: Callable[[int], _Result] = functools.partial(at_depth, act=act)
    return next(map(deeper, (depth - 1,)))
