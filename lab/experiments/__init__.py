"""The experiments: one standard-library-only file each, in Python 3.9's syntax, that runs inside a cell.

A module here whose name has no leading underscore is an experiment and must define ``EXPERIMENT``. Nothing else has
to be registered anywhere: dropping in a file is all it takes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.experiments._claims import Experiment


def names() -> list[str]:
    """The names of all experiments, in alphabetical order: ``start-cost`` stands in ``start_cost.py``."""
    import pkgutil  # not in a cell, which loads its experiments by name

    return sorted(
        module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")
    )


#: The tutorial's order, and what follows from it; an experiment that is not named here comes after, by its name.
_TUTORIAL = (
    *("process", "pool", "queue", "pipe", "manager", "threads", "race", "gil", "switching", "convoy", "cliff"),
    *("oversubscription", "sawtooth"),
)


def in_order() -> list[str]:
    """The names of all experiments, in the order to run and show them."""
    return sorted(names(), key=lambda name: (_TUTORIAL.index(name) if name in _TUTORIAL else len(_TUTORIAL), name))


def usual() -> list[str]:
    """The names of those that run when none is named, in that order: all that are not ``extra``."""
    return [name for name in in_order() if not load(name).extra]


def load(name: str) -> Experiment:
    """The experiment of that name. Raises ModuleNotFoundError when there is none."""
    experiment: Experiment = importlib.import_module("lab.experiments." + name.replace("-", "_")).EXPERIMENT
    return experiment
