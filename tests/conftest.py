"""What the tests share: the engine, an image, the promise that nothing is left behind, golden files, and the order."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import hypothesis
import pytest

from lab.cell import experiments
from lab.cell.cpus import cpulist
from lab.containers.client import SESSION_LABEL, client_for_this_environment, image_names
from lab.engines.image_choice import OWN_IMAGES
from lab.errors import EngineError
from tests.support import cells, compose_project
from tests.support.lines import with_lines
from tests.support.remains import Remains
from tests.support.terminal import Lab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from docker import DockerClient
    from tests.support.screen import Screen  # which Windows has not

# A machine that others keep busy is slow now and then: that is no failure of a property. And under CI the examples are
# always the same ones: what only one draw in a million shows is for the developer who tries them to find.
hypothesis.settings.register_profile(
    "lab",
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
    derandomize=os.environ.get("CI") == "true",
)
hypothesis.settings.load_profile("lab")

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files again; review the diff")


#: The marker expressions that select no test that measures.
_SIDE_BY_SIDE = ("not slow", "slow and not engine and not measures", "engine and not measures")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run tests on all CPUs at once, unless `-n` says how many, if none of them measures.

    Slow tests often wait for others, so a worker more than there are CPUs has something to do.
    """
    option = config.option
    is_worker = "PYTEST_XDIST_WORKER" in os.environ  # a worker is given the same options, and starts no workers itself
    if not is_worker and option.markexpr in _SIDE_BY_SIDE and getattr(option, "numprocesses", 0) is None:
        option.numprocesses = "auto" if option.markexpr == "not slow" else len(cells.CPUS) + 1


