"""D, the CPU time that is really delivered, measured with busy processes.

A limit outside of the namespace, a neighbour or a hypervisor shows in no file that tells what is allowed.

Sources: the kernel's Documentation/scheduler/sched-stats.rst (``/proc/<pid>/schedstat``: time on a CPU, time waiting
for one, in ns), filesystems/proc.rst (``/proc/stat``: idle and stolen ticks of each CPU) and admin-guide/cgroup-v2.rst.
``cpu.stat.local`` (Linux 6.5 and later) counts how long a group stood still, *whichever* level's quota had stopped it.
It is the only trace of a limit that no visible file tells.
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple, Union

from lab.cell.cpus import cgroups
from lab.cell.cpus.answers import read_within
from lab.cell.cpus.kernel_files import read_text

#: More processes than this are not started: D is then what that many got.
MOST_PROCESSES = 256

#: Under this share of what is allowed, what was delivered is short, if it is so again and again for so long.
SHORT = 0.9
AGAIN_SECONDS = 2.5

#: How far a measured D may be from the true one.
TOLERANCE = 0.05

#: What explains at least this share of a shortfall is its cause.
_MOST_OF_IT = 0.5

#: Less is no proof.
_LEAST_STOPPED_SECONDS = 0.01

#: Nearly every quota there is has this period.
USUAL_PERIOD_SECONDS = 0.1

#: Processes that a tiny quota has stopped answer late, but not later than this.
_PATIENCE_SECONDS = 30.0

#: Words of a CPU's line in /proc/stat, after its name.
_IDLE, _IOWAIT, _STOLEN = 3, 4, 7


class Delivered(NamedTuple):
    """What busy processes got, and where the rest went."""

    #: D: CPU seconds per second that the processes got.
    cpus: float
    #: How many processes were busy.
    processes: int
    #: How long they were watched, in seconds.
    seconds: float
    #: How many CPUs were watched.
    watched: int
    #: How long the processes waited in a run queue, in CPUs; ``None`` where the system does not tell.
    waited: Optional[float] = None
    #: How long the watched CPUs were idle, in CPUs; ``None`` where the system does not tell.
    idle: Optional[float] = None
    #: The time that a hypervisor gave to others, in CPUs; ``None`` where the system does not tell.
    stolen: Optional[float] = None
    #: For how many seconds visible quotas stopped this group.
    stopped_visibly: float = 0.0
    #: For how many seconds all quotas stopped this group; ``None`` where the system does not tell.
    stopped: Optional[float] = None

    @property
    def stopped_unseen(self) -> bool:
        """Whether a quota stopped this group that is not visible here."""
        return self.stopped is not None and self.stopped > max(_LEAST_STOPPED_SECONDS, 2 * self.stopped_visibly)


class Explanation(NamedTuple):
    """Why D is what it is."""

    #: The explanation; empty where there is nothing to explain.
    sentence: str = ""
    #: Whether a limit that no file shows here bounds D, so that D decides and not R.
    hidden_limit: bool = False


def measure(cpus: Sequence[int], processes: int, seconds: float, period_seconds: float = 0.0) -> Delivered:
    """Keep that many processes busy, not pinned, for about so long; ``cpus`` are the ids they may use.

    ``period_seconds`` is the longest period of the quotas that are known. The time is rounded up to whole periods, and
    begins one period after the start. Both ends then meet a quota at the same phase. Raises OSError when no process can
    be started.
    """
    period = max(period_seconds, USUAL_PERIOD_SECONDS)
    window = max(1, round(seconds / period + 0.49)) * period
    gate, opened = os.pipe()
    answers, answer = os.pipe()
    children: List[int] = []
    try:
        for _ in range(min(processes, MOST_PROCESSES)):
            try:
                child = os.fork()
            except OSError:
                if not children:
                    raise
                break  # a limit on processes: as many as there may be
            if child == 0:
                _be_busy(gate, opened, answer, period, window)
            children.append(child)
        before = _Outside.look(cpus)
        os.close(opened)
        opened = -1
        time.sleep(period + window)  # nobody reports sooner, and whoever looks disturbs
        reports = _collect(answers, len(children), _PATIENCE_SECONDS)
        after = _Outside.look(cpus)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        for descriptor in (gate, opened, answers, answer):
            if descriptor >= 0:
                os.close(descriptor)
    waits = [report["waited"] for report in reports]
    return Delivered(
        cpus=sum(report["cpu"] for report in reports),
        processes=len(children),
        seconds=window,
        watched=len(cpus),
        waited=None if None in waits else sum(waits),
        idle=after.share(before, "idle"),
        stolen=after.share(before, "stolen"),
        stopped_visibly=after.stopped_visibly - before.stopped_visibly,
        stopped=None if after.stopped is None or before.stopped is None else after.stopped - before.stopped,
    )


def settle(
    cpus: Sequence[int],
    parallelism: int,
    rate: float,
    seconds: float,
    period_seconds: float,
    again_seconds: float = AGAIN_SECONDS,
) -> Delivered:
    """Measure D, and repeat the measurement while D is not what is allowed and no hidden quota has shown itself.

    Such a D is measured at least twice, and until that took ``again_seconds`` in all; the D that is nearest to what is
    allowed counts. Beside busy neighbours a process may not reach its quota, and then the quota cannot be seen. D may
    also be too large there: a process that gets its CPU late is watched in another part of the quota's period than the
    others.
    """
    measurements: List[Delivered] = []
    while len(measurements) < 2 or sum(measurement.seconds for measurement in measurements) < again_seconds:
        measurements.append(measure(cpus, parallelism, seconds, period_seconds))
        if measurements[-1].stopped_unseen or _is_allowed(measurements[-1], rate):
            return measurements[-1]
    return min(measurements, key=lambda measurement: abs(measurement.cpus - min(rate, measurement.processes)))


def _is_allowed(measurement: Delivered, rate: float) -> bool:
    """Whether about R was delivered, neither less nor more."""
    allowed = min(rate, measurement.processes)
    return measurement.cpus >= SHORT * allowed and not _is_more(measurement, allowed)


def _is_more(measurement: Delivered, allowed: float) -> bool:
    """Whether more was delivered than a quota allows."""
    return measurement.cpus > allowed * (1 + 2 * TOLERANCE) + 0.02 and allowed < measurement.processes


def explain(delivered: Delivered, rate: float, *, sees_all_groups: bool = False) -> Explanation:
    """Why what was delivered is not what is allowed, R. Where all control groups are visible, none hides a limit."""
    allowed = min(rate, delivered.processes)
    missing = allowed - delivered.cpus
    if _is_more(delivered, allowed):
        return Explanation("more than R: a quota with a burst (cpu.max.burst), or one that is not enforced")
    if delivered.cpus >= SHORT * allowed:
        return Explanation()
    short = "%.2f of %.4g %s delivered" % (delivered.cpus, allowed, "CPU" if allowed == 1 else "CPUs")
    # Where a quota allows less than there is, CPUs are idle and processes wait in any case: only what is more counts.
    idle = None if delivered.idle is None else delivered.idle - (delivered.watched - allowed)
    waited = None if delivered.waited is None else delivered.waited - (delivered.processes - allowed)
    if delivered.stopped is not None and delivered.stopped_unseen:
        sentence = (
            "%s: a limit hidden outside of this namespace; the kernel stopped this group for %.2f s, and no quota that"
            " is visible here did" % (short, delivered.stopped - delivered.stopped_visibly)
        )
        if idle is not None and idle < _MOST_OF_IT * missing:
            sentence += "; other work ran as well, so that the limit may be above D"
        return Explanation(sentence, hidden_limit=True)
    asleep = "a limit hidden outside of this namespace; CPUs were idle while processes wanted them"
    if delivered.stopped is not None or sees_all_groups:  # no quota at any level has stopped this group unseen
        asleep = "the scheduler does not spread processes over these CPUs; some were idle while processes waited"
    causes = (
        (delivered.stolen, "the hypervisor gave the CPUs to others", False),
        (idle, asleep, not sees_all_groups),
        (waited, "a busy machine; the processes waited for a CPU", False),
    )
    for cpus, sentence, hidden in causes:
        if cpus is not None and cpus >= _MOST_OF_IT * missing:
            return Explanation("%s: %s (%.2f CPUs)" % (short, sentence, cpus), hidden_limit=hidden)
    elsewhere = "" if sees_all_groups else "a limit hidden outside of this namespace, or "
    return Explanation("%s: %sa busy machine; what is visible tells not" % (short, elsewhere))


class _Outside(NamedTuple):
    """Counters of the system and of the control group, in seconds, at one moment."""

    at: float
    idle: Optional[float]
    stolen: Optional[float]
    stopped_visibly: float
    stopped: Optional[float]

    @classmethod
    def look(cls, cpus: Sequence[int]) -> _Outside:
        groups = cgroups.look()
        local: Dict[str, Union[int, float]] = {}
        if groups.folders:
            local = cgroups.statistics(os.path.join(groups.folders[0], "cpu.stat.local"))
        stopped = None
        for key, per_second in (("throttled_time", 1e9), ("throttled_usec", 1e6)):
            if key in local:
                stopped = local[key] / per_second
        idle, stolen = _ticks(cpus)
        visibly = sum(level.throttled_seconds for level in groups.levels)
        return cls(time.monotonic(), idle, stolen, visibly, stopped)

    def share(self, before: _Outside, name: str) -> Optional[float]:
        """What grew since then, in CPUs."""
        new, old = getattr(self, name), getattr(before, name)
        return None if new is None or old is None else max(0.0, (new - old) / (self.at - before.at))


def _ticks(cpus: Sequence[int]) -> Tuple[Optional[float], Optional[float]]:
    """(idle, stolen) seconds of these CPUs since the machine started; ``None`` where /proc/stat does not have them."""
    wanted = {"cpu%d" % cpu for cpu in cpus}
    idle = stolen = 0.0
    seen = 0
    for line in (read_text("/proc/stat") or "").splitlines():
        name, *words = line.split()
        if name in wanted and len(words) > _STOLEN and all(word.isdigit() for word in words):
            idle += int(words[_IDLE]) + int(words[_IOWAIT])
            stolen += int(words[_STOLEN])
            seen += 1
    if not seen or seen != len(wanted):
        return None, None
    tick = 1.0 / os.sysconf("SC_CLK_TCK")
    return idle * tick, stolen * tick


def _be_busy(gate: int, opened: int, answer: int, warm_up: float, window: float) -> None:
    """A child's whole life: wait for the gate, be busy, report what it got in the window, and be busy until it is
    killed.

    It goes on after its report so that later children keep their company.
    """
    try:
        os.close(opened)
        os.read(gate, 1)  # returns when the parent has closed the other end
        _burn(warm_up)
        waited = _waited()
        cpu, wall = time.process_time(), time.monotonic()
        _burn(window)
        cpu, wall = time.process_time() - cpu, time.monotonic() - wall
        late = _waited()
        report = {"cpu": cpu / wall, "waited": None if waited is None or late is None else (late - waited) / wall}
        os.write(answer, json.dumps(report).encode() + b"\n")  # shorter than PIPE_BUF: never torn
        _burn(_PATIENCE_SECONDS)
    finally:
        os._exit(0)


def _burn(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def _waited() -> Optional[float]:
    """Seconds that this process has waited for a CPU."""
    words = (read_text("/proc/self/schedstat") or "").split()
    return int(words[1]) / 1e9 if len(words) == 3 and words[1].isdigit() else None


def _collect(answers: int, count: int, seconds: float) -> List[Dict[str, Any]]:
    """A report of each of so many processes, or of those that reported in time."""
    text = b""
    until = time.monotonic() + seconds
    while text.count(b"\n") < count:
        piece = read_within(answers, until - time.monotonic())
        if not piece:
            break
        text += piece
    return [json.loads(line) for line in text.splitlines()]
