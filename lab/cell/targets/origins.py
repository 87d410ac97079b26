"""Where code comes from, so that two versions of a project are not the same code by mistake.

A project that is installed, such as an editable one, is importable everywhere. Another version of it, whose packages
lie where nobody looks, would then be compared with itself.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from lab.cell.targets.case import STATEMENT, Case
from lab.cell.targets.importing import TargetError, code_path, import_module


def origin(case: Case) -> str:
    """The real path of the file that has the function of a case; empty for a statement, and for what is in no file."""
    return "" if case.source == STATEMENT else _file_of(import_module(case))


def check_other(case: Case, project: str, file: str) -> None:
    """Raise TargetError where a case of another version runs code of the first one, which has this project and file."""
    own, first = _below(case.project), _below(project)
    if own == first:
        return
    here = origin(case)
    if here and here == file:
        raise TargetError("%s is %s there too, so both would be the same code; %s" % (case.where, here, _NEXT_STEP))
    others = (own, _below(code_path()), _below(sys.prefix), _below(sys.base_prefix))
    for name, module in sorted(sys.modules.items()):
        path = _file_of(module)
        if path.startswith(first) and not path.startswith(others) and "site-packages" not in path:
            raise TargetError("%s imports %s of this version, from %s; %s" % (case.label, name, path, _NEXT_STEP))


_NEXT_STEP = "if the packages lie in a folder of the project, set PYTHONPATH to its name there"


def _file_of(module: Any) -> str:
    file = getattr(module, "__file__", None)
    return os.path.realpath(file) if isinstance(file, str) else ""


def _below(folder: str) -> str:
    """How the paths of what is in a folder begin."""
    return os.path.join(os.path.realpath(folder), "")
