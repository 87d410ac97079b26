"""Images on a node of Slurm: the command that runs a worker in one, with the container runtime that the node has.

Apptainer, Singularity and Enroot are known. Another runtime is one more branch of the script.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from lab.cell.experiments import PROGRAM
from lab.cell.worker.job import MARK
from lab.engines.slurm_guard import RC, TEMPORARY
from lab.model.cell import Job

#: What to do where an image does not run the probe.
FIX = (
    "name an image with Python 3.9 or later that the node's container runtime starts: docker://python:3.13 or a .sif "
    "for Apptainer, a .sqsh for Enroot"
)

#: Runs a command in the folder ``$1``, if there is such a folder, and ends as the command ends. Enroot's helpers, which
#: mount the image, are children of the process that it starts, and a worker ends every child that it has: so the
#: worker is not that process. Slurm may ask only that process to end, which therefore passes the request on.
_APART = """\
cd "$1" 2>/dev/null; shift
exec 3<&0
"$@" <&3 3<&- &
worker=$!
trap "kill -TERM $worker" TERM INT
wait $worker; status=$?
while kill -0 $worker 2>/dev/null; do wait $worker; status=$?; done
trap - TERM INT
[ $status -le 128 ] || kill -$((status - 128)) $$
exit $status"""

#: Runs a command in the image ``$0``. ``$1`` has the user's folders, a line each: ``ro`` or ``rw``, and the path. They
#: are bound where the node has them, an outer folder before an inner one. ``$2`` is a name for a file, and the rest is
#: the command. An image of Enroot has a ``/tmp`` and an environment of its own: it is given the node's folder for
#: temporary files, where the records are kept, and the mark of the cell. What Enroot runs at the start of an image
#: (``/etc/rc``, with the entry point) is replaced by a file that removes itself.
_SCRIPT = f"""\
{TEMPORARY}
folders=$1 rc=$folder/$2{RC}; shift 2
case $0 in
    *.sqsh|*.squashfs) runtimes="enroot apptainer singularity" ;;
    *) runtimes="apptainer singularity enroot" ;;
esac
for runtime in $runtimes none; do
    command -v "$runtime" >/dev/null && break
done
set -f
IFS='
'
bound() {{ case ${{1#* }} in /|*:*) false ;; *) [ -d "${{1#* }}" ] ;; esac; }}
case $runtime,$0 in
    none,*)
        echo "Error: this node has neither apptainer, singularity nor enroot" >&2
        exit 127 ;;
    enroot,*://*)
        echo "Error: Enroot starts no $0; first: enroot import --output image.sqsh $0, then --image image.sqsh" >&2
        exit 127 ;;
    enroot,*)
        printf 'rm -f "%s"\\nexec "$@"\\n' "$rc" >"$rc" || exit 127
        set -- -- "$0" /bin/sh -c '{_APART}' sh "$PWD" "$@"
        for line in $(printf '%s\\n' "rw $folder" $folders | sort -rk2); do
            path=$(printf '%s\\n' "${{line#* }}" | sed 's/ /\\\\040/g')
            ! bound "$line" || set -- --mount "$path:$path:none:x-create=dir,bind,${{line%% *}}" "$@"
        done
        exec enroot start --rc "$rc" --env {MARK} --env "TMPDIR=$folder" "$@" ;;
esac
set -- "$0" "$@"
for line in $(printf '%s\\n' $folders | sort -rk2); do
    ! bound "$line" || set -- --bind "${{line#* }}:${{line#* }}:${{line%% *}}" "$@"
done
exec "$runtime" exec "$@"
"""


def in_image(image: str, folders: Sequence[str], name: str) -> tuple[str, ...]:
    """The words before a command that is to run in this image, on a node.

    ``folders`` are those of :func:`folders_of`. ``name`` is that of the step among the files of its session.
    """
    return ("/bin/sh", "-c", _SCRIPT, image, "\n".join(folders), name)


def folders_of(job: Job) -> list[str]:
    """The user's folders that a job needs, each with ``ro`` or ``rw`` before it.

    Code that is imported can only be read. A program may write into the folder that it starts in.
    """
    code = [f"ro {folder}" for folder in (job.project, job.other) if folder]
    return list(dict.fromkeys([*code, *(f"rw {folder}" for folder in _folders_of_programs(job))]))


def _folders_of_programs(job: Job) -> Iterator[str]:
    for name, case in job.cases.items():
        if name.startswith(PROGRAM):
            yield os.path.abspath(case.get("folder") or "")
