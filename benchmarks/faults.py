"""A campaign of faults against the lab. Prints what was tried, and whether each end was right.

    python benchmarks/faults.py [--quick] [--seconds S] [--part PART …] [--seed N] [--times N]

Signals come at random moments of runs on the local engine, Docker and Podman. A Docker daemon is killed, stopped, cut
off, refused, slow, or has a full disk. Experiments, images and sessions are hostile. An end is right if the last line
says why, the exit code is one that docs/formats.md names, and no traceback and no defect is printed. Counted are also
measured cells whose records are not in the session, and what is left behind: containers, processes, temporary files and
semaphores. What a command removes that the lab named, or ``lab clean`` where the lab was killed, does not count.

The campaign starts engines of its own, which takes root and an engine with the base image of docker/debian-base 3.13.
Nobody else's engine is touched. Exit code 1 says that something
was wrong. Each failure has the command that repeats it.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import random
import signal
import sys
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from tabulate import tabulate

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the trials are the tests'

from tests.support import daemons, hostile
from tests.support.daemons import Daemon
from tests.support.hostile_sessions import COMMANDS, STORED
from tests.support.proxy import Proxy
from tests.support.trials import EXIT_CODES, LONGEST_SECONDS, ONCE_SECONDS, TWICE_SECONDS, Command, Trial

#: Short experiments in two cells; ``{sessions}`` is the folder of a trial's sessions.
RUN = ("run", "process", "pipe", "--quick", "--cpus", "1,2", "--output", "{sessions}")
#: The ways to end a run: the signals, and whether they go to the process group, as those of a terminal do.
WAYS: dict[str, tuple[Sequence[signal.Signals], bool]] = {
    "SIGINT": ((signal.SIGINT,), False),
    "Ctrl-C in a terminal": ((signal.SIGINT,), True),
    "SIGTERM": ((signal.SIGTERM,), False),
    "SIGHUP": ((signal.SIGHUP,), False),
    "SIGINT twice": ((signal.SIGINT, signal.SIGINT), False),
    "SIGKILL": ((signal.SIGKILL,), False),
}
#: How long after a fault of a daemon the lab gets Ctrl-C, in seconds, where it does.
_PATIENCE_SECONDS = 3.0
#: How long a hostile thing that never ends runs before Ctrl-C, in seconds.
_ENDLESS_SECONDS = 6.0


@dataclass
class Campaign:
    """The engines, which are started when they are first needed, and how long a run takes that nothing disturbs."""

    #: Ends what was started.
    stack: contextlib.ExitStack
    #: The engines that run, by their kinds.
    engines: dict[str, Daemon] = field(default_factory=dict)
    #: How long a run takes on an engine, in seconds.
    run_seconds: dict[str, float] = field(default_factory=dict)

    def engine(self, kind: str) -> Daemon | None:
        """The engine of that kind; ``None`` for local."""
        if kind == "local":
            return None
        if kind not in self.engines:
            self.engines[kind] = self.stack.enter_context(Daemon(kind))
        return self.engines[kind]

    @property
    def docker(self) -> Daemon:
        """The Docker engine."""
        engine = self.engine("docker")
        assert engine
        return engine

    def seconds(self, kind: str) -> float:
        """How long a run takes on this engine: the shorter of two."""
        if kind not in self.run_seconds:
            self.run_seconds[kind] = min(self._timed(kind) for _ in range(2))
        return self.run_seconds[kind]

    def _timed(self, kind: str) -> float:
        with Command(*RUN, "--engine", _engine(kind), engine=self.engine(kind)) as command:
            began = time.monotonic()
            command.process.wait(LONGEST_SECONDS)
            if command.process.returncode:
                raise RuntimeError(f"a run on {kind} fails without any fault: {command.err}")
            return time.monotonic() - began

    @functools.cached_property
    def hostile_lab(self) -> tuple[str, dict[str, str]]:
        """The folder of a lab with hostile experiments, and their names by what they do."""
        folder = self.stack.enter_context(TemporaryDirectory(prefix="lab-hostile-"))
        return folder, hostile.package_with_experiments(Path(folder))


def _engine(kind: str) -> str:
    """The value of ``--engine``: the lab talks to Podman as to Docker."""
    return "local" if kind == "local" else "docker"


# ---- the parts: each makes one trial


def signals(kind: str, campaign: Campaign, number: int, draw: random.Random) -> Trial:
    """A signal at a random moment of a run."""
    way = list(WAYS)[number % len(WAYS)]
    numbers, group = WAYS[way]
    moment = draw.uniform(0, campaign.seconds(kind))
    trial = Trial(row=f"{kind}: {way}", fault=f"{way} after {moment:.2f} s")
    with Command(*RUN, "--engine", _engine(kind), engine=campaign.engine(kind)) as command:
        command.wait_for(lambda: False, moment)
        command.send(numbers[0], group=group)
        for again in numbers[1:]:
            command.wait_for(lambda: False, draw.uniform(0.4, 1.5))
            command.send(again)
        return command.judged(trial, ONCE_SECONDS if len(numbers) == 1 else TWICE_SECONDS)


def daemon(fault: str, campaign: Campaign, number: int, draw: random.Random) -> Trial:
    """A fault of the Docker daemon at a random moment of a run; in every second trial Ctrl-C follows."""
    engine, moment = campaign.docker, draw.uniform(0, campaign.seconds("docker"))
    asks = number % 2 == 1
    trial = Trial(row=fault, fault=f"{fault} after {moment:.2f} s" + (", then Ctrl-C" if asks else ""))
    with TemporaryDirectory() as folder, Proxy(Path(folder) / "proxy.sock", str(engine.socket)) as proxy:
        begin, end = _faults(engine, proxy)[fault]
        settings = {"DOCKER_HOST": proxy.address}
        with Command(*RUN, "--engine", "docker", engine=engine, settings=settings) as command:
            try:
                command.wait_for(lambda: False, moment)
                begin()
                if asks:
                    command.wait_for(lambda: False, _PATIENCE_SECONDS)
                    command.send(signal.SIGINT)
                command.wait_for(lambda: False, ONCE_SECONDS * 3 if asks else LONGEST_SECONDS)
            finally:
                end()
            return command.judged(trial, ONCE_SECONDS if asks else LONGEST_SECONDS)


def _faults(engine: Daemon, proxy: Proxy) -> dict[str, tuple[Callable[[], None], Callable[[], None]]]:
    """How each fault begins and ends."""

    def refuse() -> None:
        proxy.refuses = True
        proxy.cut()

    def again() -> None:
        proxy.refuses = False

    def slow() -> None:
        proxy.delay = 0.3

    return {
        "daemon killed": (engine.kill, engine.start),
        "daemon stopped": (engine.freeze, engine.thaw),
        "connections cut": (proxy.cut, lambda: None),
        "connections refused": (refuse, again),
        "connections stalled": (proxy.stall, proxy.flows.set),
        "connections slow": (slow, lambda: None),
        "disk full": (engine.fill, engine.empty),
    }


def experiments(kind: str, campaign: Campaign, number: int, draw: random.Random) -> Trial:
    """A hostile experiment between two others, which are measured all the same; Ctrl-C ends one that never ends."""
    folder, names = campaign.hostile_lab
    words = list(names)[number % len(names)]
    trial = Trial(row=f"experiments, {kind}", fault=f"an experiment that {words}")
    command_line = ("run", "pipe", names[words], "process", *RUN[3:-4], "--cpus", "1", *RUN[-2:])
    settings = {"PYTHONPATH": folder}
    with Command(*command_line, "--engine", _engine(kind), engine=campaign.engine(kind), settings=settings) as command:
        if words not in hostile.ENDLESS:
            return _with_the_others(command, command.judged(trial, LONGEST_SECONDS, (0, 1, 3)))
        command.wait_for(lambda: names[words] in command.err, LONGEST_SECONDS)
        command.wait_for(lambda: False, _ENDLESS_SECONDS)
        command.send(signal.SIGINT)
        return command.judged(trial, ONCE_SECONDS)


def _with_the_others(command: Command, trial: Trial) -> Trial:
    """A hostile experiment costs itself alone: a claim of both others has to be among the verdicts."""
    trial.wrong += [f"{name} has no verdict" for name in ("process", "pipe") if f"({name}." not in command.out]
    return trial


def images(campaign: Campaign, number: int, draw: random.Random) -> Trial:
    """A hostile image."""
    words = list(hostile.IMAGES)[number % len(hostile.IMAGES)]
    trial = Trial(row="images", fault=f"an image whose {words}")
    image = hostile.image(campaign.docker, words)
    with Command(*RUN, "--engine", "docker", "--image", image, engine=campaign.docker) as command:
        return command.judged(trial, LONGEST_SECONDS)


def sessions(campaign: Campaign, number: int, draw: random.Random) -> Trial:
    """A command over a hostile session."""
    words, command_line = draw.choice(list(hostile.CHANGES)), draw.choice(COMMANDS)
    trial = Trial(row="sessions", fault=f"lab {command_line.split()[0]} over a session with {words} changed")
    with TemporaryDirectory(prefix="lab-hostile-") as parent:
        session = hostile.session(Path(parent), words, draw)
        with Command(*command_line.format(folder=session, good=STORED).split()) as command:
            return command.judged(trial, LONGEST_SECONDS, _codes(command_line))


def _codes(command_line: str) -> Collection[int]:
    """The exit codes that are right for a command over a hostile session."""
    return EXIT_CODES if command_line.startswith("run") else EXIT_CODES[:-1]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One part of the campaign."""

    #: Makes one trial.
    make: Callable[[Campaign, int, random.Random], Trial]
    #: How many trials there are, and how many with ``--quick``.
    times: int
    quick: int
    #: The kinds of engines that it needs.
    needs: tuple[str, ...] = ()
    #: How long it may go on, in seconds; with ``--quick`` a third of it.
    seconds: float = 45.0


