"""The guard of an allocation: nothing of a session stays in Slurm's queue or on a node, whatever ends the lab.

The guard is a shell with a pipe from the lab. When the pipe closes, also after ``kill -9`` of the lab, the guard ends
the session's steps, removes their files on the node, and cancels its job by its name. In an allocation that existed
before the lab it does not cancel the job.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Mapping, Sequence
from typing import IO

from lab.cell.worker.job import MARK

#: Sets ``folder`` to the folder for temporary files that a worker on the node takes.
TEMPORARY = 'folder=${TMPDIR:-/tmp}; [ -d "$folder" ] || folder=/tmp'

#: Removes the semaphores and the temporary files that the processes with the mark ``$mark`` have left in ``$folder``.
REMOVE_REST = 'rm -rf "/dev/shm/sem.mp-$mark-"* "$folder/lab-$mark-"*'

#: How the name of a file ends that an image of Enroot runs at its start. A started image has removed it.
RC = ".rc"

#: Removes the files of the steps whose names begin with ``$1``, and kills the processes of these steps that are left.
_CLEAN = f"""\
{TEMPORARY}
for file in "$folder/$1".*.jsonl; do
    [ -e "$file" ] || continue
    mark=${{file%.jsonl}}; mark=${{mark##*.}}
    for path in $(grep -slxz "$2=$mark" /proc/[0-9]*/environ); do
        path=${{path%/environ}}; kill -KILL "${{path#/proc/}}"
    done
    {REMOVE_REST}
    rm -f "$file"
done
rm -f "$folder/$1".*{RC}
"""

#: Waits for the end of the lab. Then it ends the process group, and has the node cleaned if cells have run there: in
#: that case the pipe has the options of ``srun`` for it. ``$1`` is the name of the session's steps.
_WAIT = f"""\
exec 2>/dev/null
place=$(cat)
kill -TERM 0
wait
[ "$place" ] && timeout -k 1 8 srun $place /bin/sh -c '{_CLEAN}' sh "$1" {MARK} </dev/null
"""

#: The guard, with salloc beside it. ``$1`` is the name of the job, the rest salloc's command line.
_GUARD = f"""\
trap : TERM
name=$1; shift
"$@" </dev/null >/dev/null &
set -- "$name"
{_WAIT}
for try in 1 2 3 4 5 6; do
    scancel --quiet --name="$1" && exit
    sleep 5
done
"""

#: The same in an allocation that is not the lab's own: ``$1`` is the name of the steps, ``$2`` the job.
_GUARD_OF_STEPS = f"""\
trap : TERM
{_WAIT}
squeue --noheader --steps --jobs="$2" --format='%i %j' | while read -r step name; do
    case $name in "$1".*) scancel --quiet "$step" ;; esac
done
"""

#: How long the guard may take to give an allocation back, in seconds.
_RETURN_SECONDS = 15.0


class Guard:
    """A guard that runs. Its process group is that of all programs that it ends with the lab."""

    def __init__(self, script: str, words: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", script, "sh", *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            process_group=0,
            env=environment,
        )
        self._has_cells = False

    @classmethod
    def of_job(cls, name: str, options: Sequence[str]) -> Guard:
        """A guard that gets a job of that name, with these options of ``salloc``, and cancels it in the end."""
        return cls(_GUARD, [name, "salloc", f"--job-name={name}", *options])

    @classmethod
    def of_steps(cls, name: str, job: str, environment: Mapping[str, str]) -> Guard:
        """A guard that ends the steps of a job whose names begin with ``name``, and keeps the job."""
        return cls(_GUARD_OF_STEPS, [name, job], environment)

    @property
    def group(self) -> int:
        """The number of its process group."""
        return self._shell.pid

    @property
    def says(self) -> IO[bytes]:
        """What ``salloc`` says on its standard error."""
        assert self._shell.stderr
        return self._shell.stderr

    def have_cleaned(self, place: Sequence[str]) -> None:
        """Have the node cleaned in the end, because a cell is about to run there.

        ``place`` has the options of ``srun`` for a step on that node.
        """
        assert self._shell.stdin
        if not self._has_cells:
            self._has_cells = True
            with contextlib.suppress(OSError):  # somebody has killed the guard
                self._shell.stdin.write(" ".join(place).encode())
                self._shell.stdin.flush()

    def end(self) -> bool:
        """Let the guard do its work. Returns whether that was done in time."""
        assert self._shell.stdin
        self._shell.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._shell.wait(_RETURN_SECONDS)
        self.says.close()
        return self._shell.returncode is not None
