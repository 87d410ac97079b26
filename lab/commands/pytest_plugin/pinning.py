"""The cores of this process, of pytest or of a worker of pytest-xdist, and the pinning of the test that runs."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any, Mapping, Optional

import pytest

if TYPE_CHECKING:
    from lab.cell.cpus.sharing import Places, Share


class _State:
    """What the plugin knows of one run of pytest."""

    #: What the threads could use before the running test was pinned; ``None``: no test is pinned.
    masks: Optional[Mapping[int, Any]] = None
    #: The cores that the running test is pinned to; ``None``: no test is pinned.
    pinned: Optional[Share] = None
    #: The number of this worker among those of pytest-xdist; ``None``: nobody has asked yet.
    places: Optional[Places] = None


#: Each run of pytest in this process -> what the plugin knows of it. Old versions of pytest have no stash.
_STATES: "weakref.WeakKeyDictionary[pytest.Config, _State]" = weakref.WeakKeyDictionary()


def begin(config: pytest.Config) -> None:
    """Begin to know something of a run of pytest."""
    _STATES[config] = _State()


def skip_without_affinity() -> None:
    """Skip the test that is about to run on a system that cannot pin it."""
    from lab.system import HAS_AFFINITY, NAME

    if not HAS_AFFINITY:
        pytest.skip(f"a test is pinned to cores, and {NAME} has no CPU affinity")


def pin_or_skip(config: pytest.Config, wanted: int) -> None:
    """Pin this process to so many cores of its own, or skip the test that is about to run."""
    from lab.cell.cpus.sharing import counted, missing, pin

    skip_without_affinity()
    unpin(config)  # a test before this one may have been left without its end
    own = share(config)
    reason = missing(own, wanted)
    if reason:
        pytest.skip(reason)
    state, cpus = _STATES[config], own.cpus[:wanted]
    try:
        state.masks = pin(cpus)
    except OSError as error:
        pytest.skip(f"the test could not be pinned to {wanted} cores: {error.strerror}")
    state.pinned = own._replace(cpus=cpus, why=f"this test is pinned to {counted(wanted, 'core')}")


def unpin(config: pytest.Config) -> None:
    """Give this process the CPUs back that it had before it was pinned."""
    state = _STATES[config]
    if state.masks is not None:
        from lab.cell.cpus import sharing

        sharing.unpin(dict(state.masks))
        state.masks = state.pinned = None


def share(config: pytest.Config) -> Share:
    """The cores that this process may use: those that a test is pinned to, else all, or its own among the workers of
    pytest-xdist."""
    from lab.cell.cpus.sharing import Places, share_here

    worker, state = getattr(config, "workerinput", None), _STATES[config]
    if state.pinned is not None:
        return state.pinned
    if worker is None:
        return share_here(0, 1)
    count = int(worker["workercount"])
    if state.places is None:
        state.places = Places(str(worker["testrunuid"]), count)
    return share_here(state.places.place, count)


def end(config: pytest.Config) -> None:
    """Give back what is still held, also after Ctrl-C."""
    if config in _STATES:
        unpin(config)
        places = _STATES.pop(config).places
        if places is not None:
            places.close()
