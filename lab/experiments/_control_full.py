"""The controls beside a neighbour that is always busy; see :mod:`lab.experiments._control`."""

from lab.experiments._control import controls

EXPERIMENT = controls("full")
