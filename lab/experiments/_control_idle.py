"""The controls beside a neighbour that is idle; see :mod:`lab.experiments._control`."""

from lab.experiments._control import controls

EXPERIMENT = controls("idle")
