"""Statements that two threads run at the same time, and the bytecodes after which the interpreter can hand over."""

from __future__ import annotations

import collections
import dis
import textwrap
from types import CodeType
from typing import Any, Callable, Dict, Iterator, NamedTuple

#: What a statement works on, by name.
Names = Dict[str, Any]

#: How often a thread runs the statement before it looks who had the interpreter last.
CHUNK = 100

#: Places of the list in which neighbours are swapped.
PLACES = 64

#: Keys that a dict has for good while it is iterated over.
KEYS = 20

_FUNCTION = """\
def update(me):
    mine = counts[me]
    for _ in range({chunk}):
{body}
    return {chunk}
"""


class Statement(NamedTuple):
    """Lines that race."""

    #: What the threads run.
    text: str
    #: Makes the names that the statement works on.
    make: Callable[[], Names]
    #: Tells from these names, and from how often the statement ran, how often it went wrong.
    lost: Callable[[Names, int], int]
    #: Lines before the statement. They may use ``me`` (0 or 1) and ``mine`` (two counters of this thread alone).
    before: str = ""
    #: Lines after the statement, which do the counting.
    after: str = ""

    def compiled(self, names: Names) -> Callable[[int], int]:
        """The function that runs it ``CHUNK`` times, on these names; returns ``CHUNK``."""
        names["counts"] = ([0, 0], [0, 0])
        exec(compile(self.source(), "<statement>", "exec"), names)  # noqa: S102 - what runs is what is shown
        update: Callable[[int], int] = names["update"]
        return update

    def bytecodes(self) -> Iterator[str]:
        """The names of the bytecodes of ``text``, without what surrounds it."""
        lines = self.source().splitlines()
        first = len(_FUNCTION.partition("{body}")[0].splitlines()) + len(self.before.splitlines()) + 1
        wanted = range(first, first + len(self.text.splitlines()))
        assert lines[wanted[0] - 1].strip() == self.text.splitlines()[0].strip()
        module = compile(self.source(), "<statement>", "exec")
        (function,) = [constant for constant in module.co_consts if isinstance(constant, CodeType)]
        starts = dict(dis.findlinestarts(function))
        line = None
        for instruction in dis.get_instructions(function):
            line = starts.get(instruction.offset, line)
            if line in wanted and instruction.opname not in ("CACHE", "EXTENDED_ARG"):
                yield instruction.opname

    def source(self) -> str:
        """The function as text."""
        body = "\n".join(part for part in (self.before, self.text, self.after) if part)
        return _FUNCTION.format(chunk=CHUNK, body=textwrap.indent(body, " " * 8))


def _same(number: int) -> int:
    return number


class Holder:
    """An object with one attribute."""

    def __init__(self) -> None:
        self.n = 0


def _created_and_not_popped(names: Names, made: int) -> int:
    """Each creation is popped once, or is still there: what is missing was overwritten by another."""
    return int(sum(counters[0] - counters[1] for counters in names["counts"]) - len(names["d"]))


#: A call before it, so that others can find what was created.
_POP = 'same(me)\nmine[1] += d.pop("k", None) is not None'

#: A change of the dict while another thread may be iterating over it.
_TOGGLE = "if me in d:\n    del d[me]\nelse:\n    d[me] = me"

