"""The pytest plugin: tests on cores of their own, bounds on a speed-up, and as many xdist workers as there are CPUs.

Without a mark, an option or the fixture it changes nothing, and imports nothing else of the lab. It is written in
Python 3.9's syntax, because it is loaded wherever the lab is installed beside pytest.
"""

from __future__ import annotations

from typing import List, Optional

import pytest

from lab.commands.pytest_plugin import pinning
from lab.commands.pytest_plugin.scaling import scaling as scaling  # pytest finds a fixture by its name here

#: The oldest pytest for which the plugin was tested.
_OLDEST = 8

#: The name by which ``--cpus`` parametrises a test.
_SIZE = "cpus_of_the_lab"


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
    pinning.begin(config)
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
    return any(fixture.func.__module__ == f"{__name__}.scaling" for fixture in known.get("scaling", ())[-1:])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Pin a marked test, before its fixtures are made, or skip it."""
    mark = item.get_closest_marker("cpus")
    if mark is None:
        return
    pinning.pin_or_skip(item.config, _wanted(item, mark))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: "pytest.CallInfo[None]") -> None:
    """After the end of a test, give its process the CPUs back. This hook runs whatever a test or a fixture raised."""
    if call.when == "teardown":
        pinning.unpin(item.config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Give back what is still held, also after Ctrl-C."""
    pinning.end(config)


def _wanted(item: pytest.Item, mark: pytest.Mark) -> int:
    """How many cores a test wants. Raises UsageError for a mark that does not say it."""
    size = getattr(item, "callspec", None) and item.callspec.params.get(_SIZE)  # type: ignore[attr-defined] # not every item has it
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


def _check_pytest(what: str) -> None:
    """Raise UsageError where pytest is older than the plugin can use."""
    if int(pytest.__version__.partition(".")[0]) < _OLDEST:
        raise pytest.UsageError(
            f"{what} of multicore-lab needs pytest {_OLDEST} or later, this is {pytest.__version__};"
            " pip install --upgrade pytest"
        )
