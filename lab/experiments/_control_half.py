"""The controls beside a neighbour that is busy half of the time; see :mod:`lab.experiments._control`."""

from lab.experiments._control import controls

EXPERIMENT = controls("half")
