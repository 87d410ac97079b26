"""Images on a node of Slurm: the command that runs a worker in one, with the container runtime that the node has.

Apptainer, Singularity and Enroot are known. Another runtime is one more line of the script.
"""

from __future__ import annotations

from lab.cell.worker.job import MARK

#: What to do where an image does not run the probe.
FIX = (
    "name an image with Python 3.9 or later that the node's container runtime starts: docker://python:3.13 or a .sif "
    "for Apptainer, a .sqsh for Enroot"
)

#: Runs a command, and ends as it ends. Enroot's helpers, which mount the image, are children of the process that it
#: starts, and a worker ends every child that it has: so the worker is not that process.
_APART = '"$@"; status=$?; [ $status -le 128 ] || kill -$((status - 128)) $$; exit $status'

#: Runs the command ``$@`` in the image ``$0``. An image of Enroot has a ``/tmp`` and an environment of its own: it is
#: given the node's folder for temporary files, where the records are kept, and the mark of the cell.
_SCRIPT = f"""\
case $0 in
    *.sqsh|*.squashfs) runtimes="enroot apptainer singularity" ;;
    *) runtimes="apptainer singularity enroot" ;;
esac
for runtime in $runtimes; do
    command -v "$runtime" >/dev/null || continue
    [ "$runtime" = enroot ] || exec "$runtime" exec "$0" "$@"
    case $0 in
        *://*)
            echo "Error: Enroot starts no $0; first: enroot import --output image.sqsh $0, then --image image.sqsh" >&2
            exit 127 ;;
    esac
    folder=${{TMPDIR:-/tmp}}
    exec enroot start --env {MARK} --env "TMPDIR=$folder" --mount "$folder:$folder:none:x-create=dir,bind,rw" \\
        "$0" /bin/sh -c '{_APART}' sh "$@"
done
echo "Error: this node has neither apptainer, singularity nor enroot" >&2
exit 127
"""


def in_image(image: str) -> tuple[str, ...]:
    """The words before a command that is to run in this image, on a node."""
    return ("/bin/sh", "-c", _SCRIPT, image)
