"""The worker as a Compose service: its job comes from the environment, its records go to a file, and what it prints is
for people.

``LAB_SIZE`` is the number of CPUs or ``all``; ``LAB_CPUSET`` the CPU ids that Compose was told to set, empty when it
was told none (the worker then narrows its own affinity); ``LAB_RECORDS`` the file for the records.
"""

import os
import sys

from lab import experiments
from lab.worker import supervise
from lab.worker.channel import Channel

SECONDS = 10
WIDTH = 0.05
DEADLINE_SECONDS = 60


class Narrator(Channel):
    """A channel that also says, a line each, what the cell does."""

    def emit(self, kind, data):
        super().emit(kind, data)
        if kind == "start":
            limits = data["proof"]
            who = {"engine": "the engine's CPU set", "worker": "its own affinity", "none": "nothing"}[data["pinned_by"]]
            cpus = ",".join(str(cpu) for cpu in limits["affinity"])
            _say("Python %s on CPU %s, limited by %s" % (data["python"]["release"], cpus, who))
            if data["wanted_cpus"] and len(limits["affinity"]) < data["wanted_cpus"]:
                have = len(limits["affinity"])
                _say("untestable: needs %d CPUs, this machine has %d" % (data["wanted_cpus"], have))
        elif kind == "finish":
            _say("%s: %s in %.1f s" % (data["experiment"], data["reason"] or data["outcome"], data["seconds"]))


def job(environment, allowed):
    """The job that the environment asks for; ``allowed`` are the CPU ids this process may use."""
    size, cpuset = environment.get("LAB_SIZE", "all"), environment.get("LAB_CPUSET", "")
    wanted = None if size == "all" else int(size)
    narrow = not cpuset and wanted is not None and len(allowed) > wanted
    return {
        "session": environment.get("LAB_SESSION", "compose"),
        "cell": "cpu" + size,
        "experiments": environment.get("LAB_EXPERIMENTS", "").split() or experiments.in_order(),
        "seconds": float(environment.get("LAB_SECONDS") or SECONDS),
        "width": WIDTH,
        "deadline_seconds": DEADLINE_SECONDS,
        "cpus": wanted,
        "asked": cpuset,
        "pin": allowed[:wanted] if narrow else None,
        "pinned_by": "engine" if cpuset else "worker" if narrow else "none",
    }


def main():
    """Run the job and return 0: what failed stands in the records, and the services after this one go on."""
    path = os.environ["LAB_RECORDS"]
    work = job(os.environ, sorted(os.sched_getaffinity(0)))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    supervise.work(work, Narrator(descriptor, work["session"], work["cell"]))
    return 0


def _say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
