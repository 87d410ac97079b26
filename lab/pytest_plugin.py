"""The pytest plugin: tests on cores of their own, bounds on a speed-up, and as many xdist workers as there are CPUs.

Without a mark, an option or the fixture it changes nothing, and imports nothing else of the lab. It is written in
Python 3.9's syntax, because it is loaded wherever the lab is installed beside pytest.
"""

from __future__ import annotations

import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, List, Mapping, Optional

import pytest

if TYPE_CHECKING:
    from lab.cell.cpus.sharing import Places, Share
    from lab.judging.bounds import Answer, Ratio, Team

#: The oldest pytest for which the plugin was tested.
_OLDEST = 8

#: The name by which ``--cpus`` parametrises a test.
_SIZE = "cpus_of_the_lab"


class _State:
    """What the plugin knows of one run of pytest."""

    #: What the threads could use before the running test was pinned; ``None``: no test is pinned.
    masks: Optional[Mapping[int, Any]] = None
    #: The number of this worker among those of pytest-xdist; ``None``: nobody has asked yet.
    places: Optional[Places] = None


#: Each run of pytest in this process -> what the plugin knows of it. Old versions of pytest have no stash.
_STATES: "weakref.WeakKeyDictionary[pytest.Config, _State]" = weakref.WeakKeyDictionary()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options."""
    group = parser.getgroup("multicore-lab")
    group.addoption(
        "--cpus", metavar="SIZES", help="run tests with the mark cpus once for each of these numbers of cores: 1,2,4"
    )
    group.addoption(
        "--lab-workers",
        action="store_true",
        help="pytest-xdist's -n auto starts as many workers as this container has CPUs, rounded up",
    )
    parser.addini("lab_workers", "the same as --lab-workers", type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """Describe the mark, and refuse options that cannot be used."""
    config.addinivalue_line(
        "markers", "cpus(n): pin the test to n cores, or skip it where there are fewer (multicore-lab)"
    )
    _STATES[config] = _State()
    if config.getoption("--cpus") is not None:
        _sizes(config)
        _check_pytest("--cpus")
    if config.getoption("--lab-workers"):
        _check_pytest("--lab-workers")
        if not config.pluginmanager.hasplugin("xdist"):
            raise pytest.UsageError("--lab-workers needs pytest-xdist; pip install pytest-xdist")


def pytest_report_header(config: pytest.Config) -> List[str]:
    """Say how many workers ``-n auto`` starts, where the plugin decides it."""
    if not _decides_workers(config) or not config.pluginmanager.hasplugin("xdist"):
        return []
    from lab.cell.cpus.effective import effective_cpus

    cpus = effective_cpus()
    return [f"multicore-lab: -n auto is {cpus.throughput_workers}, for {cpus.rate:g} CPUs"]


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> Optional[int]:
    """The hook of pytest-xdist that says what ``-n auto`` means."""
    if not _decides_workers(config):
        return None
    from lab.cell.cpus.effective import effective_cpus

    return effective_cpus().throughput_workers


def _decides_workers(config: pytest.Config) -> bool:
    return bool(config.getoption("--lab-workers") or config.getini("lab_workers"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a marked test once for each size of ``--cpus``."""
    if metafunc.config.getoption("--cpus") is None or metafunc.definition.get_closest_marker("cpus") is None:
        return
    sizes = _sizes(metafunc.config)
    metafunc.fixturenames.append(_SIZE)
    metafunc.parametrize(_SIZE, sizes, ids=[f"{size} CPU{'s' * (size > 1)}" for size in sizes], indirect=True)


@pytest.fixture(name=_SIZE)
def _size(request: pytest.FixtureRequest) -> int:
    """The number of cores that ``--cpus`` gives to this test."""
    size: int = request.param
    return size


def pytest_collection_modifyitems(config: pytest.Config, items: List[pytest.Item]) -> None:
    """Refuse a mark that cannot be used, and a pytest that is too old for what the tests use."""
    for item in items:
        mark = item.get_closest_marker("cpus")
        if mark is not None:
            _check_pytest("the mark cpus")
            _wanted(item, mark)
        if _uses_scaling(item):
            _check_pytest("the fixture scaling")


def _uses_scaling(item: pytest.Item) -> bool:
    """Whether a test asks for the fixture ``scaling`` of this plugin, and not for another one of that name."""
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    return any(fixture.func.__module__ == __name__ for fixture in known.get("scaling", ())[-1:])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Pin a marked test, before its fixtures are made, or skip it."""
    mark = item.get_closest_marker("cpus")
    if mark is None:
        return
    wanted = _wanted(item, mark)
    from lab.cell.cpus.sharing import missing, pin

    state = _STATES[item.config]
    _unpin(item.config)  # a test before this one may have been left without its end
    share = _share(item.config)
    reason = missing(share, wanted)
    if reason:
        pytest.skip(reason)
    try:
        state.masks = pin(share.cpus[:wanted])
    except OSError as error:
        pytest.skip(f"the test could not be pinned to {wanted} cores: {error.strerror}")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> None:
    """After the end of a test, give its process the CPUs back. This hook runs whatever a test or a fixture raised."""
    if call.when == "teardown":
        _unpin(item.config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give back what is still held, also after Ctrl-C."""
    if config in _STATES:
        _unpin(config)
        places = _STATES.pop(config).places
        if places is not None:
            places.close()


def _unpin(config: pytest.Config) -> None:
    state = _STATES[config]
    if state.masks is not None:
        from lab.cell.cpus.sharing import unpin

        unpin(dict(state.masks))
        state.masks = None


