"""The first lines that run in a cell: ``python3 -I -c SOURCE CODE... JOB``.

CODE is the zip file of the cell's code, as a path or, in a container with a /tmp of its own, as base64 in pieces. The
image only supplies Python, the orchestrator supplies the code: so every image can be a cell, none can hold a stale
copy, and nothing has to be mounted or copied, which works with a read-only root and with an engine on another machine
alike.
SOURCE has to be valid in any Python 3, so that an old one can still say what it is; and imports little, since all that
is imported here and in the worker is waited for in every cell.

It leaves by ``os._exit``: while Python shuts down it has no signal handlers any more, and a request to stop that comes
just then would make a cell that has ended well look as if it had been killed.
"""

SOURCE = r"""
import sys
if sys.version_info < (3, 9):
    sys.stdout.write('{"kind": "refused", "reason": "Python %d.%d"}\n' % sys.version_info[:2])
    sys.exit(64)
import binascii, json, os
code, job = "".join(sys.argv[1:-1]), sys.argv[-1]
if not code.endswith(".zip"):
    path = "/tmp/multicore-lab-%d.zip" % os.getpid()
    with open(path, "xb") as file:
        file.write(binascii.a2b_base64(code))
    code = path
sys.path.append(code)
from lab.cell.worker.supervisor import main
os._exit(main(json.loads(job)))
"""
