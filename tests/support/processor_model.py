"""A small model of a machine's processors: what its kernel says of them, in part, and what is true.

It is the oracle of a fuzz test, and shares no code with the lab. Written from the kernel's
Documentation/admin-guide/cputopology.rst, ABI/stable/sysfs-devices-node and ABI/testing/sysfs-devices-system-cpu.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

from hypothesis import strategies as st

_CPUS = "sys/devices/system/cpu"

#: The files that list a core's and a package's CPUs, today's and the older names.
_CORE_FILES = ("core_cpus_list", "thread_siblings_list", "core_cpus", "thread_siblings")
_PACKAGE_FILES = ("package_cpus_list", "core_siblings_list", "package_cpus", "core_siblings")

_GARBAGE = ("", "(null)", "x", "3-0", "0-", "99999999-0", "0x3", "-1")


@dataclass(frozen=True)
class Thread:
    """A CPU: where it is, and what the kernel says there."""

    #: Its id.
    cpu: int
    #: Package, die and core, which together name the core.
    core: tuple[int, int, int]
    #: The NUMA node; ``None`` where it is in none.
    node: int | None
    #: Whether it is on line.
    online: bool
    #: The file that says which CPUs its core has; ``None`` where no file does.
    core_file: str | None
    #: The same of its package.
    package_file: str | None
    #: What stands in all other files of that kind: no list, or the list of another CPU.
    noise: str | None
    #: Whether the numbers of its package, die and core are told.
    numbered: bool


@dataclass(frozen=True)
class Processors:
    """All CPUs of a machine."""

    #: The CPUs.
    threads: tuple[Thread, ...]
    #: Whether there is a list of the CPUs that are on line, beside the switch of each.
    lists_online: bool
    #: Whether nodes have masks instead of lists.
    node_masks: bool

    @property
    def online(self) -> list[Thread]:
        """The CPUs on line."""
        return [thread for thread in self.threads if thread.online]

    def cores(self) -> set[frozenset[int]]:
        """The CPUs of each core: those that a file of one of them lists, else those with the same numbers.

        A CPU of which neither tells anything is a core of its own.
        """
        told = {thread.core for thread in self.online if thread.core_file}
        return self._groups(
            lambda thread: thread.core if thread.core in told or thread.numbered else (*thread.core, thread.cpu)
        )

    def packages(self) -> set[frozenset[int]]:
        """The CPUs of each package."""
        return self._groups(lambda thread: thread.core[0])

    def nodes(self) -> dict[int, frozenset[int]]:
        """Node -> its CPUs on line."""
        numbers = {thread.node for thread in self.online if thread.node is not None}
        return {number: self._ids([one for one in self.online if one.node == number]) for number in numbers}

    def _groups(self, key: object) -> set[frozenset[int]]:
        assert callable(key)
        groups: dict[object, set[int]] = {}
        for thread in self.online:
            groups.setdefault(key(thread), set()).add(thread.cpu)
        return {frozenset(group) for group in groups.values()}

    @staticmethod
    def _ids(threads: list[Thread]) -> frozenset[int]:
        return frozenset(thread.cpu for thread in threads)

    def files(self) -> dict[bytes, bytes]:
        """What the kernel says."""
        tree = {f"{_CPUS}/online": _list(self._ids(self.online))} if self.lists_online else {}
        for thread in self.threads:
            tree[f"{_CPUS}/cpu{thread.cpu}/online"] = "1" if thread.online else "0"
            if thread.online:  # the folder of a CPU that is off line has no topology
                tree |= {f"{_CPUS}/cpu{thread.cpu}/topology/{name}": text for name, text in self._said(thread).items()}
        for number, cpus in {**self.nodes(), 7: frozenset[int]()}.items():  # node 7 has memory only
            node = f"sys/devices/system/node/node{number}"
            tree |= {f"{node}/cpumap": _mask(cpus)} if self.node_masks else {f"{node}/cpulist": _list(cpus)}
        return {name.encode(): f"{text}\n".encode() for name, text in tree.items()}

    def _said(self, thread: Thread) -> dict[str, str]:
        """What stands in a CPU's topology folder."""
        said: dict[str, str] = {}
        places = (thread.core, _CORE_FILES, thread.core_file), (thread.core[:1], _PACKAGE_FILES, thread.package_file)
        for place, names, right in places:
            cpus = self._ids([one for one in self.online if one.core[: len(place)] == place])
            others = self._ids(self.online) - {thread.cpu}
            for name in names:
                if name == right:
                    said[name] = _list(cpus) if name.endswith("_list") else _mask(cpus)
                elif thread.noise == "another" and others:
                    said[name] = _list(others) if name.endswith("_list") else _mask(others)
                elif thread.noise is not None and thread.noise != "another":
                    said[name] = thread.noise
        ids = zip(("physical_package_id", "die_id", "core_id"), thread.core, strict=True)
        return {**said, **{name: str(number) if thread.numbered else "-1" for name, number in ids}}


def _list(cpus: frozenset[int]) -> str:
    return ",".join(str(cpu) for cpu in sorted(cpus))


def _mask(cpus: frozenset[int]) -> str:
    bits = sum(1 << cpu for cpu in cpus)
    return f"{bits >> 32:x},{bits & 0xFFFFFFFF:08x}" if bits >> 32 else f"{bits:x}"


#: The ids of CPUs in the order of the cores. Each draw costs time, so an order is one draw, and so is all of a thread.
_ORDERS = st.sampled_from([range(60), *(random.Random(order).sample(range(60), 60) for order in range(50))])


#: Whether cores are numbered -> of a thread: whether it is in a node and on line, its two files, and the noise.
_THREADS = {
    numbered: st.sampled_from(
        tuple(
            itertools.product(
                (True, True, False),
                (True, True, True, True, True, False),
                (None, *_CORE_FILES),
                (None, *_PACKAGE_FILES) if numbered else _PACKAGE_FILES,
                (None, None, "another", *_GARBAGE),
            )
        )
    )
    for numbered in (False, True)
}


@st.composite
def machines(draw: st.DrawFn) -> Processors:
    """A machine, of which the kernel tells enough to know its packages."""
    threads_per_core, cores, dies, packages = (draw(st.integers(1, most)) for most in (3, 3, 2, 3))
    places = [(p, d, c) for p in range(packages) for d in range(dies) for c in range(cores)]
    ids = iter(draw(_ORDERS))
    numbered = draw(st.booleans())
    threads = []
    for place in places:
        for _ in range(threads_per_core):
            in_node, online, core_file, package_file, noise = draw(_THREADS[numbered])
            threads.append(
                Thread(
                    cpu=next(ids),
                    core=place,
                    node=place[0] * 2 + place[1] if dies > 1 else place[0] if in_node else None,
                    online=online,
                    core_file=core_file,
                    package_file=package_file,
                    noise=noise,
                    numbered=numbered,
                )
            )
    return Processors(tuple(threads), draw(st.booleans()), draw(st.booleans()))
