"""The first lines that run in a cell: ``python3 -I -c SOURCE CODE... JOB``.

CODE is the zip file of the cell's code, as a path or, in a container with a /tmp of its own, as base64 in pieces. ``-``
means that it comes on standard input. Then it stays in memory, and nothing is left behind however the cell ends. The
image supplies only Python, and the orchestrator supplies the code. So every image can be a cell, and no image can hold
a stale copy. Nothing has to be mounted or copied, so a read-only root and an engine on another machine work too.

SOURCE has to be valid in any Python 3, so that an old Python can still say what it is. It imports little, because every
cell waits for what is imported here and in the worker.

Python's own importer of zip files compiles each module twice: the second time for its file name. Here it is told.

It leaves by ``os._exit``: while Python shuts down it no longer has signal handlers. A request to stop that comes just
then would make a cell that has ended well look as if it had been killed.
"""

SOURCE = r"""
import sys
if sys.version_info < (3, 9):
    sys.stdout.write('{"kind": "refused", "reason": "Python %d.%d"}\n' % sys.version_info[:2])
    sys.exit(64)
import binascii, os
code, job = "".join(sys.argv[1:-1]), sys.argv[-1]
if code == "-":
    memory = os.memfd_create("multicore-lab")
    with open(0, "rb", closefd=False) as stream, open(memory, "wb", closefd=False) as file:
        file.write(stream.read())
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    code = "/proc/%d/fd/%d" % (os.getpid(), memory)
elif not code.endswith(".zip"):
    path = "/tmp/multicore-lab-%d.zip" % os.getpid()
    with open(path, "xb") as file:
        file.write(binascii.a2b_base64(code))
    code = path
import zipimport
class Importer(zipimport.zipimporter):
    def get_filename(self, name):
        end = "/__init__.py" if self.is_package(name) else ".py"
        return self.archive + "/" + self.prefix + name.rpartition(".")[2] + end
def hook(path):
    if path.startswith(code):
        return Importer(path)
    raise ImportError(path)
sys.path_hooks.insert(0, hook)
sys.path.append(code)
from lab.cell.worker.supervisor import main
os._exit(main(job))
"""