STATEMENTS = {
    "n += 1, global": Statement(
        "n += 1", lambda: {"n": 0}, lambda names, made: made - int(names["n"]), before="global n"
    ),
    "n += 1, attribute": Statement("o.n += 1", lambda: {"o": Holder()}, lambda names, made: made - int(names["o"].n)),
    "n += 1, dict item": Statement('d["n"] += 1', lambda: {"d": {"n": 0}}, lambda names, made: made - names["d"]["n"]),
    "n += 1, list item": Statement("a[0] += 1", lambda: {"a": [0]}, lambda names, made: made - int(names["a"][0])),
    "read, call, write": Statement(
        "o.n = same(o.n) + 1",
        lambda: {"o": Holder(), "same": _same},
        lambda names, made: made - int(names["o"].n),
    ),
    "check, act": Statement(
        'if "k" not in d:\n    d["k"] = me',
        lambda: {"d": {}, "same": _same},
        _created_and_not_popped,
        after="    mine[0] += 1\n" + _POP,
    ),
    "check, call, act": Statement(
        'if "k" not in d:\n    d["k"] = same(me)',
        lambda: {"d": {}, "same": _same},
        _created_and_not_popped,
        after="    mine[0] += 1\n" + _POP,
    ),
    "swap": Statement(
        "a[i], a[i - 1] = a[i - 1], a[i]",
        lambda: {"a": list(range(PLACES)), "PLACES": PLACES},
        lambda names, made: PLACES - len(set(names["a"])),
        before="mine[0] = i = (mine[0] + 1) % PLACES",
    ),
    "dict iteration": Statement(
        "    for _ in d:\n        pass",
        lambda: {"d": {"key %d" % number: number for number in range(KEYS)}},
        lambda names, made: sum(counters[0] for counters in names["counts"]),
        before="try:",
        after="except RuntimeError:\n    mine[0] += 1\n" + _TOGGLE,
    ),
    "list.append": Statement("a.append(me)", lambda: {"a": []}, lambda names, made: made - len(names["a"])),
    "list.insert, del": Statement(
        "a.insert(0, me)\ndel a[0]", lambda: {"a": []}, lambda names, made: abs(len(names["a"]))
    ),
    "deque.append": Statement(
        "q.append(me)", lambda: {"q": collections.deque()}, lambda names, made: made - len(names["q"])
    ),
    "set.add": Statement(
        "s.add(x)",
        lambda: {"s": set()},
        lambda names, made: made - len(names["s"]),
        before="mine[0] += 2; x = mine[0] + me",
    ),
    "dict.setdefault": Statement(
        'got = d.setdefault("k", token)',
        lambda: {"d": {}, "same": _same},
        _created_and_not_popped,
        before="token = [me]",
        after="mine[0] += got is token\n" + _POP,
    ),
}


def marked(opname: str, version: tuple[int, int], gil: bool) -> bool:
    """Whether the interpreter can hand over to another thread just after this bytecode.

    With the GIL it does so where it checks its "eval breaker":

    - 3.9 (Python/ceval.c): before the next bytecode, except after the bytecodes that end in FAST_DISPATCH.
    - 3.10 (CHECK_EVAL_BREAKER in Python/ceval.c): where a backward jump or a call ends. A conditional jump counts only
      if it jumps.
    - 3.11 on (CHECK_EVAL_BREAKER in Python/ceval.c and Python/bytecodes.c, from 3.14 _CHECK_PERIODIC): where a
      backward jump or a call ends, and at RESUME, where a function begins.

    A called function has such places of its own. Without the GIL other threads run all the time.
    """
    if not gil:
        return True
    if version < (3, 10):
        return opname not in _QUICK_3_9
    if version < (3, 11):
        return opname in ("JUMP_ABSOLUTE", "POP_JUMP_IF_FALSE", "POP_JUMP_IF_TRUE") or opname.startswith("CALL_")
    return opname in _SLOW or "JUMP_BACKWARD" in opname


#: The bytecodes that end in FAST_DISPATCH in 3.9's Python/ceval.c.
_QUICK_3_9 = frozenset(
    (
        *("NOP", "LOAD_FAST", "LOAD_CONST", "STORE_FAST", "POP_TOP", "DUP_TOP", "DUP_TOP_TWO"),
        *("ROT_TWO", "ROT_THREE", "ROT_FOUR", "IS_OP", "CONTAINS_OP", "JUMP_FORWARD"),
        *("POP_JUMP_IF_FALSE", "POP_JUMP_IF_TRUE", "JUMP_IF_FALSE_OR_POP", "JUMP_IF_TRUE_OR_POP"),
    )
)

_SLOW = frozenset(("RESUME", "CALL", "CALL_KW", "CALL_FUNCTION_EX"))