#: The faults of a daemon.
FAULTS = (
    *("daemon killed", "daemon stopped", "connections cut", "connections refused"),
    *("connections stalled", "connections slow", "disk full"),
)

PARTS = {
    "signals-local": Part(make=functools.partial(signals, "local"), times=80, quick=12, seconds=150),
    "signals-docker": Part(
        make=functools.partial(signals, "docker"), times=80, quick=12, needs=("docker",), seconds=150
    ),
    "signals-podman": Part(
        make=functools.partial(signals, "podman"), times=40, quick=6, needs=("podman",), seconds=100
    ),
    **{
        fault.replace(" ", "-"): Part(make=functools.partial(daemon, fault), times=6, quick=2, needs=("docker",))
        for fault in FAULTS
    },
    "experiments-local": Part(make=functools.partial(experiments, "local"), times=len(hostile.EXPERIMENTS), quick=6),
    "experiments-docker": Part(
        make=functools.partial(experiments, "docker"), times=len(hostile.EXPERIMENTS), quick=6, needs=("docker",)
    ),
    "images": Part(make=images, times=len(hostile.IMAGES), quick=6, needs=("docker",)),
    "sessions": Part(make=sessions, times=150, quick=40),
}


# ---- the campaign


def main() -> int:
    options = _parser().parse_args()
    trials: dict[str, Trial] = {}
    began = time.monotonic()
    with contextlib.ExitStack() as stack:
        campaign = Campaign(stack)
        for name in options.part or PARTS:
            lacks = [f"{kind}: {reason}" for kind in PARTS[name].needs if (reason := daemons.impossible(kind))]
            if lacks:
                print(f"left out: {name}: {'; '.join(lacks)}")
                continue
            trials |= _run_part(name, campaign, options)
    print(tabulate(_rows(list(trials.values())), HEADER, disable_numparse=True))
    failures = {words: trial for words, trial in trials.items() if trial.failures}
    for words, trial in failures.items():
        print(f"\n{trial.fault} ({trial.row})")
        for failure in trial.failures:
            print(f"    {failure}")
        print(f"    again: python benchmarks/faults.py {words}")
    print(f"\n{len(trials) - len(failures)} of {len(trials)} right, in {time.monotonic() - began:.0f} s")
    return 1 if failures or not trials else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="try less")
    parser.add_argument("--seconds", type=float, help="most seconds for each part (default: 15 minutes in all)")
    parser.add_argument("--part", action="append", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--seed", type=int, default=1, help="the seed of the first trial of each part (default: 1)")
    parser.add_argument("--times", type=int, help="how many trials each part makes")
    return parser


def _run_part(name: str, campaign: Campaign, options: argparse.Namespace) -> dict[str, Trial]:
    """The trials of a part by the options that repeat them."""
    part = PARTS[name]
    until = time.monotonic() + (options.seconds or part.seconds / (3 if options.quick else 1))
    times = options.times or (part.quick if options.quick else part.times)
    trials: dict[str, Trial] = {}
    for seed in range(options.seed, options.seed + times):
        if time.monotonic() > until and trials:
            print(f"{name}: there was time for {len(trials)} of {times} trials")
            break
        trial = part.make(campaign, seed, random.Random(f"{name} {seed}"))
        trials[f"--part {name} --seed {seed} --times 1"] = trial
        mark = "WRONG: " + "; ".join(trial.failures) if trial.failures else "right"
        print(f"{name} {seed}: {trial.fault}: {mark}", file=sys.stderr)
    return trials


HEADER = ("part", "tried", "right message", "records lost", "left behind", "longest end, s")


def _rows(trials: Sequence[Trial]) -> list[tuple[str, ...]]:
    """A row for each part, and one for all."""
    names = list(dict.fromkeys(trial.row for trial in trials))
    rows = [_row(name, [trial for trial in trials if trial.row == name]) for name in names]
    return [*rows, _row("all", trials)]


def _row(name: str, trials: Sequence[Trial]) -> tuple[str, ...]:
    endings = [trial.ending_seconds for trial in trials if trial.ending_seconds is not None]
    return (
        name,
        str(len(trials)),
        str(sum(not trial.wrong for trial in trials)),
        str(sum(len(trial.lost) for trial in trials)),
        str(sum(len(trial.left) for trial in trials)),
        f"{max(endings):.1f}" if endings else "",
    )


if __name__ == "__main__":
    sys.exit(main())
