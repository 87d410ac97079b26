"""The experiments: one standard-library-only file each, in Python 3.9's syntax, that runs inside a cell.

A module here whose name has no leading underscore is an experiment and must define ``EXPERIMENT``. Nothing else has
to be registered anywhere: dropping in a file is all it takes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.cell.claims.claim import Experiment


def names() -> list[str]:
    """The names of all experiments, in alphabetical order: ``start-cost`` stands in ``start_cost.py``."""
    import pkgutil  # not in a cell, which loads its experiments by name

    return sorted(
        module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
    )


#: The tutorial's order, and what follows from it; an experiment that is not named here comes after, by its name.
_TUTORIAL = (
    *("process", "pool", "queue", "pipe", "manager", "threads", "race", "gil", "switching", "convoy", "cliff"),
    *("messages", "start-cost", "oversubscription", "sawtooth", "executors", "shared-object", "race-atlas"),
    *("fork-threads", "main-thread", "silent-failures"),
)


def in_order() -> list[str]:
    """The names of all experiments, in the order to run and show them."""
    return sorted(names(), key=lambda name: (_TUTORIAL.index(name) if name in _TUTORIAL else len(_TUTORIAL), name))


def usual() -> list[str]:
    """The names of those that run when none is named, in that order: all that are not ``extra``."""
    return [name for name in in_order() if not load(name).extra]


def load(name: str) -> Experiment:
    """The experiment of that name. Raises ModuleNotFoundError when there is none."""
    module = importlib.import_module(module_of(name))
    experiment: Experiment = module.EXPERIMENTS[name.partition("-")[2]] if name.startswith("_") else module.EXPERIMENT
    return experiment


def module_of(name: str) -> str:
    """The module that holds the experiment of that name: ``_control-idle`` is one of those in ``_internal/control``."""
    if name.startswith("_"):
        return "lab.cell.experiments._internal." + name[1:].partition("-")[0]
    return "lab.cell.experiments." + name.replace("-", "_")
