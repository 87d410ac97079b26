"""The experiments: one standard-library-only file each, in Python 3.9's syntax, that runs inside a cell.

A module here whose name has no leading underscore is an experiment and must define ``EXPERIMENT``. The lab finds it by
its file name, so no list has to name it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.cell.claims.claim import Experiment

#: The names of experiments that measure a function of the user's begin with this.
OWN_CODE = "scale:"
#: The names of experiments that run a program of the user's begin with this.
PROGRAM = "exec:"

#: What the names of experiments of the user's own begin with -> the module that makes such an experiment of a name.
_OWN = {OWN_CODE: "lab.cell.targets.scale", PROGRAM: "lab.cell.programs.execution"}


#: The names of experiments in files of the user's -> their paths. In a cell they stand beside the lab's own.
_files: dict[str, str] = {}


def take_in(name: str, path: str) -> None:
    """Let the experiment of that name be loaded from a file of the user's."""
    _files[name] = path


def let_go(name: str) -> None:
    """Forget an experiment that was taken in."""
    import sys

    _files.pop(name, None)
    sys.modules.pop(module_of(name), None)


def files() -> dict[str, str]:
    """The names of the experiments that were taken in -> the paths of their files."""
    return dict(_files)


def is_built_in(name: str) -> bool:
    """Whether the lab itself has an experiment of that name."""
    return name in names() and name not in _files


def names() -> list[str]:
    """The names of all experiments, in alphabetical order: ``start-cost`` stands in ``start_cost.py``."""
    import pkgutil  # not in a cell, which loads its experiments by name

    found = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
    return sorted({*(name.replace("_", "-") for name in found), *_files})


#: The order of the tutorial, then the experiments that build on it. Experiments that are not named here come last, in
#: alphabetical order.
_TUTORIAL = (
    *("process", "pool", "queue", "pipe", "manager", "threads", "race", "gil", "switching", "convoy", "cliff"),
    *("messages", "start-cost", "oversubscription", "sawtooth", "executors", "shared-object", "race-atlas"),
    *("fork-threads", "main-thread", "silent-failures"),
)


def in_order() -> list[str]:
    """The names of all experiments, in the order to run and show them."""
    return sorted(names(), key=lambda name: (_TUTORIAL.index(name) if name in _TUTORIAL else len(_TUTORIAL), name))


def is_known(name: str) -> bool:
    """Whether this version has an experiment of that name; every function and program of the user's is one."""
    return name.startswith(tuple(_OWN)) or name in names()


def shown(name: str) -> str:
    """The name as messages and tables show it: a function or a program of the user's goes by its own name."""
    return name.partition(":")[2] if name.startswith(tuple(_OWN)) else name


def usual() -> list[str]:
    """The names of the experiments that run when the user names none: all that are not ``extra``, in the same order.

    One that cannot be loaded is left out.
    """
    left_out = broken()
    return [name for name in in_order() if name not in left_out and not load(name).extra]


def of_every_size() -> list[str]:
    """The names of the usual experiments that are about the number of CPUs itself, in the same order."""
    return [name for name in usual() if load(name).of_every_size]


#: What a file with a mistake raises while it is imported. A signal that ends the lab is not among them.
_FAULTS = (
    *(SyntaxError, ImportError, NameError, AttributeError, TypeError, ValueError, LookupError, ArithmeticError),
    *(AssertionError, OSError, RuntimeError, SystemExit),
)


def broken() -> dict[str, str]:
    """The names of the experiments that cannot be loaded -> why; a file that somebody has just begun costs itself."""
    faults = {}
    for name in names():
        try:
            load(name)
        except _FAULTS as error:
            from lab.cell.claims.recorder import frames_of, in_words  # not in a cell, which has no broken file

            place = "" if isinstance(error, SyntaxError) else " (%s)" % "".join(frames_of(error)[-1:])
            faults[name] = in_words(error) + place
    return faults


def load(name: str) -> Experiment:
    """Load an experiment by its name. Raises ModuleNotFoundError when there is no module for it."""
    module = _imported(name)
    if name.startswith(tuple(_OWN)):
        own: Experiment = module.experiment(name)
        return own
    experiment: Experiment = module.EXPERIMENTS[name.partition("-")[2]] if name.startswith("_") else module.EXPERIMENT
    return experiment


def _imported(name: str) -> Any:
    """The module of an experiment, from a file of the user's where it was taken in."""
    import sys

    module = module_of(name)
    if name in _files and module not in sys.modules:
        from importlib import util

        spec = util.spec_from_file_location(module, _files[name])
        assert spec
        assert spec.loader
        sys.modules[module] = util.module_from_spec(spec)
        try:
            spec.loader.exec_module(sys.modules[module])
        except BaseException:
            del sys.modules[module]
            raise
    return importlib.import_module(module)


def module_of(name: str) -> str:
    """The module that holds an experiment. ``_internal/control`` holds ``_control-idle``, for example."""
    for prefix, module in _OWN.items():
        if name.startswith(prefix):
            return module
    if name.startswith("_"):
        return "lab.cell.experiments._internal." + name[1:].partition("-")[0]
    return "lab.cell.experiments." + name.replace("-", "_")
