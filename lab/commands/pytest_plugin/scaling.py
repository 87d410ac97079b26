"""The fixture ``scaling``: sets bounds to the speed-up of a function. Noise skips a test, and never fails it."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any, Callable, Mapping, Optional

import pytest

from lab.commands.pytest_plugin import pinning

if TYPE_CHECKING:
    from lab.judging.bounds import Answer, Ratio, Team


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
        pinning.skip_without_affinity()
        with self._one_at_a_time:
            from lab.cell.cpus.sharing import missing

            share = pinning.share(self._config)
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
        session = scaling.session
        return team_of(session.arguments["experiments"][0], session.results[-1], name, count)
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