#: Files whose tests change what others see: images and networks of the engine, or control groups. All tests of a name
#: run one after the other; other tests run beside them.
_SHARED = {
    "tests/cell/cpus/test_effective_in_containers.py": "control groups",
    "tests/containers/test_compose.py": "engine",
    "tests/containers/test_compose_own_code.py": "engine",
    "tests/engines/test_selection.py": "engine",
    "tests/pythons/test_images.py": "engine",
    "tests/running/test_stored_request.py": "engine",
    "tests/sessions/test_resuming.py": "engine",
    "tests/sessions/test_stored_kinds.py": "engine",
}


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object | None:
    """Spread tests that use the engine over workers, but those of ``_SHARED`` one after the other."""
    if not config.option.markexpr.startswith("engine"):
        return None
    if missing := [file for file in _SHARED if not (config.rootpath / file).is_file()]:
        raise pytest.UsageError(f"there is no {missing[0]}; name the file in tests/conftest.py that has its tests now")
    from xdist.scheduler import LoadScopeScheduling

    class OneAfterAnother(LoadScopeScheduling):  # type: ignore[misc] # the package has no types
        def _split_scope(self, nodeid: str) -> str:
            return _SHARED.get(nodeid.partition("::")[0], nodeid)

    return OneAfterAnother(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> None:
    """Let pytest say what a test was at when its time was up, wherever that was."""
    if call.excinfo is not None:
        with_lines(call.excinfo.value)
        call.excinfo = pytest.ExceptionInfo.from_exception(call.excinfo.value)


def pytest_collection_finish() -> None:
    """Keep what was imported out of later garbage collections: tests of leaks collect often, and each took 0.3 s."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast tests come first: a mistake shows in seconds, not after the engine's minutes."""
    for item in items:
        if any(item.get_closest_marker(name) for name in ("engine", "browser", "measures")):
            item.add_marker("slow")
    items.sort(key=lambda item: [item.get_closest_marker(name) is not None for name in ("engine", "slow")])


#: A part of the reason why a test was skipped -> how to get what it needs.
_HOW_TO_GET = {
    "Podman": ".ci/setup-podman starts it on Debian",
    "Docker": "start an engine; .ci/setup-engine does it on Debian",
    "docker compose": ".ci/setup-engine installs Compose",
    "no Python": "put that Python on the PATH",
    "3.11": "lab images build 3.11 3.13",
    "3.13t": "lab images build 3.13t",
    "image": "docker/debian-base 3.13 makes a base image, lab images build all makes the others",
    "docker-registry": "apt install docker-registry; under CI=true .ci/setup-engine does it on Debian",
    "sshd is": "apt install openssh-server; under CI=true .ci/setup-engine does it on Debian",
    "Slurm": ".ci/setup-slurm installs it on Debian",
    "Chromium": ".ci/setup-browser installs it on Debian",
    "dev extra": "pip install -e '.[dev]'",
    "CPU": "run the tests on a machine with more CPUs",
    "takes root": "run the tests as root",
    "is not there": "set MULTICORE_LAB_TOPOLOGIES to the folder with the topologies of real machines",
}


#: How many tests each worker of pytest-xdist deselected. Every worker collects all tests, so the numbers are the same.
_deselected_by_workers: list[int] = []


def pytest_deselected(items: list[pytest.Item]) -> None:
    """Tell the process that writes the summary how many tests a worker of pytest-xdist deselected."""
    if items and (output := getattr(items[0].config, "workeroutput", None)) is not None:
        output["deselected"] = output.get("deselected", 0) + len(items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: object) -> None:
    """Keep what a worker of pytest-xdist told at its end."""
    _deselected_by_workers.append(getattr(node, "workeroutput", {}).get("deselected", 0))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the end what was left out, and how to get it."""
    skipped: Counter[str] = Counter()
    for report in terminalreporter.stats.get("skipped", ()):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        skipped[reason.removeprefix("Skipped: ")] += 1
    for reason, count in sorted(skipped.items()):
        how = next((how for part, how in _HOW_TO_GET.items() if part in reason), "see CONTRIBUTING.md")
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.write_line(f"left out: {tests}, {reason}. To run {'it' if count == 1 else 'them'}: {how}")
    deselected = max(len(terminalreporter.stats.get("deselected", ())), *_deselected_by_workers, 0)
    if deselected and "not slow" in terminalreporter.config.option.markexpr:
        tests = "1 slow test" if deselected == 1 else f"{deselected} slow tests"
        terminalreporter.write_line(f"left out: {tests}; pytest without -m runs all")


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerClient]:
    """A client of the engine."""
    client, why = None, ""
    try:
        client = client_for_this_environment()
    except EngineError as error:
        why = str(error)
    if client is None:
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            gc.collect()  # the SDK forgets the socket that did not connect
        skip_or_fail(why)
    yield client
    client.close()


@pytest.fixture(scope="session")
def image(engine: DockerClient) -> str:
    """An image of ours that is on the engine."""
    tags = {name for name, _ in image_names(engine)}
    own_image = next((name for name in OWN_IMAGES if name in tags), None)
    if own_image is None:
        names = ", ".join(OWN_IMAGES)
        skip_or_fail(f"none of the images {names} is on the engine; make one with docker/debian-base 3.13")
    return own_image


@pytest.fixture(scope="session")
def two_builds(engine: DockerClient) -> tuple[str, str]:
    """Two builds that the engine has images of."""
    tags = {name for name, _ in image_names(engine)}
    if missing := {"multicore-lab-base:3.11", "multicore-lab-base:3.13"} - tags:
        skip_or_fail(f"{', '.join(sorted(missing))} is not on the engine; make it with lab images build 3.11 3.13")
    return "3.11", "3.13"


@pytest.fixture(scope="session")
def build_with_interpreters(engine: DockerClient) -> str:
    """A build that the engine has an image of, with ``InterpreterPoolExecutor``."""
    if "multicore-lab-base:3.14" not in {name for name, _ in image_names(engine)}:
        skip_or_fail("multicore-lab-base:3.14 is not on the engine; make it with lab images build 3.14")
    return "3.14"


@pytest.fixture(scope="session")
def compose_settings(engine: DockerClient) -> dict[str, str]:
    """What ``lab compose-env`` prints, the images built with it."""
    if subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        skip_or_fail("docker compose does not run; .ci/setup-engine installs it")
    done = compose_project.lab("compose-env")
    assert done.returncode == 0, done.stderr
    lines = [line.partition("=") for line in done.stdout.splitlines() if not line.startswith("#")]
    settings = {name: value.strip("'") for name, _, value in lines}
    # Under the usual name, which becomes a label of the images: so that they stay the same images.
    built = compose_project.Project(name="multicore-lab", settings=settings).compose("build", "--quiet")
    assert built.returncode == 0, built.stdout
    return settings


@pytest.fixture(scope="session")
def engine_cpus(compose_settings: dict[str, str]) -> tuple[int, ...]:
    """The engine's CPU ids."""
    return cpulist.parse(compose_settings["LAB_CPUSET_ALL"])


def skip_or_fail(why: str) -> NoReturn:
    """Without what a test needs it is skipped, but under CI=true it fails."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI=true, but {why}")
    pytest.skip(why)


#: Nothing that a browser does by itself: no requests of its own, no first-run pages.
_QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium, headless, with a new and empty profile."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        skip_or_fail("there is no Chromium on the PATH; install it with .ci/setup-browser")
    with sync_playwright() as playwright:
        running_browser = playwright.chromium.launch(executable_path=chromium, headless=True, args=list(_QUIET))
        yield running_browser
        running_browser.close()


@pytest.fixture(scope="session")
def remains(engine: DockerClient) -> Iterator[Remains]:
    """What tests seem to have left on the engine."""
    remains_of_tests = Remains(lambda: labelled(engine))
    yield remains_of_tests
    remains_of_tests.wait()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test marked ``engine``: no container, volume or network with our label is left."""
    if request.node.get_closest_marker("engine") is None:
        yield
        return
    remains_of_tests = request.getfixturevalue("remains")
    before = remains_of_tests.look()
    yield
    remains_of_tests.after(request.node.nodeid, before)


def labelled(client: DockerClient, session: str | None = None) -> set[str]:
    """Everything on the engine that carries our label, of one session or of any."""
    label = {"label": SESSION_LABEL if session is None else f"{SESSION_LABEL}={session}"}
    return {
        *(
            f"container {container['Names'][0]} {container['Id'][:12]}"
            for container in client.api.containers(all=True, filters=label)
        ),
        *(f"volume {volume['Name']}" for volume in client.api.volumes(filters=label)["Volumes"] or ()),
        *(f"network {network['Name']}" for network in client.api.networks(filters=label)),
    }


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compares a text with the golden file of that name; ``--update-golden`` writes it instead."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-golden"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8"), f"{name} differs; if it should, run pytest --update-golden"

    return compare


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    """The programs at terminals that a test starts; none outlives it."""
    started: list[Screen] = []
    yield started
    for screen in started:
        screen.close()


@pytest.fixture
def lab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Lab]:
    """The command line, run in this process, which knows no experiment of the test's own afterwards."""
    yield Lab(monkeypatch, capsys, tmp_path / "sessions")
    for name in experiments.files():
        experiments.let_go(name)
