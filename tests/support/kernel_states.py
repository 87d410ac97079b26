"""Strategies that build states of the model kernel: what somebody did to a machine, a step after the other."""

from __future__ import annotations

import random
from dataclasses import replace

from hypothesis import strategies as st

from tests.support.kernel_model import Group, Hierarchy, Mount, Names, State

#: Names of groups. A name may have any byte but a slash, a newline and NUL.
_PLAIN = (b"a", b"b", b"docker", b"system.slice", b"job-1.scope")
_ODD = (
    b" ",
    b"a ",
    b" b",
    b"a\tb",
    b"a\\040b",
    b"\\",
    b"...",
    b"..a",
    b"a:b",
    b"a,b",
    b"a - b",
    b"a (deleted)",
    b"\r",
    b"a\x0bb\x0c",
    b"\xff\xfe",
    b"caf\xc3\xa9",
    b"\xe2\x80\xa8",
    b"\xc2\x85",
    b"\x1b[31m",
    b"#",
    b'"',
    b"cpu.max.d",
)
_NAMES = st.one_of(st.sampled_from(_PLAIN), st.sampled_from(_PLAIN), st.sampled_from(_ODD))
_PATHS = st.lists(_NAMES, max_size=4).map(tuple)

#: What no kernel writes, and the quota that it is taken for (docs/effective-cpus.md, "Sources").
_DAMAGED_V2 = (
    (b"", None),
    (b"\n", None),
    (b"max\n", None),
    (b"0 100000\n", None),
    (b"-1 100000\n", None),
    (b"-70000 100000\n", None),
    (b"words here\n", None),
    (b"nan 100000\n", None),
    (b"0x10 100000\n", None),
    (b"1_000 100000\n", None),
    (b"\xd9\xa1\xd9\xa2 100000\n", None),
    (b"\xff\xff 100000\n", None),
    (b"9" * 400 + b" 100000\n", None),
    (b"70000\n", (70000, 100000)),
    (b"70000 0\n", (70000, 100000)),
    (b"70000 -5\n", (70000, 100000)),
    (b"70000 max\n", (70000, 100000)),
    (b"70000\t50000 \n\n", (70000, 50000)),
    (b"9223372036854775807 100000\n", (9223372036854775807, 100000)),
)
_DAMAGED_V1 = tuple((text, quota) for text, quota in _DAMAGED_V2 if b" " not in text and b"\t" not in text)

_CPUS = st.integers(1, 2**9 - 1).map(lambda bits: frozenset(cpu for cpu in range(9) if bits >> cpu & 1))
_PARTITIONS = (
    None,
    None,
    b"member",
    b"root",
    b"isolated",
    b"isolated invalid (Parent is no root)",
    b"root invalid (x)",
)


def _some_groups(version: int, at_top: bool, chance: random.Random) -> tuple[Group, ...]:
    """Many groups, the plainest first. Each draw costs time, so a group is one draw."""
    groups = [Group(quota=None if version == 2 else ())]
    for _ in range(500):
        quota: tuple[int, ...] | None = (chance.randint(1000, 900_000), chance.choice((10000, 100000, 33333, 1000000)))
        if at_top or chance.random() < 0.3:
            quota = chance.choice((None, ())) if not at_top else groups[0].quota
        damages = _DAMAGED_V2 if version == 2 else _DAMAGED_V1
        groups.append(
            Group(
                quota=quota,
                damage=chance.choice(damages) if chance.random() < 0.1 and not at_top else None,
                partition=chance.choice(_PARTITIONS) if version == 2 and not at_top else None,
                balanced=chance.choice((None, True, False, False)) if version == 1 else None,
                cpus=chance.choice((None, frozenset(chance.sample(range(9), 4)))),
            )
        )
    return tuple(groups)


#: (version, whether it is the top of the hierarchy) -> groups.
_GROUPS = {
    (version, at_top): st.sampled_from(_some_groups(version, at_top, random.Random(0)))
    for version in (1, 2)
    for at_top in (False, True)
}

#: How often a hierarchy is mounted.
_COUNTS = st.sampled_from((1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 0))

#: The hierarchies of a machine: (version, the sets of controllers that it may have).
_LAYOUTS = (
    ((2, (b"cpu", b"cpuset", b"memory")),),
    ((1, (b"cpu",)), (1, (b"cpuset",)), (1, (b"name=systemd",))),
    ((1, (b"cpuset",)), (1, (b"cpu", b"cpuacct")), (2, ())),
    ((1, (b"cpuacct", b"cpu")), (1, (b"memory",)), (2, (b"cpuset",))),
    ((1, (b"cpuset",)), (2, (b"cpu", b"memory"))),
    ((1, (b"cpu", b"cpuset")), (2, ())),
    ((1, (b"name=systemd",)),),
)