def _wanted(item: pytest.Item, mark: pytest.Mark) -> int:
    """How many cores a test wants. Raises UsageError for a mark that does not say it."""
    size = getattr(item, "callspec", None) and item.callspec.params.get(_SIZE)  # type: ignore[attr-defined]
    if size:
        return int(size)
    wanted = mark.args[0] if len(mark.args) == 1 and not mark.kwargs else None
    if isinstance(wanted, bool) or not isinstance(wanted, int) or wanted < 1:
        shown = ", ".join([*map(repr, mark.args), *(f"{name}={value!r}" for name, value in mark.kwargs.items())])
        raise pytest.UsageError(f"the mark cpus({shown}) of {item.nodeid} names no number of cores; write cpus(2)")
    return wanted


def _sizes(config: pytest.Config) -> List[int]:
    """The sizes of ``--cpus``. Raises UsageError."""
    text = config.getoption("--cpus")
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts) or len({*map(int, parts)}) < len(parts):
        raise pytest.UsageError(f"--cpus {text!r} is no list of different numbers of cores; write --cpus 1,2,4")
    return [int(part) for part in parts]


def _share(config: pytest.Config) -> Share:
    """The cores that this process may use: all, or its own among the workers of pytest-xdist."""
    from lab.cell.cpus.sharing import Places, share_here

    worker = getattr(config, "workerinput", None)
    if worker is None:
        return share_here(0, 1)
    count, state = int(worker["workercount"]), _STATES[config]
    if state.places is None:
        state.places = Places(str(worker["testrunuid"]), count)
    return share_here(state.places.place, count)


def _check_pytest(what: str) -> None:
    """Raise UsageError where pytest is older than the plugin can use."""
    if int(pytest.__version__.partition(".")[0]) < _OLDEST:
        raise pytest.UsageError(
            f"{what} of multicore-lab needs pytest {_OLDEST} or later, this is {pytest.__version__};"
            " pip install --upgrade pytest"
        )


class Bound:
    """A ratio that a test can set bounds to. A bound that is not decided skips the test, and says why."""

    def __init__(self, ratio: Ratio) -> None:
        #: The ratio with its interval.
        self.ratio = ratio

    def at_least(self, bound: float) -> None:
        """Fail the test if the ratio is known to be smaller, and skip it where that is not decided."""
        __tracebackhide__ = True
        from lab.judging.bounds import at_least

        _conclude(at_least(self.ratio, bound))

    def at_most(self, bound: float) -> None:
        """Fail the test if the ratio is known to be larger, and skip it where that is not decided."""
        __tracebackhide__ = True
        from lab.judging.bounds import at_most

        _conclude(at_most(self.ratio, bound))


class SpeedUp(Bound):
    """A speed-up over one worker alone."""

    def __init__(self, team: Team) -> None:
        super().__init__(team.speed_up)
        #: The speed-up as a share of the CPUs that the machine delivered: 1.0 is perfect.
        self.efficiency = Bound(team.efficiency)


class Scaling:
    """The fixture ``scaling``: measures a function in one worker alone and in several, in turns."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        #: Two measurements at once would disturb each other: a test may run in several threads (pytest-run-parallel).
        self._one_at_a_time = threading.Lock()

    def __call__(
        self,
        function: Callable[..., object],
        *,
        threads: int = 0,
        processes: int = 0,
        arguments: Optional[Mapping[str, Any]] = None,
    ) -> SpeedUp:
        """The speed-up of so many threads, or processes, over one worker alone.

        ``function`` stands at the top of a module. It is called again and again, with ``arguments`` as its keyword
        arguments. Without as many cores of its own as there are workers the test is skipped.
        """
        __tracebackhide__ = True
        count = threads or processes
        if bool(threads) == bool(processes) or count < 2:
            pytest.fail("scaling() takes threads= or processes=, and at least 2 of them, such as threads=2")
        if sys.version_info < (3, 11):
            pytest.skip(f"scaling() needs Python 3.11 or later, this is {sys.version_info[0]}.{sys.version_info[1]}")
        with self._one_at_a_time:
            from lab.cell.cpus.sharing import missing

            share = _share(self._config)
            reason = missing(share, count)
            if reason:
                pytest.skip(reason)
            name = f"{count} threads" if threads else f"{count} processes (fork)"
            team = _measured(function, name, count, share.cpus[:count], arguments or {})
        if team.broken:
            pytest.fail(f"{function.__qualname__} does not work in {name}: {team.broken}")
        return SpeedUp(team)


def _measured(
    function: Callable[..., object], name: str, count: int, cpus: "tuple[int, ...]", arguments: Mapping[str, Any]
) -> Team:
    """The workers of that name beside one worker alone. A function that cannot be measured fails the test."""
    __tracebackhide__ = True
    from lab.cell.cpus import cpulist
    from lab.errors import LabError, UsageError
    from lab.judging.bounds import team_of
    from lab.running.scaling import scale

    params = {key: [value] for key, value in arguments.items()}
    try:
        scaling = scale(function, only=name, state="shared", cpus=f"ids:{cpulist.render(cpus)}", params=params)
        return team_of(scaling.session, name, count)
    except LabError as error:
        trouble = error
    if isinstance(trouble, UsageError):
        pytest.fail(str(trouble))
    pytest.skip(f"the function could not be measured: {trouble}")


def _conclude(answer: Answer) -> None:
    __tracebackhide__ = True
    if answer.outcome == "failed":
        pytest.fail(answer.sentence)
    if answer.outcome == "inconclusive":
        pytest.skip(answer.sentence)


@pytest.fixture(scope="session")
def scaling(request: pytest.FixtureRequest) -> Scaling:
    """How a function scales: ``scaling(function, threads=2).at_least(1.5)``."""
    return Scaling(request.config)