@st.composite
def _hierarchies(
    draw: st.DrawFn, version: int, controllers: tuple[bytes, ...], own: Names, namespace: Names
) -> Hierarchy:
    # A group beside the own one, and one of the same name elsewhere: to be taken for it by mistake.
    others = [(*own[:-1], b"beside"), (b"else", *own[-1:]), namespace + own[-1:], (*namespace, b"x")]
    paths = {path[:depth] for path in (own, namespace, *others) for depth in range(len(path) + 1)}
    threads = version == 2 and len(own) > 1 and draw(st.integers(0, 7)) == 0
    return Hierarchy(
        version=version,
        controllers=controllers,
        groups={
            path: replace(draw(_GROUPS[version, not path]), threaded=threads and path == own) for path in sorted(paths)
        },
        own=own,
        namespace=namespace,
        noprefix=version == 1 and draw(st.integers(0, 5)) == 0,
    )


@st.composite
def _namespaces(draw: st.DrawFn, own: Names) -> Names:
    """The top of a namespace: that of the host, a group above the process, or another one."""
    kind = draw(st.integers(0, 5))
    if kind < 2:
        return ()
    if kind < 5:
        return own[: draw(st.integers(0, len(own)))]
    return (*own[: draw(st.integers(0, len(own)))], b"left")


@st.composite
def _mounts(draw: st.DrawFn, hierarchies: tuple[Hierarchy, ...]) -> tuple[Mount, ...]:
    """Mounts, one after the other; each stands on what its point showed then."""
    mounts = [Mount(number=22, parent=1, point=())]

    def mount(point: Names, hierarchy: int | None = None, top: Names = ()) -> None:
        parent = State(hierarchies=hierarchies, mounts=tuple(mounts), mask=frozenset()).at(point).number
        mounts.append(Mount(number=30 + len(mounts), parent=parent, point=point, hierarchy=hierarchy, top=top))

    base: Names = (b"sys", b"fs", b"cgroup")
    if len(hierarchies) > 1 and draw(st.booleans()):
        mount(base)
    for place, one in enumerate(hierarchies):
        usual = base if len(hierarchies) == 1 else (*base, b"h%d" % place)
        chain = [one.own[:depth] for depth in range(len(one.own) + 1)]
        tops = [*[one.namespace if one.namespace in chain else ()] * 4, *chain, (b"else",)]
        for count in range(draw(_COUNTS)):
            top = draw(st.sampled_from(tops))
            points = [usual] * (not count) or [usual, (b"host", *usual), (b"my cg\\",), (*base, b"old", b"cg")]
            if count and top != one.own:
                points.append(usual + one.own[-1:])  # over a group's folder
            if top in one.groups:
                mount(draw(st.sampled_from(points)), place, top)
    for _ in range(draw(st.sampled_from((0, 0, 0, 0, 0, 1, 2)))):
        point = draw(st.sampled_from(mounts)).point + draw(st.sampled_from(((), (), (b"a",), (b"docker",))))
        mount((point or base)[: draw(st.integers(2, 6))])
    return tuple(mounts)


@st.composite
def states(draw: st.DrawFn) -> State:
    """A machine's state, odd but possible."""
    layout = draw(st.sampled_from(_LAYOUTS))
    hierarchies, own, namespace = [], draw(_PATHS), None
    for version, controllers in layout:
        if draw(st.integers(0, 3)) == 0:
            own, namespace = draw(_PATHS), None
        if namespace is None:
            namespace = draw(_namespaces(own))
        hierarchies.append(draw(_hierarchies(version, controllers, own, namespace)))
    mounts = draw(_mounts(tuple(hierarchies)))
    mask = draw(_CPUS)
    return State(
        hierarchies=tuple(hierarchies),
        mounts=mounts if draw(st.integers(0, 4)) else (mounts[0], *reversed(mounts[1:])),
        mask=mask,
        isolated=draw(st.one_of(st.just(frozenset()), st.just(frozenset()), _CPUS, st.just(mask))),
        pid=draw(st.sampled_from((4711, 4711, 4711, None))),
        # A table without its root and with covers looks like one that was made by hand, whose ids are not believed.
        chroot=draw(st.integers(0, 7)) == 0 and all(mount.hierarchy is not None for mount in mounts[1:]),
    )
